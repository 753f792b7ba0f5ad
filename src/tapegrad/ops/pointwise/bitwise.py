"""Operations of integers: shifts, greatest common divisors, least common multiples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import binary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.operands import pair, require_whole, two_tensors


def _bits(x: Any) -> int:
    return 8 * x.dtype.itemsize


# To shift by more bits than there are, or by less than none, is undefined in C.


def _shift_left(xp: Any, a: Array, b: Array) -> Any:
    out = (b < 0) | (b >= _bits(a))
    return xp.library.where(out, a * 0, xp.library.left_shift(a, b * ~out))


def _shift_right(xp: Any, a: Array, b: Array) -> Any:
    most = _bits(a) - 1  # leaves the sign
    shifted = xp.library.right_shift(a, xp.library.where((b < 0) | (b > most), most, b))
    return shifted if a.dtype.kind == "i" else shifted * ((b >= 0) & (b <= most))


_left = binary("bitwise_left_shift", body=_shift_left)
_right = binary("bitwise_right_shift", body=_shift_right)


def _shift(op: str, shift: Callable, direction: str) -> Callable:
    def function(input: Any, other: Any) -> Tensor:
        x, y = pair(op, input, other)
        require_whole(op, x)
        return shift(x, y)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"The integers' bits moved to the {direction} by ``other`` places."
    return function


bitwise_left_shift = _shift("bitwise_left_shift", _left, "left")
bitwise_right_shift = _shift("bitwise_right_shift", _right, "right")


def reflected_left_shift(self: Tensor, other: Any) -> Tensor:
    """other << self."""
    return bitwise_left_shift(other, self)


def reflected_right_shift(self: Tensor, other: Any) -> Tensor:
    """other >> self."""
    return bitwise_right_shift(other, self)


def left_shift_in_place(self: Tensor, other: Any) -> Tensor:
    """self <<= other."""
    return self.bitwise_left_shift_(other)


def right_shift_in_place(self: Tensor, other: Any) -> Tensor:
    """self >>= other."""
    return self.bitwise_right_shift_(other)


def _of_integers(op: str, meaning: str) -> Callable:
    combine = binary(op)

    def function(input: Tensor, other: Tensor) -> Tensor:
        two_tensors(op, input, other)
        x, y = pair(op, input, other)
        require_whole(op, x)
        return combine(x, y)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"The {meaning} of integers, never negative."
    return function


gcd = _of_integers("gcd", "greatest common divisor")
lcm = _of_integers("lcm", "least common multiple")
