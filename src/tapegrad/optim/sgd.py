"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor

from .optimizer import Optimizer, Params, one_way, zeros_like_state


class SGD(Optimizer):
    """p -= lr * d, with d the gradient, optionally with momentum and weight decay.

    ``foreach`` and ``fused`` change nothing: there is one way to step.
    """

    kept_arrays = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        one_way(type(self).__name__, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for option in ("lr", "momentum", "weight_decay"):
            self._require(group, option, group[option] >= 0, "at least 0")
        self._require(
            group,
            "nesterov",
            not group["nesterov"] or (group["momentum"] > 0 and group["dampening"] == 0),
            "False unless momentum is positive and dampening 0",
        )

    def _update(
        self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        buffer = None
        first_step = "momentum_buffer" not in state
        if group["momentum"] != 0:
            if first_step:
                state["momentum_buffer"] = zeros_like_state(parameter)
            buffer = state["momentum_buffer"]._array
        parameter._device.ops["sgd_step"](
            parameter._array,
            gradient,
            buffer,
            lr=group["lr"],
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            first_step=first_step,
        )
