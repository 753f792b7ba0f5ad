"""Elementwise operations: one row each, the gradient beside the function.

Rules see broadcast operands and may return broadcast gradients: the engine sums and casts them
back. Bodies not given here are the array library's function of the same name.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.dtypes import is_floating
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, binary, is_recording, primitive, unary
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.precision import in_float32, to_float32

from . import elementwise_kernels  # noqa: F401  registers how GPUs compute the primitives below

# ---------------------------------------------------------------------- arithmetic

add = binary("add", lambda g: g, lambda g: g)


@array_function
def accumulate(xp: Any, total: Any, x: Any) -> Any:
    """total + x, in the place of total. (Of 0-d arrays, which may be scalars, a new one.)"""
    total += x
    return total


@array_function
def write(xp: Any, y: Array, x: Array) -> None:
    """Write x, which is broadcast to y's shape, into y, rounded to its dtype."""
    y[...] = x


subtract = binary("subtract", lambda g: g, lambda g: -g, bools=False)


# Products of 16-bit floats may still have to be summed: the engine rounds them.
multiply = binary(
    "multiply",
    lambda xp, g, b: g * b if g.itemsize > 2 else xp.cast(g, dtype=dtypes.float32) * b,
    lambda xp, g, a: g * a if g.itemsize > 2 else xp.cast(g, dtype=dtypes.float32) * a,
    doc="input * other",
)
divide = binary(
    "divide",
    to_float32(lambda xp, g, b: g / b),
    to_float32(lambda xp, g, a, b: -g * (a / b) / b),
    floating=True,
)


@to_float32
def _power_rule_a(xp: Any, g: Array, a: Array, b: Array) -> Any:
    # b == 0 is singled out where a is nan, or 0 or near it: there a ** (b - 1) leaves the range,
    # and the slope is 0. Elsewhere the formula has the mixed derivative, 1 / a.
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b else g * 0
    flat = (b == 0) & ~(xp.absolute(a) >= float(np.finfo(a.dtype).tiny) ** 0.5)
    return g * xp.where(flat, 0.0, b * a ** xp.where(flat, 1.0, b - 1))


@to_float32
def _power_rule_b(xp: Any, g: Array, a: Array, b: Array) -> Any:
    # 0 ** b has slope 0 in b for b >= 0, where 0 * log(0) would be nan. (The result is computed
    # again: to keep it would forbid its change in place, for exponents that need no gradient too.)
    return g * xp.where((a == 0) & (b >= 0), 0.0, xp.power(a, b) * xp.log(a))


@to_float32
def _number_power_rule(xp: Any, g: Array, y: Array, a: float) -> Any:
    log = math.log(a) if a > 0 else -math.inf if a == 0 else math.nan
    # (y is 0 where 0 ** b has slope 0, infinite where b is below 0)
    return g * (y * log) if a else g * xp.where(y <= 1, 0.0, y * log)


def kind_of(a: Any, b: Any) -> str:
    """The kind of dtype of a body's operands, at least one of which is an array."""
    return (a if hasattr(a, "dtype") else b).dtype.kind


def require_divisible(op: str, a: Any, b: Any) -> None:
    """Raise RuntimeError where NumPy would give 0, or the numbers of another dtype."""
    kind = kind_of(a, b)
    if kind == "b":
        raise RuntimeError(f"[{op}] is not defined for bool tensors: convert with .int()")
    if kind in "iu" and a.size and not b.all():
        raise RuntimeError(
            f"[{op}] integer division by zero: replace the zeros, or convert with .float()"
        )


def _power(xp: Any, a: Array, b: Array) -> Array:
    """input ** other."""
    kind = kind_of(a, b)
    if kind == "b":  # for NumPy an 8-bit integer
        return xp.library.logical_or(a, xp.library.logical_not(b))
    if isinstance(b, (int, float)) and b == 3 and kind == "f":  # 20 times as fast
        return a * a * a
    if kind != "i" or not (b < 0).any():
        return xp.library.power(a, b)
    # The whole part of the quotient: of 1 / a and its powers, only those of 1 and -1 are not 0.
    unit = xp.library.where(a == -1, 1 - 2 * (b & 1), (a == 1).astype(a.dtype))
    return xp.library.where(b < 0, unit, xp.library.power(a, xp.library.maximum(b, 0)))


def _floor_divide(xp: Any, a: Array, b: Array) -> Array:
    """input / other, rounded down. Raises RuntimeError for bools and for integers by zero."""
    require_divisible("floor_divide", a, b)
    return xp.library.floor_divide(a, b)


def _remainder(xp: Any, a: Array, b: Array) -> Array:
    """input - other * floor(input / other), which has the sign of ``other``. Raises RuntimeError
    for bools and for integers by zero."""
    require_divisible("remainder", a, b)
    return xp.library.remainder(a, b)


power = binary("power", _power_rule_a, _power_rule_b, _power)
# Of the result alone, so that the exponent may change.
number_power = binary("number_power", None, _number_power_rule, _power)
floor_divide = binary("floor_divide", body=_floor_divide)
remainder = binary(
    "remainder", lambda g: g, to_float32(lambda xp, g, a, b: -g * xp.floor_divide(a, b)), _remainder
)
negative = unary("negative", lambda g: -g, floating=False, doc="-input")
maximum = binary(
    "maximum",  # equal operands share the gradient; both get it where one is nan
    lambda xp, g, a, b: xp.where(a == b, g * 0.5, xp.where(a < b, 0.0, g)),
    lambda xp, g, a, b: xp.where(a == b, g * 0.5, xp.where(b < a, 0.0, g)),
    doc="The larger of two numbers; nan where one is nan",
)
minimum = binary(
    "minimum",
    lambda xp, g, a, b: xp.where(a == b, g * 0.5, xp.where(a > b, 0.0, g)),
    lambda xp, g, a, b: xp.where(a == b, g * 0.5, xp.where(b > a, 0.0, g)),
    doc="The smaller of two numbers; nan where one is nan",
)

# ---------------------------------------------------------------------- functions of one number

exp = unary("exp", lambda g, y: g * y)
expm1 = unary("expm1", to_float32(lambda xp, g, y: g * (y + 1)), doc="exp(input) - 1, exact near 0")
log = unary("log", lambda g, x: g / x, doc="The natural logarithm")
log1p = unary("log1p", to_float32(lambda xp, g, x: g / (x + 1)), doc="log(1 + input), exact near 0")
sqrt = unary("sqrt", to_float32(lambda xp, g, y: g / (2 * y)))
rsqrt = unary(
    "rsqrt",
    to_float32(lambda xp, g, y: -0.5 * g * y * y * y),
    in_float32(lambda xp, x: 1 / xp.sqrt(x)),
    doc="1 / sqrt(input)",
)
reciprocal = unary(
    "reciprocal",
    to_float32(lambda xp, g, y: -g * y * y),
    in_float32(lambda xp, x: 1 / x),
    doc="1 / input",
)
square = unary(
    "square",
    to_float32(lambda xp, g, x: 2 * g * x),
    lambda xp, x: xp.library.square(x) if x.dtype.kind != "b" else x.astype(dtypes.int64),
    floating=False,
    doc="input * input; int64 for bools",
)
sin = unary("sin", to_float32(lambda xp, g, x: g * xp.cos(x)))
cos = unary("cos", to_float32(lambda xp, g, x: -g * xp.sin(x)))
absolute = unary("absolute", lambda xp, g, x: g * xp.sign(x), floating=False, doc="|input|")


@primitive("cast", vjp=(lambda g: g,))  # the engine casts back
def _cast(xp: Any, x: Array, *, dtype: Any) -> Array:
    return x.astype(dtype)


def cast(x: Tensor, *, dtype: Any) -> Tensor:
    """The tensor in another dtype. Integers and bools have no gradient."""
    if x.requires_grad and not is_floating(dtype):
        x = wrap(x._array, x._device)
    return _cast(x, dtype=dtype)


def as_dtype(x: Tensor, dtype: Any) -> Tensor:
    """``cast``, or the tensor itself where it has the dtype. (``to`` takes many times as long.)"""
    return x if x.dtype == dtype else cast(x, dtype=dtype)


@primitive(
    vjp=(
        None,
        lambda xp, g, condition: xp.where(condition, g, 0.0),
        lambda xp, g, condition: xp.where(condition, 0.0, g),
    )
)
def where(xp: Any, condition: Array, a: Array, b: Array) -> Array:
    if _is_zero(b) and _is_long(a, condition):
        return _selected(a, -condition.astype(f"i{a.itemsize}"))
    if _is_zero(a) and _is_long(b, condition):
        return _selected(b, condition.astype(f"i{b.itemsize}") - 1)
    # PyTorch's promotion: to NumPy, bfloat16 and a number are float32. To CuPy bfloat16 alone is
    # float32, and numbers are float16 or int8 where nothing forbids it.
    given = [v.dtype for v in (a, b) if hasattr(v, "dtype")]
    if len(given) == 2:
        common = given[0] if given[0] == given[1] else dtypes.promote_types(*given)
    elif given:
        number = b if hasattr(a, "dtype") else a
        common = dtypes.result_type([(given[0], 1)], [dtypes.scalar_dtype(number)])
    else:
        common = np.result_type(a, b)
    if common not in given and not isinstance(condition, np.ndarray):
        a, b = (v if hasattr(v, "dtype") else xp.asarray(v, dtype=common) for v in (a, b))
    return xp.library.where(condition, a, b).astype(common, copy=False)


def with_zero_slopes(y: Tensor, *sources: Any) -> Tensor:
    """``y``, of which the sources have gradient 0 rather than none, as random numbers have."""
    for t in sources:
        if is_recording(t):
            never = wrap(y._device.asarray(False), y._device)
            y = where(never, as_dtype(t, y.dtype), y)
    return y


# Zeros for some elements, as the gradients of relu and max have them, NumPy makes by their bits in
# a sixth of the time that its ``where`` takes for a condition without a pattern.


def _is_zero(x: Any) -> bool:
    return x.__class__ in (int, float) and x == 0 and math.copysign(1, x) > 0


def _is_long(x: Any, condition: Any) -> bool:
    """Whether it is worth it, for floats that need no broadcasting."""
    return (
        isinstance(x, np.ndarray)
        and x.size > 1024
        and x.dtype.kind in "fV"
        and x.shape == condition.shape
        and condition.dtype.kind == "b"
    )


def _selected(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The bits of ``x`` that are in the mask."""
    return (x.view(mask.dtype) & mask).view(x.dtype)


@primitive(
    # slope 1 on the bounds, 0 where x is nan
    vjp=(lambda xp, g, x, low, high: xp.where((x >= low) & (x <= high), g, 0.0),)
)
def clip(xp: Any, x: Array, *, low: Any, high: Any) -> Array:
    # A pass less for the one bound that activations have none of.
    raised = x if low == -math.inf else xp.maximum(x, low)
    return xp.minimum(raised, high).astype(x.dtype, copy=False)


# Step functions: slope 0 wherever they have one, also where what arrives is infinite.


@primitive(vjp="no_slope")
def no_slope(xp: Any, gradient: Array) -> Array:
    """The rule of step functions."""
    return xp.library.zeros_like(gradient)


def _sign(xp: Any, x: Array) -> Any:
    """-1, 0 or 1, of input's dtype."""
    return x.copy() if x.dtype.kind == "b" else (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


def _step(name: str, doc: str) -> Any:
    def body(xp: Any, x: Array) -> Any:
        return x.copy() if x.dtype.kind in "biu" else getattr(xp.library, name)(x)

    return unary(name, "no_slope", body, floating=False, doc=doc)


sign = unary("sign", "no_slope", _sign, floating=False)
floor = _step("floor", "The largest integer <= input, of input's dtype")
ceil = _step("ceil", "The smallest integer >= input, of input's dtype")
trunc = _step("trunc", "input rounded towards 0, of input's dtype")
rint = _step("rint", "input rounded to the nearest integer, halves to even")

# ---------------------------------------------------------------------- comparison and logic

equal = binary("equal", doc="input == other, as bools")
not_equal = binary("not_equal", doc="input != other, as bools")
less = binary("less", doc="input < other, as bools")
less_equal = binary("less_equal", doc="input <= other, as bools")
greater = binary("greater", doc="input > other, as bools")
greater_equal = binary("greater_equal", doc="input >= other, as bools")
logical_and = binary("logical_and", doc="Whether both are not 0")
logical_or = binary("logical_or", doc="Whether one or both are not 0")
logical_xor = binary("logical_xor", doc="Whether one of the two, and only one, is not 0")
logical_not = unary("logical_not", doc="Whether input is 0")
bitwise_and = binary("bitwise_and", doc="input & other, of integers or bools")
bitwise_or = binary("bitwise_or", doc="input | other, of integers or bools")
bitwise_xor = binary("bitwise_xor", doc="input ^ other, of integers or bools")
bitwise_not = unary(
    "bitwise_not", body=lambda xp, x: xp.library.invert(x), doc="~input, of integers or bools"
)
isnan = unary("isnan", doc="Whether input is nan")
isinf = unary("isinf", doc="Whether input is infinite")
isfinite = unary("isfinite", doc="Whether input is neither infinite nor nan")
