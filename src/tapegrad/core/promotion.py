"""Promotion: the operands of an operation of two, on one device and of PyTorch's common dtype; and
the errors of those that do not fit together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from . import dtypes
from .devices import Device
from .tensor import Tensor, wrap


def promote(
    name: str, a: Any, b: Any, floating: bool, widen: bool = False
) -> tuple[Device, Any, Any, Any]:
    """Both operands on one device and of PyTorch's common dtype. A Python number stays a number
    where NumPy treats it as weak too. widen: 16-bit floats meet a number in float32, so that the
    number is not rounded first; the last result is then the dtype to store in, else None.

    Raises TypeError for anything but Tensors and real numbers, RuntimeError for two devices, and
    OverflowError for a number that the common dtype cannot hold.
    """
    first, second = isinstance(a, Tensor), isinstance(b, Tensor)
    if first and second:
        if a._device is not b._device:
            raise devices_differ(name, (a, b))
        pairs = [(a.dtype, a.ndim), (b.dtype, b.ndim)]
        scalars: list = []
    elif first or second:
        number = b if first else a
        tensor = a if first else b
        if isinstance(number, np.ndarray) and number.ndim:
            try:
                dtypes.dtype(number.dtype)
            except TypeError as error:
                raise TypeError(f"[{name}] {error}") from None
            native = number.astype(number.dtype.newbyteorder("="), copy=False)
            other = wrap(tensor._device.asarray(native), tensor._device)
            pair = (a, other) if first else (other, b)
            return promote(name, pair[0], pair[1], floating, widen)
        if hasattr(number, "item"):  # NumPy's; its float64 is a float too, but not a weak one
            number = number.item()
            a, b = (a, number) if first else (number, b)
        pairs, scalars = [(tensor.dtype, tensor.ndim)], [_number(name, number)]
    else:
        raise TypeError(f"[{name}] expects at least one Tensor, got {kinds((a, b))}")
    common = dtypes.result_type(pairs, scalars)
    if floating and not dtypes.is_floating(common):
        common = dtypes.get_default_dtype()
    device = a._device if first else b._device
    stored = None
    if widen and scalars and dtypes.is_low_precision(common):
        stored, common = common, dtypes.float32
    if common.kind in "iu" and (wide := _holds(name, a, b, common)) != common:
        stored, common = common, wide
        if wide == dtypes.float64:
            a, b = (
                v if isinstance(v, Tensor) else math.inf if v > 0 else -math.inf for v in (a, b)
            )
    try:
        return device, _cast(a, common, device), _cast(b, common, device), stored
    except OverflowError as error:
        raise OverflowError(f"[{name}] the number does not fit {common.name}: {error}") from None


_COMPARISONS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}


@cache
def _limits(dtype: Any) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _holds(name: str, a: Any, b: Any, common: Any) -> Any:
    """The dtype to compute in: int64 where a number, or a 0-d tensor of another dtype, may lie
    outside the range of the common dtype, as it counts for what it is. (Results are stored in the
    common dtype.) Beyond int64 it is compared as an infinity, with float64; else OverflowError."""
    for operand in (a, b):
        if not isinstance(operand, Tensor):
            least, most = _limits(common)
            if least <= operand <= most:
                continue
            if -(2**63) <= operand < 2**63:
                return dtypes.int64
            if name in _COMPARISONS:
                return dtypes.float64
            raise OverflowError(f"[{name}] the number {operand} does not fit int64")
        if operand.dtype != common and dtypes.promote_types(operand.dtype, common) != common:
            return dtypes.int64
    return common


def refuse_bools(name: str, a: Any, b: Any) -> None:
    """Raise RuntimeError if an operand is a bool, or a tensor of bools."""
    for operand in (a, b):
        if operand.__class__ is bool or getattr(operand, "dtype", None) == dtypes.bool_:
            raise RuntimeError(
                f"[{name}] is not defined for bools: use logical_xor (^) or logical_not (~), or "
                "convert with .int()"
            )


def _cast(operand: Any, dtype: Any, device: Device) -> Any:
    if isinstance(operand, Tensor):
        array = operand._array
        return array if array.dtype == dtype else device.ops["cast"](array, dtype=dtype)
    if dtype.kind in "Vui":  # numbers are not weak beside bfloat16; integers must wrap around
        return device.asarray(operand).astype(dtype)
    return operand


def _number(name: str, value: Any) -> Any:
    try:
        return dtypes.scalar_dtype(value)
    except TypeError:
        raise TypeError(
            f"[{name}] operands must be Tensors or real numbers, got {type(value).__name__}"
        ) from None


def kinds(values: Sequence[Any]) -> str:
    """The names of the values' types, for messages."""
    return ", ".join(type(v).__name__ for v in values)


def devices_differ(name: str, inputs: Sequence[Any]) -> RuntimeError:
    """The error of operation ``name`` for tensors on several devices."""
    found = ", ".join(str(t._device) for t in inputs if isinstance(t, Tensor))
    return RuntimeError(
        f"[{name}] all tensors must be on one device, got {found}: move them with .to(device)"
    )


def explain(name: str, error: Exception, *inputs: Any) -> Exception:
    """The array library's error, in the words of operation ``name``: with shapes and dtypes."""
    shapes = [tuple(getattr(v, "shape", ())) for v in inputs]
    types = [getattr(v, "dtype", type(v).__name__) for v in inputs]
    if isinstance(error, ValueError) and "broadcast" in str(error):
        return RuntimeError(
            f"[{name}] shapes {shapes[0]} and {shapes[1]} do not broadcast: from the right, each "
            "pair of sizes must be equal or one of them 1"
        )
    given = " and ".join(f"{kind} {shape}" for kind, shape in zip(types, shapes, strict=True))
    text = str(error)
    # NumPy goes on about its casting rules, CuPy about its loops.
    if "not supported for the input types" in text or "of arguments for cupy_" in text:
        text = "it is not for this dtype; for integers and bools there are .long(), .bool(), x > 0"
    return type(error)(f"[{name}] of {given}: {text}")
