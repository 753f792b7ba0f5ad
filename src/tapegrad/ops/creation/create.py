"""Making tensors: from data, from numbers, and like others."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tapegrad.core import dtypes, formats
from tapegrad.core.devices import CPU, Device, chosen_device, default_device
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common import arguments
from tapegrad.ops.common.out import write_out
from tapegrad.ops.common.scalars import fit_number


def _new(array: Any, device: Device, requires_grad: bool) -> Tensor:
    result = wrap(array, device)
    return result.requires_grad_() if requires_grad else result


def _default_dtype(data: Any) -> Any:
    """Python floats have the default dtype, NumPy arrays their own."""
    if isinstance(data, (np.ndarray, np.generic)) or hasattr(data, "__cuda_array_interface__"):
        return dtypes.dtype(data.dtype)
    kind = np.asarray(data).dtype.kind
    if kind not in "biufV":  # V: bfloat16
        raise TypeError("it holds what is no real number")
    if kind in "fV":
        return dtypes.get_default_dtype()
    return dtypes.bool_ if kind == "b" else dtypes.int64


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor with a copy of ``data``: a number, nested lists of numbers (or of 0-d tensors),
    an array or a tensor. Floats get the default dtype, integers int64."""
    place = default_device() if device is None else Device(device)
    if isinstance(data, Tensor):
        place = place or data.device
        array = place.receive(data._array)
    else:
        found: set = set()
        if isinstance(data, (list, tuple)):
            data = _plain(data, found)
        place = place or CPU
        wanted = None if dtype is None else dtypes.dtype(dtype)
        try:
            inferred = _common_dtype(found) or _default_dtype(data)  # refuses text, even of digits
            array = place.ops["array"](data, dtype=wanted or inferred)
        except (ValueError, TypeError, OverflowError) as error:
            into = "" if wanted is None else f"{wanted.name} "
            raise (TypeError if isinstance(error, TypeError) else ValueError)(
                f"[tensor] cannot make a {into}tensor of {type(data).__name__}: {error}"
            ) from error
    if dtype is not None:
        array = array.astype(dtypes.dtype(dtype), copy=False)
    return _new(array, place, requires_grad)


def _plain(data: Any, found: set) -> Any:
    """Nested lists without Tensors; to ``found`` go the names of dtypes and the types in them."""
    if isinstance(data, (list, tuple)):
        return [_plain(d, found) for d in data]
    typed = isinstance(data, (Tensor, np.generic, np.ndarray))
    found.add(data.dtype.name if typed else type(data))
    return data.tolist() if isinstance(data, Tensor) else data


def _common_dtype(found: set) -> np.dtype | None:
    """What the contents of a list promote to; None where one of them has no dtype of ours."""
    own = {bool: dtypes.bool_, int: dtypes.int64, float: dtypes.get_default_dtype()}
    common = None
    for kind in found:
        try:
            one = own[kind] if kind in own else dtypes.dtype(kind)
        except TypeError:
            return None
        common = one if common is None else dtypes.promote_types(common, one)
    return common


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, without a copy where none is needed."""
    if isinstance(data, Tensor):
        return data.to(device=default_device() if device is None else device, dtype=dtype)
    if hasattr(data, "__array__") and not hasattr(data, "__cuda_array_interface__"):
        data = np.asarray(data)  # another library's tensor on the CPU
    if isinstance(data, np.ndarray) and chosen_device(device) is CPU:
        shared = from_numpy(data.astype(dtypes.dtype(data.dtype), copy=False))
        return shared if dtype is None else shared.to(dtype)
    return tensor(data, dtype=dtype, device=device)


def from_dlpack(data: Any) -> Tensor:
    """A tensor that shares the memory of another library's, through the DLPack protocol: NumPy's
    and PyTorch's arrays on the CPU, CuPy's and PyTorch's on a GPU.

    Raises TypeError for what does not speak the protocol, or for dtypes there are none of.
    """
    if not hasattr(data, "__dlpack__"):
        raise TypeError(
            f"[from_dlpack] expects an object with __dlpack__, got {type(data).__name__}"
        )
    kind, index = data.__dlpack_device__()
    place = CPU if int(kind) in (1, 3) else Device("cuda", int(index))  # 3: pinned host memory
    try:
        array = place.library.from_dlpack(data)
    except (BufferError, TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"[from_dlpack] cannot share {type(data).__name__}: {error}") from error
    dtypes.dtype(array.dtype)
    return wrap(array, place)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory. Raises TypeError for dtypes there are none of."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"[from_numpy] expects a NumPy array, got {type(array).__name__}")
    dtypes.dtype(array.dtype)
    if not array.dtype.isnative:
        raise TypeError(
            f"[from_numpy] the array's byte order ({array.dtype.str}) is not this machine's: "
            "convert it with array.astype(array.dtype.newbyteorder('='))"
        )
    return wrap(array, CPU)


# ---------------------------------------------------------------------- one value, many times


def factory(function: Callable) -> Callable:
    """A function that makes a tensor, from one that makes an array: ``function(device, dtype, ..)``
    gets the device, and the dtype or None. What it makes takes PyTorch's options ``dtype``,
    ``device``, ``requires_grad``, ``layout``, ``out`` and ``pin_memory`` (which does nothing)."""
    op = function.__name__

    @wraps(function)
    def make(
        *args: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        layout: Any = None,
        pin_memory: bool = False,
        out: Any = None,
        **options: Any,
    ) -> Tensor:
        if layout is not None:
            formats.check(op, layout)
        if isinstance(out, Tensor):
            dtype, device = out.dtype if dtype is None else dtype, out.device
        place = chosen_device(device)
        kind = None if dtype is None else dtypes.dtype(dtype)
        result = wrap(function(place, kind, *args, **options), place)
        if out is not None:
            return write_out(op, result, out)
        return result.requires_grad_() if requires_grad else result

    return make


def made_sizes(op: str, size: tuple, options: dict) -> tuple[int, ...]:
    """The sizes, which may also be given by name: ``zeros(size=(2, 3))``."""
    if "size" in options and not size:
        size = (options.pop("size"),)
    if options:
        raise TypeError(f"[{op}] got an unexpected argument {next(iter(options))!r}")
    if not size:
        raise TypeError(f"[{op}] needs sizes: {op}(()) makes a 0-d tensor")
    return arguments.shape(op, size)


@factory
def zeros(device: Device, dtype: Any, *size: Any, **options: Any) -> Any:
    """A tensor of zeros."""
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    return device.ops["zeros"](made_sizes("zeros", size, options), dtype=kind)


@factory
def ones(device: Device, dtype: Any, *size: Any, **options: Any) -> Any:
    """A tensor of ones."""
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    return device.ops["ones"](made_sizes("ones", size, options), dtype=kind)


@factory
def empty(device: Device, dtype: Any, *size: Any, memory_format: Any = None, **options: Any) -> Any:
    """A tensor of undefined values."""
    formats.check("empty", None, memory_format)
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    return device.ops["empty"](made_sizes("empty", size, options), dtype=kind)


@factory
def full(device: Device, dtype: Any, size: Any, fill_value: Any) -> Any:
    """A tensor of one value; of the value's dtype if none is given."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    own = dtypes.scalar_dtype(fill_value)  # (refuses what is no real number)
    kind = own if dtype is None else dtype
    shape = arguments.shape("full", (size,))
    return device.ops["full"](shape, fit_number("full", fill_value, kind), dtype=kind)


# ---------------------------------------------------------------------- like another tensor


def like(op: str, x: Tensor, options: dict) -> dict:
    """The options given, with x's dtype and device for those that are None or missing."""
    arguments.require_tensor(op, x)
    formats.check(op, options.get("layout"), options.pop("memory_format", None))
    given = {name: value for name, value in options.items() if value is not None}
    return {"dtype": x.dtype, "device": x.device, **given}


def zeros_like(input: Tensor, **options: Any) -> Tensor:
    """Zeros of the tensor's shape, dtype and device."""
    options = like("zeros_like", input, options)
    return zeros(tuple(input.shape), **options)


def ones_like(input: Tensor, **options: Any) -> Tensor:
    """Ones of the tensor's shape, dtype and device."""
    options = like("ones_like", input, options)
    return ones(tuple(input.shape), **options)


def empty_like(input: Tensor, **options: Any) -> Tensor:
    """Undefined values of the tensor's shape, dtype and device."""
    options = like("empty_like", input, options)
    return empty(tuple(input.shape), **options)


def full_like(input: Tensor, fill_value: Any, **options: Any) -> Tensor:
    """One value, of the tensor's shape, dtype and device."""
    options = like("full_like", input, options)
    return full(tuple(input.shape), fill_value, **options)


def _new_like(function: Callable) -> Callable:
    name = f"new_{function.__name__}"

    def new(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return function(*args, **like(name, self, options))

    new.__name__ = new.__qualname__ = name
    new.__doc__ = f"{function.__name__} with this tensor's dtype and device."
    return new


new_empty, new_full, new_ones, new_tensor, new_zeros = map(
    _new_like, (empty, full, ones, tensor, zeros)
)
