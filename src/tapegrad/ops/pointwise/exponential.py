"""Exponentials and logarithms beyond those of ``elementwise``."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, primitive, unary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.operands import of_pairs, require_floats, two_tensors
from tapegrad.ops.common.precision import in_float32

_LOG_2 = math.log(2)

exp2 = unary("exp2", lambda g, y: g * (y * _LOG_2))
log2 = unary("log2", lambda g, x: g / (x * _LOG_2))
log10 = unary("log10", lambda g, x: g / (x * math.log(10)))

_logaddexp = binary(
    "logaddexp",
    lambda xp, g, a, b: g * xp.sigmoid(a - b),
    lambda xp, g, a, b: g * xp.sigmoid(b - a),
)
_logaddexp2 = binary(
    "logaddexp2",
    lambda xp, g, a, b: g * xp.sigmoid((a - b) * _LOG_2),
    lambda xp, g, a, b: g * xp.sigmoid((b - a) * _LOG_2),
)


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(exp(input) + exp(other)), without overflow."""
    two_tensors("logaddexp", input, other)
    require_floats("logaddexp", input, other)
    return _logaddexp(input, other)


def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log2(2 ** input + 2 ** other), without overflow."""
    two_tensors("logaddexp2", input, other)
    require_floats("logaddexp2", input, other)
    return _logaddexp2(input, other)


def _zero_times(xp: Any, x: Array, y: Array, log: Any) -> Any:
    """x log, where 0 log is 0 unless y is nan."""
    return xp.where((x == 0) & (y == y), x * 0, x * log)


_xlogy = binary(
    "xlogy",
    lambda xp, g, a, b: xp.where((a == 0) & (b <= 0), 0.0, g * xp.log(b)),
    lambda g, a, b: g * (a / b),
    in_float32(lambda xp, x, y: _zero_times(xp, x, y, xp.log(y))),
)
_xlog1py = binary(
    "xlog1py",
    lambda xp, g, a, b: xp.where((a == 0) & (b <= -1), 0.0, g * xp.log1p(b)),
    lambda g, a, b: g * (a / (b + 1)),
    in_float32(lambda xp, x, y: _zero_times(xp, x, y, xp.log1p(y))),
)
xlogy = of_pairs("xlogy", _xlogy, floating=True)
xlog1py = of_pairs("xlog1py", _xlog1py, floating=True)


def _entr(xp: Any, x: Array) -> Any:
    inside = -x * xp.log(xp.where(x > 0, x, 1.0))
    return xp.where(x > 0, inside, xp.where(x == 0, 0.0, xp.where(x < 0, -math.inf, x)))


entr = unary("entr", lambda xp, g, x: g * (-1 - xp.log(x)), in_float32(_entr))


def _logit_rule(xp: Any, g: Array, x: Array, eps: float | None) -> Any:
    low, outside = (0.0, math.nan) if eps is None else (eps, 0.0)
    return xp.where((x >= low) & (x <= 1 - low), g / (x * (1 - x)), outside)


@primitive("logit", vjp=(_logit_rule,))
@in_float32
def _logit(xp: Any, x: Array, *, eps: float | None) -> Array:
    x = x if eps is None else xp.library.clip(x, eps, 1 - eps)
    return xp.log(x / (1 - x))


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)); x is first clamped to eps .. 1 - eps, if ``eps`` is given, and elsewhere
    nan outside 0 .. 1."""
    require_tensor("logit", input)
    if not input.is_floating_point():
        input = input.to(dtypes.get_default_dtype())
    return _logit(input, eps=None if eps is None or eps < 0 else float(eps))
