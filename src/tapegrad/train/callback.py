"""What is told of a run while it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad.ops.common.refusals import Retelling


class Callback(Retelling):
    """Base class. A subclass defines what it wants to be told; all else does nothing.

    A hook may read everything of the trainer (``step``, ``epoch``, ``history``, ``model``, ...) and
    end the run by ``trainer.stop(reason)``. What it raises ends the run too. Of several ranks, all
    have it, or with ``every_rank = False`` only the first one: what writes, for example.
    """

    every_rank = True

    def on_start(self, trainer: Any) -> None:
        """A run begins, or goes on: ``trainer.history`` has what was before."""

    def on_step(self, trainer: Any) -> None:
        """The optimizer has made a step; ``trainer.last_loss`` is the loss before it."""

    def on_report(self, trainer: Any, row: dict[str, Any]) -> None:
        """A row was added to the history."""

    def on_end(self, trainer: Any) -> None:
        """The run is complete, and saved; not where it was interrupted."""

    def close(self) -> None:
        """``fit`` is about to return or to raise, whatever the reason."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on alike, of what ``tapegrad.save`` takes."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there."""


def close_all(callbacks: Sequence[Callback]) -> None:
    """Close each of them, also where another one raises."""
    if callbacks:
        try:
            callbacks[0].close()
        finally:
            close_all(callbacks[1:])
