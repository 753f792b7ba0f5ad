"""Muon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .number import Number, is_number
from .optimizer import Optimizer, Params, options

_ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(Optimizer):
    """p -= rate * O, for matrices: O is the gradient's running mean, of which each step keeps the
    part ``momentum``, with all its singular values brought near 1 (Jordan et al. 2024, "Muon: An
    optimizer for hidden layers in neural networks").

    ``nesterov`` looks one step ahead. ``ns_steps`` steps of Newton and Schulz's iteration, with the
    coefficients ``ns_coefficients``, make O, in bfloat16's numbers; ``eps`` is the least norm that
    they start from. rate is lr * sqrt(max(1, rows / columns)), or, with
    ``adjust_lr_fn="match_rms_adamw"``, lr * 0.2 * sqrt(max(rows, columns)), which makes steps as
    large as AdamW's (Liu et al. 2025). ``weight_decay`` shrinks the parameters directly:
    p -= lr * weight_decay * p. A step makes temporaries of the parameter's size. Raises ValueError
    for parameters that are no matrices, options that are negative, and 100 ns_steps or more.
    """

    step_name = "muon_step"
    kept_arrays = ("momentum_buffer",)
    not_negative = ("lr", "weight_decay", "momentum", "eps")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        three, steps = group["ns_coefficients"], group["ns_steps"]
        valid = isinstance(three, Sequence) and len(three) == 3 and all(map(is_number, three))
        self._require(group, "ns_coefficients", valid, "three numbers")
        valid = is_number(steps) and 0 <= steps < 100 and steps % 1 == 0
        self._require(group, "ns_steps", valid, "a number of steps below 100")
        valid = group["adjust_lr_fn"] in _ADJUSTMENTS
        self._require(group, "adjust_lr_fn", valid, f"one of {_ADJUSTMENTS}")
        for p in group["params"]:
            if p.ndim != 2:
                raise ValueError(
                    f"Muon: parameters must be matrices, not of shape {tuple(p.shape)}: optimize "
                    "the others with AdamW"
                )
