"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from tapegrad.core.commit import commit
from tapegrad.core.tensor import Tensor

from ..number import plain
from ..optimizer import Optimizer
from .base import LRScheduler, copied
from .plateau import ReduceLROnPlateau


class _Composed(LRScheduler):
    """What steps other schedules of one optimizer."""

    _schedulers: list[LRScheduler]

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        owner = type(self).__name__
        if len(schedulers) < 1:
            raise ValueError(f"{owner} needs at least one schedule")
        for i, schedule in enumerate(schedulers):
            if not hasattr(schedule, "optimizer"):
                raise TypeError(f"{owner}: schedule {i} is a {type(schedule).__name__}")
            if isinstance(schedule, ReduceLROnPlateau):
                raise ValueError(
                    f"{owner}: schedule {i} is a ReduceLROnPlateau, whose step needs a metric: "
                    "step it yourself"
                )
            if schedule.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ValueError(f"{owner}: schedule {i} is of another optimizer")
        self.optimizer = optimizer or schedulers[0].optimizer
        self._schedulers = list(schedulers)

    def _leaves(self) -> Iterator[LRScheduler]:
        """The schedules at the bottom, where schedules are made of schedules of schedules."""
        for schedule in self._schedulers:
            if isinstance(schedule, _Composed):
                yield from schedule._leaves()
            else:
                yield schedule

    def _everything(self) -> Iterator[LRScheduler]:
        yield self
        for schedule in self._schedulers:
            if isinstance(schedule, _Composed):
                yield from schedule._everything()
            else:
                yield schedule

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """If anything raises, the schedules and the optimizer's groups are what they were."""
        states = [(vars(schedule), dict(vars(schedule))) for schedule in self._everything()]
        groups = [(group, dict(group)) for group in self.optimizer.param_groups]
        rates = [
            (group["lr"], plain(group["lr"]))
            for group, _ in groups
            if isinstance(group["lr"], Tensor)
        ]
        try:
            yield
        except BaseException:
            for now, before in (*states, *groups):
                now.clear()
                now.update(before)
            for tensor, value in rates:
                tensor._array.fill(value)
            raise

    def _rates(self) -> list[Any]:
        return [copied(group["lr"]) for group in self.optimizer.param_groups]

    def get_lr(self) -> list[Any]:
        """The rates in use: it is the schedules that set them."""
        return self._rates()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with the states of the schedules."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    _not_loaded = ("optimizer", "_schedulers")

    def _loaded(self, state_dict: Mapping[str, Any]) -> list[partial]:
        changes, owner = super()._loaded(state_dict), f"{type(self).__name__}.load_state_dict"
        saved = state_dict.get("_schedulers")
        if not isinstance(saved, (list, tuple)) or len(saved) != len(self._schedulers):
            raise ValueError(
                f"{owner}: '_schedulers' must be a list of {len(self._schedulers)} states"
            )
        for schedule, state in zip(self._schedulers, saved, strict=True):
            changes += schedule._loaded(state)
        return changes


class SequentialLR(_Composed):
    """One schedule after the other: the first until epoch milestones[0], which is the second one's
    epoch 0, and so on. Raises ValueError for no schedules, another number of milestones than one
    less than schedules, schedules of another optimizer, and ReduceLROnPlateau."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self._take(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} milestones, "
                f"got {len(milestones)}"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        with self._all_or_nothing():
            groups = self.optimizer.param_groups
            changes, _ = self._changes(groups, [group["initial_lr"] for group in groups])
            commit(changes)
            for schedule in self._leaves():  # which made a first step when they were made
                schedule.last_epoch -= 1
            first = self._schedulers[bisect_right(self._milestones, 0)]
            first._initial_step()
            self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Move on by one epoch: one step of the schedule whose turn it is."""
        with self._all_or_nothing():
            self.last_epoch += 1
            turn = bisect_right(self._milestones, self.last_epoch)
            schedule = self._schedulers[turn]
            if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
                schedule._restart()
            else:
                schedule.step()
            self._last_lr = schedule.get_last_lr()

    def _restart(self) -> None:
        self.last_epoch = 0
        self._schedulers[bisect_right(self._milestones, 0)]._restart()
        self._last_lr = self._rates()


class ChainedScheduler(_Composed):
    """All schedules make each step, so their factors multiply. Raises ValueError for no schedules,
    schedules of another optimizer, and ReduceLROnPlateau."""

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._take(schedulers, optimizer)
        self._last_lr = self._rates()

    def step(self) -> None:  # type: ignore[override]
        """Let each schedule make a step."""
        self._each(lambda schedule: schedule.step())

    def _restart(self) -> None:
        self._each(lambda schedule: schedule._restart())

    def _each(self, move: Callable[[LRScheduler], None]) -> None:
        with self._all_or_nothing():
            for schedule in self._schedulers:
                move(schedule)
            self._last_lr = self._rates()
