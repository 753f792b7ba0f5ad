"""Python objects between ranks, as JSON and arrays: what another rank sends cannot run anything.

None, bool, int, float and str, lists, tuples, dicts with such keys, NumPy arrays and tensors arrive
as they were sent, tensors on the CPU, an OrderedDict as a dict. Anything else needs
``allow_pickle=True``, on all ranks, which lets every rank run code in every other.
"""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU, to_numpy
from tapegrad.core.dtypes import bfloat16
from tapegrad.core.memory import Array
from tapegrad.core.tensor import Tensor, wrap

from . import pickled
from .collectives import _root, _Run, start
from .groups import group_of
from .pending import Pending

_PLAIN = (type(None), bool, int, float, str)


def encode(value: Any, allow_pickle: bool = False) -> Array:
    """The object as bytes. Raises TypeError for what is neither JSON nor an array."""
    if allow_pickle:
        return np.frombuffer(pickled.dumps(value), np.uint8)
    arrays: list[Array] = []
    text = json.dumps(_described(value, arrays)).encode()
    data = [len(text).to_bytes(8, "little"), text, *[a.tobytes() for a in arrays]]
    return np.frombuffer(b"".join(data), np.uint8)


def _described(value: Any, arrays: list[Array]) -> Any:
    if type(value) in _PLAIN:
        return value
    if type(value) is list:
        return [_described(item, arrays) for item in value]
    if type(value) is tuple:
        return {"tuple": [_described(item, arrays) for item in value]}
    if type(value) in (dict, OrderedDict) and all(type(key) in _PLAIN for key in value):
        return {"dict": [[key, _described(item, arrays)] for key, item in value.items()]}
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        array = np.asarray(to_numpy(value._array if isinstance(value, Tensor) else value))
        if array.dtype.kind in "biufc" or array.dtype.name == "bfloat16":
            arrays.append(array)
            kind = "tensor" if isinstance(value, Tensor) else "array"
            return {kind: [array.dtype.name, *array.shape]}
    raise TypeError(
        f"a {type(value).__name__} is neither JSON nor an array: give its parts, or say "
        "allow_pickle=True on all ranks, which lets every rank run code in every other"
    )


def decode(data: Array, allow_pickle: bool = False) -> Any:
    """What ``encode`` has made bytes of."""
    if allow_pickle:
        return pickled.loads(data.tobytes())
    rest = io.BytesIO(data.tobytes())
    return _made(json.loads(rest.read(int.from_bytes(rest.read(8), "little"))), rest)


def _made(value: Any, rest: io.BytesIO) -> Any:
    if isinstance(value, list):
        return [_made(item, rest) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, items),) = value.items()
    if kind == "tuple":
        return tuple([_made(item, rest) for item in items])
    if kind == "dict":
        return {key: _made(item, rest) for key, item in items}
    name, *shape = items
    dtype = bfloat16() if name == "bfloat16" else np.dtype(name)
    count = int(np.prod(shape, dtype=np.int64))
    flat = np.frombuffer(rest.read(count * dtype.itemsize), dtype)
    array = flat.reshape(shape).copy()
    return wrap(array, CPU) if kind == "tensor" else array


def _exchanged(run: _Run, own: Array) -> Generator[Pending, None, list[Array]]:
    """A list of what all ranks have, of any lengths."""
    backend = run.backend
    lengths = np.empty((backend.size, 1), np.int64)
    yield backend.all_gather(np.array([own.size]), lengths, run.tag)
    parts = [np.empty(int(n), np.uint8) for (n,) in lengths]
    parts[backend.rank] = own
    others = backend.others()
    yield backend.exchange([(own, r) for r in others], [(parts[r], r) for r in others], run.tag)
    return parts


def all_gather_object(
    object_list: list[Any], obj: Any, group: Any = None, *, allow_pickle: bool = False
) -> None:
    """Fill ``object_list`` with the objects of all ranks. Raises TypeError for an object that is
    neither JSON nor an array (see ``allow_pickle``)."""
    data = encode(obj, allow_pickle)

    def steps(run: _Run) -> Iterator[Pending]:
        parts = yield from _exchanged(run, data)
        object_list[:] = [decode(part, allow_pickle) for part in parts]

    start("all_gather_object", group, None, steps, False)


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Any = None,
    group_dst: int | None = None,
    *,
    allow_pickle: bool = False,
) -> None:
    """Fill ``object_gather_list`` of rank ``dst`` (0 if none is said) with the objects of all.
    Raises ValueError there without it, TypeError for an object that is neither JSON nor an array
    (see ``allow_pickle``)."""
    root = _root("gather_object", group, 0 if dst is group_dst is None else dst, group_dst)
    own = group_of(group)
    if own is not None and own.rank() == root and not isinstance(object_gather_list, list):
        raise ValueError(
            f"[gather_object] rank {own.ranks[root]}, which gathers, needs a list as "
            f"object_gather_list, got {object_gather_list!r}"
        )
    data = encode(obj, allow_pickle)

    def steps(run: _Run) -> Iterator[Pending]:
        backend = run.backend
        lengths = np.empty((backend.size, 1), np.int64)
        yield backend.all_gather(np.array([data.size]), lengths, run.tag)
        if backend.rank != root:
            yield backend.exchange([(data, root)], [], run.tag)
            return
        parts = [np.empty(int(n), np.uint8) for (n,) in lengths]
        parts[root] = data
        yield backend.exchange([], [(parts[r], r) for r in backend.others()], run.tag)
        object_gather_list[:] = [decode(p, allow_pickle) for p in parts]  # type: ignore[index]

    start("gather_object", group, None, steps, False, f"to {root}")


def broadcast_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
    *,
    allow_pickle: bool = False,
) -> None:
    """Replace the objects in the list, on all ranks, by those of rank ``src`` (0 if none is said).
    Raises TypeError for what is neither JSON nor an array (see ``allow_pickle``)."""
    root = _root("broadcast_object_list", group, 0 if src is group_src is None else src, group_src)
    own = group_of(group)
    is_root = own is not None and own.rank() == root
    data = encode([*object_list], allow_pickle) if is_root else np.empty(0, np.uint8)

    def steps(run: _Run) -> Iterator[Pending]:
        backend = run.backend
        lengths = np.empty((backend.size, 1), np.int64)
        yield backend.all_gather(np.array([data.size]), lengths, run.tag)
        whole = data if is_root else np.empty(int(lengths[root, 0]), np.uint8)
        others = [] if is_root else [(whole, root)]
        sends = [(whole, r) for r in backend.others()] if is_root else []
        yield backend.exchange(sends, others, run.tag)
        if not is_root:
            object_list[:] = decode(whole, allow_pickle)

    start("broadcast_object_list", group, None, steps, False, f"from {root}")


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: list[Any] | None = None,
    src: int | None = None,
    group: Any = None,
    group_src: int | None = None,
    *,
    allow_pickle: bool = False,
) -> None:
    """Put into ``scatter_object_output_list[0]`` of rank i what rank ``src`` (0 if none is said)
    has at i in ``scatter_object_input_list``. Raises ValueError where that has another length."""
    root = _root("scatter_object_list", group, 0 if src is group_src is None else src, group_src)
    own = group_of(group)
    whole: list[Any] = [[*(scatter_object_input_list or [])]]
    if own is not None and own.rank() == root and len(whole[0]) != own.size():
        raise ValueError(
            f"[scatter_object_list] of {own.size()} ranks, the list must have as many objects, "
            f"got {len(whole[0])}"
        )
    broadcast_object_list(whole, group=group, group_src=root, allow_pickle=allow_pickle)
    if own is not None:
        scatter_object_output_list[:1] = [whole[0][own.rank()]]
