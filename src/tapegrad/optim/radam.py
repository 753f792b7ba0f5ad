"""RAdam."""

from __future__ import annotations

from .number import Number
from .optimizer import Optimizer, Params, options


class RAdam(Optimizer):
    """Adam whose steps are not divided by sqrt(v) while v, the running mean of the squared
    gradient, is of too few steps, and rectified by what is known of its variance after that (Liu et
    al. 2019).

    ``weight_decay`` * p is added to the gradient, or, with ``decoupled_weight_decay``, shrinks the
    parameters directly: p -= lr * weight_decay * p. ``maximize`` goes up. Raises ValueError for
    options that are negative, and for betas outside 0..1.
    """

    step_name = "radam_step"
    counts_steps = True
    kept_arrays = ("exp_avg", "exp_avg_sq")
    beta_count = 2
    not_negative = ("lr", "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))
