"""Where a run is saved. All reading and writing of a Trainer's state is in this file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tapegrad.checkpoint import load, save

from .checks import count


class Checkpoints:
    """Saves a run in a folder: ``last.ckpt`` at every report and, if given, every ``every_steps``
    steps; ``best.ckpt`` at the report that is best so far, by the Trainer's ``monitor`` and
    ``mode``. ``tapegrad.load("best.ckpt")["model"]`` are the weights.

    Each is written beside the old file and then takes its name, so that whatever happens the old
    one or the new one is there.
    """

    def __init__(self, folder: Any, *, every_steps: int | None = None, best: bool = True):
        self.folder = os.fspath(folder)
        self.every_steps = None if every_steps is None else count("every_steps", every_steps)
        self.keep_best = best
        self.best: float | None = None
        self.judged = 0  # reports looked at

    @property
    def last_path(self) -> str:
        """The newest save."""
        return os.path.join(self.folder, "last.ckpt")

    @property
    def best_path(self) -> str:
        """The save of the best report."""
        return os.path.join(self.folder, "best.ckpt")

    def found(self) -> bool:
        """Whether there is a save to go on from."""
        return os.path.exists(self.last_path)

    def load(self) -> dict[str, Any]:
        """The newest save."""
        return loaded(self.last_path)

    def is_due(self, step: int) -> bool:
        """Whether this step is one of ``every_steps``."""
        return self.every_steps is not None and step % self.every_steps == 0

    def save(self, trainer: Any) -> None:
        """Write the trainer's state. (The best first: killed in between, the older last.ckpt makes
        that report again.)"""
        os.makedirs(self.folder, exist_ok=True)
        better = len(trainer.history) > self.judged and self._judge(trainer)
        state = trainer.state_dict()
        if better and self.keep_best:
            save(state, self.best_path)
        save(state, self.last_path)

    def _judge(self, trainer: Any) -> bool:
        value = trainer.history[-1][trainer.monitor]
        self.judged = len(trainer.history)
        old = self.best
        better = value == value and (
            old is None or (value > old if trainer.mode == "max" else value < old)
        )
        self.best = value if better else old
        return better

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "judged": self.judged}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.best, self.judged = state_dict["best"], state_dict["judged"]


def loaded(path: Any) -> dict[str, Any]:
    """A state from a file."""
    return load(path)
