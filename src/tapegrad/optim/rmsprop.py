"""RMSprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .number import Number
from .optimizer import Optimizer, Params, options


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(v) + eps), with v the running mean of the squared gradient, of which each
    step keeps the part ``alpha`` (Tieleman & Hinton 2012).

    ``centered`` takes the variance instead of the mean square (Graves 2013). With ``momentum`` the
    steps are summed up, each time momentum * sum + g / (sqrt(v) + eps). ``weight_decay`` * p is
    added to the gradient; ``maximize`` goes up. Raises ValueError for options that are negative.
    """

    step_name = "rmsprop_step"
    counts_steps = True
    kept_arrays = ("square_avg", "momentum_buffer", "grad_avg")
    not_negative = ("lr", "alpha", "eps", "weight_decay", "momentum")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def _used(self, group: dict[str, Any]) -> Sequence[str]:
        wanted = (True, group["momentum"] > 0, group["centered"])
        return [key for key, want in zip(self.kept_arrays, wanted, strict=True) if want]
