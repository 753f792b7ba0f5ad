"""The parts of numbers: sign, fraction, exponent, neighbours, and what is no number."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, primitive, unary
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.operands import no_gradient, pair, require_floats, two_tensors

from . import elementwise


def _frac(input: Tensor) -> Tensor:
    return elementwise.subtract(input, elementwise.trunc(input))


def frac(input: Tensor) -> Tensor:
    """The fraction: input - trunc(input), of the input's sign."""
    require_tensor("frac", input)
    require_floats("frac", input)
    return _frac(input)


def _signbit(xp: Any, x: Array) -> Any:
    return x < 0 if x.dtype.kind in "iub" else xp.library.signbit(x)


signbit = unary("signbit", body=_signbit)


def _signs_agree(xp: Any, a: Array, b: Array) -> Any:
    # slope 0 at 0
    return xp.where(a == 0, 0.0, xp.where(xp.signbit(a) == xp.signbit(b), 1.0, a * 0 - 1))


_copysign = binary(
    "copysign", lambda xp, g, a, b: g * _signs_agree(xp, a, b), "no_slope", floating=True
)


def copysign(input: Tensor, other: Any) -> Tensor:
    """|input| with the sign of ``other`` (a tensor or a number)."""
    require_tensor("copysign", input)
    return _copysign(*pair("copysign", input, other, floating=True))


_nextafter = binary("nextafter", lambda xp, g, a, b: xp.where(a == b, 0.0, g), "no_slope")


def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next number of the dtype after ``input`` in the direction of ``other``."""
    two_tensors("nextafter", input, other)
    require_floats("nextafter", input, other)
    return _nextafter(input, other)


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2 ** other."""
    two_tensors("ldexp", input, other)
    if input.is_floating_point() and not other.is_floating_point():
        wide = dtypes.accumulator(input.dtype)  # in which 2 ** other overflows later, if at all
        return (input.to(wide) * elementwise.power(2.0, other.to(wide))).to(input.dtype)
    return elementwise.multiply(input, elementwise.power(2.0, other))


class Frexp(NamedTuple):
    mantissa: Tensor
    exponent: Tensor


@primitive("exponent")
def _exponent(xp: Any, x: Array) -> Array:
    exponent = xp.library.frexp(x)[1]
    return xp.library.where(xp.isfinite(x), exponent, 0).astype("int32")


def _mantissa_rule(xp: Any, g: Array, x: Array) -> Any:
    return g * xp.exp2(-xp.cast(xp.exponent(x), dtype=x.dtype))


@primitive("mantissa", vjp=(_mantissa_rule,))
def _mantissa(xp: Any, x: Array) -> Array:
    return xp.library.frexp(x)[0]


def frexp(input: Tensor) -> Frexp:
    """(mantissa, exponent): input = mantissa * 2 ** exponent, 0.5 <= |mantissa| < 1; the exponents
    are int32."""
    require_tensor("frexp", input)
    require_floats("frexp", input)
    return Frexp(_mantissa(input), _exponent(input.detach()))


# ---------------------------------------------------------------------- what is no number


def _nan_to_num(xp: Any, x: Array, *, nan: float, posinf: float, neginf: float) -> Any:
    x = xp.where(x == x, x, nan)
    return xp.where(x == math.inf, posinf, xp.where(x == -math.inf, neginf, x))


_replaced = primitive("nan_to_num", vjp=(lambda xp, g, x: xp.where(xp.isfinite(x), g, 0.0),))(
    _nan_to_num
)


def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """nan replaced by ``nan`` (0), the infinities by ``posinf`` and ``neginf`` (the largest and the
    smallest number of the dtype)."""
    require_tensor("nan_to_num", input)
    if not input.is_floating_point():
        return input.clone()
    largest = _largest(input.dtype)
    return _replaced(
        input,
        nan=0.0 if nan is None else float(nan),
        posinf=largest if posinf is None else float(posinf),
        neginf=-largest if neginf is None else float(neginf),
    )


def _largest(dtype: Any) -> float:
    if dtype.kind == "f":
        return float(np.finfo(dtype).max)
    return (2 - 2.0**-7) * 2.0**127  # bfloat16


def _is_infinite(op: str, infinity: float) -> Any:
    def body(xp: Any, x: Array) -> Any:
        if x.dtype.kind in "iub":
            return xp.library.zeros(x.shape, dtype=bool)
        return x == infinity

    return unary(op, body=body)


isposinf = _is_infinite("isposinf", math.inf)
isneginf = _is_infinite("isneginf", -math.inf)


# ---------------------------------------------------------------------- steps


def _step(xp: Any, x: Array, at_zero: Any) -> Any:
    return xp.where(x == 0, at_zero, (x > 0).astype(x.dtype))


_heaviside = binary("heaviside", no_gradient("heaviside"), no_gradient("heaviside"), _step)


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, and ``values`` at 0."""
    two_tensors("heaviside", input, values)
    if input.dtype != values.dtype:
        raise RuntimeError(
            f"[heaviside] dtypes {input.dtype.name} and {values.dtype.name} differ: "
            "convert one with .to()"
        )
    return _heaviside(input, values)


# ---------------------------------------------------------------------- as if they were complex


def itself(input: Tensor) -> Tensor:
    """The tensor: the conjugate and the real part of a real number are the number."""
    require_tensor("conj", input)
    return input


def positive(input: Tensor) -> Tensor:
    """+input: the tensor itself. Not for bools."""
    require_tensor("positive", input)
    if input.dtype.kind == "b":
        raise RuntimeError("[positive] is not defined for bool tensors: convert with .int()")
    return input


def isreal(input: Tensor) -> Tensor:
    """True everywhere: tensors are of real numbers."""
    require_tensor("isreal", input)
    return wrap(input._device.xp.library.ones(input.shape, dtype=bool), input._device)
