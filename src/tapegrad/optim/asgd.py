"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .number import Number
from .optimizer import Optimizer, Params, options


class ASGD(Optimizer):
    """p = (1 - lambd * eta) * p - eta * g, where eta = lr / (1 + lambd * lr * steps) ** alpha falls
    from step to step, and beside it the average of p, state["ax"], in the end the better answer
    (Polyak & Juditsky 1992).

    The average is of all p after ``t0`` steps, before that it is p itself. ``weight_decay`` * p is
    added to the gradient; ``maximize`` goes up. Raises ValueError for a negative lr or
    weight_decay.
    """

    step_name = "asgd_step"
    counts_steps = True
    kept_arrays = ("ax",)
    kept_numbers = ("eta", "mu")
    not_negative = ("lr", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        *,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def _count(self, state: dict[str, Any], group: dict[str, Any]) -> tuple[dict, dict]:
        step, lr = state.get("step", 0) + 1, group["lr"]
        told = {"eta": state.get("eta", lr), "mu": state.get("mu", 1.0)}
        eta = lr / (1 + group["lambd"] * lr * step) ** group["alpha"]
        return told, {"step": step, "eta": eta, "mu": 1 / max(1, step - group["t0"])}
