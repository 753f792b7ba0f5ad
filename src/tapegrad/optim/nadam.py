"""NAdam."""

from __future__ import annotations

from typing import Any

from .number import Number
from .optimizer import Optimizer, Params, options


class NAdam(Optimizer):
    """Adam with Nesterov's momentum: the step goes along the gradient and its running mean, as it
    will be weighed in the next step (Dozat 2016).

    Of the mean, step t keeps mu = betas[0] * (1 - 0.96 ** (t * ``momentum_decay``) / 2).
    ``weight_decay`` * p is added to the gradient, or, with ``decoupled_weight_decay``, shrinks the
    parameters directly: p -= lr * weight_decay * p. ``maximize`` goes up. Raises ValueError for
    options that are negative, and for betas outside 0..1.
    """

    step_name = "nadam_step"
    counts_steps = True
    kept_arrays = ("exp_avg", "exp_avg_sq")
    kept_numbers = ("mu_product",)
    beta_count = 2
    not_negative = ("lr", "eps", "weight_decay", "momentum_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 2e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def _count(self, state: dict[str, Any], group: dict[str, Any]) -> tuple[dict, dict]:
        step, beta1 = state.get("step", 0) + 1, group["betas"][0]
        mu, mu_next = (
            beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1)
        )
        numbers = {"step": step, "mu_product": state.get("mu_product", 1.0) * mu}
        return {**numbers, "mu": mu, "mu_next": mu_next}, numbers
