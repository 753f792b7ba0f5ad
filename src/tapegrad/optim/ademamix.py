"""AdEMAMix."""

from __future__ import annotations

from math import exp, log
from typing import Any

from .number import Number, is_number, plain
from .optimizer import Optimizer, Params, options


class AdEMAMix(Optimizer):
    """AdamW with two running means of the gradient: p -= lr * ((m + alpha * s) / (sqrt(v) + eps) +
    weight_decay * p), where m and v are Adam's, bias-corrected, and s is a slow mean, of which each
    step keeps the part betas[2]: old gradients still tell something (Pagliardini, Ablin, Grangier
    2024, "The AdEMAMix Optimizer: Better, Faster, Older").

    While alpha and betas[2] are as they will be, training may be unstable at first:
    ``alpha_warmup`` and ``beta3_warmup`` are the numbers of steps in which alpha grows from 0, and
    the time that s remembers from m's to its own; None: from the first step on. ``maximize`` goes
    up. Raises ValueError for options that are negative, and for betas outside 0..1. PyTorch has no
    such optimizer.
    """

    step_name = "ademamix_step"
    counts_steps = True
    kept_arrays = ("exp_avg_fast", "exp_avg_sq", "exp_avg_slow")
    beta_count = 3
    not_negative = ("lr", "eps", "weight_decay", "alpha")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number, Number] = (0.9, 0.999, 0.9999),
        alpha: float = 5.0,
        beta3_warmup: int | None = None,
        alpha_warmup: int | None = None,
        eps: float = 1e-8,
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

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        for option in ("beta3_warmup", "alpha_warmup"):
            steps = group[option]
            valid = steps is None or (is_number(steps) and bool(steps >= 0))
            self._require(group, option, valid, "None or a number of steps")

    def _count(self, state: dict[str, Any], group: dict[str, Any]) -> tuple[dict, dict]:
        step, alpha, (first, _, last) = state.get("step", 0) + 1, group["alpha"], group["betas"]
        if group["alpha_warmup"]:
            alpha = alpha * min(1.0, step / plain(group["alpha_warmup"]))
        if group["beta3_warmup"]:
            last = _between(plain(first), plain(last), step / plain(group["beta3_warmup"]))
        return {"step": step, "alpha": alpha, "beta3": last}, {"step": step}


def _between(first: float, last: float, part: float) -> float:
    """The beta on the way from the first to the last at which the steps until half is forgotten
    grow evenly: a paper's equation of logarithms."""
    if part >= 1 or first == 0:
        return last
    a, b = log(first), log(last)
    return min(last, exp(a * b / ((1 - part) * b + part * a)))
