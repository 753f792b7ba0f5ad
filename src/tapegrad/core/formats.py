"""PyTorch's names for how a tensor lies in memory: by rows, or with the channels of images last."""

from __future__ import annotations

from typing import Any

# What names of types begin with: "torch" where the package stands in for it (``torch_names``).
library = "tapegrad"


class layout(str):
    """A kind of tensor: all are ``tapegrad.strided``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{library}.{self}"


class memory_format(layout):
    """An order of dimensions in memory: ``contiguous_format`` is row-major, ``preserve_format`` the
    input's own. ``channels_last`` and ``channels_last_3d`` are what ``to`` and ``contiguous`` make
    of images on GPUs; else they are taken for ``contiguous_format``: loops read rows."""

    __slots__ = ()


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
_FORMATS = (contiguous_format, preserve_format, channels_last, channels_last_3d)


def check(op: str, asked_layout: Any = None, asked_format: Any = None) -> None:
    """Raise RuntimeError for a layout or memory format that does not exist here."""
    if asked_layout is not None and asked_layout is not strided:
        raise RuntimeError(f"[{op}] layout must be tapegrad.strided, got {asked_layout!r}")
    if asked_format is not None and not any(asked_format is f for f in _FORMATS):
        raise RuntimeError(
            f"[{op}] memory_format must be tapegrad.contiguous_format, preserve_format or "
            f"channels_last, got {asked_format!r}"
        )
