"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .number import Number
from .optimizer import Optimizer, Params, options


class SGD(Optimizer):
    """p -= lr * d, where d is the gradient plus ``weight_decay`` * p.

    With ``momentum``, d is the running sum momentum * d + (1 - dampening) * gradient (Polyak 1964);
    ``nesterov`` looks one step ahead (Nesterov 1983). ``maximize`` goes up instead. Raises
    ValueError for options that are negative, and for nesterov without momentum or with dampening.
    """

    step_name = "sgd_step"
    kept_arrays = ("momentum_buffer",)
    not_negative = ("lr", "momentum", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        self._require(
            group,
            "nesterov",
            not group["nesterov"] or (group["momentum"] > 0 and group["dampening"] == 0),
            "False unless momentum is positive and dampening 0",
        )

    def _used(self, group: dict[str, Any]) -> Sequence[str]:
        return self.kept_arrays if group["momentum"] else ()
