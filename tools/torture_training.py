"""Kills a training run with SIGKILL at random moments, saves included, and goes on with it.

    python tools/torture_training.py                       # 100 kills, two workers: some minutes
    python tools/torture_training.py --kills 5 --workers 0

A run that is never killed comes first. Then a run is killed and resumed, again and again, until it
reaches its end, where all that is in its files (the last and the best save, the log) must have the
bits of the first one's; then the next run begins, until there were enough kills. Exit status 1 if
they differ.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad import nn


def train(folder: Path, workers: int) -> None:
    """The run: all of it that is not there yet."""
    tg.manual_seed(0)
    random.seed(0)  # which are saved too
    np.random.seed(0)  # noqa: NPY002
    images, labels = tg.data.digits()
    training, unseen = tg.data.random_split(
        tg.data.TensorDataset(images[:400], labels[:400]), [320, 80]
    )
    options = {"num_workers": workers} if workers else {}
    loader = tg.data.DataLoader(training, 32, shuffle=True, **options)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 10)
    )
    optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3)
    trainer = tg.train.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics={"accuracy": tg.metrics.Accuracy()},
        scheduler=tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=60),
        schedule="step",
        clip_norm=1.0,
        checkpoints=tg.checkpoint.Checkpoints(folder),
        save_every=2,
        callbacks=[tg.train.EarlyStopping(4), tg.train.CSVLog(folder / "log.csv")],
        progress=False,
    )
    print("ready", flush=True)
    trainer.fit(loader, epochs=6, validation=tg.data.DataLoader(unseen, 80), resume=True)


def start(folder: Path, workers: int) -> subprocess.Popen:
    """The run in a process of its own, when it is about to train."""
    command = [sys.executable, __file__, "--folder", str(folder), "--workers", str(workers)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    if child.stdout is None or child.stdout.readline() != b"ready\n":
        raise RuntimeError(f"the run in {folder} did not start")
    return child


def ended(child: subprocess.Popen, within: float | None = None) -> bool:
    """Whether the run reached its end in so many seconds; else it and its workers are killed."""
    ready, _, _ = select.select([child.stdout], [], [], within)  # its end closes the pipe
    if not ready:
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    if ready and child.returncode:
        raise RuntimeError(f"the run ended with status {child.returncode}")
    return bool(ready)


def described(state: Any) -> Any:
    """A state with its tensors as dtype, shape and bits: two are equal where all bits are. (Their
    files may still differ in the order of what the format has no order for.)"""
    if isinstance(state, tg.Tensor):
        return state.dtype.name, tuple(state.shape), state.cpu().numpy().tobytes()
    if isinstance(state, dict):
        return [(key, described(value)) for key, value in state.items()]
    if isinstance(state, (list, tuple)):
        return [described(value) for value in state]
    return repr(state)  # nan is nan, and -0.0 is not 0.0


def contents(folder: Path) -> dict[str, Any]:
    saves = tg.checkpoint.Checkpoints(folder)
    last, best = (described(tg.load(path)) for path in (saves.latest, saves.best))
    return {"last": last, "best": best, "log": (folder / "log.csv").read_text()}


def torture(kills: int, workers: int, seed: int) -> bool:
    """Whether all runs ended alike."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        child, began = start(home / "whole", workers), time.monotonic()
        ended(child)
        whole, seconds = contents(home / "whole"), time.monotonic() - began
        print(f"a run of {seconds:.2f} s, seed {seed}", flush=True)
        moment = random.Random(seed)
        done = runs = in_saves = 0
        while done < kills:
            runs += 1
            folder = home / f"run{runs}"
            while not ended(
                start(folder, workers), moment.uniform(0, seconds) if done < kills else None
            ):
                done += 1
                # What a save was writing lies beside its name.
                in_saves += any(folder.glob(".*"))
            different = [n for n, data in contents(folder).items() if data != whole[n]]
            if different:
                print(f"run {runs}, after {done} kills in all, differs: {different}")
                return False
        print(f"{done} kills ({in_saves} while a save was written) in {runs} runs: all ended alike")
        return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder is not None:
        train(options.folder, options.workers)
        return 0
    return 0 if torture(options.kills, options.workers, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
