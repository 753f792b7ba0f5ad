"""Checkpoints of many ranks: one file a rank, and an index, in a folder. They load on any number of
ranks, whole or sharded in any way.

Each file is one of ``checkpoint.save``'s. The index says of every tensor what shape it has and
which elements of its flat array are in which file; it is written last and all at once, so that
whenever a save ends, it leads to the old files or to the new.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.devices import to_numpy
from tapegrad.core.tensor import Tensor
from tapegrad.distributed.collectives import barrier
from tapegrad.distributed.groups import get_rank, get_world_size, is_initialized
from tapegrad.distributed.objects import all_gather_object, broadcast_object_list
from tapegrad.ops.creation.create import from_numpy

from .errors import CheckpointError
from .reading import load as load_file
from .states import way_of
from .writing import save as save_file

INDEX = "index.safetensors"
_PART = re.compile(r"rank-\d{5}-of-\d{5}-[0-9a-f]{8}\.safetensors")

Path = tuple[Any, ...]  # of a value in a state: keys and names


class _Piece(NamedTuple):
    """A tensor, and where it is in a whole of which this rank has a part."""

    tensor: Tensor
    sharding: Any


def save(state_dict: Mapping[str, Any], checkpoint_id: str | os.PathLike[str]) -> None:
    """Write a dict with modules, optimizers and other objects that have a state, numbers and text
    among them, into the folder ``checkpoint_id``: ``save({"model": model, "optimizer": optimizer,
    "epoch": 3}, "run/last")``. All ranks call it.

    Of parameters of ``fully_shard`` and their optimizer's state each rank writes its parts, of a
    ZeroRedundancyOptimizer those of its own parameters, and of what all have alike, one does.
    Numbers and text are those of rank 0.

    Raises CheckpointError for what no checkpoint holds, OSError if it cannot be written.
    """
    folder = os.fspath(checkpoint_id)
    rank, size = _place()
    entries = dict(_entries(state_dict))
    own: list[Any] = [_description(path, value) for path, value in entries.items()]
    everyones = _gathered(own)
    holders: dict[Path, list[int]] = {}
    for other, descriptions in enumerate(everyones):
        for path, *_ in descriptions:
            holders.setdefault(tuple(path), []).append(other)
    mark = _of_first(os.urandom(4).hex())
    files = [f"rank-{r:05}-of-{size:05}-{mark}.safetensors" for r in range(size)]
    tensors: dict[str, list[Any]] = {}
    values: list[Any] = []
    for number, (path, having) in enumerate(holders.items()):
        writer = having[number % len(having)]  # so that all write about equally much
        for other in having:
            found = next(d for d in everyones[other] if tuple(d[0]) == path)
            if found[1] == "value":
                values += [found[::2]] if other == having[0] else []
            elif found[1] == "part" or other == writer:
                _, _, shape, dtype, start, stop = found
                entry = tensors.setdefault(_name(path), [path, shape, dtype, []])
                entry[3].append([files[other], start, stop])
    mine = {
        name: _written(entries[tuple(path)])
        for name, (path, _, _, pieces) in tensors.items()
        if any(file == files[rank] for file, *_ in pieces)
    }
    os.makedirs(folder, exist_ok=True)
    save_file(mine, os.path.join(folder, files[rank]))
    _together()
    if rank == 0:
        index = {"ranks": size, "tensors": tensors, "values": values}
        save_file({"index": index}, os.path.join(folder, INDEX))
        for name in os.listdir(folder):
            if _PART.fullmatch(name) and name not in files:
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, name))
    _together()


def load(state_dict: dict[str, Any], checkpoint_id: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what ``save`` wrote, on any number of ranks, into the objects of a dict like the one
    that was saved, and its numbers and text into the dict, which is returned. All ranks call it;
    each reads what it needs.

    Raises CheckpointError where the folder has no index, a file of it is missing or damaged, and
    where an object finds no state, or not one that fits.
    """
    found = _Found(os.fspath(checkpoint_id))
    for key, wanted in state_dict.items():
        state_dict[key] = _loaded(found, (key,), wanted)
    _together()
    return state_dict


# ---------------------------------------------------------------------- what there is to write


def _is_optimizer(value: Any) -> bool:
    return hasattr(value, "param_groups") and hasattr(value, "state")


def _is_module(value: Any) -> bool:
    return hasattr(value, "named_parameters") and hasattr(value, "state_dict")


def _entries(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The tensors and plain values of a state, and where they are in it."""
    if isinstance(value, Tensor):
        yield path, _Piece(value, getattr(value, "sharding", None))
    elif _is_module(value):
        yield from _entries(value.state_dict(keep_vars=True), path)
    elif _is_optimizer(value):
        yield from _optimizer_entries(value, path)
    elif (way := way_of(value)) is not None:
        yield from _entries(getattr(value, way[0])(), path)
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _entries(item, (*path, key))
    else:
        yield path, value


def _optimizer_entries(optimizer: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    number = 0
    for i, group in enumerate(optimizer.param_groups):
        for key, option in group.items():
            if key not in ("params", "param_names"):
                yield (*path, "groups", i, key), option
        for p in group["params"]:
            sharding = getattr(p, "sharding", None)
            for key, value in optimizer.state.get(p, {}).items():
                at = (*path, "state", number, key)
                if sharding is not None and key in optimizer.like_parameters:
                    if value.shape != p.shape:
                        raise CheckpointError(
                            f"save: the state {key!r} of a sharded parameter has shape "
                            f"{tuple(value.shape)}, its part {tuple(p.shape)}: nobody can know "
                            "which elements of the whole these are"
                        )
                    yield at, _Piece(value, sharding)
                else:
                    yield from _entries(value, at)
            number += 1


def _description(path: Path, value: Any) -> list[Any]:
    if not isinstance(value, _Piece):
        return [[*path], "value", value]
    tensor, sharding = value
    if sharding is None:
        return [[*path], "whole", [*tensor.shape], tensor.dtype.name, 0, tensor.numel()]
    start, stop = _part(sharding)
    return [[*path], "part", [*sharding.shape], tensor.dtype.name, start, stop]


def _part(sharding: Any) -> tuple[int, int]:
    """Which elements of the flat whole this rank has."""
    start = min(sharding.group.rank() * sharding.length, sharding.numel)
    return start, min(start + sharding.length, sharding.numel)


def _written(piece: _Piece) -> Tensor:
    flat = np.ascontiguousarray(to_numpy(piece.tensor._array)).reshape(-1)
    if piece.sharding is not None:
        start, stop = _part(piece.sharding)
        flat = flat[: stop - start]
    return from_numpy(flat)


def _name(path: Path) -> str:
    return ".".join(map(str, path))


def _place() -> tuple[int, int]:
    return (get_rank(), get_world_size()) if is_initialized() else (0, 1)


def _gathered(value: Any) -> list[Any]:
    if not is_initialized():
        return [value]
    found: list[Any] = []
    all_gather_object(found, value)
    return found


def _of_first(value: Any) -> Any:
    found = [value]
    if is_initialized():
        broadcast_object_list(found, 0)
    return found[0]


def _together() -> None:
    if is_initialized():
        barrier()


# ---------------------------------------------------------------------- what is read


class _Found:
    """A checkpoint: its index, and those of its files that were needed so far."""

    def __init__(self, folder: str):
        self.folder = folder
        try:
            index = load_file(os.path.join(folder, INDEX))["index"]
        except FileNotFoundError:
            raise CheckpointError(
                f"load: {folder} has no {INDEX}: no save has ended there"
            ) from None
        self.tensors = {tuple(e[0]): e for e in index["tensors"].values()}
        self.values = {tuple(path): value for path, value in index["values"]}
        self._files: dict[str, dict[str, Tensor]] = {}

    def flat(self, path: Path, start: int, stop: int) -> Any:
        """These elements of a flat array."""
        _, _, dtype, pieces = self.tensors[path]
        parts = []
        at = start
        for file, first, last in sorted(pieces, key=lambda piece: piece[1]):
            low, high = max(at, first), min(stop, last)
            if low == at and low < high:
                array = self._file(file)[_name(path)]._array
                parts.append(array[low - first : high - first])
                at = high
        if at < stop:
            raise CheckpointError(
                f"load: {self.folder}: of {_name(path)!r}, elements {at} to {stop} are in no file"
            )
        return np.concatenate(parts) if parts else np.empty(0, dtype)

    def _file(self, name: str) -> dict[str, Tensor]:
        if name not in self._files:
            if not _PART.fullmatch(name):
                raise CheckpointError(f"load: {self.folder}: the index names {name!r}, no part")
            try:
                path = os.path.join(self.folder, name)
                self._files[name] = load_file(path, mmap=os.name == "posix")
            except FileNotFoundError:
                raise CheckpointError(
                    f"load: {self.folder}: {name}, which the index names, is missing"
                ) from None
        return self._files[name]

    def below(self, path: Path) -> list[Path]:
        """Where there is something in a part of the state."""
        known = [*self.tensors, *self.values]
        return [other for other in known if other[: len(path)] == path]

    def value(self, path: Path) -> Any:
        """A tensor, whole, or a plain value."""
        if path in self.values:
            return self.values[path]
        shape = self.tensors[path][1]
        return from_numpy(self.flat(path, 0, math.prod(shape)).reshape(shape).copy())


def _loaded(found: _Found, path: Path, wanted: Any) -> Any:
    if not found.below(path):
        if way_of(wanted) is None:
            return wanted
        raise CheckpointError(f"load: {found.folder} has no state of {_name(path)!r}")
    try:
        if _is_module(wanted):
            state = {
                key: _fitting(found, (*path, key), value)
                for key, value in wanted.state_dict(keep_vars=True).items()
                if (*path, key) in found.tensors or (*path, key) in found.values
            }
            wanted.load_state_dict(state)
        elif _is_optimizer(wanted):
            wanted.load_state_dict(_optimizer_state(found, path, wanted))
        elif (way := way_of(wanted)) is not None:
            getattr(wanted, way[1])(_nested(found, path))
        else:
            return _nested(found, path)
    except (RuntimeError, ValueError, KeyError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"load: {found.folder}: {_name(path)!r}: {error}") from error
    return wanted


def _fitting(found: _Found, path: Path, like: Any) -> Any:
    """A value for the place of ``like``: of a sharded tensor this rank's part."""
    sharding = getattr(like, "sharding", None)
    if sharding is None:
        return found.value(path)
    return _own_part(found, path, sharding)


def _own_part(found: _Found, path: Path, sharding: Any) -> Tensor:
    shape = tuple(found.tensors[path][1])
    if shape != tuple(sharding.shape):
        raise CheckpointError(
            f"load: {found.folder}: {_name(path)!r} has shape {shape}, here {sharding.shape}"
        )
    start, stop = _part(sharding)
    flat = found.flat(path, start, stop)
    part = np.zeros(sharding.length, flat.dtype)
    part[: flat.size] = flat
    return from_numpy(part)


def _optimizer_state(found: _Found, path: Path, optimizer: Any) -> dict[str, Any]:
    owns = getattr(optimizer, "owns", lambda p: True)
    groups, state = [], {}
    number = 0
    for i, group in enumerate(optimizer.param_groups):
        options = _nested(found, (*path, "groups", i))
        numbers = []
        for p in group["params"]:
            at = (*path, "state", number)
            if owns(p) and found.below(at):
                state[number] = {
                    place[-1]: _state_value(found, place, p, optimizer.like_parameters)
                    for place in found.below(at)
                }
            numbers.append(number)
            number += 1
        groups.append({**options, "params": numbers})
    return {"state": state, "param_groups": groups}


def _state_value(found: _Found, path: Path, p: Any, like_parameter: Sequence[str]) -> Any:
    sharding = getattr(p, "sharding", None)
    if sharding is None or path[-1] not in like_parameter:
        return found.value(path)
    return _own_part(found, path, sharding)


def _nested(found: _Found, path: Path) -> Any:
    """What is below ``path``, as dicts."""
    if path in found.values or path in found.tensors:
        return found.value(path)
    result: dict[Any, Any] = {}
    for other in found.below(path):
        *inner, last = other[len(path) :]
        at = result
        for key in inner:
            at = at.setdefault(key, {})
        at[last] = found.value(other)
    return result
