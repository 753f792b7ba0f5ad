"""What ranks of Ray run in tests, and in tools/torture_ray.py: a small training, and what disturbs
it.

(It imports nothing of Ray's: a training function need not know what runs it.)
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
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

    def __init__(self, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 32), nn.Tanh(), nn.Dropout(dropout), nn.Linear(32, 3)
        )

    def forward(self, rows):
        return self.layers(rows[:, :8])


class Watched(tg.train.Trainer):
    """A Trainer that writes down which samples each step has."""

    def compute(self, batch):
        if self.model.training:
            name = f"step-{self.step:05}-rank-{dist.get_rank()}-of-{dist.get_world_size()}"
            numbers = batch[0][:, 8].int().tolist()
            (self.checkpoints.folder.parent / name).write_text(json.dumps(numbers))
        return super().compute(batch)


def samples(folder):
    """The samples of each step, as Watched has noted them: those of the smallest number of ranks
    that made it, as ranks were lost before it was made again."""
    found = {}
    for path in Path(folder).glob("step-*"):
        _, step, _, _, _, size = path.name.split("-")
        found.setdefault(int(step), {}).setdefault(int(size), []).extend(
            json.loads(path.read_text())
        )
    return [sorted(by_size[min(by_size)]) for _, by_size in sorted(found.items())]


class Disturbed(tg.train.Callback):
    """Says which processes train, pauses after each step, and then does ``harm(step)``."""

    def __init__(self, folder, pause, harm):
        self.folder, self.pause, self.harm = Path(folder), pause, harm

    def on_start(self, trainer):
        (self.folder / f"process-{dist.get_rank()}").write_text(str(os.getpid()))

    def on_step(self, trainer):
        time.sleep(self.pause)
        if self.harm is not None:
            self.harm(trainer.step)


class Once:
    """Harm to one rank after a step, only the first time: "kill" it ``delay`` seconds later, or
    after ``LAST`` more steps if that is sooner, "raise" or "hang" at once."""

    LAST = 10

    def __init__(self, folder, rank, step, harm="kill", delay=0.0):
        self.mark = Path(folder) / "harmed"
        self.rank, self.step, self.harm, self.delay = rank, step, harm, delay
        self.killer = None

    def __call__(self, step):
        if self.killer is not None and step >= self.step + self.LAST:
            self.killer.join()
        if dist.get_rank() != self.rank or step != self.step or self.mark.exists():
            return
        self.mark.touch()
        if self.harm == "raise":
            raise ConnectionError("the data are not there")
        if self.harm == "hang":
            time.sleep(1000)
        self.killer = threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL))
        self.killer.start()


def train(folder, epochs=3, save_every=3, dropout=0.3, pause=0.0, harm=None):
    """The training. What it returns must not depend on what has disturbed it: losses and accuracies
    of the epochs, and a hash of the weights."""
    dist.init_process_group()
    tg.manual_seed(7 + dist.get_rank())
    data = Numbered(96)
    model = nn.parallel.DistributedDataParallel(Model(dropout))
    trainer = Watched(
        model,
        nn.CrossEntropyLoss(),
        tg.optim.Adam(model.parameters(), 0.01),
        metrics={"accuracy": tg.metrics.Accuracy()},
        checkpoints=tg.checkpoint.Checkpoints(Path(folder, "saves"), keep_last=2),
        save_every=save_every,
        callbacks=[Disturbed(folder, pause, harm)],
        progress=False,
    )
    batch = 12 // dist.get_world_size()
    loader = DataLoader(data, batch, sampler=DistributedSampler(data, seed=3))
    history = trainer.fit(loader, epochs=epochs, resume=True)
    weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    reports = [(row["loss"], row["accuracy"]) for row in history]
    return reports, hashlib.sha256(weights).hexdigest()
