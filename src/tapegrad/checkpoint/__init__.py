"""Saving and loading tensors, and the dicts and lists around them: as safetensors or NumPy's npz.

Both hold plain numbers: nothing in a file is ever executed, nothing is unpickled, nothing is
decompressed. A save either replaces the old file completely or leaves it as it was. A file holds
the SHA-256 of itself, of every byte and so of names, order and number; files without one (other
libraries') are checked as far as their format allows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from tapegrad.core.devices import Device, to_numpy
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import from_numpy

from . import npz_file, safetensors_file, tree
from .replace import replace
from .seal import Arrays, CheckpointError

__all__ = ["CheckpointError", "load", "save"]


@retelling
def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write tensors, or dicts, lists and tuples of them with numbers, text, dtypes and devices
    among them: ``save(model.state_dict(), "model.safetensors")``,
    ``save({"model": model.state_dict(), "epoch": 3}, "last.pt")``.

    ``f`` is a path, or a file open for writing bytes. A name that ends in .npz chooses NumPy's
    format, .safetensors the other; for all else it is safetensors where that is installed, else
    npz. A file keeps its permissions; whatever happens, the old file or the new one is there.
    Tensors are saved without their history; one that is there twice stays one. Nothing is pickled:
    what PyTorch's takes to say how changes nothing.

    Raises CheckpointError for anything else in it and for what the format cannot hold, TypeError
    for a module or optimizer itself, ImportError without safetensors.
    """
    to_file = hasattr(f, "write")
    target = getattr(f, "name", "the file") if to_file else os.path.realpath(f)
    if hasattr(obj, "state_dict"):
        raise TypeError(
            f"save: a {type(obj).__name__} is code and numbers, of which only the numbers are "
            "saved: pass its state_dict()"
        )

    def refuse(reason: str) -> CheckpointError:
        return CheckpointError(f"save: {target}: {reason}")

    form = _format("" if to_file else target)
    text: str | None
    if not tree.is_plain(obj):
        text, tensors = tree.flatten(obj, refuse)
    else:  # safetensors has an order of its own
        text, tensors = tree.order_of(obj) if form is safetensors_file else None, obj
    arrays: Arrays = {}
    for name, value in tensors.items():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise refuse(f"the name {name!r} is no valid text") from None
        arrays[name] = np.array(to_numpy(value._array), order="C", copy=None)
    data = form.encode(str(target), arrays, text)
    if to_file:
        f.write(bytes(data))
    else:
        replace(target, data)


@retelling
def load(
    f: Any, map_location: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None
) -> Any:
    """Read what ``save`` wrote, from a path or a file open for reading bytes, onto the device
    ``map_location`` (by default the CPU). Files that other libraries wrote are read too; of npz,
    those that are not compressed. Which format it is shows in the file.

    As in PyTorch, ``map_location`` may be a dict from devices to devices, or a function of a
    storage and its device, "cpu", that returns the storage. Whatever ``weights_only`` says, there
    are only numbers in a file; nor does ``mmap`` matter. Raises CheckpointError, naming the file,
    if it is damaged or something else, and TypeError for a function that returns something else.
    """
    if isinstance(map_location, Mapping):
        map_location = map_location.get("cpu")
    function = map_location if callable(map_location) else None
    device = None if map_location is None or function else Device(map_location)
    if hasattr(f, "read"):
        source, data = getattr(f, "name", "the file"), f.read()
    else:
        source = os.fspath(f)
        with open(source, "rb") as file:
            data = file.read()
    try:
        archive = data[:4] in (b"PK\3\4", b"PK\5\6") and data[8:9] != b"{"
        decode = npz_file.decode if archive else safetensors_file.decode
        arrays, text = decode(data)
        tensors = {name: from_numpy(array) for name, array in arrays.items()}
        loaded = tensors if text is None else tree.restore(text, tensors)
    except MemoryError:
        raise
    except Exception as error:  # whatever the bytes provoke in a parser
        known = isinstance(error, CheckpointError)
        what = error if known else f"it is damaged or no checkpoint: {error}"
        raise CheckpointError(f"load: {source}: {what}") from (None if known else error)
    for tensor in tensors.values() if function else ():
        _check_it_stays(tensor, function)
    if device is None:
        return loaded
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    return tensors if text is None else tree.restore(text, tensors)


def _check_it_stays(tensor: Tensor, map_location: Any) -> None:
    storage = tensor.storage()
    if map_location(storage, "cpu") not in (storage, None):
        raise TypeError(
            "load: map_location must return the storage that it is given: name the device"
        )


def _format(path: str) -> Any:
    suffix = os.path.splitext(path)[1]
    if suffix == ".npz":
        return npz_file
    installed = suffix == ".safetensors" or find_spec("safetensors") is not None
    return safetensors_file if installed else npz_file
