"""LRScheduler: what all schedules share."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from inspect import signature
from typing import Any

from tapegrad.core.capture import capturing, refuse
from tapegrad.core.commit import commit
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.creation.create import full_like

from ..number import Number, is_number, plain
from ..optimizer import Optimizer


def copied(rate: Number) -> Number:
    return rate.detach().clone() if isinstance(rate, Tensor) else rate


def _or_nothing(init: Callable) -> Callable:
    """The constructor, after which the optimizer's groups are what they were if it raises."""

    @wraps(init)
    def made(self: Any, optimizer: Any, *args: Any, **options: Any) -> None:
        groups = list(getattr(optimizer, "param_groups", ()))
        undo = [partial(group.clear) for group in groups]
        undo += [partial(group.update, dict(group)) for group in groups]
        rates = [group["lr"]._array for group in groups if isinstance(group["lr"], Tensor)]
        undo += [partial(rate.fill, rate.item()) for rate in rates]
        try:
            init(self, optimizer, *args, **options)
        except BaseException:
            commit(undo)
            raise

    return made


class LRScheduler(Retelling):
    """Base class. A subclass defines ``get_lr()``: the next rate of each parameter group, that of
    epoch ``last_epoch``, made from the rate in use, ``group["lr"]``. So several schedules of one
    optimizer multiply, and a rate that was set by hand is where they go on from. ``base_lrs`` are
    the rates that the groups had before any schedule.

    Call ``step()`` once an epoch (or once a batch: an epoch is whatever lies between two steps),
    after the optimizer's own steps.
    """

    _is_initial = False
    _takes_epochs = False  # whether step(epoch) is what it is meant for
    _step_count = 0
    _not_loaded: tuple[str, ...] = ("optimizer",)  # of a state
    _optional: tuple[str, ...] = ()  # numbers that may be None
    _last_lr: list[Number]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _or_nothing(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._require_optimizer(optimizer)
        if last_epoch != -1 and any("initial_lr" not in g for g in optimizer.param_groups):
            raise KeyError(
                f"{type(self).__name__}: to resume at last_epoch={last_epoch}, every group "
                "needs 'initial_lr'; load the optimizer's state_dict first"
            )
        self.optimizer = optimizer
        self.base_lrs: list[Number] = []
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _require_optimizer(self, optimizer: Any) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__} needs an Optimizer, got {type(optimizer).__name__}"
            )

    def _require_numbers(self, **given: Any) -> None:
        for name, value in given.items():
            if not is_number(value):
                raise TypeError(f"{type(self).__name__}: {name} must be a number, not {value!r}")

    def get_lr(self) -> list[Number]:
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")

    def get_last_lr(self) -> list[Number]:
        """The rates in use, one per parameter group."""
        return list(self._last_lr)

    def step(self, epoch: float | None = None) -> None:
        """Move on by one epoch and set the optimizer's rates; or, if anything raises, neither. A
        group that was added since the last step joins in with the rate that it has.

        ``epoch``: go there instead, by the schedule's closed form where it has one. Warns that this
        is deprecated, and if the optimizer has made no step yet: then the first rate is not used.
        """
        if capturing() is not None:
            refuse("replays do not step a schedule, which is the host's: step it beside them")
        if self._step_count == 1 and not getattr(self.optimizer, "_opt_called", False):
            self._warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first "
                "learning rate is never used; call optimizer.step() first"
            )
        if epoch is not None:
            self._warn("step(epoch) is deprecated: call step() once an epoch")
        commit(self._prepared(epoch, counted=True))

    def _warn(self, text: str) -> None:
        if not self._takes_epochs:
            warnings.warn(f"{text} ({type(self).__name__})", UserWarning, stacklevel=3)

    def _prepared(self, epoch: float | None, counted: bool) -> list[partial]:
        """What a step will change: this schedule, and the groups of the optimizer. Afterwards both
        are as they were."""
        groups, state = self.optimizer.param_groups, vars(self)
        fresh = [group for group in groups if "initial_lr" not in group]
        undo = [partial(group.pop, "initial_lr", None) for group in fresh]
        before = dict(state)
        undo += [partial(state.clear), partial(state.update, before)]
        undo_all: partial = partial(deque, map(partial.__call__, undo), 0)
        try:
            redo = [partial(group.update, initial_lr=copied(group["lr"])) for group in fresh]
            commit(redo)
            joining = groups[len(self.base_lrs) :]
            self.base_lrs = self.base_lrs + [copied(group["initial_lr"]) for group in joining]
            self._step_count += counted
            self._advance(epoch)
            closed_form = getattr(self, "_get_closed_form_lr", None)
            rates = list(self.get_lr() if epoch is None or not closed_form else closed_form())
            changes, last = self._changes(groups, rates)
            after = {**state, "_last_lr": last}
        finally:
            undo_all()
        return [partial(state.update, after), *redo, *changes]

    def _advance(self, epoch: float | None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else int(epoch)

    def _restart(self) -> None:
        """Go back to epoch 0."""
        commit(self._prepared(0, counted=False))

    def _times(self, factor: float) -> list[Number]:
        """The rates in use, times ``factor``."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

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
            last.append(copied(rate))
        return changes + self._more_changes(), last

    def _more_changes(self) -> list[partial]:
        """What else a step changes in the groups."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, which saves its own state."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over where another scheduler of the same kind was, one of PyTorch's too; the
        optimizer loads its own state. Raises ValueError, which names the key, before it changes
        anything: where what the constructor takes is missing, and for what is no number where one
        is needed."""
        commit(self._loaded(state_dict))

    def _loaded(self, state_dict: Mapping[str, Any]) -> list[partial]:
        """What loading a state will change."""
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
            elif is_number(have) and not (
                is_number(value) or (value is None and key in self._optional)
            ):
                raise ValueError(f"{owner}: '{key}' must be a number, not {value!r}")
            elif key == "last_epoch" and (plain(value) % 1 or value < -1):
                raise ValueError(f"{owner}: 'last_epoch' must be an epoch's number, not {value!r}")
        loaded = {key: x for key, x in state_dict.items() if key not in self._not_loaded}
        return [partial(vars(self).update, loaded)]


def for_groups(values: Any, optimizer: Optimizer, owner: str, name: str) -> list:
    """One value for each group: the list given, or the one value given for all of them. Raises
    ValueError for a list of another length."""
    groups = len(optimizer.param_groups)
    if not isinstance(values, (list, tuple)):
        return [copied(values) for _ in range(groups)]
    if len(values) != groups:
        raise ValueError(f"{owner}: {name} has {len(values)} values, the optimizer {groups} groups")
    return [copied(value) for value in values]


def prolonged(values: list, groups: Iterable) -> list:
    """With the last value for each group that was added later."""
    return [*values, *values[-1:] * (len(list(groups)) - len(values))]
