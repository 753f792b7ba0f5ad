"""The reports of a run: what it has reached so far, on the data that it trains on and on others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import copy, deepcopy
from typing import Any

from tapegrad.core.modes import no_grad
from tapegrad.optim.lr_scheduler import ReduceLROnPlateau

from . import together
from .batches import batch_size
from .checks import check_loader, values_of
from .position import random_state, set_random_state
from .saved import Saved
from .signals import Signals


class Reporting(Saved):
    """The part of a Trainer that evaluates, reports, and notes which report is the best."""

    mode: str
    stopped: str
    monitor: Any
    _computed: Any
    _signals: Signals

    @no_grad()
    def evaluate(self, loader: Iterable) -> dict[str, float]:
        """The mean loss and the metrics over all batches, the model in evaluation mode: "loss", and
        the metrics by name; of several ranks, over the batches of all. Raises ValueError for a
        loader without batches."""
        check_loader("loader", loader)
        values = self._evaluated(loader)
        assert values is not None
        return values

    def _evaluated(self, loader: Iterable, stop: Signals | None = None) -> dict[str, float] | None:
        """None where a signal came in between."""
        modes = [(module, module.training) for module in self.model.modules()]
        metrics = deepcopy(self.metrics)
        for metric in metrics.values():
            metric.reset()
        total, samples = 0.0, 0.0
        if self._position is not None and loader is self._position.loader:
            loader = copy(loader)  # which is at another place than this one
        self.model.eval()
        try:
            for batch in loader:
                if stop is not None and stop.caught:
                    return None
                size = batch_size(batch)
                loss, output, target = self._computed(batch)
                total, samples = total + loss.item() * size, samples + size
                for metric in metrics.values():
                    metric.update(output, target)
        finally:
            for module, mode in modes:
                module.training = mode
        total, samples = together.added(total, samples)
        if not samples:
            raise ValueError("[Trainer] there was no batch to evaluate")
        return {"loss": total / samples, **values_of(together.of_all(metrics))}

    def _report(self, validation: Any) -> None:
        row = self._row(validation)
        self._report_due = row is None
        if row is not None:
            self._publish(row)

    def _row(self, validation: Any) -> dict[str, Any] | None:
        """The next row of the history; None, and nothing has changed, where a signal came."""
        position: Any = self._position
        before = random_state(position.generators)
        begun = position.taken or (self._resume_at or {}).get("taken")
        row: dict[str, Any] = {
            "epoch": self.epoch + bool(begun),
            "step": self.step,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "loss": self._total / self._samples if self._samples else math.nan,
            **values_of(together.of_all(self.metrics)),
        }
        if validation is not None:
            with no_grad():
                values = self._evaluated(validation, self._signals)
            if values is None:
                set_random_state(before, position.generators)
                return None
            row.update({f"val_{name}": value for name, value in values.items()})
        return row

    def _publish(self, row: dict[str, Any]) -> None:
        self._total, self._samples = 0.0, 0
        for metric in self.metrics.values():
            metric.reset()
        self.history.append(row)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(row[self.monitor])
        value, old = row[self.monitor], self.best
        better = not math.isnan(value) and (
            old is None or (value > old if self.mode == "max" else value < old)
        )
        if better:
            self.best, self.best_step = value, self.step
        self._tell("on_report", row)
        self._save(best=better)

    def _tell(self, hook: str, *args: Any) -> None:
        for callback in self.callbacks:
            if callback.every_rank or together.is_first():
                getattr(callback, hook)(self, *args)
        if together.added(bool(self.stopped))[0] and not self.stopped:
            self.stopped = "another rank has stopped"
