"""Adamax."""

from __future__ import annotations

from .number import Number
from .optimizer import Optimizer, Params, options


class Adamax(Optimizer):
    """p -= lr * m / u, with m the bias-corrected running mean of the gradient, and u the largest of
    the absolute gradients (plus ``eps``), of which each step keeps the part betas[1]: Adam with the
    infinity norm (Kingma & Ba 2014).

    ``weight_decay`` * p is added to the gradient; ``maximize`` goes up. Raises ValueError for
    options that are negative, and for betas outside 0..1.
    """

    step_name = "adamax_step"
    counts_steps = True
    kept_arrays = ("exp_avg", "exp_inf")
    beta_count = 2
    not_negative = ("lr", "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 2e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))
