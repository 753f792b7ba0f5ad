"""Arithmetic of two arrays, copies and other dtypes by the package's own kernels
(kernels/elementwise.cu), which read and write arrays wherever they lie, broadcast ones included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.devices import Device, override
from tapegrad.core.dtypes import int64, is_floating
from tapegrad.core.kernels import launch
from tapegrad.core.memory import Array, joined_dimensions, layout_of, lies_channels_last
from tapegrad.ops.common.image_memory import empty_images

_DIMENSIONS = 4  # of the kernels


def _told(y: Array, *arrays: Any) -> tuple[int, ...] | None:
    """What the kernels are told: sizes, and the steps of y and of each array, broadcast to y's
    shape; 0 where there is a number instead. None where they have too few dimensions."""
    shape, steps = y.shape, [_steps(y.shape, x) for x in (y, *arrays)]
    order = sorted(range(y.ndim), key=lambda i: -steps[0][i])  # that in which y is written
    found = joined_dimensions([shape[i] for i in order], [[s[i] for i in order] for s in steps])
    missing = _DIMENSIONS - len(found)
    if missing < 0:
        return None
    sizes = [1] * missing + [size for size, _ in found]
    of_arrays = zip(*(own for _, own in found), strict=True) if found else [()] * len(steps)
    return (*sizes, *(s for own in of_arrays for s in (*[0] * missing, *own)))


def _steps(shape: tuple[int, ...], x: Any) -> Sequence[int]:
    """Of an array that is broadcast to a shape, in elements."""
    if not hasattr(x, "strides"):
        return (0,) * len(shape)
    own, lead = layout_of(x), len(shape) - x.ndim
    kept = zip(own.strides, own.shape, shape[lead:], strict=True)
    return (0,) * lead + tuple(s if n == m else 0 for s, n, m in kept)


def _dense(n: int, arrays: int) -> tuple[int, ...]:
    """What they are told of contiguous arrays of one shape."""
    return (1, 1, 1, n, *(0, 0, 0, 1) * arrays)


def _compute(device: Device, name: str, y: Array, a: Any, b: Any) -> Any:
    """y = a, b: of arrays that broadcast to y's shape, of its dtype, or one of them a number."""
    alike = [hasattr(x, "flags") and x.shape == y.shape and x.flags.c_contiguous for x in (a, b, y)]
    told = _dense(y.size, 3) if all(alike) else _told(y, a, b)
    if told is None:
        return NotImplemented
    number = next((float(x) for x in (a, b) if not hasattr(x, "flags")), 0.0)
    left, right = [x if hasattr(x, "flags") else None for x in (a, b)]
    launch(device, name, y.dtype, y, left, right, *told, number)
    return y


def _by_kernel(name: str) -> None:
    @override(name, "cuda", "emulated")
    def run(device: Device, a: Any, b: Any) -> Any:
        """Of arrays of one floating dtype, or of one and a number. Images lie as they did."""
        arrays = [x for x in (a, b) if hasattr(x, "flags")]
        dtype = arrays[0].dtype
        if not is_floating(dtype) or arrays[-1].dtype != dtype:
            return NotImplemented
        shape = arrays[0].shape
        if len(arrays) == 2 and b.shape != shape:
            shape = np.broadcast_shapes(shape, b.shape)
        last = any(x.shape == shape and lies_channels_last(x) for x in arrays)
        return _compute(device, name, empty_images(device, shape, dtype, last), a, b)


for _name in ("add", "subtract", "multiply", "divide", "divide_or_zero"):
    _by_kernel(_name)


@override("accumulate", "cuda", "emulated")
def _accumulate_kernel(device: Device, total: Any, x: Any) -> Any:
    if not is_floating(total.dtype) or x.dtype != total.dtype:
        return NotImplemented
    return _compute(device, "add", total, total, x)


# ---------------------------------------------------------------------- copies


def _written(device: Device, y: Array, x: Array) -> bool:
    """Write x, which is broadcast to y's shape, into y, rounded to its dtype. False, and nothing,
    where no kernel does: for other dtypes than floats, from float64 to 16 bits, and where the two
    lie too differently."""
    floats = is_floating(x.dtype) and is_floating(y.dtype)
    if not floats or (x.itemsize == 8 and y.itemsize == 2):
        return False
    alike = x.shape == y.shape and x.flags.c_contiguous and y.flags.c_contiguous
    told = _dense(y.size, 2) if alike else _told(y, x)
    if told is None:
        return False
    launch(device, f"cast_to_{y.dtype}", x.dtype, y, x, *told)
    return True


@override("write", "cuda", "emulated")
def _write_kernel(device: Device, y: Array, x: Array) -> Any:
    return None if _written(device, y, x) else NotImplemented


def _as_it_lies(device: Device, x: Array, dtype: Any) -> Any:
    """Memory for a copy of x, in the order of its dimensions in memory."""
    empty = device.ops["empty"]
    if x.flags.c_contiguous:
        return empty(x.shape, dtype)
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
    places = [order.index(i) for i in range(x.ndim)]
    return empty(tuple([x.shape[i] for i in order]), dtype).transpose(places)


@override("cast", "cuda", "emulated")
def _cast_kernel(device: Device, x: Array, *, dtype: Any) -> Any:
    y = _as_it_lies(device, x, np.dtype(dtype))
    return y if _written(device, y, x) else NotImplemented


@override("copy", "cuda", "emulated")
def _copy_kernel(device: Device, x: Array) -> Any:
    y = device.ops["empty"](x.shape, x.dtype)
    return y if _written(device, y, x) else NotImplemented


@override("contiguous", "cuda", "emulated")
def _contiguous_kernel(device: Device, x: Array) -> Any:
    return x if x.flags.c_contiguous else _copy_kernel(device, x)


@override("concatenate", "cuda", "emulated")
def _concatenate_kernel(device: Device, *arrays: Array, axis: int, sizes: tuple[int, ...]) -> Any:
    shape = list(arrays[0].shape)
    shape[axis] = sum(sizes)
    return _together(device, arrays, tuple(shape), axis, sizes)


@override("stack", "cuda", "emulated")
def _stack_kernel(device: Device, *arrays: Array, axis: int) -> Any:
    first, place = arrays[0], (*(slice(None),) * axis, None)
    shape = (*first.shape[:axis], len(arrays), *first.shape[axis:])
    return _together(device, [x[place] for x in arrays], shape, axis, (1,) * len(arrays))


def _together(
    device: Device, arrays: Sequence[Array], shape: tuple, axis: int, sizes: Sequence[int]
) -> Any:
    """Arrays of one dtype, one behind the other along an axis: a launch for each."""
    dtype = arrays[0].dtype
    if any(x.dtype != dtype for x in arrays):
        return NotImplemented
    y, end = device.ops["empty"](shape, dtype), 0
    for x, size in zip(arrays, sizes, strict=True):
        end += size
        place = (*(slice(None),) * axis, slice(end - size, end))
        if not _written(device, y[place], x):
            return NotImplemented
    return y


@override("arange", "cuda", "emulated")
def _arange_kernel(device: Device, *bounds: Any, dtype: Any = None) -> Any:
    """Of 0, 1, ...: positions, and places of rows."""
    if len(bounds) > 1 or dtype != int64 or not isinstance(bounds[0], int) or bounds[0] < 0:
        return NotImplemented
    y = device.ops["empty"](bounds, int64)
    launch(device, "counting", None, y, bounds[0])
    return y
