"""Which format a file has, as it shows in its first bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.creation.create import from_numpy

from . import npz_file, safetensors_file, torch_file, tree, zip_file
from .errors import CheckpointError
from .source import Arrays, Source

Build = Callable[[dict[str, Tensor]], Any]  # what was saved, from its tensors
_ARCHIVES = (b"PK\3\4", b"PK\5\6")
_REMEDY = "write it with torch.save or numpy.savez"


def decode(source: Source) -> tuple[Arrays, Build]:
    """The arrays of a file of any format, and what makes of them, as tensors, what was saved."""
    head = source.read(0, min(9, source.size))
    if head[8:9] != b"{":  # a safetensors header begins so, and its length as it likes
        if head[:4] in _ARCHIVES:
            entries = zip_file.entries(source, _REMEDY)
            if any(name.endswith(torch_file.PICKLE) for name in entries):
                return torch_file.decode(source, entries)
            arrays, text = npz_file.decode(source, entries)
            source.budget.spend_on_json(text or "")
            return _with_tree(arrays, text)
        if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
            raise CheckpointError(torch_file.BARE_PICKLE)
    return _with_tree(*safetensors_file.decode(source))


def check(source: Source) -> None:
    """Raise whatever is wrong with a file."""
    arrays, build = decode(source)
    build({name: from_numpy(array) for name, array in arrays.items()})


def _with_tree(arrays: Arrays, text: str | None) -> tuple[Arrays, Build]:
    return arrays, dict if text is None else partial(tree.restore, text)
