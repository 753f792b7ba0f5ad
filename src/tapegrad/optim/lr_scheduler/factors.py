"""Schedules that multiply the rate by a factor, epoch by epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any

from ..number import Number
from ..optimizer import Optimizer
from .base import LRScheduler, for_groups, prolonged

Factor = Callable[[int], float]


class StepLR(LRScheduler):
    """Each ``step_size`` epochs the rate is multiplied by ``gamma``. Raises ValueError for a
    step_size below 1, TypeError for what is no number."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self._require_numbers(step_size=step_size, gamma=gamma, last_epoch=last_epoch)
        if step_size < 1:
            raise ValueError(f"StepLR: step_size must be at least 1, not {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Number]:
        falls = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return self._times(self.gamma if falls else 1)

    def _get_closed_form_lr(self) -> list[Number]:
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [base * factor for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """At each epoch of ``milestones`` the rate is multiplied by ``gamma``, as often as it is named.
    Raises TypeError for what is no number."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self._require_numbers(gamma=gamma, last_epoch=last_epoch)
        self.milestones = Counter(milestones)
        for milestone in self.milestones:
            self._require_numbers(milestones=milestone)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Number]:
        return self._times(self.gamma ** self.milestones[self.last_epoch])

    def _get_closed_form_lr(self) -> list[Number]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """The rate times ``factor`` until epoch ``total_iters``, from then on the rate itself. Raises
    ValueError for a factor outside 0..1, TypeError for what is no number."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self._require_numbers(factor=factor, total_iters=total_iters, last_epoch=last_epoch)
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor must be between 0 and 1, not {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Number]:
        if self.last_epoch == 0:
            return self._times(self.factor)
        return self._times(1 / self.factor if self.last_epoch == self.total_iters else 1)

    def _get_closed_form_lr(self) -> list[Number]:
        factor = self.factor if self.last_epoch < self.total_iters else 1
        return [base * factor for base in self.base_lrs]


class LinearLR(LRScheduler):
    """The rate times a factor that goes evenly from ``start_factor`` to ``end_factor`` in
    ``total_iters`` epochs. Raises ValueError for factors outside 0..1 and a start_factor of 0,
    TypeError for what is no number."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self._require_numbers(
            start_factor=start_factor,
            end_factor=end_factor,
            total_iters=total_iters,
            last_epoch=last_epoch,
        )
        if not 0 < start_factor <= 1:
            raise ValueError(
                f"LinearLR: start_factor must be above 0 and at most 1, not {start_factor}"
            )
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor must be between 0 and 1, not {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        part = min(self.total_iters, epoch) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * part

    def get_lr(self) -> list[Number]:
        if self.last_epoch == 0:
            return self._times(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._times(1)
        return self._times(self._factor(self.last_epoch) / self._factor(self.last_epoch - 1))

    def _get_closed_form_lr(self) -> list[Number]:
        return [base * self._factor(self.last_epoch) for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Each epoch the rate is multiplied by ``gamma``. Raises TypeError for what is no number."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self._require_numbers(gamma=gamma, last_epoch=last_epoch)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Number]:
        return self._times(1 if self._is_initial else self.gamma)

    def _get_closed_form_lr(self) -> list[Number]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """The rate times (1 - epoch / total_iters) ** power: down to 0 in ``total_iters`` epochs.
    Raises TypeError for what is no number, ValueError for total_iters below 1."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self._require_numbers(total_iters=total_iters, power=power, last_epoch=last_epoch)
        if total_iters < 1:
            raise ValueError(f"PolynomialLR: total_iters must be at least 1, not {total_iters}")
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Number]:
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._times(1)
        left, before = (1 - t / self.total_iters for t in (self.last_epoch, self.last_epoch - 1))
        return self._times((left / before) ** self.power)

    def _get_closed_form_lr(self) -> list[Number]:
        left = 1 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]


class _Given(LRScheduler):
    """A schedule whose factors are functions of the epoch, one for each group or one for all. What
    a callable object (no function) keeps is part of the state."""

    _not_loaded = ("optimizer", "lr_lambdas")

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ) -> None:
        self._require_optimizer(optimizer)
        self._require_numbers(last_epoch=last_epoch)
        owner = type(self).__name__
        self.lr_lambdas: list[Factor] = for_groups(lr_lambda, optimizer, owner, "lr_lambda")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    f"{owner}: lr_lambda must be callable, not a {type(function).__name__}"
                )
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float]:
        functions = prolonged(self.lr_lambdas, self.optimizer.param_groups)
        return [function(self.last_epoch) for function in functions]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions; of callable objects their attributes."""
        kept = [
            None if isinstance(f, FunctionType) else dict(getattr(f, "__dict__", {}))
            for f in self.lr_lambdas
        ]
        return {**super().state_dict(), "lr_lambdas": kept}

    def _loaded(self, state_dict: Mapping[str, Any]) -> list[partial]:
        changes = super()._loaded(state_dict)
        saved = zip(self.lr_lambdas, state_dict.get("lr_lambdas", ()), strict=False)
        return changes + [partial(vars(f).update, kept) for f, kept in saved if kept]


class LambdaLR(_Given):
    """The rate that a group had at first times ``lr_lambda(epoch)``; a list has a function for each
    group. Raises TypeError for what cannot be called, ValueError for another number of
    functions."""

    def get_lr(self) -> list[Number]:
        return [base * factor for base, factor in zip(self.base_lrs, self._factors(), strict=True)]


class MultiplicativeLR(_Given):
    """Each epoch the rate is multiplied by ``lr_lambda(epoch)``; a list has a function for each
    group. Raises TypeError for what cannot be called, ValueError for another number of
    functions."""

    def get_lr(self) -> list[Number]:
        if self._is_initial:
            return self._times(1)
        groups = self.optimizer.param_groups
        return [group["lr"] * factor for group, factor in zip(groups, self._factors(), strict=True)]
