"""Adadelta."""

from __future__ import annotations

from typing import Any

from .number import Number
from .optimizer import Optimizer, Params, options


class Adadelta(Optimizer):
    """p -= lr * d, where d = g * sqrt(u + eps) / sqrt(v + eps), with v and u the running means of
    the squared gradient and of d², of which each step keeps the part ``rho`` (Zeiler 2012).

    ``weight_decay`` * p is added to the gradient; ``maximize`` goes up. Raises ValueError for
    options that are negative, and for a rho above 1.
    """

    step_name = "adadelta_step"
    counts_steps = True
    kept_arrays = ("square_avg", "acc_delta")
    not_negative = ("lr", "rho", "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        self._require(group, "rho", bool(group["rho"] <= 1), "between 0 and 1")
