"""Optimizer steps: parameters and their state are updated in place, of one tensor, or of many
together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from tapegrad.optim.steps.chunks import together

from .case import UP_TO_FLOAT32, Case, of_primitive

_SIZES = {"tiny": [(1_003,)], "small": [(1 << 20,)], "large": [(1 << 26,)]}
_TENSORS = 100
_MANY = {"tiny": [(_TENSORS, 37)], "small": [(_TENSORS, 10_007)], "large": [(_TENSORS, 1 << 20)]}

# A large rate, so that also in 16 bits a parameter that was not moved is found out.
_LR, _MOMENTUM, _BETA1, _BETA2, _EPS, _DECAY, _STEP = 0.1, 0.9, 0.9, 0.999, 1e-8, 0.01, 7
_SLOW, _ALPHA, _PART, _MU = 0.9999, 5.0, 0.1, 0.5
_C1, _C2 = 1 - _BETA1**_STEP, 1 - _BETA2**_STEP

_PLAIN: dict[str, Any] = {"lr": _LR, "weight_decay": _DECAY, "maximize": False}
_SGD = {**_PLAIN, "momentum": _MOMENTUM, "dampening": 0.0, "nesterov": False}
_BETAS = {**_PLAIN, "beta1": _BETA1, "beta2": _BETA2}
_ADAM = {**_BETAS, "eps": _EPS}
_COUPLED = {**_ADAM, "decoupled_weight_decay": False, "step": _STEP}
_DECOUPLED = {**_COUPLED, "decoupled_weight_decay": True}


# ---- the steps in PyTorch's vocabulary ----


def _toward(average: Any, x: Any, kept: float) -> Any:
    return kept * average + (1 - kept) * x


def _size(t: Any, v: Any) -> Any:
    return t.sqrt(v / _C2) + _EPS


def _sgd(t: Any, p: Any, g: Any, momentum: Any) -> tuple:
    momentum = _MOMENTUM * momentum + g + _DECAY * p
    return p - _LR * momentum, momentum


def _asgd(t: Any, p: Any, g: Any, average: Any) -> tuple:
    p = (1 - _DECAY * _LR) * p - _LR * (g + _DECAY * p)
    return p, _toward(average, p, 1 - _PART)


def _rprop(t: Any, p: Any, g: Any, before: Any, size: Any) -> tuple:
    turn = t.sign(g * before)
    g = t.where(turn < 0, 0 * g, g)
    size = t.where(turn < 0, 0.5 * size, t.where(turn > 0, 1.2 * size, size)).clamp(1e-6, 50)
    return p - t.sign(g) * size, g, size


def _lion(t: Any, p: Any, g: Any, m: Any) -> tuple:
    return (1 - _LR * _DECAY) * p - _LR * t.sign(_toward(m, g, _BETA1)), _toward(m, g, _BETA2)


def _rmsprop(t: Any, p: Any, g: Any, v: Any) -> tuple:
    g = g + _DECAY * p
    v = _toward(v, g * g, _BETA2)
    return p - _LR * g / (t.sqrt(v) + _EPS), v


def _adagrad(t: Any, p: Any, g: Any, total: Any) -> tuple:
    g = g + _DECAY * p
    total = total + g * g
    return p - _LR * g / (t.sqrt(total) + _EPS), total


def _adadelta(t: Any, p: Any, g: Any, v: Any, u: Any) -> tuple:
    g = g + _DECAY * p
    v = _toward(v, g * g, _BETA1)
    d = g * t.sqrt(u + _EPS) / t.sqrt(v + _EPS)
    return p - _LR * d, v, _toward(u, d * d, _BETA1)


def _adam(t: Any, p: Any, g: Any, m: Any, v: Any, decoupled: bool) -> tuple:
    if decoupled:
        p = p * (1 - _LR * _DECAY)
    else:
        g = g + _DECAY * p
    m, v = _toward(m, g, _BETA1), _toward(v, g * g, _BETA2)
    return p - _LR / _C1 * m / _size(t, v), m, v


def _adamax(t: Any, p: Any, g: Any, m: Any, u: Any) -> tuple:
    g = g + _DECAY * p
    m, u = _toward(m, g, _BETA1), t.maximum(_BETA2 * u, t.abs(g) + _EPS)
    return p - _LR / _C1 * m / u, m, u


def _nadam(t: Any, p: Any, g: Any, m: Any, v: Any) -> tuple:
    g = g + _DECAY * p
    m, v = _toward(m, g, _BETA1), _toward(v, g * g, _BETA2)
    of_g, of_m = _LR * (1 - _MU) / (1 - _PART), _LR * _MU / (1 - _PART * _MU)
    return p - (of_g * g + of_m * m) / _size(t, v), m, v


def _radam(t: Any, p: Any, g: Any, m: Any, v: Any) -> tuple:
    g = g + _DECAY * p
    m, v = _toward(m, g, _BETA1), _toward(v, g * g, _BETA2)
    longest = 2 / (1 - _BETA2) - 1
    length = longest - 2 * _STEP * _BETA2**_STEP / _C2
    grown = (length - 4) * (length - 2) * longest
    rectified = math.sqrt(grown / ((longest - 4) * (longest - 2) * length))
    return p - _LR / _C1 * rectified * math.sqrt(_C2) * m / (t.sqrt(v) + _EPS), m, v


def _ademamix(t: Any, p: Any, g: Any, m: Any, v: Any, slow: Any) -> tuple:
    m, v, slow = _toward(m, g, _BETA1), _toward(v, g * g, _BETA2), _toward(slow, g, _SLOW)
    moved = (1 - _LR * _DECAY) * p - _LR * (m / _C1 + _ALPHA * slow) / _size(t, v)
    return moved, m, v, slow


def _schedule_free(t: Any, y: Any, g: Any, z: Any, v: Any) -> tuple:
    v = _toward(v, g * g, _BETA2)
    d = g / _size(t, v) + _DECAY * y
    moved = _toward(y, z, 1 - _PART) - _LR * (1 - _BETA1 * (1 - _PART)) * d
    return moved, z - _LR * d, v


# ---- PyTorch's own, where it has one that is fused ----


def _fused_sgd(t: Any, p: list, g: list, momentum: list) -> None:
    t.ops.aten._fused_sgd_(p, g, momentum, **_SGD, is_first_step=False)


def _fused_adam(t: Any, p: list, g: list, m: list, v: list, decoupled: bool) -> None:
    step = t.ops.aten._fused_adamw_ if decoupled else t.ops.aten._fused_adam_
    step(p, g, m, v, [], [_torch_step(t, p[0].device)] * len(p), **_ADAM, amsgrad=False)


@cache
def _torch_step(t: Any, device: Any) -> Any:
    return t.tensor(float(_STEP), device=device)


# ---- cases ----


def _write(formula: Callable[..., tuple], t: Any, *tensors: Any) -> None:
    """Do in place what a formula says, in float32 where the tensors have 16 bits."""
    wide = [x.float() if x.element_size() == 2 else x for x in tensors]
    changed = (tensors[0], *tensors[2:])
    for target, value in zip(changed, formula(t, *wide), strict=True):
        target.copy_(value)


def _case(
    name: str,
    kinds: str,
    options: Mapping[str, Any],
    flops: int,
    formula: Callable[..., tuple],
    fused: Callable[..., None] | None = None,
    primitive: str = "",
    unused: int = 0,
    tensors: int = 1,
) -> Case:
    """A step. ``kinds``: a letter for each array, + for those that are positive; after them comes
    None for as many states as are ``unused``."""
    key, count = primitive or name, len(kinds)

    def mine(ops: Any, *arrays: Any) -> None:
        with together() as prepared:
            for i in range(0, len(arrays), count):
                ops[key](*arrays[i : i + count], *[None] * unused, **options)
        prepared.make()

    def torch(t: Any, *arrays: Any) -> None:
        if fused is not None:
            fused(t, *([*arrays[i::count]] for i in range(count)))
        else:
            _write(formula, t, *arrays)

    return Case(
        name,
        key,
        _SIZES if tensors == 1 else _MANY,
        lambda draw, *shape: tuple(
            draw.positive(shape[-1]) if kind == "+" else draw.normal(shape[-1])
            for kind in kinds * tensors
        ),
        mine,
        lambda *shape: flops * math.prod(shape),
        torch,
        compiled=partial(_write, formula) if fused and tensors == 1 else None,
        changes=tuple(i for i in range(count * tensors) if i % count != 1),
    )


def _adam_case(name: str, decoupled: bool, tensors: int = 1) -> Case:
    return _case(
        name,
        "pgm+",
        _DECOUPLED if decoupled else _COUPLED,
        16,
        partial(_adam, decoupled=decoupled),
        partial(_fused_adam, decoupled=decoupled),
        "adam_step",
        1,
        tensors,
    )


CASES = [
    of_primitive(
        "joint_norm",
        _MANY,
        lambda draw, count, n: tuple([draw.normal(n) for _ in range(count)]),
        2,
        lambda t, *grads: t.nn.utils.get_total_norm(grads),
        parameters={"order": 2.0},
        depth=lambda count, n: count * n,
        dtypes=UP_TO_FLOAT32,
    ),
    of_primitive(
        "scale_to_norm",
        _MANY,
        lambda draw, count, n: (
            draw.positive(dtype="float32"),
            *[draw.normal(n) for _ in range(count)],
        ),
        1,
        lambda t, norm, *grads: t._foreach_mul_(grads, 0.25 / (norm + 1e-6)),
        parameters={"most": 0.25},
        changes=tuple(range(1, _TENSORS + 1)),
        dtypes=UP_TO_FLOAT32,
    ),
    _case("sgd_step", "pgm", {**_SGD, "first_step": False}, 6, _sgd, _fused_sgd),
    _adam_case("adam_step", False),
    _adam_case("adamw_step", True),
    _adam_case("adamw_step_many", True, _TENSORS),
    _case(
        "asgd_step",
        "pga",
        {"lambd": _DECAY, "weight_decay": _DECAY, "maximize": False, "eta": _LR, "mu": _PART},
        8,
        _asgd,
    ),
    _case(
        "rprop_step",
        "pgb+",
        {"eta_minus": 0.5, "eta_plus": 1.2, "smallest": 1e-6, "largest": 50, "maximize": False},
        8,
        _rprop,
    ),
    # All terms are positive, lest rounding turns the sign of a sum that is nearly 0.
    _case("lion_step", "p++", _BETAS, 9, _lion),
    _case(
        "rmsprop_step",
        "pg+",
        {**_PLAIN, "alpha": _BETA2, "eps": _EPS, "momentum": 0.0},
        10,
        _rmsprop,
        unused=2,
    ),
    _case(
        "adagrad_step", "pg+", {**_PLAIN, "lr_decay": 0.0, "eps": _EPS, "step": _STEP}, 9, _adagrad
    ),
    _case("adadelta_step", "pg++", {**_PLAIN, "rho": _BETA1, "eps": _EPS}, 17, _adadelta),
    _case("adamax_step", "pgm+", {**_ADAM, "step": _STEP}, 12, _adamax),
    _case(
        "nadam_step",
        "pgm+",
        {**_COUPLED, "mu": _MU, "mu_next": _MU, "mu_product": _PART},
        16,
        _nadam,
    ),
    _case("radam_step", "pgm+", _COUPLED, 14, _radam),
    _case(
        "ademamix_step",
        "pgm+s",
        {**_ADAM, "beta3": _SLOW, "alpha": _ALPHA, "step": _STEP},
        19,
        _ademamix,
    ),
    _case(
        "schedule_free_step",
        "pgz+",
        {
            "rate": _LR,
            "beta1": _BETA1,
            "beta2": _BETA2,
            "eps": _EPS,
            "weight_decay": _DECAY,
            "maximize": False,
            "step": _STEP,
            "part": _PART,
        },
        18,
        _schedule_free,
    ),
]
