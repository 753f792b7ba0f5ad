"""What ranks of Ray run in tests, and in tools/torture_ray.py: small trainings that are disturbed."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

import numpy as np

import tapegrad as tg
import tapegrad.distributed as dist
from tapegrad import nn
from tapegrad.data import DataLoader, DistributedSampler


class Numbered:
    """Samples that say which they are: (features and number, class)."""

    def __init__(self, count: int):
        features = np.random.default_rng(5).standard_normal((count, 8), np.float32)
        numbers = np.arange(count, dtype=np.float32)[:, None]
        self.rows = tg.from_numpy(np.concatenate([features, numbers], 1))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int):
        return self.rows[i], int(i) % 3


class Model(nn.Module):
    """Classes from features; it has random numbers, which a resumed run must go on with."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 32), nn.Tanh(), nn.Dropout(0.3), nn.Linear(32, 3)
        )

    def forward(self, rows):
        return self.layers(rows[:, :8])


class Watcher(tg.train.Callback):
    """Notes which samples each step has had, with pauses, and does ``harm(step)``."""

    def __init__(self, folder, pause=0.0, harm=None):
        self.folder, self.pause, self.harm = Path(folder), pause, harm

    def on_start(self, trainer):
        name = f"started-{time.time_ns()}-{dist.get_rank()}-of-{dist.get_world_size()}"
        (self.folder / name).write_text(str(os.getpid()))

    def on_step(self, trainer):
        time.sleep(self.pause)
        if self.harm is not None:
            self.harm(trainer.step)


class Trained(tg.train.Trainer):
    """A Trainer that writes, for each step, the numbers of its samples."""

    def compute(self, batch):
        if self.model.training:
            numbers = batch[0][:, 8].int().tolist()
            name = f"step-{self.step:05}-rank-{dist.get_rank()}"
            (self.checkpoints.folder.parent / "samples" / name).write_text(f"{numbers}")
        return super().compute(batch)


def train(folder, count=96, batch=12, epochs=3, save_every=3, pause=0.0, harm=None):
    """The training that all tests disturb. What it returns is to be the same, undisturbed or not:
    the losses of the reports, and a hash of the weights."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    folder = Path(folder)
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    tg.manual_seed(7 + rank)
    data = Numbered(count)
    model = nn.parallel.DistributedDataParallel(Model())
    loader = DataLoader(data, batch // size, sampler=DistributedSampler(data, seed=3))
    trainer = Trained(
        model,
        nn.CrossEntropyLoss(),
        tg.optim.Adam(model.parameters(), 0.01),
        metrics={"accuracy": tg.metrics.Accuracy()},
        checkpoints=tg.checkpoint.Checkpoints(folder / "saves", keep_last=2),
        save_every=save_every,
        callbacks=[Watcher(folder, pause, harm)],
        progress=False,
    )
    history = trainer.fit(loader, epochs=epochs, resume=True)
    weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    losses = [(row["loss"].hex(), row["accuracy"]) for row in history]
    return losses, hashlib.sha256(weights).hexdigest()


class Once:
    """Harm that one rank does to itself after a step, the first time only."""

    def __init__(self, folder, rank, step, harm="kill", delay=0.0):
        self.mark = Path(folder) / "harmed"
        self.rank, self.step, self.harm, self.delay = rank, step, harm, delay

    def __call__(self, step):
        if dist.get_rank() != self.rank or step != self.step or self.mark.exists():
            return
        self.mark.touch()
        if self.harm == "raise":
            raise ConnectionError("the data are not there")
        if self.harm == "hang":
            time.sleep(1000)
        if self.delay:  # somewhere in what comes after the step
            signal.signal  # noqa: B018
        os.kill(os.getpid(), signal.SIGKILL)
