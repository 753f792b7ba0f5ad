"""Compositions: functions of three tensors, and powers in float64."""

from __future__ import annotations

from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.operands import pair, require_floats, two_tensors
from tapegrad.ops.common.precision import compute_in_float32

from . import arithmetic, elementwise


def _scaled(op: str, term: Tensor, value: Any, *others: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        value = value.item()
    if value == 1:
        return term
    if isinstance(value, float) and not any(t.is_floating_point() for t in (term, *others)):
        raise RuntimeError(
            f"[{op}] value must be an integer where the tensors are, got {value}: "
            "convert a tensor with .float()"
        )
    return elementwise.multiply(term, value)


@compute_in_float32
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 * tensor2, broadcast and promoted. Raises RuntimeError for a float
    ``value`` where the tensors are integers."""
    for t in (input, tensor1, tensor2):
        require_tensor("addcmul", t)
    product = elementwise.multiply(tensor1, tensor2)
    return elementwise.add(input, _scaled("addcmul", product, value, input))


@compute_in_float32
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 / tensor2, broadcast and promoted. Raises RuntimeError where both
    ``tensor1`` and ``tensor2`` are integers."""
    for t in (input, tensor1, tensor2):
        require_tensor("addcdiv", t)
    if not (tensor1.is_floating_point() or tensor2.is_floating_point()):
        raise RuntimeError(
            f"[addcdiv] does not divide integers, got {tensor1.dtype.name} and "
            f"{tensor2.dtype.name}: convert one with .float()"
        )
    quotient = elementwise.divide(tensor1, tensor2)
    return elementwise.add(input, _scaled("addcdiv", quotient, value, input))


@compute_in_float32
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight * (end - input), exact at both ends; the weight is a number or a tensor, and
    all broadcast. Raises RuntimeError for integers and for several dtypes."""
    two_tensors("lerp", input, end)
    require_floats("lerp", input, end)
    tensors = [t for t in (input, end, weight) if isinstance(t, Tensor)]
    if len({t.dtype for t in tensors if t is not weight or t.ndim}) > 1:
        raise RuntimeError(
            f"[lerp] dtypes {', '.join(t.dtype.name for t in tensors)} differ: convert with .to()"
        )
    way = elementwise.subtract(end, input)
    if not isinstance(weight, Tensor):
        return input + way * weight if abs(weight) < 0.5 else end - way * (1 - weight)
    near = elementwise.absolute(weight) < 0.5
    return elementwise.where(near, input + way * weight, end - way * (1 - weight))


def float_power(input: Any, exponent: Any) -> Tensor:
    """input ** exponent, computed and returned in float64; one may be a number."""
    x, y = pair("float_power", input, exponent)
    return arithmetic.pow(x.to(dtypes.float64), y.to(dtypes.float64))
