"""EarlyStopping: a run ends when it no longer becomes better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from tapegrad.ops.common.arguments import positive

from .callback import Callback


class EarlyStopping(Callback):
    """End the run when the monitored value (``Trainer(monitor=..., mode=...)``) has not become
    better by more than ``min_delta`` in ``patience`` reports in a row; nan is never better.

    restore_best: when the run is complete, however it ended, the model gets the weights of the best
    report back. They are kept until then, in memory and in checkpoints. Raises ValueError for a
    patience below 1 and a negative min_delta.
    """

    def __init__(self, patience: int = 10, *, min_delta: float = 0.0, restore_best: bool = True):
        positive("[EarlyStopping] patience", patience)
        if not min_delta >= 0:
            raise ValueError(f"[EarlyStopping] min_delta must not be negative, got {min_delta!r}")
        self.patience, self.min_delta, self.restore_best = patience, min_delta, restore_best
        self.best = math.nan
        self.waited = 0  # reports since the best one
        self.best_weights: dict[str, Any] | None = None

    def on_report(self, trainer: Any, row: dict[str, Any]) -> None:
        value = row[trainer.monitor]
        gain = value - self.best if trainer.mode == "max" else self.best - value
        if gain > self.min_delta or (math.isnan(self.best) and not math.isnan(value)):
            self.best, self.waited = value, 0
            if self.restore_best:
                self.best_weights = deepcopy(trainer.model.state_dict())
        else:
            self.waited += 1
            if self.waited >= self.patience:
                trainer.stop(
                    f"{trainer.monitor} has not become better than {self.best:.6g} in "
                    f"{self.waited} reports"
                )

    def on_end(self, trainer: Any) -> None:
        if self.best_weights is not None:
            trainer.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "best_weights": self.best_weights}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.best, self.waited = state_dict["best"], state_dict["waited"]
        self.best_weights = state_dict["best_weights"]
