"""A small training run for tests, made anew as by a program that is started again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from torture_training import described

import tapegrad as tg
from tapegrad import nn
from tapegrad.checkpoint import Checkpoints
from tapegrad.train import Callback, EarlyStopping, Trainer


class Plain:
    """A loader that cannot say where it is."""

    def __init__(self, loader: Any) -> None:
        self.loader, self.sampler, self.generator = loader, loader.sampler, loader.generator

    def __iter__(self) -> Any:
        return iter(self.loader)

    def __len__(self) -> int:
        return len(self.loader)


class Endless(Plain):
    """One that does not know its length either."""

    __len__ = None  # type: ignore[assignment]


class At(Callback):
    """Does something at a step."""

    def __init__(self, step: int, what: Any) -> None:
        self.step, self.what = step, what

    def on_step(self, trainer: Any) -> None:
        if trainer.step == self.step:
            self.what()


class Killed(BaseException):
    """Stands for the end of the process."""


def kill() -> None:
    raise Killed


class Noisy(tg.data.Dataset):
    """Draws from all three sources of random numbers for every sample."""

    def __init__(self, size: int) -> None:
        drawn = tg.Generator().manual_seed(5)
        self.x = tg.randn(size, 6, generator=drawn)
        self.y = (self.x.sum(1) > 0).long()

    def __getitem__(self, i: int) -> Any:
        noise = tg.randn(6) + random.gauss(0, 1) + np.random.standard_normal()  # noqa: NPY002
        return self.x[i] + 0.1 * noise, self.y[i]

    def __len__(self) -> int:
        return len(self.y)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))


def seeded() -> None:
    tg.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002


class Run:
    """A trainer and its data. ``options``: of Trainer, and those named here."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        loader: Any = tg.data.DataLoader,
        own_generator: bool = False,
        save_every: int | None = 1,
        schedule: str = "epoch",
        scheduler: str = "StepLR",
        patience: int | None = None,
        callbacks: Any = (),
        size: int = 22,
        **options: Any,
    ) -> None:
        seeded()
        self.model = network()
        self.optimizer = tg.optim.AdamW(self.model.parameters(), lr=0.05)
        settings: dict[str, dict] = {
            "StepLR": {"step_size": 2, "gamma": 0.5},
            "ReduceLROnPlateau": {"patience": 0},
        }
        kind = getattr(tg.optim.lr_scheduler, scheduler)
        self.scheduler = kind(self.optimizer, **settings[scheduler])
        generator = tg.Generator().manual_seed(8) if own_generator else None
        make = tg.data.DataLoader
        self.loader: Any = make(Noisy(size), 4, shuffle=True, generator=generator)
        if loader is not make:
            self.loader = loader(self.loader)
        self.validation = make(Noisy(12), 5, shuffle=True)
        if patience is not None:
            callbacks = [EarlyStopping(patience), *callbacks]
        self.trainer = Trainer(
            self.model,
            nn.CrossEntropyLoss(),
            self.optimizer,
            metrics={"accuracy": tg.metrics.Accuracy(), "auc": tg.metrics.ROCAUC()},
            scheduler=self.scheduler,
            schedule=schedule,
            checkpoints=None if folder is None else Checkpoints(folder),
            save_every=None if folder is None else save_every,
            callbacks=callbacks,
            progress=False,
            **options,
        )

    def fit(self, epochs: int = 4, **options: Any) -> Any:
        options = {"validation": self.validation, **options}
        history = self.trainer.fit(self.loader, epochs=epochs, **options)
        self.ended = described(self.trainer.state_dict())  # random numbers too, so at once
        return history
