"""Checkpoints in several files, and an index that says which tensor is in which, laid out as
Hugging Face does: ``model.safetensors.index.json`` beside its parts.

The index is written last and all at once, and the parts have new names each time: so whenever a
save ends, the index leads to the old parts or to the new. It holds the checksum of each part and
its own. Two saves to one name take turns.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tapegrad.core.files import require_regular_file
from tapegrad.core.tensor import Tensor

from . import formats, safetensors_file, tree
from .budget import Budget
from .errors import CheckpointError
from .replace import fcntl, remove_leftovers, replace
from .seal import BLANK, KEY, check_seal, place_in_json, seal
from .source import Arrays, Source

INDEX = ".index.json"
_END = ".safetensors"
_PART = r".+-[0-9a-f]{8}-\d{5}-of-\d{5}\.safetensors"
# Words in the metadata, and one beside them: if one is damaged, the others show whose it is.
_TREE, _PARTS, _MARK = "tapegrad.tree", "tapegrad.parts", "tapegrad"
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_MAIN = ("model.safetensors", "diffusion_pytorch_model.safetensors", "pytorch_model.bin")


def size_in_bytes(size: int | str) -> int:
    """A number of bytes, as such or as text: "5GB", "200MiB". Raises ValueError for others."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMG]I?B)?", str(size).upper())
    if found is None or float(found[1]) == 0:
        raise ValueError(f'max_shard_size is a number of bytes, or as "5GB", got {size!r}')
    return int(float(found[1]) * _UNITS[found[2] or ""])


def main_file(path: str) -> str:
    """The file to begin with: of a folder, or where there is only an index of this name."""
    if not os.path.isdir(path):
        index = path + INDEX
        return index if not os.path.exists(path) and os.path.exists(index) else path
    names = sorted(os.listdir(path))
    known = [n + end for n in _MAIN for end in ("", INDEX) if n + end in names]
    wholes = [n for n in names if n.endswith((".safetensors", INDEX)) and not n.startswith(".")]
    if not known and len(wholes) != 1:
        raise CheckpointError(
            f"load: {path} is a folder without {_MAIN[0]} or {_MAIN[0]}{INDEX}: name one of its "
            f"files ({', '.join(names[:20]) or 'it is empty'})"
        )
    return os.path.join(path, (known or wholes)[0])


# ---------------------------------------------------------------------- writing


def write(target: str, arrays: Arrays, text: str | None, most: int) -> None:
    """Write the parts, of at most so many bytes where one tensor is not larger, and the index."""
    folder, stem = os.path.split(target.removesuffix(_END))
    groups, like = list(_groups(arrays, most)), main_file(target)
    with _turn(folder):
        try:
            mark = os.urandom(4).hex()
            seals: dict[str, str] = {}
            where: dict[str, str] = {}
            for i, group in enumerate(groups, 1):
                name = f"{stem}-{mark}-{i:05}-of-{len(groups):05}{_END}"
                parts = safetensors_file.encode(name, group, None)
                seals[name] = safetensors_file.seal_of(bytes(parts[1]))
                replace(os.path.join(folder, name), parts, formats.check, like)
                where.update(dict.fromkeys(group, name))
            index = _index(arrays, text, seals, where)
            replace(target + INDEX, [index], _check_index_of, like)
        finally:  # also where the disk is full
            _remove_orphans(folder)


def _index(
    arrays: Arrays, text: str | None, seals: dict[str, str], where: dict[str, str]
) -> bytearray:
    size = sum(array.nbytes for array in arrays.values())
    metadata: dict[str, Any] = {KEY: BLANK.decode(), _PARTS: seals, "total_size": size}
    if text is not None:
        metadata[_TREE] = text
    names = {name: where[name] for name in arrays}
    index = {"metadata": metadata, "weight_map": names, _MARK: {}}
    data = bytearray(json.dumps(index, separators=(",", ":")).encode())
    return seal(data, place_in_json(data))


def remove(target: str) -> None:
    """Remove the index and the parts that were of this name, as it is one file now."""
    if os.path.exists(target + INDEX):
        folder = os.path.dirname(target)
        with _turn(folder):
            with suppress(FileNotFoundError):
                os.unlink(target + INDEX)
            _remove_orphans(folder)


def _check_index(data: bytes) -> None:
    check_seal(data, place_in_json(data), "the index")


def _check_index_of(source: Source) -> None:
    index = source.read(0, source.size)
    source.budget.spend_on_json(index)
    _check_index(index)


def _groups(arrays: Arrays, most: int) -> Iterator[Arrays]:
    group: Arrays = {}
    size = 0
    for name, array in arrays.items():
        if group and size + array.nbytes > most:
            yield group
            group, size = {}, 0
        group[name] = array
        size += array.nbytes
    yield group


@contextmanager
def _turn(folder: str) -> Iterator[None]:
    """Wait until no other process writes parts into this folder."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_orphans(folder: str) -> None:
    """Remove parts that no index in the folder lists: of earlier saves, and of those that were
    killed. While an index cannot be read, all stay."""
    remove_leftovers(folder, _PART)
    names = [name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))]
    with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
        indices = [_bytes_of(folder, name) for name in names if name.endswith(INDEX)]
        listed = {part for index in indices for part in json.loads(index)["weight_map"].values()}
        for name in names:
            if re.fullmatch(_PART, name) and name not in listed:
                os.unlink(os.path.join(folder, name))


def _bytes_of(folder: str, name: str) -> bytes:
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


# ---------------------------------------------------------------------- reading


def read(path: str, data: bytes, mapped: bool) -> tuple[Arrays, formats.Build]:
    """The arrays of all parts, and what makes of them, as tensors, what was saved."""
    Budget(len(data)).spend_on_json(data)  # and on the tree in it
    index = json.loads(data)
    metadata, where = index.get("metadata", {}), index["weight_map"]
    ours = KEY in metadata or _PARTS in metadata or _MARK in index
    if ours:
        _check_index(data)
    arrays: Arrays = {}
    builds: list[tuple[str, formats.Build, dict[str, str]]] = []
    for name in dict.fromkeys(where.values()):
        if not isinstance(name, str) or name in ("", ".", "..") or os.path.basename(name) != name:
            raise CheckpointError(f"the index names {name!r}, which is no file beside it")
        own, build = _read_part(os.path.join(os.path.dirname(path), name), mapped, metadata, ours)
        keys = {key: f"{name}/{key}" for key in own}
        arrays.update({keys[key]: array for key, array in own.items()})
        builds.append((name, build, keys))

    def built(tensors: dict[str, Tensor]) -> Any:
        found: dict[tuple[str, str], Any] = {}
        for name, build, keys in builds:
            part = build({key: tensors[full] for key, full in keys.items()})
            found.update({(name, key): value for key, value in part.items()})
        lacking = [f"{key!r} in {name}" for key, name in where.items() if (name, key) not in found]
        if lacking:
            raise CheckpointError(f"there is no {', '.join(lacking)}, where the index has it")
        state = {key: found[name, key] for key, name in where.items()}
        return tree.restore(metadata[_TREE], state) if ours and _TREE in metadata else state

    return arrays, built


def _read_part(
    path: str, mapped: bool, metadata: dict[str, Any], ours: bool
) -> tuple[Arrays, formats.Build]:
    name = os.path.basename(path)
    try:
        require_regular_file(path)
        with open(path, "rb") as file:
            source = Source(file, mapped)
            if ours:
                header = source.read(8, 8 + int.from_bytes(source.read(0, 8), "little"))
                if metadata[_PARTS].get(name) != safetensors_file.seal_of(header):
                    raise CheckpointError("it is of another save than the index, or damaged")
            return formats.decode(source)
    except FileNotFoundError:
        raise CheckpointError(f"{name}, which the index names, is missing") from None
    except OSError as error:
        raise CheckpointError(f"{name}, which the index names, is no part: {error}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from None
