"""Comparisons, logic and extremes of two tensors, under PyTorch's names and with its refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.operands import pair, two_tensors

from . import elementwise


def _with_tensor(op: str, compare: Callable) -> Callable:
    def function(input: Tensor, other: Any) -> Tensor:
        require_tensor(op, input)
        return compare(input, other)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"{op}, element by element, with a tensor or a number: bools."
    return function


def _of_two_tensors(op: str, combine: Callable, meaning: str) -> Callable:
    def function(input: Tensor, other: Tensor) -> Tensor:
        two_tensors(op, input, other)
        return combine(input, other)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"{meaning} of two tensors, broadcast."
    return function


eq = _with_tensor("eq", elementwise.equal)
ne = _with_tensor("ne", elementwise.not_equal)
lt = _with_tensor("lt", elementwise.less)
le = _with_tensor("le", elementwise.less_equal)
gt = _with_tensor("gt", elementwise.greater)
ge = _with_tensor("ge", elementwise.greater_equal)

logical_and = _of_two_tensors("logical_and", elementwise.logical_and, "Whether both are not 0,")
logical_or = _of_two_tensors("logical_or", elementwise.logical_or, "Whether one is not 0,")
logical_xor = _of_two_tensors("logical_xor", elementwise.logical_xor, "Whether just one is not 0,")

maximum = _of_two_tensors("maximum", elementwise.maximum, "The larger (nan if one is nan)")
minimum = _of_two_tensors("minimum", elementwise.minimum, "The smaller (nan if one is nan)")

# The first operand has the whole gradient where they are equal or the second is nan.
_fmax = binary(
    "fmax",
    lambda xp, g, a, b: xp.where((a >= b) | (b != b), g, 0.0),
    lambda xp, g, a, b: xp.where((a >= b) | (b != b), 0.0, g),
)
_fmin = binary(
    "fmin",
    lambda xp, g, a, b: xp.where((a <= b) | (b != b), g, 0.0),
    lambda xp, g, a, b: xp.where((a <= b) | (b != b), 0.0, g),
)
fmax = _of_two_tensors("fmax", _fmax, "The larger (the other where one is nan)")
fmin = _of_two_tensors("fmin", _fmin, "The smaller (the other where one is nan)")


# ---------------------------------------------------------------------- equality


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements."""
    require_tensor("equal", input)
    require_tensor("equal", other)
    return input.shape == other.shape and bool(elementwise.equal(input, other)._array.all())


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|input - other| <= atol + rtol |other|, element by element."""
    two_tensors("isclose", input, other)
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance < 0:
            raise RuntimeError(f"[isclose] {name} must not be negative, got {tolerance}")
    if input.dtype != other.dtype:
        raise RuntimeError(
            f"[isclose] dtypes {input.dtype.name} and {other.dtype.name} differ: "
            "convert one with .to()"
        )
    input, other = input.detach(), other.detach()
    same = elementwise.equal(input, other)
    if equal_nan:
        same = same | (elementwise.isnan(input) & elementwise.isnan(other))
    if not input.is_floating_point():  # the difference must not wrap around
        input, other = input.double(), other.double()
    allowed = atol + rtol * elementwise.absolute(other)
    close = elementwise.absolute(input - other) <= allowed
    return same | (close & elementwise.isfinite(other))


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are close."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._array.all())


@primitive("isin")
def _isin(xp: Any, elements: Any, tests: Any, *, invert: bool) -> Array:
    if elements.dtype.kind == "V":  # NumPy cannot sort bfloat16
        elements, tests = elements.astype("float32"), tests.astype("float32")
    return xp.library.isin(elements, tests, invert=invert)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each of ``elements`` is among ``test_elements``; whether not, with ``invert``. One of
    them may be a number. ``assume_unique`` has no meaning here."""
    x, y = pair("isin", elements, test_elements)
    return _isin(x, y, invert=invert)
