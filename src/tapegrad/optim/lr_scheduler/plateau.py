"""A schedule that watches a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from tapegrad.core.commit import commit

from ..number import plain
from ..optimizer import Optimizer
from .base import LRScheduler, copied, for_groups, prolonged


class ReduceLROnPlateau(LRScheduler):
    """``step(metrics)`` multiplies the rates by ``factor`` when the metric has not become better
    for more than ``patience`` epochs; then it waits for ``cooldown`` epochs before it counts again.

    Better is less (``mode="min"``) or more ("max") than the best so far, by the part ``threshold``
    of it (``threshold_mode="rel"``) or by threshold ("abs"). No rate goes below ``min_lr``, a
    number or one for each group, and none is changed by less than ``eps``. Raises ValueError for a
    factor of 1 or more, an unknown mode, and another number of min_lrs; TypeError for what is no
    number.
    """

    _optional = ("default_min_lr",)

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self._require_numbers(
            factor=factor, patience=patience, threshold=threshold, cooldown=cooldown, eps=eps
        )
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be below 1, not {factor}")
        for name, value, known in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in known:
                raise ValueError(f"ReduceLROnPlateau: {name} must be one of {known}, not {value!r}")
        self._require_optimizer(optimizer)
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = for_groups(min_lr, optimizer, "ReduceLROnPlateau", "min_lr")
        self.eps = eps
        self.last_epoch = 0
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self._reset()
        self._last_lr = [copied(group["lr"]) for group in optimizer.param_groups]

    def _reset(self) -> None:
        """Forget the best metric, and what was counted."""
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether bad epochs do not count yet."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        relative = self.threshold_mode == "rel"
        bound = best * (1 + sign * self.threshold) if relative else best + sign * self.threshold
        return a < bound if self.mode == "min" else a > bound

    def step(self, metrics: Any, epoch: float | None = None) -> None:  # type: ignore[override]
        """Look at the metric of an epoch (a number, or a tensor of one element) and set the rates;
        or, if anything raises, nothing."""
        current = float(metrics)
        if epoch is not None:
            self._warn("step(metrics, epoch) is deprecated: call step(metrics) once an epoch")
        state, groups = vars(self), self.optimizer.param_groups
        better = self._is_better(current, self.best)
        bad = 0 if better or self.in_cooldown else self.num_bad_epochs + 1
        cooldown = max(0, self.cooldown_counter - 1)
        rates: list[Any] = [group["lr"] for group in groups]
        least = self.min_lrs
        if bad > self.patience:
            if self.default_min_lr is not None:
                least = prolonged(least, groups)
            elif len(least) != len(groups):
                raise RuntimeError(
                    f"ReduceLROnPlateau.step: there are {len(least)} min_lrs for {len(groups)} "
                    "groups: add those of the new groups to min_lrs"
                )
            for i, rate in enumerate(rates):
                old = float(plain(rate))
                new = max(old * self.factor, least[i])
                if old - new > self.eps:
                    rates[i] = new
            bad, cooldown = 0, self.cooldown
        changes, last = self._changes(groups, rates)
        after = {
            "last_epoch": self.last_epoch + 1 if epoch is None else epoch,
            "best": current if better else self.best,
            "num_bad_epochs": bad,
            "cooldown_counter": cooldown,
            "min_lrs": least,
            "_last_lr": last,
        }
        commit([partial(state.update, after), *changes])
