"""``out=``: an operation's result written into a tensor that exists."""

from __future__ import annotations

import warnings
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor

from .writable import check_writable


def write_out(name: str, result: Any, out: Any) -> Any:
    """Write a result (or several) into ``out``, which takes its shape and keeps its dtype.

    Raises TypeError for anything but a Tensor, RuntimeError for a dtype that cannot hold the
    result, for another device, and where a gradient would be lost.
    """
    if isinstance(result, tuple):
        if not isinstance(out, (tuple, list)) or len(out) != len(result):
            raise TypeError(f"[{name}] out= must be {len(result)} tensors, one for each result")
        parts = [write_out(name, r, o) for r, o in zip(result, out, strict=True)]
        return result._make(parts) if hasattr(result, "_make") else tuple(parts)
    if not isinstance(out, Tensor):
        raise TypeError(f"[{name}] out= must be a Tensor, got {type(out).__name__}")
    if result.requires_grad or out.requires_grad:
        raise RuntimeError(
            f"[{name}] out= is not recorded for gradients: leave it out, detach() the tensors, or "
            "compute under tapegrad.no_grad()"
        )
    if out._device is not result._device:
        raise RuntimeError(f"[{name}] the result is on {result._device}, out= on {out._device}")
    if not dtypes.can_cast(result.dtype, out.dtype):
        raise RuntimeError(
            f"[{name}] the result is {result.dtype.name} and cannot be stored as {out.dtype.name}"
        )
    if out.shape != result.shape:
        if out.numel():
            warnings.warn(
                f"[{name}] out= has shape {tuple(out.shape)} and is given new memory for the "
                f"result's shape {tuple(result.shape)}: resize it to (0,) to reuse it without this "
                "warning",
                stacklevel=3,
            )
        out.data = result.to(out.dtype)
        return out
    check_writable(out, name)
    out._array[...] = result._array
    out._bump(f"{name}(out=...)")
    return out
