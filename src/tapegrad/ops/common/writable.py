"""Whether a tensor may be changed in place."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import layout_of
from tapegrad.core.tape import is_recording
from tapegrad.core.tensor import Tensor


def has_history(x: Tensor, *sources: Any) -> bool:
    """Whether a change of ``x`` from ``sources`` belongs on the tape."""
    base = x._base
    return is_recording(x, *sources) or (base is not None and is_recording(base))


def check_writable(x: Tensor, op: str, *sources: Any) -> None:
    """Raise RuntimeError if ``x`` must not be changed in place."""
    if not x._array.flags.c_contiguous and layout_of(x._array).overlaps_itself:
        raise RuntimeError(
            f"[{op}] several elements of this tensor (expanded, or unfolded) share one memory "
            "location: clone() it before writing"
        )
    if not getattr(x._array.flags, "writeable", True):  # (CuPy has no such flag)
        raise RuntimeError(
            f"[{op}] this tensor shares the memory of a read-only array: clone() it before writing"
        )
    if has_history(x, *sources):
        for tensor, what in ((x, "a leaf tensor"), (x._base, "a view of a leaf tensor")):
            if tensor is not None and tensor.is_leaf and tensor.requires_grad:
                raise RuntimeError(
                    f"[{op}] {what} that requires grad cannot be changed in place while the tape "
                    "records: do it under tapegrad.no_grad(), or on a clone()"
                )
