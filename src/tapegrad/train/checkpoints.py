"""Where a run is saved. All writing of a Trainer's state is in this file."""

from __future__ import annotations

import os
from typing import Any

from tapegrad.checkpoint import save
from tapegrad.ops.common.refusals import Retelling


class Checkpoints(Retelling):
    """The saves of a run in a folder: the last one, and the one that was best. ``load(path)`` of
    ``latest`` or ``best`` is what ``Trainer.state_dict`` returned; its "model" are the weights.

    Each is written beside the old file and then takes its name, so that whatever happens the old
    one or the new one is there.
    """

    def __init__(self, folder: Any):
        self.folder = os.fspath(folder)

    def save(self, state: dict[str, Any], step: int, *, best: bool = False) -> None:
        """Write a state, that after so many steps; best: also as the best one."""
        os.makedirs(self.folder, exist_ok=True)
        save(state, self._path("last"))
        if best:
            save(state, self._path("best"))

    @property
    def latest(self) -> str | None:
        """The path of the last save; None without one."""
        return self._found("last")

    @property
    def best(self) -> str | None:
        """The path of the best save; None without one."""
        return self._found("best")

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, f"{name}.ckpt")

    def _found(self, name: str) -> str | None:
        path = self._path(name)
        return path if os.path.exists(path) else None
