"""Moving tensors between dtypes and devices; gradients move back."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..backend import CPU, Device
from ..primitive import Primitive
from ..tape import is_recording, record, registry
from ..tensor import Tensor, wrap
from .elementwise import cast
from .shape import clone


def _transfer_rule(g: Any, source: Device, target: Device) -> Any:
    return transfer(g, source) if isinstance(g, Tensor) else source.receive(g)


_transfer = Primitive("transfer", ["x"], ["source", "target"], vjp=(_transfer_rule,))


def transfer(x: Tensor, target: Device) -> Tensor:
    """A copy of ``x`` on another device."""
    result = wrap(target.receive(x._array), target)
    if is_recording(x):
        record(_transfer, result, (x,), (x._array,), (x._device, target))
    return result


registry["transfer"] = transfer


def to(x: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False,
       non_blocking: bool = False) -> Tensor:  # fmt: skip
    """The tensor with another dtype, on another device, or like another tensor:
    ``x.to(tg.float64)``, ``x.to("cuda")``, ``x.to("cuda", tg.half)``, ``x.to(other)``. The tensor
    itself if nothing changes, unless ``copy``."""
    for arg in args:
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif isinstance(arg, bool):  # non_blocking, copy
            continue
        elif isinstance(arg, Device) or (isinstance(arg, str) and not _names_dtype(arg)):
            device = arg
        elif arg is not None:
            dtype = arg
    result = x
    if device is not None and Device(device) is not x._device:
        result = transfer(result, Device(device))
    if dtype is not None and dtypes.dtype(dtype) != x.dtype:
        result = cast(result, dtype=dtypes.dtype(dtype))
    return clone(x) if copy and result is x else result


def _names_dtype(name: str) -> bool:
    try:
        dtypes.dtype(name)
    except TypeError:
        return False
    return True


def cpu(x: Tensor) -> Tensor:
    """The tensor on the CPU."""
    return to(x, device=CPU)


def cuda(x: Tensor, device: Any = None) -> Tensor:
    """The tensor on a GPU, the first by default."""
    return to(x, device=Device("cuda", device) if isinstance(device, int) else device or "cuda")


def type_as(x: Tensor, other: Tensor) -> Tensor:
    """The tensor with another's dtype and device."""
    return to(x, other)


def _to(dtype: Any) -> Any:
    def convert(x: Tensor) -> Tensor:
        return to(x, dtype)

    convert.__doc__ = f"The tensor as {dtype if isinstance(dtype, str) else np.dtype(dtype).name}."
    return convert


to_double, to_float, to_half, to_bfloat16 = map(_to, ("float64", "float32", "float16", "bfloat16"))
to_long, to_int, to_short, to_char = map(_to, ("int64", "int32", "int16", "int8"))
to_byte, to_bool = map(_to, ("uint8", "bool"))
