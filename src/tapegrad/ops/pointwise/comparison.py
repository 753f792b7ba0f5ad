"""Comparisons, logic and extremes of two tensors, under PyTorch's names and with its refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor, same_dtype
from tapegrad.ops.common.operands import named, of_tensors, pair

from . import elementwise


def _with_tensor(op: str, compare: Callable) -> Callable:
    def function(input: Tensor, other: Any) -> Tensor:
        require_tensor(op, input)
        return compare(input, other)

    function.door = "of_a_tensor", compare  # type: ignore[attr-defined]  # see in_c
    return named(op, function, compare.__doc__)


eq = _with_tensor("eq", elementwise.equal)
ne = _with_tensor("ne", elementwise.not_equal)
lt = _with_tensor("lt", elementwise.less)
le = _with_tensor("le", elementwise.less_equal)
gt = _with_tensor("gt", elementwise.greater)
ge = _with_tensor("ge", elementwise.greater_equal)

logical_and = of_tensors(elementwise.logical_and)
logical_or = of_tensors(elementwise.logical_or)
logical_xor = of_tensors(elementwise.logical_xor)
maximum = of_tensors(elementwise.maximum)
minimum = of_tensors(elementwise.minimum)

# The first operand has the whole gradient where they are equal or the second is nan.
fmax = of_tensors(
    binary(
        "fmax",
        lambda xp, g, a, b: xp.where((a >= b) | (b != b), g, 0.0),
        lambda xp, g, a, b: xp.where((a >= b) | (b != b), 0.0, g),
        doc="The larger of two numbers; the other one where one is nan",
    )
)
fmin = of_tensors(
    binary(
        "fmin",
        lambda xp, g, a, b: xp.where((a <= b) | (b != b), g, 0.0),
        lambda xp, g, a, b: xp.where((a <= b) | (b != b), 0.0, g),
        doc="The smaller of two numbers; the other one where one is nan",
    )
)


# ---------------------------------------------------------------------- equality


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements. (nan is not equal to nan.)"""
    for t in (input, other):
        require_tensor("equal", t)
    return input.shape == other.shape and bool(elementwise.equal(input, other)._array.all())


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|input - other| <= atol + rtol |other|, element by element: bools, of the broadcast shape.
    nan is close to nan with ``equal_nan``. Raises RuntimeError for negative tolerances, and for
    tensors of two dtypes."""
    same_dtype("isclose", input, other)
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance < 0:
            raise RuntimeError(f"[isclose] {name} must not be negative, got {tolerance}")
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
    """Whether all elements are close, as ``isclose`` tells. Raises what that does."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._array.all())


@primitive("isin")
def _isin(xp: Any, elements: Any, tests: Any, *, invert: bool) -> Array:
    if elements.dtype.kind == "V":  # NumPy cannot sort bfloat16
        elements, tests = elements.astype("float32"), tests.astype("float32")
    return xp.library.isin(elements, tests, invert=invert)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each of ``elements`` is among ``test_elements`` (with ``invert``: is not), as bools
    of its shape. One of the two may be a number. ``assume_unique`` changes nothing."""
    x, y = pair("isin", elements, test_elements, wide=True)
    return _isin(x, y, invert=invert)
