"""Schedules whose rates go up and down again, and momentum the other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any

from tapegrad.ops.common.arguments import positive

from ..number import Number
from ..optimizer import Optimizer
from .base import LRScheduler, for_groups, prolonged


class _WithMomentum(LRScheduler):
    """A schedule that may also set the groups' momentum, or the first of their betas."""

    cycle_momentum: bool
    use_beta1: bool

    def _require_momentum(self, optimizer: Optimizer) -> None:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"{type(self).__name__}: {type(optimizer).__name__} has neither momentum nor "
                "betas: give cycle_momentum=False"
            )
        self.use_beta1 = "betas" in optimizer.defaults

    def _momentum_of(self, group: dict[str, Any], momentum: Any) -> dict[str, Any]:
        if self.use_beta1:
            return {"betas": (momentum, *group["betas"][1:])}
        return {"momentum": momentum}

    def _momenta(self) -> list[Any]:
        """What the groups' momentum is at ``last_epoch``."""
        raise NotImplementedError

    def _more_changes(self) -> list[partial]:
        if not self.cycle_momentum:
            return []
        groups = self.optimizer.param_groups
        return [
            partial(group.update, self._momentum_of(group, momentum))
            for group, momentum in zip(groups, self._momenta(), strict=True)
        ]


class CyclicLR(_WithMomentum):
    """The rate goes evenly from ``base_lr`` up to ``max_lr`` in ``step_size_up`` epochs and down
    again in ``step_size_down`` (as many, if None), over and over (Smith 2015).

    ``mode`` "triangular2" halves the height with each cycle, "exp_range" multiplies it by ``gamma``
    with each epoch; or ``scale_fn`` gives the height's factor, of the cycle's number from 1 on or,
    with ``scale_mode="iterations"``, of the epoch. With ``cycle_momentum`` momentum, or betas[0],
    goes down from ``max_momentum`` to ``base_momentum`` while the rate goes up. Rates and momenta
    are numbers or lists of one for each group; a group added later takes the last one's. Raises
    ValueError for lists of another length, an unknown mode, step sizes that are not positive, and
    an optimizer without momentum.
    """

    _not_loaded = ("optimizer", "_scale_fn_custom")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self._require_optimizer(optimizer)
        down = step_size_up if step_size_down is None else step_size_down
        self._require_numbers(
            step_size_up=step_size_up, step_size_down=down, gamma=gamma, last_epoch=last_epoch
        )
        if step_size_up <= 0 or down < 0:
            raise ValueError(f"CyclicLR: a cycle of {step_size_up} epochs up and {down} down")
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(
                "CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range', or give a "
                f"scale_fn; got {mode!r}"
            )
        base_lrs, self.max_lrs, self.base_momentums, self.max_momentums = (
            for_groups(given, optimizer, "CyclicLR", name)
            for name, given in (
                ("base_lr", base_lr),
                ("max_lr", max_lr),
                ("base_momentum", base_momentum),
                ("max_momentum", max_momentum),
            )
        )
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._require_momentum(optimizer)
        self.optimizer = optimizer
        if last_epoch == -1:
            changes, _ = self._changes_to(base_lrs)
            for change in changes:
                change()
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _changes_to(self, rates: list) -> tuple[list[partial], list]:
        """As ``_changes``, at the start of a cycle."""
        groups, self.last_epoch = self.optimizer.param_groups, 0
        changes, last = self._changes(groups, rates)
        if self.cycle_momentum:
            ends = zip(groups, self.max_momentums, self.base_momentums, strict=True)
            changes += [partial(g.update, max_momentum=m, base_momentum=b) for g, m, b in ends]
        return changes, last

    def scale_fn(self, x: float) -> float:
        """The factor of the height, of the cycle's number or of the epoch."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return {"triangular2": 0.5 ** (x - 1), "exp_range": self.gamma**x}.get(self.mode, 1.0)

    def _height(self) -> float:
        """How far the rate is on its way from the base to the maximum."""
        cycles = self.last_epoch / self.total_size
        x = cycles - math.floor(cycles)
        up = x <= self.step_ratio
        height = x / self.step_ratio if up else (x - 1) / (self.step_ratio - 1)
        cycle = math.floor(1 + cycles)
        return height * self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)

    def get_lr(self) -> list[Number]:
        groups, height = self.optimizer.param_groups, self._height()
        tops = prolonged(self.max_lrs, groups)
        return [base + (top - base) * height for base, top in zip(self.base_lrs, tops, strict=True)]

    def _momenta(self) -> list[Any]:
        groups, height = self.optimizer.param_groups, self._height()
        ends = (prolonged(self.max_momentums, groups), prolonged(self.base_momentums, groups))
        return [top - (top - base) * height for top, base in zip(*ends, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions; of a callable object its attributes."""
        scale = self._scale_fn_custom
        plain = scale is None or isinstance(scale, FunctionType)
        kept = None if plain else dict(getattr(scale, "__dict__", {}))
        return {**super().state_dict(), "_scale_fn_custom": kept}

    def _loaded(self, state_dict: Mapping[str, Any]) -> list[partial]:
        changes, kept = super()._loaded(state_dict), state_dict.get("_scale_fn_custom")
        return changes + ([partial(vars(self._scale_fn_custom).update, kept)] if kept else [])


class OneCycleLR(_WithMomentum):
    """One cycle for a whole training of ``total_steps`` steps, or ``epochs`` * ``steps_per_epoch``:
    from max_lr / ``div_factor`` up to ``max_lr`` in the part ``pct_start`` of them, then down to
    max_lr / div_factor / ``final_div_factor``; with ``three_phase`` first down as long as up, to
    where it began (Smith & Topin 2017). Call ``step()`` after every batch.

    Along half a cosine (``anneal_strategy="cos"``) or evenly ("linear"). With ``cycle_momentum``
    momentum, or betas[0], goes from ``max_momentum`` down to ``base_momentum`` and up again. A
    group added later starts from its own rate, as if that were its max_lr / div_factor. Raises
    ValueError for numbers of steps that are no positive integers, a pct_start outside 0..1, an
    unknown strategy, lists of another length, an optimizer without momentum, and one step too many.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._require_optimizer(optimizer)
        self._require_numbers(
            div_factor=div_factor, final_div_factor=final_div_factor, last_epoch=last_epoch
        )
        named = {"total_steps": total_steps}
        if total_steps is None:
            named = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
            if None in named.values():
                raise ValueError("OneCycleLR: give total_steps, or both epochs and steps_per_epoch")
        for name, value in named.items():
            positive(f"OneCycleLR: {name}", value)
        self.total_steps = math.prod(named.values())  # type: ignore[arg-type]
        if not isinstance(pct_start, (int, float)) or not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be between 0 and 1, not {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}"
            )
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        tops, high, low = (
            for_groups(given, optimizer, "OneCycleLR", name)
            for name, given in (
                ("max_lr", max_lr),
                ("max_momentum", max_momentum),
                ("base_momentum", base_momentum),
            )
        )
        self._divisors = (div_factor, final_div_factor)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._require_momentum(optimizer)
        if last_epoch == -1:
            for group, top, most, least in zip(
                optimizer.param_groups, tops, high, low, strict=True
            ):
                start = top / div_factor
                group.update(initial_lr=start, max_lr=top, min_lr=start / final_div_factor)
                if cycle_momentum:
                    group.update(
                        max_momentum=most, base_momentum=least, **self._momentum_of(group, most)
                    )
        super().__init__(optimizer, last_epoch)

    def _at(self, group: dict[str, Any], kind: str) -> Any:
        """The group's "lr" or "momentum" at ``last_epoch``."""
        before = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if self.last_epoch <= end or phase is self._schedule_phases[-1]:
                break
            before = end
        part = (self.last_epoch - before) / (end - before) if end != before else 1.0
        first, last = (self._end(group, phase[f"{side}_{kind}"]) for side in ("start", "end"))
        if self._anneal_func_type == "linear":
            return (last - first) * part + first
        return last + (first - last) / 2 * (math.cos(math.pi * part) + 1)

    def _end(self, group: dict[str, Any], key: str) -> Any:
        """What the group goes from or to: a group added later has only its first rate."""
        if key in group:
            return group[key]
        div_factor, final_div_factor = self._divisors
        if key == "max_lr":
            return group["initial_lr"] * div_factor
        if key == "min_lr":
            return group["initial_lr"] / final_div_factor
        return self.optimizer.param_groups[0][key]

    def get_lr(self) -> list[Number]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.last_epoch} of a schedule of {self.total_steps} steps"
            )
        return [self._at(group, "lr") for group in self.optimizer.param_groups]

    def _momenta(self) -> list[Any]:
        return [self._at(group, "momentum") for group in self.optimizer.param_groups]


def _phases(steps: int, part: float, three: bool) -> list[dict[str, Any]]:
    """Where each stretch ends and what rate and momentum go from and to, by their names in the
    groups; as PyTorch keeps them in a state."""
    up = (part * steps - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    if three:
        rest = [
            (2 * part * steps - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
            (steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
        ]
    else:
        rest = [(steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    return [dict(zip(names, phase, strict=True)) for phase in (up, *rest)]
