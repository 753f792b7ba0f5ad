"""Learning rates that change over training."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any

from tapegrad.core.commit import commit
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.hints import unknown_names as _unknown_names
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.creation.create import full_like

from .numbers import Number, is_number, plain
from .optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "LRScheduler", "StepLR"]


def _copied(rate: Number) -> Number:
    return rate.detach().clone() if isinstance(rate, Tensor) else rate


class LRScheduler(Retelling):
    """Base class. A subclass defines ``get_lr()``: the next rate of each parameter group, that of
    epoch ``last_epoch``, made from the rate in use, ``group["lr"]``. So several schedules of one
    optimizer multiply, and a rate that was set by hand is where they go on from. ``base_lrs`` are
    the rates that the groups had before any schedule.

    Call ``step()`` once an epoch (or once a batch: an epoch is whatever lies between two steps),
    after the optimizer's own steps.
    """

    _is_initial = False
    _last_lr: list[Number]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__} needs an Optimizer, got {type(optimizer).__name__}"
            )
        if last_epoch != -1 and any("initial_lr" not in g for g in optimizer.param_groups):
            raise KeyError(
                f"{type(self).__name__}: to resume at last_epoch={last_epoch}, every group "
                "needs 'initial_lr'; load the optimizer's state_dict first"
            )
        self.optimizer = optimizer
        self.base_lrs: list[Number] = []
        self.last_epoch = last_epoch
        self._is_initial = True
        self.step()
        self._is_initial = False

    def _require_numbers(self, **given: Any) -> None:
        for name, value in given.items():
            if not is_number(value):
                raise TypeError(f"{type(self).__name__}: {name} must be a number, not {value!r}")

    def get_lr(self) -> list[Number]:
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")

    def get_last_lr(self) -> list[Number]:
        """The rates in use, one per parameter group."""
        return list(self._last_lr)

    def step(self) -> None:
        """Move on by one epoch and set the optimizer's rates; or, if anything raises, neither. A
        group that was added since the last step joins in with the rate that it has."""
        groups, state = self.optimizer.param_groups, vars(self)
        fresh = [group for group in groups if "initial_lr" not in group]
        undo = [partial(group.pop, "initial_lr", None) for group in fresh]
        undo.append(partial(state.update, dict(state)))
        undo_all: partial = partial(deque, map(partial.__call__, undo), 0)
        try:
            redo = [partial(group.update, initial_lr=_copied(group["lr"])) for group in fresh]
            commit(redo)
            joining = groups[len(self.base_lrs) :]
            self.base_lrs = self.base_lrs + [_copied(group["initial_lr"]) for group in joining]
            self.last_epoch += 1
            rates = list(self.get_lr())
            changes, last = self._changes(groups, rates)
            after = {**state, "_last_lr": last}
        finally:
            undo_all()
        commit([partial(state.update, after), *redo, *changes])

    def _changes(self, groups: list[dict[str, Any]], rates: list[Any]) -> tuple[list, list]:
        """What sets the groups' rates, and what they will be. A rate that is a tensor stays that
        tensor."""
        owner = type(self).__name__
        if len(rates) != len(groups) or not all(map(is_number, rates)):
            raise ValueError(
                f"{owner}.get_lr() must give a number for each of {len(groups)} groups, got {rates}"
            )
        changes, last = [], []
        for group, rate in zip(groups, rates, strict=True):
            lr = group["lr"]
            if isinstance(lr, Tensor):
                rate = full_like(lr, plain(rate))
                lr._bump(f"optim.lr_scheduler.{owner}.step")
                changes.append(partial(lr._array.fill, rate.item()))
            else:
                changes.append(partial(group.update, lr=rate))
            last.append(_copied(rate))
        return changes, last

    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over where another scheduler of the same kind was; the optimizer loads its own
        state. Raises ValueError, which names the key, before it changes anything: where what the
        constructor takes is missing, and for what is no number where one is needed."""
        owner = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping):
            raise ValueError(f"{owner} takes what state_dict() gives, not {state_dict!r}")
        own, groups = self.state_dict(), len(self.optimizer.param_groups)
        needed = {"last_epoch", "base_lrs", *signature(type(self)).parameters}
        for key in own:
            if key not in state_dict:
                if key in needed:
                    raise ValueError(f"{owner}: '{key}' is missing")
                continue
            have, value = own[key], state_dict[key]
            if key in ("base_lrs", "_last_lr"):
                if not isinstance(value, (list, tuple)) or not all(map(is_number, value)):
                    raise ValueError(f"{owner}: '{key}' must be a list of numbers, not {value!r}")
                if len(value) > groups:
                    raise ValueError(
                        f"{owner}: '{key}' has {len(value)} rates, the optimizer {groups} groups"
                    )
            elif is_number(have) and not is_number(value):
                raise ValueError(f"{owner}: '{key}' must be a number, not {value!r}")
            elif key == "last_epoch" and (plain(value) % 1 or value < -1):
                raise ValueError(f"{owner}: 'last_epoch' must be an epoch's number, not {value!r}")
        vars(self).update({key: x for key, x in state_dict.items() if key != "optimizer"})


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
        factor = self.gamma if falls else 1
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class CosineAnnealingLR(LRScheduler):
    """eta_min + (rate - eta_min) * (1 + cos(pi * epoch / T_max)) / 2: along half a cosine down to
    ``eta_min`` in ``T_max`` epochs, and up again (Loshchilov & Hutter 2016); each step multiplies
    the rate's distance from eta_min by what that grows. Raises ValueError for a T_max below 1,
    TypeError for what is no number."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self._require_numbers(T_max=T_max, eta_min=eta_min, last_epoch=last_epoch)
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1, not {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _height(self, epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def get_lr(self) -> list[Number]:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return rates
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # from eta_min: distance 0
            first = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                lr + (base - self.eta_min) * first
                for lr, base in zip(rates, self.base_lrs, strict=True)
            ]
        growth = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return [growth * (lr - self.eta_min) + self.eta_min for lr in rates]


if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
