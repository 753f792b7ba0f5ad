"""LAMB."""

from __future__ import annotations

from .number import Number
from .optimizer import Optimizer, Params, options


class LAMB(Optimizer):
    """p -= lr * r * |p| / |r|, where r is AdamW's direction, weight decay included, and |x| the
    root of the sum of squares: all parameters move by the same part of their size, however large
    the batch (You et al. 2019, "Large Batch Optimization for Deep Learning: Training BERT in 76
    minutes"). Where p or r is 0, p -= lr * r.

    ``betas``, ``eps`` and ``weight_decay`` as AdamW's; ``maximize`` goes up. Raises ValueError for
    options that are negative, and for betas outside 0..1. PyTorch has no such optimizer.
    """

    step_name = "lamb_step"
    counts_steps = True
    kept_arrays = ("exp_avg", "exp_avg_sq")
    beta_count = 2
    not_negative = ("lr", "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))
