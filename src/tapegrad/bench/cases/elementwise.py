"""Functions of elements: arithmetic, choices and bounds, further activations, changes of dtype."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .case import Case, Draw

_SIZES = {"tiny": [(1_003,)], "small": [(1 << 20,)], "large": [(1 << 26,)]}
_MATRICES = {"tiny": [(65, 67)], "small": [(1024, 1024)], "large": [(8192, 8192)]}

# How an input is drawn, by a letter: normal, positive, or as conditions.
_DRAWS: dict[str, Callable[..., Any]] = {
    "n": lambda draw, *shape: draw.normal(*shape),
    "p": lambda draw, *shape: draw.positive(*shape),
    "c": lambda draw, *shape: draw.normal(*shape) > 0,
}


def _inputs(letters: str, draw: Draw, *shape: int) -> tuple:
    return tuple(_DRAWS[letter](draw, *shape) for letter in letters)


def _case(
    name: str,
    letters: str,
    flops: int,
    torch: Callable[..., Any] | None = None,
    parameters: Mapping[str, float] | None = None,
    mine: Callable[..., Any] | None = None,
    **more: Any,
) -> Case:
    """The case ``name`` of inputs drawn as ``letters`` say; by default the operation of that name,
    here and in PyTorch."""
    return Case(
        name,
        name,
        _SIZES,
        partial(_inputs, letters),
        mine or (lambda ops, *arrays: ops[name](*arrays, **parameters or {})),
        lambda *shape: flops * math.prod(shape),
        torch or (lambda t, *tensors: getattr(t, name)(*tensors)),
        **more,
    )


def _target(x: Any) -> Any:
    return np.dtype("float64" if x.dtype == np.float32 else "float32")


CASES = [
    *(_case(name, "nn", 1) for name in ("add", "subtract", "multiply", "maximum", "minimum")),
    _case("divide", "np", 1),
    _case("divide_or_zero", "np", 1, lambda t, g, amount: g / amount),
    *(_case(name, "n", 1) for name in ("negative", "absolute", "square", "exp")),
    *(_case(name, "p", 1) for name in ("sqrt", "reciprocal")),
    _case("rsqrt", "p", 2),
    _case("power", "n", 2, lambda t, x: t.pow(x, 3), mine=lambda ops, x: ops["power"](x, 3)),
    _case(
        "add_scaled",
        "nn",
        2,
        lambda t, x, other: x.add_(other, alpha=0.5),
        mine=lambda ops, x, other: ops["add_scaled"](x, other, 0.5, out=x),
        changes=(0,),
    ),
    _case("accumulate", "nn", 1, lambda t, x, other: x.add_(other), changes=(0,)),
    _case("write", "nn", 0, lambda t, y, x: y.copy_(x), changes=(0,)),
    _case("where", "cnn", 1),
    _case("clamp", "nnp", 2),
    _case("clip", "n", 2, lambda t, x: t.clamp(x, -0.3, 0.7), {"low": -0.3, "high": 0.7}),
    _case(
        "threshold",
        "n",
        1,
        lambda t, x: t.nn.functional.threshold(x, 0.5, 7.0),
        {"limit": 0.5, "value": 7.0},
    ),
    _case("hardshrink", "n", 2, lambda t, x: t.nn.functional.hardshrink(x, 0.5), {"limit": 0.5}),
    _case("softshrink", "n", 3, lambda t, x: t.nn.functional.softshrink(x, 0.5), {"limit": 0.5}),
    *(
        _case(name, "n", flops, lambda t, x, name=name: getattr(t.nn.functional, name)(x))
        for name, flops in (("hardsigmoid", 4), ("hardswish", 5), ("logsigmoid", 4), ("mish", 5))
    ),
    _case("mish_backward", "nn", 10, lambda t, g, x: t.ops.aten.mish_backward(g, x)),
    _case(
        "copy", "n", 0, lambda t, x: x.clone(), dtypes=("float32", "float64", "float16", "bfloat16")
    ),
    _case(
        "cast",
        "n",
        0,
        lambda t, x: x.to(t.float64 if x.dtype == t.float32 else t.float32),
        mine=lambda ops, x: ops["cast"](x, dtype=_target(x)),
        dtypes=("float32", "float16", "bfloat16"),  # to a wider one: in float64 that is exact
    ),
    Case(
        "contiguous",
        "contiguous",
        _MATRICES,
        partial(_inputs, "n"),
        lambda ops, x: ops["contiguous"](x.T),
        lambda *shape: 0,
        lambda t, x: x.T.contiguous(),
    ),
    Case(
        "concatenate",
        "concatenate",
        _MATRICES,
        partial(_inputs, "nn"),
        lambda ops, a, b: ops["concatenate"](a, b, axis=1, sizes=(a.shape[1], b.shape[1])),
        lambda *shape: 0,
        lambda t, a, b: t.cat([a, b], 1),
    ),
    Case(
        "stack",
        "stack",
        _MATRICES,
        partial(_inputs, "nn"),
        lambda ops, a, b: ops["stack"](a, b, axis=1),
        lambda *shape: 0,
        lambda t, a, b: t.stack([a, b], 1),
    ),
    Case(
        "arange",
        "arange",
        _SIZES,
        partial(_inputs, "n"),
        lambda ops, x: ops["arange"](x.size, dtype=np.dtype("int64")),
        lambda *shape: 0,
        lambda t, x: t.arange(x.numel(), device=x.device),
        bytes=lambda _, n: 8 * n,
        dtypes=("float32",),
    ),
]
