"""Lion."""

from __future__ import annotations

from .number import Number
from .optimizer import Optimizer, Params, options


class Lion(Optimizer):
    """p -= lr * (sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * p), where m is the
    running mean of the gradient, of which each step keeps the part betas[1] (Chen et al. 2023,
    "Symbolic Discovery of Optimization Algorithms"). All elements move by lr: take a third to a
    tenth of AdamW's, and so much more weight decay. It keeps one array for each parameter.

    ``maximize`` goes up. Raises ValueError for options that are negative, and for betas outside
    0..1. PyTorch has no such optimizer.
    """

    step_name = "lion_step"
    kept_arrays = ("exp_avg",)
    beta_count = 2
    not_negative = ("lr", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-4,
        betas: tuple[Number, Number] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))
