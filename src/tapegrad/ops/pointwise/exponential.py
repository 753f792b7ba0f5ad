"""Exponentials and logarithms beyond those of ``elementwise``."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, primitive, unary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import as_floating
from tapegrad.ops.common.operands import of_pairs, of_tensors
from tapegrad.ops.common.precision import in_float32, to_float32

_LOG_2 = math.log(2)

exp2 = unary("exp2", to_float32(lambda xp, g, y: g * (y * _LOG_2)), doc="2 ** input")
log2 = unary("log2", to_float32(lambda xp, g, x: g / (x * _LOG_2)), doc="The logarithm to base 2")
log10 = unary(
    "log10", to_float32(lambda xp, g, x: g / (x * math.log(10))), doc="The logarithm to base 10"
)


def _share(xp: Any, g: Array, a: Array, b: Array, unit: float) -> Any:
    """sigmoid(unit (a - b)); of two infinities a half, and of two -inf 0, whatever arrives."""
    least = (a == b) & (a == -math.inf)
    difference = xp.where(least | (a == b) & (a == math.inf), 0.0, a - b)
    return xp.where(least, 0.0, g) * xp.sigmoid(difference * unit)


logaddexp = of_tensors(
    binary(
        "logaddexp",
        to_float32(lambda xp, g, a, b: _share(xp, g, a, b, 1.0)),
        to_float32(lambda xp, g, a, b: _share(xp, g, b, a, 1.0)),
        doc="log(exp(input) + exp(other)), without overflow",
    ),
    floats=True,
)
logaddexp2 = of_tensors(
    binary(
        "logaddexp2",
        to_float32(lambda xp, g, a, b: _share(xp, g, a, b, _LOG_2)),
        to_float32(lambda xp, g, a, b: _share(xp, g, b, a, _LOG_2)),
        doc="log2(2 ** input + 2 ** other), without overflow",
    ),
    floats=True,
)


def _zero_times(xp: Any, x: Array, y: Array, log: Any) -> Any:
    """x log, where 0 log is 0 unless y is nan."""
    return xp.where((x == 0) & (y == y), x * 0, x * log)


xlogy = of_pairs(
    binary(
        "xlogy",
        to_float32(lambda xp, g, a, b: xp.where((a == 0) & (b <= 0), 0.0, g * xp.log(b))),
        to_float32(lambda xp, g, a, b: g * (a / b)),
        in_float32(lambda xp, x, y: _zero_times(xp, x, y, xp.log(y))),
        floating=True,
        doc="input * log(other); 0 where input is 0, unless other is nan",
    )
)
xlog1py = of_pairs(
    binary(
        "xlog1py",
        to_float32(lambda xp, g, a, b: xp.where((a == 0) & (b <= -1), 0.0, g * xp.log1p(b))),
        to_float32(lambda xp, g, a, b: g * (a / (b + 1))),
        in_float32(lambda xp, x, y: _zero_times(xp, x, y, xp.log1p(y))),
        floating=True,
        doc="input * log(1 + other); 0 where input is 0, unless other is nan",
    )
)


@in_float32
def _entr(xp: Any, x: Array) -> Any:
    """-input * log(input); 0 at 0 and -inf below."""
    inside = -x * xp.log(xp.where(x > 0, x, 1.0))
    return xp.where(x > 0, inside, xp.where(x == 0, 0.0, xp.where(x < 0, -math.inf, x)))


entr = unary("entr", to_float32(lambda xp, g, x: g * (-1 - xp.log(x))), _entr)


@to_float32
def _logit_rule(xp: Any, g: Array, x: Array, eps: float | None) -> Any:
    low, outside = (0.0, math.nan) if eps is None else (eps, 0.0)
    return xp.where((x >= low) & (x <= 1 - low), g / x + g / (1 - x), outside)


@primitive("logit", vjp=(_logit_rule,))
@in_float32
def _logit(xp: Any, x: Array, *, eps: float | None) -> Array:
    x = x if eps is None else xp.library.clip(x, eps, 1 - eps)
    return xp.log(x / (1 - x))


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), element by element; integers become the default float dtype. With ``eps`` x
    is first clamped, to eps below and 1 - eps above; without it values outside [0, 1] give nan."""
    eps = None if eps is None or eps < 0 else float(eps)
    return _logit(as_floating("logit", input), eps=eps)
