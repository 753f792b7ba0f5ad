"""Files written by ``torch.save``: an archive of storages, which are plain numbers, and a pickle
that says which tensors they are and what is around them. The pickle is not unpickled: see
``pickle_opcodes.py``.
"""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.memory import Region, window
from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.movement.tensor_types import NAMES

from .budget import TooMuch
from .errors import CheckpointError
from .pickle_opcodes import Known, Machine, Refused, checked_key
from .source import Arrays, Source, nbytes
from .zip_file import Entry

REMEDY = "write it with torch.save"
PICKLE = "data.pkl"
_AS_SAFETENSORS = "write it in PyTorch with safetensors.torch.save_file"
BARE_PICKLE = (
    "it is a pickle outside of an archive, as PyTorch before 1.6 and other libraries write, which "
    "could run any code when it is loaded: load it in PyTorch and write it with torch.save, or "
    "with safetensors.torch.save_file"
)
_DEEPEST = 100
_LONGEST = 100  # of a key, in errors
# Bytes of memory, at most: to note that something was copied, and a tensor with its array.
_OF_A_COPY, _OF_A_TENSOR = 192, 640


@dataclass(slots=True)
class _Storage:
    """Numbers in an entry of the archive, and the first tensor that shows them."""

    key: str
    dtype: np.dtype
    count: int
    shown_by: str = ""


@dataclass(slots=True)
class _View:
    """A tensor: which numbers of a storage it shows."""

    storage: _Storage
    region: Region
    requires_grad: bool


def decode(source: Source, entries: dict[str, Entry]) -> tuple[Arrays, Callable[..., Any]]:
    """The storages of a file by their keys, and the function that makes of them, as tensors, what
    was saved. Raises CheckpointError before it reads a storage if a tensor reaches outside of
    its own."""
    found = [name for name in entries if name.endswith(PICKLE)]
    if len(found) != 1:
        raise CheckpointError("it holds several pickles, and is no file of torch.save")
    root = found[0][: -len(PICKLE)]
    if f"{root}constants.pkl" in entries:
        raise CheckpointError(
            f"it is a TorchScript module, which is code: {_AS_SAFETENSORS}(module.state_dict(), ..)"
        )
    order = entries[f"{root}byteorder"].read(source) if f"{root}byteorder" in entries else b""
    if order not in (b"", b"little", b"big"):
        raise CheckpointError(f"the byte order {order!r}")
    storages: dict[str, _Storage] = {}

    def storage(identity: Any) -> _Storage:
        """What the pickle says of a storage, compared with what is there."""
        kind, dtype, key, _, count = identity
        if kind != "storage" or type(key) is not str or f"{root}data/{key}" not in entries:
            raise CheckpointError(f"there is no storage {key!r} in the archive")
        named = storages.setdefault(key, _Storage(key, dtype, count))
        if named.dtype is not dtype or not isinstance(dtype, np.dtype) or named.count != count:
            raise CheckpointError(f"storage {key!r} is described in two ways")
        if nbytes((count,), dtype) != entries[f"{root}data/{key}"].size:
            raise CheckpointError(f"storage {key!r} is not {count} numbers of {dtype.name}")
        return named

    pickle = entries[found[0]].read(source)
    described = Machine(pickle, _KNOWN, storage, source.budget).run()
    try:
        _Rebuilding(_checked, source.budget.spend).value(described)
    except TooMuch as error:
        raise CheckpointError(f"its pickle at byte {entries[found[0]].start}: {error}") from None
    arrays = {}
    for key, named in storages.items():
        entry = entries[f"{root}data/{key}"]
        what = f"{named.shown_by!r}, whose numbers are {entry.name!r},"
        array = entry.array(source, named.dtype, (named.count,), what=what)
        arrays[key] = array.byteswap() if order == b"big" else array
    return arrays, lambda tensors: _Rebuilding(_Showing(tensors)).value(described)


@dataclass
class _Rebuilding:
    """A copy of what a pickle described, with what ``make`` gives for each of its tensors. What
    the copy takes is told to ``spend``."""

    make: Callable[[_View, str], Any]
    spend: Callable[[int], None] = lambda count: None
    done: dict[int, tuple[Any, int]] = field(default_factory=dict)  # and how deep it is

    def value(self, described: Any) -> Any:
        return self._copy(described, ())[0]

    def _copy(self, value: Any, path: tuple) -> tuple[Any, int]:
        if id(value) in self.done:
            return self.done[id(value)]
        if len(path) > _DEEPEST:
            raise _too_deep()
        self.spend(_OF_A_COPY + sys.getsizeof(value))
        depth = 0

        def part(value: Any, key: Any) -> Any:
            nonlocal depth
            if not isinstance(value, _COPIED):
                return value
            copied, inner = self._copy(value, (*path, str(key)[:_LONGEST]))
            depth = max(depth, inner)
            return copied

        copied: Any
        if isinstance(value, _View):
            self.spend(_OF_A_TENSOR)
            copied = self.make(value, ".".join(path))
        elif isinstance(value, dict):
            copied = type(value)((k, part(v, k)) for k, v in value.items())
            if hasattr(value, "_metadata"):
                copied._metadata = part(value._metadata, "_metadata")
        elif isinstance(value, (list, tuple)):
            copied = type(value)([part(v, i) for i, v in enumerate(value)])
        elif isinstance(value, (_Storage, Known)):
            raise CheckpointError("its pickle holds a storage or a function")
        else:
            copied = value
        depth += 1
        if depth > _DEEPEST:
            raise _too_deep()
        self.done[id(value)] = copied, depth
        return copied, depth


_COPIED = (_View, dict, list, tuple, _Storage, Known)


def _too_deep() -> CheckpointError:
    return CheckpointError(f"it is nested more than {_DEEPEST} deep, or holds itself")


def _checked(view: _View, path: str) -> _View:
    """Raise CheckpointError unless the storage has all that the tensor shows."""
    storage, region = view.storage, view.region
    what = f"{path!r} of shape {region.shape} and strides {region.strides}"
    if nbytes(region.shape, storage.dtype) >= 1 << 63:
        raise CheckpointError(f"{what} is larger than any memory")
    last = region.extent[1] if math.prod(region.shape) else region.offset - 1
    if last >= storage.count:
        raise CheckpointError(
            f"{what} reaches number {last} of storage {storage.key!r}, which has {storage.count}"
        )
    if view.requires_grad and not dtypes.is_floating(storage.dtype):
        raise CheckpointError(f"{what} has the dtype {storage.dtype.name} and requires grad")
    storage.shown_by = storage.shown_by or path
    return view


@dataclass
class _Showing:
    """Makes tensors in the memory of those that are the storages."""

    storages: dict[str, Tensor]

    def __call__(self, view: _View, path: str) -> Tensor:
        whole = self.storages[view.storage.key]
        shown = whole._alias(window(whole._array, *view.region))
        return shown.requires_grad_() if view.requires_grad else shown


# ---------------------------------------------------------------------- the names in a pickle


def _tensor(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, *more: Any
) -> _View:
    numbers = (offset, *size, *stride)
    whole = all(type(n) is int and 0 <= n < 1 << 63 for n in numbers)
    if type(storage) is not _Storage or not whole or len(size) != len(stride):
        raise CheckpointError(f"a tensor of size {size!r:.99}, stride {stride!r:.99}")
    if hooks or any(more):
        raise CheckpointError("a tensor with hooks, or which is a conjugate")
    return _View(storage, Region(tuple(size), tuple(stride), offset), requires_grad is True)


def _parameter(data: Any, requires_grad: Any, hooks: Any) -> _View:
    if type(data) is not _View or hooks:
        raise CheckpointError("a parameter that is no tensor, or has hooks")
    return replace(data, requires_grad=requires_grad is True)


def _empty(*values: Any) -> OrderedDict:
    if values:
        raise CheckpointError("an OrderedDict from something else than its items")
    return OrderedDict()


def _set(values: Any) -> set:
    if type(values) is not list:
        raise CheckpointError("a set that is not made of a list")
    return set(map(checked_key, values))


def _size(values: Any) -> Size:
    if type(values) is not tuple or not all(type(n) is int for n in values):
        raise CheckpointError("a Size that is not made of numbers")
    return Size(values)


def _device(kind: Any, index: Any = None) -> Device:
    if type(kind) is not str or type(index) not in (int, type(None)):
        raise CheckpointError("a device without a name")
    return Device(kind, index)


def _complex(real: Any, imaginary: Any) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise CheckpointError("a complex number that is not made of two floats")
    return complex(real, imaginary)


_NO_SUCH_TENSORS = Refused(
    "is a kind of tensor that there is none of here (complex, sparse, quantized, of unsigned or "
    "8-bit floating-point numbers, on the meta device)"
)


class _Names(dict):
    """The names that a pickle may use, and what they stand for. (bfloat16 is from a package that
    need not be there.)"""

    def get(self, name: str, default: Any = None) -> Any:
        if name in ("torch.BFloat16Storage", "torch.bfloat16"):
            return dtypes.bfloat16()
        if name.startswith("torch.") and (
            name.endswith("Storage") or name.startswith("torch._utils._rebuild_")
        ):
            return super().get(name, _NO_SUCH_TENSORS)
        return super().get(name, default)


_KNOWN = _Names(
    {
        f"{module}.{known.name}": known
        for known, modules in (
            (Known("_rebuild_tensor_v2", _tensor), ("torch._utils",)),
            (Known("_rebuild_parameter", _parameter), ("torch._utils",)),
            (Known("OrderedDict", _empty), ("collections",)),
            (Known("set", _set), ("builtins", "__builtin__")),
            (Known("complex", _complex), ("builtins", "__builtin__")),
            (Known("Size", _size), ("torch",)),
            (Known("device", _device), ("torch",)),
        )
        for module in modules
    }
)
for _code, _name in NAMES.items():
    if _name != "bfloat16":
        _KNOWN[f"torch.{_code}Storage"] = _KNOWN[f"torch.{_name}"] = dtypes.dtype(_name)
