"""Writing checkpoints."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import numpy as np

from tapegrad.core.devices import to_numpy
from tapegrad.core.files import require_regular_file
from tapegrad.ops.common.refusals import retelling

from . import formats, npz_file, safetensors_file, shards, tree
from .errors import CheckpointError
from .replace import replace
from .source import Arrays


@retelling
def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
    *,
    max_shard_size: int | str | None = None,
) -> None:
    """Write tensors, or dicts, lists and tuples of them with numbers, text, dtypes and devices
    among them: ``save(model.state_dict(), "model.safetensors")``. Of objects in a dict, list or
    tuple that have a state, it is the state that is written (``state_dict()``, or a generator's
    ``get_state()``): ``save({"model": model, "optimizer": optimizer, "epoch": 3}, "last.pt")``.

    ``f`` is a path, or a file open for writing bytes. A name that ends in .npz chooses NumPy's
    format, every other safetensors. What was written is read again before it takes the old file's
    place, and a file keeps its permissions; whatever happens, the old file or the new one is there.
    Tensors are saved without their history; one that is there twice stays one. Nothing is pickled:
    what PyTorch's takes to say how changes nothing.

    max_shard_size: write several safetensors files of at most so many bytes (or "5GB") where there
    are more, and ``f`` with ``.index.json`` behind it, which lists them, as Hugging Face does.

    Raises CheckpointError for anything else in it and for what the format cannot hold, OSError if
    it cannot be written, TypeError for a module or optimizer alone, of which ``load`` would return
    something else, ValueError for shards that are no safetensors files.
    """
    to_file = hasattr(f, "write")
    target = getattr(f, "name", "the file") if to_file else os.path.realpath(f)
    form = npz_file if not to_file and target.endswith(".npz") else safetensors_file
    most = None if max_shard_size is None else shards.size_in_bytes(max_shard_size)
    if most is not None and (to_file or form is npz_file):
        raise ValueError("save: max_shard_size splits safetensors files, which f must name")
    if hasattr(obj, "state_dict"):
        raise TypeError(
            f"save: a {type(obj).__name__} is code and numbers, of which only the numbers are "
            "saved: pass its state_dict(), or a dict in which it is"
        )
    if not to_file and os.path.exists(target):
        require_regular_file(target)  # or it would be replaced by one
    text, arrays = _flatten(obj, target)
    if to_file:
        for part in form.encode(str(target), arrays, text):
            f.write(bytes(part))
        if hasattr(f, "flush"):
            f.flush()  # a full disk is an error of this call
    elif most is not None and sum(array.nbytes for array in arrays.values()) > most:
        shards.write(target, arrays, text, most)
        with suppress(FileNotFoundError):  # the file before, which ``load`` prefers
            os.unlink(target)
    else:
        like = shards.main_file(target)
        replace(target, form.encode(target, arrays, text), formats.check, like)
        if form is safetensors_file:
            shards.remove(target)


def _flatten(obj: Any, target: Any) -> tuple[str | None, Arrays]:
    """What is around the tensors, as text, and the tensors as arrays by name."""

    def refuse(reason: str) -> CheckpointError:
        return CheckpointError(f"save: {target}: {reason}")

    plain = tree.is_plain(obj)
    text, tensors = (None, obj) if plain else tree.flatten(obj, refuse)
    arrays: Arrays = {}
    for name, value in tensors.items():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise refuse(f"the name {name!r} is no valid text") from None
        arrays[name] = np.array(to_numpy(value._array), order="C", copy=None)
    return text, arrays
