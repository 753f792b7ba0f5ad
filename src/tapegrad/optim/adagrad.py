"""Adagrad."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor

from .number import Number, plain
from .optimizer import Optimizer, Params, full_state, options


class Adagrad(Optimizer):
    """p -= lr * g / (sqrt(s) + eps), with s the sum of all squared gradients, from
    ``initial_accumulator_value`` on (Duchi, Hazan, Singer 2011).

    ``lr_decay`` divides lr by 1 + lr_decay * (steps before this one); ``weight_decay`` * p is added
    to the gradient; ``maximize`` goes up. Raises ValueError for options that are negative.
    """

    step_name = "adagrad_step"
    counts_steps = True
    kept_arrays = ("sum",)
    not_negative = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p].update(step=0, sum=self._fresh("sum", p, group))

    def _fresh(self, key: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        first = plain(group["initial_accumulator_value"])
        return full_state(p, p.shape, first, self._dtype(p, group))
