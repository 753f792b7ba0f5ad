"""Functions of rows: softmax, cross-entropy, normalisations."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.dtypes import accumulator
from tapegrad.core.memory import Array

from .case import Case, Draw, TorchGradient

_ROWS = {"tiny": [(5, 67)], "small": [(1024, 1024)], "large": [(16384, 4096)]}
_WIDE = {**_ROWS, "large": [(16384, 4096), (1024, 65536)]}
_CLASSES = {"tiny": [(7, 67)], "small": [(128, 8192)], "large": [(4096, 50257)]}
_EPS = 1e-5


def _columns(rows: int, columns: int) -> int:
    return columns


# ---------------------------------------------------------------------- softmax


def _softmax(xp: Any, x: Array) -> Any:
    e = xp.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _softmax_backward(xp: Any, g: Array, y: Array) -> Any:
    return y * (g - (g * y).sum(axis=1, keepdims=True))


def _log_softmax(xp: Any, x: Array) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


def _log_softmax_backward(xp: Any, g: Array, y: Array) -> Any:
    return g - xp.exp(y) * g.sum(axis=1, keepdims=True)


def _gradient_and_log(draw: Draw, rows: int, columns: int) -> tuple:
    # log(sum(exp)) of many normal numbers is about log(columns) + 1/2
    y = draw.normal(rows, columns, dtype=accumulator(draw.dtype)) - (math.log(columns) + 0.5)
    return draw.normal(rows, columns), y.astype(draw.dtype)


def _gradient_and_softmax(draw: Draw, rows: int, columns: int) -> tuple:
    x = draw.normal(rows, columns, dtype=accumulator(draw.dtype))
    return draw.normal(rows, columns), _softmax(draw.xp, x).astype(draw.dtype)


def _softmax_case(name: str, f: Any, flops: int) -> Case:
    return Case(
        name,
        name,
        _WIDE,
        lambda draw, rows, columns: (draw.normal(rows, columns),),
        lambda ops, x: ops[name](x, axis=1),
        f,
        lambda rows, columns: flops * rows * columns,
        lambda t, x: getattr(t, name)(x, 1),
        depth=_columns,
    )


def _softmax_backward_case(name: str, f: Any, inputs: Any, flops: int) -> Case:
    return Case(
        f"{name}_backward",
        f"{name}_backward",
        _WIDE,
        inputs,
        lambda ops, g, y: ops[f"{name}_backward"](g, y, axis=1),
        f,
        lambda rows, columns: flops * rows * columns,
        lambda t, g, y: getattr(t.ops.aten, f"_{name}_backward_data")(g, y, 1, y.dtype),
        depth=_columns,
    )


# ---------------------------------------------------------------------- cross-entropy


def _logits(draw: Draw, rows: int, classes: int) -> tuple:
    return draw.normal(rows, classes), draw.integers(classes, rows)


def _losses(xp: Any, x: Array, targets: Array) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    picked = shifted[xp.arange(len(x)), targets]
    return xp.log(xp.exp(shifted).sum(axis=1)) - picked


def _mean_gradient(xp: Any, x: Array, targets: Array) -> tuple:
    """The gradient of the mean loss, and each row's part of the mean."""
    p = _softmax(xp, x)
    losses = -xp.log(p[xp.arange(len(x)), targets]) / len(x)
    p[xp.arange(len(x)), targets] -= 1
    p /= len(x)
    return p, losses


def _my_cross_entropy(ops: Any, x: Any, targets: Any, gradient: bool) -> tuple:
    losses, dx = ops["cross_entropy"](
        x, targets, None, ignored=-100, smoothing=0.0, mean_=gradient, gradient=gradient
    )
    return dx, losses


# ---------------------------------------------------------------------- normalisations


def _moments(draw: Draw, x: Any, centred: bool) -> tuple:
    """Mean and 1 / standard deviation of rows, in the dtype that the kernels keep them in."""
    wide = x.astype(accumulator(draw.dtype))
    mean = wide.mean(axis=1) if centred else 0 * wide[:, 0]
    variance = ((wide - mean[:, None]) ** 2).mean(axis=1)
    return mean, 1 / draw.xp.sqrt(variance + _EPS)


def _layer_norm_inputs(draw: Draw, rows: int, columns: int) -> tuple:
    return draw.normal(rows, columns), draw.normal(columns), draw.normal(columns)


def _layer_norm(xp: Any, x: Array, w: Any, b: Array) -> tuple:
    mean = x.mean(axis=1, keepdims=True)
    rstd = 1 / xp.sqrt(((x - mean) ** 2).mean(axis=1, keepdims=True) + _EPS)
    return (x - mean) * rstd * w + b, mean[:, 0], rstd[:, 0]


def _layer_norm_backward_inputs(draw: Draw, rows: int, columns: int) -> tuple:
    x = draw.normal(rows, columns)
    mean, rstd = _moments(draw, x, True)
    return draw.normal(rows, columns), x, draw.normal(columns), mean, rstd


def _layer_norm_backward(xp: Any, g: Array, x: Array, w: Any, mean: Array, rstd: Array) -> tuple:
    h = (x - mean[:, None]) * rstd[:, None]
    u = g * w
    inner = u - u.mean(axis=1, keepdims=True) - h * (u * h).mean(axis=1, keepdims=True)
    return inner * rstd[:, None], (g * h).sum(axis=0), g.sum(axis=0)


def _torch_layer_norm_backward(t: Any, g: Any, x: Any, w: Any, mean: Any, rstd: Any) -> Any:
    moments = mean[:, None], rstd[:, None]
    return t.ops.aten.native_layer_norm_backward(g, x, w.shape, *moments, w, w, [True] * 3)


def _rms_norm(xp: Any, x: Array, w: Any) -> tuple:
    rstd = 1 / xp.sqrt((x * x).mean(axis=1, keepdims=True) + _EPS)
    return x * rstd * w, rstd[:, 0]


def _rms_norm_backward_inputs(draw: Draw, rows: int, columns: int) -> tuple:
    x = draw.normal(rows, columns)
    return draw.normal(rows, columns), x, draw.normal(columns), _moments(draw, x, False)[1]


def _rms_norm_backward(xp: Any, g: Array, x: Array, w: Any, rstd: Array) -> tuple:
    h = x * rstd[:, None]
    u = g * w
    dx = (u - h * (u * h).mean(axis=1, keepdims=True)) * rstd[:, None]
    return dx, (g * h).sum(axis=0)


CASES = [
    _softmax_case("softmax", _softmax, 5),
    _softmax_backward_case("softmax", _softmax_backward, _gradient_and_softmax, 4),
    _softmax_case("log_softmax", _log_softmax, 5),
    _softmax_backward_case("log_softmax", _log_softmax_backward, _gradient_and_log, 4),
    Case(
        "cross_entropy",
        "cross_entropy",
        _CLASSES,
        _logits,
        lambda ops, x, targets: _my_cross_entropy(ops, x, targets, False),
        _losses,
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
        _mean_gradient,
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
        lambda xp, g, dlogits: dlogits * g[:, None],
        lambda rows, classes: rows * classes,
        lambda t, g, dlogits: dlogits * g[:, None],
    ),
    Case(
        "layer_norm",
        "layer_norm",
        _ROWS,
        _layer_norm_inputs,
        lambda ops, x, w, b: ops["layer_norm"](x, w, b, eps=_EPS),
        _layer_norm,
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
        _layer_norm_backward,
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
        _rms_norm,
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
        _rms_norm_backward,
        lambda rows, columns: 11 * rows * columns,
        # PyTorch's own backward function exists on GPUs only, so the way forward is in its time.
        TorchGradient(
            lambda t, x, w, rstd: t.nn.functional.rms_norm(x, w.shape, w, _EPS), (1, 2), along=0
        ),
        depth=max,
    ),
]
