"""The checkpoints of a run, in a folder."""

from __future__ import annotations

import os
import re
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import shards
from .errors import CheckpointError
from .reading import load
from .replace import remove_leftovers
from .stateful import restore
from .writing import save

_STEP = r"step-(\d{8,})\.safetensors"


class Checkpoints:
    """The checkpoints of a run, in a folder: ``step-00000100.safetensors`` and so on, of which the
    last ``keep_last`` stay (None: all), and the best one, ``best.safetensors``::

        checkpoints = tg.checkpoint.Checkpoints("runs/mine", keep_last=3)
        state = {"model": model, "optimizer": optimizer, "epoch": 0}
        state = checkpoints.restore(state) or state  # goes on where the last run ended
        ...
        checkpoints.save(state, step)

    ``max_shard_size`` is ``save``'s. An older one is removed only when the new one was written and
    read again, so there is always one that can be read. Raises ValueError unless keep_last is at
    least 1.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep_last: int | None = None,
        max_shard_size: int | str | None = None,
    ):
        if keep_last is not None and (type(keep_last) is not int or keep_last < 1):
            raise ValueError(f"Checkpoints: keep_last must be at least 1, or None, got {keep_last}")
        self.folder = Path(folder)
        self.keep_last = keep_last
        self.max_shard_size = max_shard_size

    def save(self, state: Any, step: int, *, best: bool = False) -> Path:
        """Save a state, as ``save`` takes it, as that after so many steps, and remove those that
        are older than the last ``keep_last`` up to it. ``best``: also as ``best.safetensors``.
        Returns the path. Raises what ``save`` does, and what was there before still is."""
        if type(step) is not int or step < 0:
            raise ValueError(f"Checkpoints.save: step must be a number of steps, got {step!r}")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(step)
        remove_leftovers(str(self.folder), _STEP)
        save(state, path, max_shard_size=self.max_shard_size)
        if best:
            save(state, self.folder / "best.safetensors", max_shard_size=self.max_shard_size)
        if self.keep_last is not None:
            for old in [s for s in self.steps() if s <= step][: -self.keep_last]:
                self._remove(old)
        return path

    def steps(self) -> list[int]:
        """The steps of which there are checkpoints, in ascending order."""
        if not self.folder.is_dir():
            return []
        pattern = re.compile(rf"{_STEP}({re.escape(shards.INDEX)})?")
        names = (e.name for e in os.scandir(self.folder) if e.is_file())  # no pipes, no folders
        found = (pattern.fullmatch(name) for name in names)
        return sorted({int(match[1]) for match in found if match})

    @property
    def latest(self) -> Path | None:
        """The path of the checkpoint of the last step that can be read, which reading it whole
        shows; None without one."""
        for step in reversed(self.steps()):
            with suppress(CheckpointError):
                load(self._path(step), mmap=os.name == "posix")
                return self._path(step)
        return None

    @property
    def best(self) -> Path | None:
        """The path of the best checkpoint; None without one."""
        path = self.folder / "best.safetensors"
        return path if os.path.isfile(shards.main_file(str(path))) else None

    def restore(self, state: Any, map_location: Any = None) -> Any:
        """Go on from the last checkpoint that can be read, as ``tapegrad.checkpoint.restore`` does,
        and return what that returns; None without one. One that is damaged is passed over with a
        warning. Raises CheckpointError if it is of other objects, which are as they were."""
        steps, path = self.steps(), self.latest
        if not steps:
            return None
        last = self._path(steps[-1])
        if path is None:
            raise CheckpointError(f"restore: no checkpoint in {self.folder} can be read")
        if path != last:
            warnings.warn(f"{last} is damaged: going on from {path}", RuntimeWarning, stacklevel=2)
        return restore(state, path, map_location)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08}.safetensors"

    def _remove(self, step: int) -> None:
        path = str(self._path(step))
        shards.remove(path)
        with suppress(FileNotFoundError):
            os.unlink(path)
