"""Rprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Tensor

from .number import Number, is_number, plain
from .optimizer import Optimizer, Params, full_state, options


class Rprop(Optimizer):
    """p -= sign(g) * size: each element has a step of its own, first lr, that grows by the factor
    etas[1] while the gradient keeps its sign, and shrinks by etas[0] where it turns; there the
    element rests for a step (Riedmiller & Braun 1993).

    ``step_sizes`` are the smallest and the largest step. ``maximize`` goes up. With
    ``differentiable`` no gradient flows to lr, a number at the start. Raises ValueError
    for a negative lr, and unless 0 < etas[0] < 1 < etas[1].
    """

    step_name = "rprop_step"
    counts_steps = True
    kept_arrays = ("prev", "step_size")
    not_negative = ("lr",)

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        for option in ("etas", "step_sizes"):
            pair = group[option]
            valid = isinstance(pair, Sequence) and len(pair) == 2 and all(map(is_number, pair))
            self._require(group, option, valid, "two numbers")
        smaller, larger = group["etas"]
        self._require(group, "etas", bool(0 < smaller < 1 < larger), "below and above 1")

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("eta_minus", "eta_plus", "smallest", "largest")
        values = (*group["etas"], *group["step_sizes"])
        return super()._options({**group, **dict(zip(names, values, strict=True))})

    def _fresh(self, key: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        return full_state(p, p.shape, plain(group["lr"]) if key == "step_size" else 0.0)
