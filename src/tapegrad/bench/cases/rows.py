"""Functions of rows: softmax, cross-entropy, normalisations."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from tapegrad.core.dtypes import accumulator

from .case import Case, Draw, TorchGradient, of_primitive

_ROWS = {"tiny": [(5, 67)], "small": [(1024, 1024)], "large": [(65536, 768), (16384, 4096)]}
_WIDE = {**_ROWS, "large": [*_ROWS["large"], (1024, 65536)]}
_CLASSES = {"tiny": [(7, 67)], "small": [(128, 8192)], "large": [(4096, 50257), (4096, 50304)]}
_EPS = 1e-5


def _columns(rows: int, columns: int) -> int:
    return columns


# ---------------------------------------------------------------------- softmax


def _gradient_and_log(draw: Draw, rows: int, columns: int) -> tuple:
    # log(sum(exp)) of many normal numbers is about log(columns) + 1/2
    y = draw.normal(rows, columns, dtype=accumulator(draw.dtype)) - (math.log(columns) + 0.5)
    return draw.normal(rows, columns), y.astype(draw.dtype)


def _gradient_and_softmax(draw: Draw, rows: int, columns: int) -> tuple:
    x = draw.normal(rows, columns, dtype=accumulator(draw.dtype))
    return draw.normal(rows, columns), draw.plain["softmax"](x, axis=1).astype(draw.dtype)


def _softmax_cases(name: str, inputs_of_gradient: Callable[..., tuple]) -> list[Case]:
    back, aten = f"{name}_backward", f"_{name}_backward_data"
    axis = {"axis": 1}
    return [
        of_primitive(
            name,
            _WIDE,
            lambda draw, rows, columns: (draw.normal(rows, columns),),
            5,
            lambda t, x: getattr(t, name)(x, 1),
            parameters=axis,
            depth=_columns,
        ),
        of_primitive(
            back,
            _WIDE,
            inputs_of_gradient,
            4,
            lambda t, g, y: getattr(t.ops.aten, aten)(g, y, 1, y.dtype),
            parameters=axis,
            depth=_columns,
        ),
    ]


# ---------------------------------------------------------------------- cross-entropy


def _logits(draw: Draw, rows: int, classes: int) -> tuple:
    return draw.normal(rows, classes), draw.integers(classes, rows)


def _cross_entropy_case(name: str, gradient: bool, flops: int, torch: Callable[..., Any]) -> Case:
    def mine(ops: Any, x: Any, targets: Any) -> tuple:
        losses, dx = ops["cross_entropy"](
            x, targets, None, ignored=-100, smoothing=0.0, mean_=gradient, gradient=gradient
        )
        return dx, losses

    return Case(
        name,
        "cross_entropy",
        _CLASSES,
        _logits,
        mine,
        lambda rows, classes: flops * rows * classes,
        torch,
        depth=_columns,
    )


# ---------------------------------------------------------------------- normalisations


def _norm_backward_inputs(norm: str, draw: Draw, rows: int, columns: int) -> tuple:
    """The gradient, the input, the weight, and what the norm keeps for its gradient, in the dtype
    that the kernels keep it in."""
    x = draw.normal(rows, columns)
    absent = (None,) * (2 if norm == "layer_norm" else 1)
    kept = draw.plain[norm](x.astype(accumulator(draw.dtype)), *absent, eps=_EPS)[1:]
    return draw.normal(rows, columns), x, draw.normal(columns), *kept


def _torch_layer_norm_backward(t: Any, g: Any, x: Any, w: Any, mean: Any, rstd: Any) -> Any:
    moments = mean[:, None], rstd[:, None]
    return t.ops.aten.native_layer_norm_backward(g, x, w.shape, *moments, w, w, [True] * 3)


CASES = [
    *_softmax_cases("softmax", _gradient_and_softmax),
    *_softmax_cases("log_softmax", _gradient_and_log),
    _cross_entropy_case(
        "cross_entropy",
        False,
        4,
        lambda t, x, targets: t.nn.functional.cross_entropy(x, targets, reduction="none"),
    ),
    _cross_entropy_case(
        "cross_entropy_and_gradient",
        True,
        6,
        TorchGradient(lambda t, x, targets: t.nn.functional.cross_entropy(x, targets), (0,)),
    ),
    of_primitive(
        "cross_entropy_backward",
        _CLASSES,
        lambda draw, rows, classes: (draw.normal(rows), draw.normal(rows, classes)),
        1,
        lambda t, g, dlogits: dlogits * g[:, None],
    ),
    of_primitive(
        "layer_norm",
        _ROWS,
        lambda draw, rows, n: (draw.normal(rows, n), draw.normal(n), draw.normal(n)),
        8,
        lambda t, x, w, b: t.nn.functional.layer_norm(x, w.shape, w, b, _EPS),
        parameters={"eps": _EPS},
        depth=_columns,
    ),
    of_primitive(
        "layer_norm_backward",
        _ROWS,
        partial(_norm_backward_inputs, "layer_norm"),
        14,
        _torch_layer_norm_backward,
        parameters={"needs": (True,) * 3},
        depth=max,
    ),
    of_primitive(
        "rms_norm",
        _ROWS,
        lambda draw, rows, columns: (draw.normal(rows, columns), draw.normal(columns)),
        4,
        lambda t, x, w: t.nn.functional.rms_norm(x, w.shape, w, _EPS),
        parameters={"eps": _EPS},
        depth=_columns,
    ),
    of_primitive(
        "rms_norm_backward",
        _ROWS,
        partial(_norm_backward_inputs, "rms_norm"),
        11,
        # PyTorch's own backward function exists on GPUs only, so the way forward is in its time.
        TorchGradient(
            lambda t, x, w, rstd: t.nn.functional.rms_norm(x, w.shape, w, _EPS), (1, 2), along=0
        ),
        parameters={"needs": (True,) * 2},
        depth=max,
    ),
]
