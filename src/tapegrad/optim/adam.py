"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Tensor

from .number import Number
from .optimizer import Optimizer, Params, options


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), with m and v the bias-corrected running means of the gradient
    and of its square: steps of about lr, whatever the gradient's scale (Kingma & Ba 2014).

    ``betas`` are the parts of m and v that each step keeps. ``weight_decay`` * p is added to the
    gradient; ``decoupled_weight_decay`` makes it AdamW. ``amsgrad`` never lets v shrink (Reddi et
    al. 2018). ``maximize`` goes up instead. Raises ValueError for options that are negative, and
    for betas outside 0..1.
    """

    step_name = "adam_step"
    counts_steps = True
    kept_arrays = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    beta_count = 2
    not_negative = ("lr", "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        tensors = [isinstance(beta, Tensor) for beta in group["betas"]]
        self._require(group, "betas", len(set(tensors)) == 1, "two floats or two tensors")
        if group.get("foreach") and not group.get("capturable"):
            for option, tensor in (("lr", isinstance(group["lr"], Tensor)), ("betas", tensors[0])):
                rule = "no tensor with foreach=True, which needs capturable=True too"
                self._require(group, option, not tensor, rule)

    def _used(self, group: dict[str, Any]) -> Sequence[str]:
        return self.kept_arrays if group["amsgrad"] else self.kept_arrays[:2]


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters directly: p -= lr * weight_decay * p, besides
    Adam's step (Loshchilov & Hutter 2017)."""

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        Optimizer.__init__(self, params, options(locals()) | {"decoupled_weight_decay": True})
