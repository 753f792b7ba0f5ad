"""Functions of rows: softmax, cross-entropy, normalisations."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.dtypes import accumulator

from .case import Case, Draw, TorchGradient

_ROWS = {"tiny": [(5, 67)], "small": [(1024, 1024)], "large": [(16384, 4096)]}
_WIDE = {**_ROWS, "large": [(16384, 4096), (1024, 65536)]}
_CLASSES = {"tiny": [(7, 67)], "small": [(128, 8192)], "large": [(4096, 50257)]}
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


def _softmax_case(name: str, flops: int) -> Case:
    return Case(
        name,
        name,
        _WIDE,
        lambda draw, rows, columns: (draw.normal(rows, columns),),
        lambda ops, x: ops[name](x, axis=1),
        lambda rows, columns: flops * rows * columns,
        lambda t, x: getattr(t, name)(x, 1),
        depth=_columns,
    )


def _softmax_backward_case(name: str, inputs: Any, flops: int) -> Case:
    return Case(
        f"{name}_backward",
        f"{name}_backward",
        _WIDE,
        inputs,
        lambda ops, g, y: ops[f"{name}_backward"](g, y, axis=1),
        lambda rows, columns: flops * rows * columns,
        lambda t, g, y: getattr(t.ops.aten, f"_{name}_backward_data")(g, y, 1, y.dtype),
        depth=_columns,
    )


# ---------------------------------------------------------------------- cross-entropy


def _logits(draw: Draw, rows: int, classes: int) -> tuple:
    return draw.normal(rows, classes), draw.integers(classes, rows)


def _my_cross_entropy(ops: Any, x: Any, targets: Any, gradient: bool) -> tuple:
    losses, dx = ops["cross_entropy"](
        x, targets, None, ignored=-100, smoothing=0.0, mean_=gradient, gradient=gradient
    )
    return dx, losses


# ---------------------------------------------------------------------- normalisations


def _moments(draw: Draw, x: Any, norm: str) -> tuple:
    """What the norm of rows keeps for its gradient, in the dtype that the kernels keep it in."""
    wide = x.astype(accumulator(draw.dtype))
    absent = (None,) * (2 if norm == "layer_norm" else 1)
    return draw.plain[norm](wide, *absent, eps=_EPS)[1:]


def _layer_norm_inputs(draw: Draw, rows: int, columns: int) -> tuple:
    return draw.normal(rows, columns), draw.normal(columns), draw.normal(columns)


def _layer_norm_backward_inputs(draw: Draw, rows: int, columns: int) -> tuple:
    x = draw.normal(rows, columns)
    return draw.normal(rows, columns), x, draw.normal(columns), *_moments(draw, x, "layer_norm")


def _torch_layer_norm_backward(t: Any, g: Any, x: Any, w: Any, mean: Any, rstd: Any) -> Any:
    moments = mean[:, None], rstd[:, None]
    return t.ops.aten.native_layer_norm_backward(g, x, w.shape, *moments, w, w, [True] * 3)


def _rms_norm_backward_inputs(draw: Draw, rows: int, columns: int) -> tuple:
    x = draw.normal(rows, columns)
    return draw.normal(rows, columns), x, draw.normal(columns), *_moments(draw, x, "rms_norm")


CASES = [
    _softmax_case("softmax", 5),
    _softmax_backward_case("softmax", _gradient_and_softmax, 4),
    _softmax_case("log_softmax", 5),
    _softmax_backward_case("log_softmax", _gradient_and_log, 4),
    Case(
        "cross_entropy",
        "cross_entropy",
        _CLASSES,
        _logits,
        lambda ops, x, targets: _my_cross_entropy(ops, x, targets, False),
        lambda rows, classes: 4 * rows * classes,
        lambda t, x, targets: t.nn.functional.cross_entropy(x, targets, reduction="none"),
        depth=_columns,
    ),
    Case(
        "cross_entropy_and_gradient",
        "cross_entropy",
        _CLASSES,
        _logits,
        lambda ops, x, targets: _my_cross_entropy(ops, x, targets, True),
        lambda rows, classes: 6 * rows * classes,
        TorchGradient(lambda t, x, targets: t.nn.functional.cross_entropy(x, targets), (0,)),
        depth=_columns,
    ),
    Case(
        "cross_entropy_backward",
        "cross_entropy_backward",
        _CLASSES,
        lambda draw, rows, classes: (draw.normal(rows), draw.normal(rows, classes)),
        lambda ops, g, dlogits: ops["cross_entropy_backward"](g, dlogits),
        lambda rows, classes: rows * classes,
        lambda t, g, dlogits: dlogits * g[:, None],
    ),
    Case(
        "layer_norm",
        "layer_norm",
        _ROWS,
        _layer_norm_inputs,
        lambda ops, x, w, b: ops["layer_norm"](x, w, b, eps=_EPS),
        lambda rows, columns: 8 * rows * columns,
        lambda t, x, w, b: t.nn.functional.layer_norm(x, w.shape, w, b, _EPS),
        depth=_columns,
    ),
    Case(
        "layer_norm_backward",
        "layer_norm_backward",
        _ROWS,
        _layer_norm_backward_inputs,
        lambda ops, *arrays: ops["layer_norm_backward"](*arrays, needs=(True,) * 3),
        lambda rows, columns: 14 * rows * columns,
        _torch_layer_norm_backward,
        depth=max,
    ),
    Case(
        "rms_norm",
        "rms_norm",
        _ROWS,
        lambda draw, rows, columns: (draw.normal(rows, columns), draw.normal(columns)),
        lambda ops, x, w: ops["rms_norm"](x, w, eps=_EPS),
        lambda rows, columns: 4 * rows * columns,
        lambda t, x, w: t.nn.functional.rms_norm(x, w.shape, w, _EPS),
        depth=_columns,
    ),
    Case(
        "rms_norm_backward",
        "rms_norm_backward",
        _ROWS,
        _rms_norm_backward_inputs,
        lambda ops, *arrays: ops["rms_norm_backward"](*arrays, needs=(True,) * 2),
        lambda rows, columns: 11 * rows * columns,
        # PyTorch's own backward function exists on GPUs only, so the way forward is in its time.
        TorchGradient(
            lambda t, x, w, rstd: t.nn.functional.rms_norm(x, w.shape, w, _EPS), (1, 2), along=0
        ),
        depth=max,
    ),
]
