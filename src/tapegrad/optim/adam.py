"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor

from .optimizer import Optimizer, Params, one_way, zeros_like_state


class Adam(Optimizer):
    """Steps of about lr per parameter, whatever the scale of its gradient (arXiv:1412.6980).

    ``weight_decay`` is added to the gradient; see AdamW. ``amsgrad`` never lets the denominator
    shrink. ``foreach``, ``capturable`` and ``fused`` change nothing: there is one way to step.
    """

    decoupled_weight_decay = False
    kept_arrays = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        one_way(type(self).__name__, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for option in ("lr", "eps", "weight_decay"):
            self._require(group, option, group[option] >= 0, "at least 0")
        betas = group["betas"]
        self._require(
            group,
            "betas",
            len(betas) == 2 and all(0 <= beta < 1 for beta in betas),
            "two numbers, at least 0 and below 1",
        )

    def _update(
        self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = 0
            state["exp_avg"] = zeros_like_state(parameter)
            state["exp_avg_sq"] = zeros_like_state(parameter)
        if group["amsgrad"] and "max_exp_avg_sq" not in state:
            state["max_exp_avg_sq"] = zeros_like_state(parameter)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        parameter._device.ops["adam_step"](
            parameter._array,
            gradient,
            state["exp_avg"]._array,
            state["exp_avg_sq"]._array,
            state["max_exp_avg_sq"]._array if group["amsgrad"] else None,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled_weight_decay=self.decoupled_weight_decay,
            maximize=group["maximize"],
            step=state["step"],
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters directly (arXiv:1711.05101)."""

    decoupled_weight_decay = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            differentiable=differentiable,
        )
