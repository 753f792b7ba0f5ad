"""Operations of integers: shifts, greatest common divisors, least common multiples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import binary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.operands import named, pair, require_whole, two_tensors


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


def _shift(op: str, body: Callable, direction: str) -> Callable:
    shift = binary(op, body=body)

    def function(input: Any, other: Any) -> Tensor:
        x, _ = pair(op, input, other)
        require_whole(op, x)
        return shift(input, other)

    doc = (
        f"The integers' bits moved to the {direction} by ``other`` positions, broadcast and "
        "promoted. Raises RuntimeError for floats and bools."
    )
    return named(op, function, doc)


bitwise_left_shift = _shift("bitwise_left_shift", _shift_left, "left")
bitwise_right_shift = _shift("bitwise_right_shift", _shift_right, "right")


def _of_integers(op: str, meaning: str) -> Callable:
    combine = binary(op)

    def function(input: Tensor, other: Tensor) -> Tensor:
        two_tensors(op, input, other)
        x, y = pair(op, input, other)
        require_whole(op, x)
        return combine(x, y)

    doc = (
        f"The {meaning} of integers, never negative, broadcast and promoted. Raises RuntimeError "
        "for floats and bools."
    )
    return named(op, function, doc)


gcd = _of_integers("gcd", "greatest common divisor")
lcm = _of_integers("lcm", "least common multiple")
