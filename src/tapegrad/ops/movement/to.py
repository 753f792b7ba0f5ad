"""Moving tensors between dtypes and devices; gradients move back."""

from __future__ import annotations

from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.devices import CPU, Device
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import named_dtype, require_tensor
from tapegrad.ops.common.operands import named
from tapegrad.ops.pointwise.elementwise import cast

from .shape import clone, contiguous_tensor


@primitive(
    "transfer",
    target="target",
    vjp=(lambda xp, g, source, target: xp.transfer(g, source=target, target=source),),
)
def _transfer(xp: Any, x: Array, *, source: Device, target: Device) -> Array:
    return target.receive(x)


def transfer(x: Tensor, target: Device) -> Tensor:
    """A copy of ``x`` on another device."""
    return _transfer(x, source=x._device, target=target)


def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    copy: bool = False,
    non_blocking: bool = False,
    memory_format: Any = None,
    other: Any = None,
) -> Tensor:
    """The tensor with another dtype, on another device, or like another tensor:
    ``x.to(tg.float64)``, ``x.to("cuda")``, ``x.to("cuda", tg.half)``, ``x.to(other)``, each with
    ``non_blocking`` and ``copy`` behind. The tensor itself if nothing changes, unless ``copy``.
    Raises TypeError for anything but a dtype, RuntimeError for a device that does not exist."""
    require_tensor("to", self)
    flags = []
    for arg in (*args, other):
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg._device
        elif isinstance(arg, bool):
            flags.append(arg)
        elif isinstance(arg, (Device, int)) or (isinstance(arg, str) and not _names_dtype(arg)):
            device = arg
        elif arg is not None:
            dtype = arg
    if len(flags) > 2:
        raise TypeError("[to] takes at most non_blocking and copy behind dtype and device")
    copy = copy or flags[1:] == [True]
    result = self
    if device is not None:
        target = Device("cuda", device) if isinstance(device, int) else Device(device)
        if target is not self._device:
            result = transfer(result, target)
    if dtype is not None:
        kind = named_dtype("to", dtype)
        if kind != self.dtype:
            result = cast(result, dtype=kind)
    if memory_format is not None and memory_format.startswith("channels_last"):
        result = contiguous_tensor(result, memory_format)
    return clone(self) if copy and result is self else result


def _names_dtype(name: str) -> bool:
    try:
        dtypes.dtype(name)
    except TypeError:
        return False
    return True


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor on the CPU: itself if it is there, else a copy."""
    return to(self, device=CPU)


def cuda(
    self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None
) -> Tensor:
    """The tensor on a GPU, the first by default: itself if it is there, else a copy. Raises
    RuntimeError where the GPU does not exist."""
    return to(self, device="cuda" if device is None else device)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor with the dtype and device of ``other``: itself if it has them, else a copy."""
    require_tensor("type_as", other)
    return to(self, other)


def _to(name: str, dtype: str) -> Any:
    def convert(self: Tensor, memory_format: Any = None) -> Tensor:
        return to(self, dtype=dtype)

    doc = f"The tensor as {dtype}: itself if it is that, else a copy."
    return named(f"to_{name}", convert, doc)


to_double, to_float, to_half = (
    _to("double", "float64"),
    _to("float", "float32"),
    _to("half", "float16"),
)
to_bfloat16, to_bool = _to("bfloat16", "bfloat16"), _to("bool", "bool")
to_long, to_int, to_short = _to("long", "int64"), _to("int", "int32"), _to("short", "int16")
to_char, to_byte = _to("char", "int8"), _to("byte", "uint8")
