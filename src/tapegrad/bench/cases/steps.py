"""Optimizer steps: parameters and their state are updated in place."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from .case import Case, of_primitive

_SIZES = {"tiny": [(1_003,)], "small": [(1 << 20,)], "large": [(1 << 26,)]}
# A large rate, so that also in 16 bits a parameter that was not moved is found out.
_LR, _MOMENTUM, _BETA1, _BETA2, _ADAM_EPS, _DECAY, _STEP = 0.1, 0.9, 0.9, 0.999, 1e-8, 0.01, 5
_SGD = {
    "lr": _LR,
    "momentum": _MOMENTUM,
    "dampening": 0.0,
    "weight_decay": _DECAY,
    "nesterov": False,
    "maximize": False,
}
_ADAM = {
    "lr": _LR,
    "beta1": _BETA1,
    "beta2": _BETA2,
    "eps": _ADAM_EPS,
    "weight_decay": _DECAY,
    "maximize": False,
}


def _sgd(t: Any, p: Any, g: Any, momentum: Any) -> tuple:
    """In PyTorch's vocabulary: in its fused step torch.compile has nothing to compile."""
    momentum = _MOMENTUM * momentum + g + _DECAY * p
    return p - _LR * momentum, momentum


def _torch_sgd(t: Any, p: Any, g: Any, momentum: Any) -> None:
    t.ops.aten._fused_sgd_([p], [g], [momentum], **_SGD, is_first_step=False)


def _adam(t: Any, p: Any, g: Any, m: Any, v: Any, decoupled: bool) -> tuple:
    if decoupled:
        p = p * (1 - _LR * _DECAY)
    else:
        g = g + _DECAY * p
    m = _BETA1 * m + (1 - _BETA1) * g
    v = _BETA2 * v + (1 - _BETA2) * g * g
    size = t.sqrt(v) / math.sqrt(1 - _BETA2**_STEP) + _ADAM_EPS
    return p - _LR / (1 - _BETA1**_STEP) * m / size, m, v


def _torch_adam(t: Any, p: Any, g: Any, m: Any, v: Any, decoupled: bool) -> None:
    step = t.ops.aten._fused_adamw_ if decoupled else t.ops.aten._fused_adam_
    step([p], [g], [m], [v], [], [_torch_step(t, p.device)], **_ADAM, amsgrad=False)


@cache
def _torch_step(t: Any, device: Any) -> Any:
    return t.tensor(float(_STEP), device=device)


def _write(targets: tuple, values: tuple) -> None:
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)


def _adam_case(name: str, decoupled: bool) -> Case:
    kind = {"decoupled_weight_decay": decoupled, "step": _STEP}
    return Case(
        name,
        "adam_step",
        _SIZES,
        lambda draw, n: (*(draw.normal(n) for _ in "pgm"), draw.positive(n)),
        lambda ops, *arrays: ops["adam_step"](*arrays, None, **_ADAM, **kind),
        lambda n: 16 * n,
        lambda t, p, g, m, v: _torch_adam(t, p, g, m, v, decoupled),
        compiled=lambda t, p, g, m, v: _write((p, m, v), _adam(t, p, g, m, v, decoupled)),
        changes=(0, 2, 3),
    )


CASES = [
    of_primitive(
        "sgd_step",
        _SIZES,
        lambda draw, n: tuple(draw.normal(n) for _ in "pgm"),
        6,
        _torch_sgd,
        parameters={**_SGD, "first_step": False},
        compiled=lambda t, p, g, momentum: _write((p, momentum), _sgd(t, p, g, momentum)),
        changes=(0, 2),
    ),
    _adam_case("adam_step", False),
    _adam_case("adamw_step", True),
]
