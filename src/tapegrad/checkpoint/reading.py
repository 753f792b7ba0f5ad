"""Reading checkpoints."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.files import require_regular_file
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import from_numpy

from . import formats, shards
from .errors import CheckpointError
from .source import Arrays, Source


@retelling
def load(
    f: Any, map_location: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None
) -> Any:
    """Read what ``save`` wrote, from a path or a file open for reading bytes, onto the device
    ``map_location`` (by default the CPU). It reads other libraries' files, too: safetensors, npz
    that is not compressed, and what ``torch.save`` writes (tensors, numbers, text, sizes, dtypes,
    devices, and lists, tuples, dicts and sets of them). Which format it is shows in the file. A
    path may name a folder of Hugging Face's, or the index of a file in parts.

    As in PyTorch, ``map_location`` may be a dict from devices to devices, or a function of a
    storage and its device, "cpu", that returns the storage; with ``mmap=True`` tensors are the file
    itself, which must not be written to meanwhile, and take memory only where they are read.
    Whatever ``weights_only`` says, nothing is unpickled, imported or called. A Parameter of
    PyTorch's is a tensor here.

    Raises CheckpointError, which names the file, the tensor and where it is, if the file is damaged
    or something else, OSError where it cannot be opened or is a named pipe or device, and TypeError
    for a function that returns something else.
    """
    if isinstance(map_location, Mapping):
        map_location = map_location.get("cpu")
    function = map_location if callable(map_location) else None
    device = None if map_location is None or function else Device(map_location)
    to_file = hasattr(f, "read")
    source = getattr(f, "name", "the file") if to_file else shards.main_file(os.fspath(f))
    if not to_file:
        require_regular_file(source)
    with io.BytesIO(f.read()) if to_file else open(source, "rb") as file:
        try:
            arrays, build = _decode(file, source, bool(mmap) and not to_file)
            tensors = {name: from_numpy(array) for name, array in arrays.items()}
            loaded = build(tensors)
        except (MemoryError, ImportError):
            raise
        except Exception as error:  # whatever the bytes provoke in a parser
            known = isinstance(error, CheckpointError)
            what = f"{error}" if known else f"it is damaged or no checkpoint: {error}"
            raise CheckpointError(f"load: {source}: {what}") from (None if known else error)
    for tensor in tensors.values() if function else ():
        _check_it_stays(tensor, function)
    if device is None:
        return loaded
    return build({name: tensor.to(device) for name, tensor in tensors.items()})


def _decode(file: Any, source: Any, mapped: bool) -> tuple[Arrays, formats.Build]:
    if not str(source).endswith(shards.INDEX):
        return formats.decode(Source(file, mapped))
    index = file.read()
    while True:
        try:
            return shards.read(source, index, mapped)
        except CheckpointError:
            with open(source, "rb") as again:
                before, index = index, again.read()
            if index == before:  # else it was saved again meanwhile
                raise


def _check_it_stays(tensor: Tensor, map_location: Any) -> None:
    storage = tensor.storage()
    if map_location(storage, "cpu") not in (storage, None):
        raise TypeError(
            "load: map_location must return the storage that it is given: name the device"
        )
