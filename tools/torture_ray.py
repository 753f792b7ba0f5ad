"""Kills ranks of a training on Ray with SIGKILL, at random moments, and looks at what it returns.

    python tools/torture_ray.py                       # 10 kills, two ranks: some minutes
    python tools/torture_ray.py --kills 100 --ranks 3

A run that is not disturbed comes first. Then each run loses a random rank at a random moment of its
training, and must end with the losses and weights of the first one, to the last bit. Exit status 1
if one does not. (A moment that comes after the end of its run counts for nothing.)
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import ray

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import ray_run

import tapegrad as tg

OPTIONS = {"epochs": 4, "pause": 0.03}


class Killer(threading.Thread):
    """Kills a rank ``delay`` seconds after all of them have begun to train."""

    def __init__(self, folder: Path, ranks: int, rank: int, delay: float):
        super().__init__(daemon=True)
        self.files = [folder / f"process-{rank}" for rank in range(ranks)]
        self.rank, self.delay = rank, delay
        self.over, self.killed = threading.Event(), False

    def run(self) -> None:
        while not all(file.exists() and file.read_text() for file in self.files):
            if self.over.wait(0.001):
                return
        process = int(self.files[self.rank].read_text())
        if not self.over.wait(self.delay):
            os.kill(process, signal.SIGKILL)
            self.killed = True


def trained(folder: Path, ranks: int, rank: int = 0, delay: float = 1e6) -> tuple[Any, float, bool]:
    """What a run returns, how many seconds it took, and whether its rank was killed meanwhile."""
    folder.mkdir()
    killer = Killer(folder, ranks, rank, delay)
    killer.start()
    began = time.monotonic()
    try:
        result = tg.train.ray.run(ray_run.train, (folder,), OPTIONS, ranks=ranks)
    finally:
        killer.over.set()
        killer.join()
    return result, time.monotonic() - began, killer.killed


def training_seconds(folder: Path) -> float:
    """From the first rank's beginning to the last step."""
    last = max(file.stat().st_mtime for file in folder.glob("step-*"))
    return last - min(file.stat().st_mtime for file in folder.glob("process-*"))


def torture(kills: int, ranks: int, seed: int) -> bool:
    """Whether all runs ended alike."""
    moment = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        whole, seconds, _ = trained(home / "whole", ranks)
        length = training_seconds(home / "whole")
        print(f"undisturbed: {seconds:.1f} s, {length:.1f} s of them training; seed {seed}")
        done = alike = number = 0
        while done < kills:
            number += 1
            rank, delay = moment.randrange(ranks), moment.uniform(0, length)
            result, seconds, killed = trained(home / f"run{number}", ranks, rank, delay)
            if not killed:
                continue
            done += 1
            alike += result == whole
            print(
                f"{done}: rank {rank} killed after {delay:.2f} s, run of {seconds:.1f} s, "
                f"{'alike' if result == whole else f'{result} instead of {whole}'}",
                flush=True,
            )
        print(f"{alike} of {done} runs ended with the losses and weights of the undisturbed one")
        return alike == done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    path = os.pathsep.join(filter(None, sys.path))
    ray.init(
        num_cpus=options.ranks,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
        logging_level="warning",
    )
    return 0 if torture(options.kills, options.ranks, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
