"""Making tensors: from data, from numbers, and like others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from tapegrad.core import dtypes, formats
from tapegrad.core.devices import CPU, Device, chosen_device, default_device
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common import arguments
from tapegrad.ops.common.operands import named
from tapegrad.ops.common.out import write_out
from tapegrad.ops.common.scalars import fit_number


def _default_dtype(data: Any) -> Any:
    """Python floats have the default dtype, NumPy arrays their own."""
    if isinstance(data, (np.ndarray, np.generic)) or hasattr(data, "__cuda_array_interface__"):
        return dtypes.dtype(data.dtype)
    kind = np.asarray(data).dtype.kind
    if kind not in "biufV":  # V: bfloat16
        raise TypeError("its elements are no real numbers")
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
    """A new tensor with a copy of ``data``: a number, nested lists of numbers (or of tensors of one
    element), an array or a tensor. Without ``dtype``, Python's floats get the default dtype, ints
    int64, and arrays and tensors keep theirs. Raises TypeError for anything but real numbers,
    ValueError for lists of unequal lengths and numbers beyond the dtype's range."""
    place = default_device() if device is None else Device(device)
    if isinstance(data, Tensor):
        place = place or data.device
        array = place.receive(data._array)
    else:
        found: set = set()
        if isinstance(data, (list, tuple)):
            data = _plain(data, found)
        elif _is_foreign(data):
            data = _to_host(data)
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
    result = wrap(array, place)
    return result.requires_grad_() if requires_grad else result


def _plain(data: Any, found: set, depth: int = 64) -> Any:
    """Nested lists without Tensors; to ``found`` go the names of dtypes and the types in them."""
    if isinstance(data, (list, tuple)):
        if not depth:  # (arrays have no more dimensions)
            arguments.check_nesting("tensor", data, depth)
        return [_plain(d, found, depth - 1) for d in data]
    typed = isinstance(data, (Tensor, np.generic, np.ndarray))
    found.add(data.dtype.name if typed else type(data))
    return _number(data) if isinstance(data, Tensor) else data


def _number(x: Tensor) -> Any:
    """The one element of a tensor in a list, whatever its dimensions."""
    if x.numel() != 1:
        raise ValueError(
            f"[tensor] in a list a tensor stands for one number, this one has shape "
            f"{tuple(x.shape)}: use tapegrad.stack(tensors)"
        )
    return x.item()


def _common_dtype(found: set) -> np.dtype | None:
    """What the contents of a list promote to; None where one of them has another kind of dtype."""
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
    """``data`` as a tensor, without a copy where none is needed. Where dtype and device allow it a
    tensor is returned itself, and a NumPy array shares its memory. Raises what ``tensor`` does."""
    if isinstance(data, Tensor):
        return data.to(device=default_device() if device is None else device, dtype=dtype)
    if _is_foreign(data):
        data = _to_host(data)
    if isinstance(data, np.ndarray) and chosen_device(device) is CPU:
        shared = from_numpy(data.astype(dtypes.dtype(data.dtype), copy=False))
        return shared if dtype is None else shared.to(dtype)
    return tensor(data, dtype=dtype, device=device)


def _is_foreign(data: Any) -> bool:
    """Whether it is another library's tensor on the CPU."""
    return hasattr(data, "__array__") and not hasattr(data, "__cuda_array_interface__")


def _to_host(data: Any) -> np.ndarray:
    if str(getattr(data, "dtype", "")) == "torch.bfloat16":  # which PyTorch does not convert
        return np.asarray(data.float()).astype(dtypes.bfloat16())
    return np.asarray(data)


def from_dlpack(data: Any) -> Tensor:
    """A tensor that shares the memory of another library's, through the DLPack protocol: NumPy's
    and PyTorch's arrays on the CPU, CuPy's and PyTorch's on a GPU.

    Raises TypeError for objects without the protocol, and for dtypes that tensors do not have.
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
    """A tensor that shares the array's memory. Raises TypeError for anything but a NumPy array, for
    dtypes that tensors do not have, and for another byte order than the machine's."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"[from_numpy] expects a NumPy array, got {type(array).__name__}")
    dtypes.dtype(array.dtype)
    if not array.dtype.isnative:
        raise TypeError(
            f"[from_numpy] the array's byte order ({array.dtype.str}) is not this machine's: "
            "convert it with array.astype(array.dtype.newbyteorder('='))"
        )
    return wrap(np.asarray(array), CPU)  # a matrix or a memmap has habits of its own


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A tensor of one dimension that shares the memory of an object with Python's buffer protocol
    (bytes, which cannot be written to, a bytearray, a memoryview): ``count`` elements, by default
    all, ``offset`` bytes from its beginning on. Raises ValueError where the buffer is empty, too
    short, or no whole number of elements, TypeError for other objects."""
    array = np.frombuffer(buffer, dtypes.dtype(dtype), count, offset)
    result = from_numpy(array)
    return result.requires_grad_() if requires_grad else result


# ---------------------------------------------------------------------- one value, many times


# What all that make tensors take by name.
OPTIONS = [
    Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
    for name, kind, default in (
        ("dtype", "Any", None),
        ("device", "Any", None),
        ("requires_grad", "bool", False),
        ("layout", "Any", None),
        ("pin_memory", "bool", False),
        ("out", "Tensor | None", None),
    )
]


def show_options(made: Any, function: Callable, skip: int = 0, *more: Parameter) -> Any:
    """Let help() and editors see of ``made`` what it is called with: the arguments of ``function``
    but the first, and the options by name."""
    own = [*inspect.signature(function).parameters.values()][skip:]
    own = [p for p in own if p.kind is not Parameter.VAR_KEYWORD]
    made.__signature__ = Signature(
        [*own, *OPTIONS[:-1], *more, OPTIONS[-1]], return_annotation="Tensor"
    )
    return made


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

    return show_options(make, function, 2)  # without the device and the dtype


def made_sizes(op: str, size: tuple, options: dict) -> tuple[int, ...]:
    """The sizes, which may also be given by name: ``zeros(size=(2, 3))``. Raises TypeError for
    other options, and where there are no sizes, RuntimeError for negative ones."""
    if "size" in options and not size:
        size = (options.pop("size"),)
    if options:
        raise TypeError(f"[{op}] got an unexpected argument {next(iter(options))!r}")
    if not size:
        raise TypeError(f"[{op}] needs sizes: {op}(()) makes a 0-d tensor")
    return arguments.shape(op, size)


@factory
def zeros(device: Device, dtype: Any, *size: Any, **options: Any) -> Any:
    """Zeros, of these sizes and the default dtype. Raises RuntimeError for negative sizes."""
    dtype = dtype or dtypes.get_default_dtype()
    return device.ops["zeros"](made_sizes("zeros", size, options), dtype=dtype)


@factory
def ones(device: Device, dtype: Any, *size: Any, **options: Any) -> Any:
    """Ones, of these sizes and the default dtype. Raises RuntimeError for negative sizes."""
    dtype = dtype or dtypes.get_default_dtype()
    return device.ops["ones"](made_sizes("ones", size, options), dtype=dtype)


@factory
def empty(device: Device, dtype: Any, *size: Any, memory_format: Any = None, **options: Any) -> Any:
    """Undefined values, of these sizes and the default dtype. Raises RuntimeError for negative
    sizes."""
    formats.check("empty", None, memory_format)
    dtype = dtype or dtypes.get_default_dtype()
    return device.ops["empty"](made_sizes("empty", size, options), dtype=dtype)


@factory
def full(device: Device, dtype: Any, size: Any, fill_value: Any) -> Any:
    """One number (or what a tensor of one element holds) everywhere, in the shape ``size``; of the
    number's dtype by default. Raises RuntimeError for one that the dtype does not hold, and for
    negative sizes."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    own = dtypes.scalar_dtype(fill_value)  # (refuses anything but real numbers)
    kind = dtype or own
    shape = arguments.shape("full", (size,))
    return device.ops["full"](shape, fit_number("full", fill_value, kind), dtype=kind)


# ---------------------------------------------------------------------- like another tensor


def like(op: str, x: Tensor, options: dict) -> dict:
    """The options given, with x's dtype and device for those that are None or missing."""
    arguments.require_tensor(op, x)
    formats.check(op, options.get("layout"), options.pop("memory_format", None))
    given = {name: value for name, value in options.items() if value is not None}
    return {"dtype": x.dtype, "device": x.device, **given}


def show_like_options(function: Callable) -> Callable:
    """Let help() and editors see the options of what makes a tensor like another."""
    more = Parameter("memory_format", Parameter.KEYWORD_ONLY, default=None, annotation="Any")
    return show_options(function, function, 0, more)


def like_another(function: Callable) -> Callable:
    """``zeros_like`` of ``zeros``: its sizes are those of a tensor."""
    name = f"{function.__name__}_like"

    def alike(input: Tensor, **options: Any) -> Tensor:
        options = like(name, input, options)
        return function(tuple(input.shape), **options)

    doc = f"``{function.__name__}`` of the tensor's shape, and of its dtype and device by default."
    return show_like_options(named(name, alike, doc))


zeros_like, ones_like, empty_like = map(like_another, (zeros, ones, empty))


@show_like_options
def full_like(input: Tensor, fill_value: Any, **options: Any) -> Tensor:
    """``full`` of the tensor's shape, and of its dtype and device by default."""
    options = like("full_like", input, options)
    return full(tuple(input.shape), fill_value, **options)


def new_from(function: Callable) -> Callable:
    """``x.new_zeros`` of ``zeros``."""
    name = f"new_{function.__name__}"

    def new(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return function(*args, **like(name, self, options))

    return named(
        name, new, f"``{function.__name__}`` of this tensor's dtype and device by default."
    )


new_empty, new_full, new_ones = map(new_from, (empty, full, ones))
new_tensor, new_zeros = map(new_from, (tensor, zeros))
