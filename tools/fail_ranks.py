"""Ends, kills, misleads or hangs one of three ranks at random moments, and says how long the others
took to end, and whether the rank was named: ``python tools/fail_ranks.py [COUNT]``."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOW = {
    "raises": "raise ValueError('a broken batch')",
    "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "calls another": "dist.broadcast(tg.ones(3), 0)",
    "hangs": "time.sleep(1000)",
}
NAMES_IT = {
    "raises": r"\[rank {0}\] ValueError: a broken batch",
    "is killed": r"\[rank {0}\] was killed by SIGKILL",
    "calls another": r"rank {0}: broadcast from 0",
    "hangs": r"Missing: .*rank {0} does not answer",
}
SCRIPT = """
import os, signal, sys, threading, time
import tapegrad as tg
import tapegrad.distributed as dist
from tapegrad import nn

dist.init_process_group()  # on a busy machine it may take a while until all are there
dist.GroupMember.WORLD.timeout = 5
code, victim, moment, file = {code!r}, {victim}, {moment}, {file!r}
network = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 8))
model = nn.parallel.DistributedDataParallel(network)
optimizer = tg.optim.SGD(model.parameters(), lr=1e-3)
began = time.monotonic()
done = False

def fail():
    open(file, "w").write(repr(time.time()))
    exec(code)

if {kind!r} == "is killed" and dist.get_rank() == victim:  # anywhere, in the middle of a call
    threading.Timer(moment, fail).start()
while time.monotonic() - began < 60:
    model(tg.randn(32, 64)).square().mean().backward()
    late = time.monotonic() - began > moment
    if {kind!r} != "is killed" and dist.get_rank() == victim and late and not done:
        done = True
        fail()
    optimizer.step()
    optimizer.zero_grad()
"""


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    rng = random.Random(0)
    seconds, named = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            kind = [*HOW][number % len(HOW)]
            victim, moment = rng.randrange(3), rng.uniform(0, 2)
            script, file = Path(folder, "script.py"), str(Path(folder, "when"))
            script.write_text(
                SCRIPT.format(code=HOW[kind], victim=victim, moment=moment, file=file, kind=kind)
            )
            command = [sys.executable, "-m", "tapegrad", "launch", "-n", "3", str(script)]
            paths = {"PYTHONPATH": str(ROOT / "src"), "TAPEGRAD_DISTRIBUTED_DEBUG": "1"}
            ended = subprocess.run(
                command, env={**os.environ, **paths}, capture_output=True, text=True, check=False
            )
            took = time.time() - float(Path(file).read_text())
            found = bool(re.search(NAMES_IT[kind].format(victim), ended.stderr))
            seconds.append(took)
            named += found and ended.returncode != 0
            print(f"{number:3} rank {victim} {kind} after {moment:.2f} s: all ended {took:.1f} s")
            if not found:
                print(ended.stderr)
            print(f"    later, status {ended.returncode}, rank {'' if found else 'NOT '}named")
    print(f"{named} of {count} named the rank; longest {max(seconds):.1f} s, ", end="")
    print(f"{sum(s <= 10 for s in seconds)} within 10 s")


if __name__ == "__main__":
    main()
