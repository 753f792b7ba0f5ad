"""The parts of numbers (sign, fraction, exponent), their neighbours, nan and infinities."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, primitive, unary
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_floating, require_tensor, same_dtype
from tapegrad.ops.common.operands import no_gradient, of_tensors, pair, two_tensors
from tapegrad.ops.common.precision import compute_in_float32, to_float32
from tapegrad.ops.common.type_info import finfo

from . import elementwise


def frac(input: Tensor) -> Tensor:
    """The fraction: input - trunc(input), of the input's sign. Raises RuntimeError for integers."""
    require_floating("frac", input)
    return elementwise.subtract(input, elementwise.trunc(input))


def _signbit(xp: Any, x: Array) -> Any:
    """Whether input is below 0, or -0.0."""
    return x < 0 if x.dtype.kind in "iub" else xp.library.signbit(x)


signbit = unary("signbit", body=_signbit)


def _with_sign(xp: Any, a: Array, b: Array) -> tuple[Any, Any]:
    """The number, and its slope: 1 or -1; at 0 it is 0."""
    result = xp.library.copysign(a, b)
    agree = xp.library.signbit(a) == xp.library.signbit(result)
    slope = agree.astype(result.dtype) * 2 - 1
    return result, xp.library.where(a == 0, xp.library.zeros_like(slope), slope)


_copysign = binary(
    "copysign", lambda g, slope: g * slope, "no_slope", _with_sign, floating=True, extras=("slope",)
)


def copysign(input: Tensor, other: Any) -> Tensor:
    """|input| with the sign of ``other`` (a tensor or a number, -0.0 has one), broadcast and
    promoted to a floating-point dtype."""
    require_tensor("copysign", input)
    return _copysign(*pair("copysign", input, other))


nextafter = of_tensors(
    binary(
        "nextafter",
        lambda xp, g, a, b: xp.where(a == b, 0.0, g),
        "no_slope",
        doc="The next number of the dtype after input in the direction of other",
    ),
    floats=True,
)


@compute_in_float32
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2 ** other, broadcast; of input's dtype where that is floating-point and the
    exponents are integers, else promoted."""
    two_tensors("ldexp", input, other)
    if input.is_floating_point() and not other.is_floating_point():
        wide = dtypes.accumulator(input.dtype)  # in which 2 ** other overflows later, if at all
        return (input.to(wide) * elementwise.number_power(2.0, other.to(wide))).to(input.dtype)
    return elementwise.multiply(input, elementwise.number_power(2.0, other))


class Frexp(NamedTuple):
    """What ``frexp`` returns: input = mantissa * 2 ** exponent."""

    mantissa: Tensor
    exponent: Tensor


@primitive("exponent")
def _exponent(xp: Any, x: Array) -> Array:
    exponent = xp.library.frexp(x)[1]
    return xp.library.where(xp.isfinite(x), exponent, 0).astype("int32")


@to_float32
def _mantissa_rule(xp: Any, g: Array, exponent: Array) -> Any:
    return g * xp.exp2(-xp.cast(exponent, dtype=g.dtype))


@primitive("mantissa", vjp=(_mantissa_rule,), extras=("exponent",))
def _mantissa(xp: Any, x: Array) -> tuple[Array, Array]:
    return xp.library.frexp(x)[0], xp.exponent(x)


def frexp(input: Tensor) -> Frexp:
    """(mantissa, exponent): input = mantissa * 2 ** exponent, 0.5 <= |mantissa| < 1; the exponents
    are int32. The gradient is that of the mantissa. Raises RuntimeError for integers."""
    require_floating("frexp", input)
    return Frexp(_mantissa(input), _exponent(input.detach()))


# ---------------------------------------------------------------------- nan and infinities


@primitive("nan_to_num", vjp=(lambda xp, g, x: xp.where(xp.isfinite(x), g, 0.0),))
def _replaced(xp: Any, x: Array, *, nan: float, posinf: float, neginf: float) -> Any:
    x = xp.where(x == x, x, nan)
    return xp.where(x == math.inf, posinf, xp.where(x == -math.inf, neginf, x))


def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """nan replaced by ``nan`` (0 by default), the infinities by ``posinf`` and ``neginf`` (the
    largest and the smallest number of the dtype). Integers are copied."""
    require_tensor("nan_to_num", input)
    if not input.is_floating_point():
        return input.clone()
    largest = finfo(input.dtype).max
    return _replaced(
        input,
        nan=0.0 if nan is None else float(nan),
        posinf=largest if posinf is None else float(posinf),
        neginf=-largest if neginf is None else float(neginf),
    )


isposinf = unary("isposinf", body=lambda xp, x: x == math.inf, doc="Whether input is inf")
isneginf = unary("isneginf", body=lambda xp, x: x == -math.inf, doc="Whether input is -inf")

# ---------------------------------------------------------------------- steps


def _step(xp: Any, x: Array, at_zero: Any) -> Any:
    return xp.where(x == 0, at_zero, (x > 0).astype(x.dtype))


_heaviside = binary("heaviside", no_gradient("heaviside"), no_gradient("heaviside"), _step)


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, and ``values`` (which broadcast) at 0. It has no gradient. Raises
    RuntimeError for tensors of two dtypes."""
    same_dtype("heaviside", input, values)
    return _heaviside(input, values)


# ---------------------------------------------------------------------- as if they were complex


def itself(input: Tensor) -> Tensor:
    """The tensor itself, not a copy: tensors are real, so it is its own conjugate and real part."""
    require_tensor("conj", input)
    return input


def positive(input: Tensor) -> Tensor:
    """+input: the tensor itself. Raises RuntimeError for bools."""
    require_tensor("positive", input)
    if input.dtype.kind == "b":
        raise RuntimeError("[positive] is not defined for bool tensors: convert with .int()")
    return input


def isreal(input: Tensor) -> Tensor:
    """True for each element: tensors are of real numbers."""
    require_tensor("isreal", input)
    return wrap(input._device.xp.library.ones(input.shape, dtype=bool), input._device)
