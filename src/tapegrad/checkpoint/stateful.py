"""Objects with a state: modules, optimizers, schedulers, loaders, generators. Their states come
back into them, into all or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any, NamedTuple

from .errors import CheckpointError
from .reading import load
from .states import way_of


class _Found(NamedTuple):
    """An object that is to have a state: where it is, and by which methods."""

    where: str
    value: Any
    way: tuple[str, str]
    state: Any

    def give(self) -> Any:
        return deepcopy(getattr(self.value, self.way[0])())

    def take(self, state: Any) -> None:
        getattr(self.value, self.way[1])(state)


def restore(state: Any, path: Any, map_location: Any = None) -> Any:
    """Load a checkpoint into the objects that are to go on from it: ``restore({"model": model,
    "optimizer": optimizer, "epoch": 0}, path)``, with what ``save`` was given. Returns what was
    saved, with these objects in it instead of their states: here a dict, whose "epoch" is the saved
    one.

    What ``state`` has and the file has not is left as it is, unless an object has its state there;
    what only the file has is in the result.

    Raises CheckpointError, and all objects are as they were, if one cannot take its state or finds
    none; the message has the problems of all of them. (Their old states are kept meanwhile.)
    """
    loaded = load(path, map_location)
    found: list[_Found] = []
    problems: list[str] = []
    result = _matched(state, loaded, "", found, problems)
    _load_all(found, problems, f"restore: {path}")
    return result


def _matched(wanted: Any, loaded: Any, where: str, found: list[_Found], problems: list[str]) -> Any:
    """What was loaded, with the objects that are wanted instead of their states, which are added to
    ``found``."""
    way = way_of(wanted)
    if way is not None:
        found.append(_Found(where, wanted, way, loaded))
        return wanted
    inner = f"{where}." if where else ""
    if isinstance(wanted, Mapping) and isinstance(loaded, Mapping):
        result = dict(loaded)
        for key, value in wanted.items():
            if key in loaded:
                result[key] = _matched(value, loaded[key], f"{inner}{key}", found, problems)
            else:
                result[key] = value
                problems += [f"'{inner}{name}' is not in it" for name in _objects(value, str(key))]
        return result
    sequence = isinstance(wanted, (list, tuple)) and type(wanted) is type(loaded)
    if sequence and len(wanted) == len(loaded):
        pairs = enumerate(zip(wanted, loaded, strict=True))
        return type(wanted)([_matched(w, x, f"{inner}{i}", found, problems) for i, (w, x) in pairs])
    problems += [f"'{name}' is not in it" for name in _objects(wanted, where)]
    return loaded


def _objects(value: Any, where: str) -> list[str]:
    """Where in a structure there are objects with a state."""
    if way_of(value) is not None:
        return [where or "the object"]
    parts: Any = ()
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    inner = f"{where}." if where else ""
    return [name for key, part in parts for name in _objects(part, f"{inner}{key}")]


def _load_all(found: list[_Found], problems: list[str], what: str) -> None:
    """Give all objects their states; if one refuses, they are as they were."""
    before: list[tuple[_Found, Any]] = []
    try:
        for one in found:
            before.append((one, one.give()))
            try:
                one.take(one.state)
            except Exception as error:
                problems.append(f"'{one.where}': {error}" if one.where else str(error))
        if problems:
            raise CheckpointError(f"{what}: nothing was changed:\n  " + "\n  ".join(problems))
    except BaseException:
        for one, state in reversed(before):
            with suppress(Exception):  # or the others would stay as they are
                one.take(state)
        raise


def load_weights(
    model: Any,
    path: Any,
    *,
    strict: bool = True,
    key_map: Mapping[str, str | None] | Callable[[str], str | None] | None = None,
) -> Any:
    """Load a file of tensors by name into a module, whoever wrote it: ``save`` or ``torch.save`` of
    a state_dict, or Hugging Face's ``model.safetensors``, also in parts, of which the folder or the
    index is named. Returns what ``load_state_dict`` does: the missing and unexpected keys, which
    are an error unless ``strict=False``.

    key_map: a function from a name in the file to that in the module, or None for what is left
    out; or a dict. Its keys are names, or beginnings of names that end with a dot, of which the
    longest counts: ``{"transformer.": "", "lm_head.weight": None}``.

    Raises CheckpointError, and the module is as it was, for what does not fit: one message has all
    missing and unexpected keys and all shapes. Raises ValueError for two names that become one, and
    for a key of the dict that no name has.
    """
    # Loading into a module copies, so the file itself can be what is copied from.
    state = load(path, mmap=os.name == "posix")
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise CheckpointError(f"load_weights: {path} holds no dict of tensors by name")
    if key_map is not None:
        state = _renamed(state, key_map)
    try:
        return model.load_state_dict(state, strict=strict)
    except RuntimeError as error:
        inner = [key for key, value in state.items() if isinstance(value, Mapping)]
        hint = f"\n  (it has dicts in {inner}: model.load_state_dict takes one of them)"
        raise CheckpointError(f"load_weights: {path}: {error}{hint if inner else ''}") from error


def _renamed(state: Mapping[str, Any], key_map: Any) -> dict[str, Any]:
    new_name = key_map if callable(key_map) else _Replacing(key_map)
    renamed: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for key, value in state.items():
        name = new_name(key)
        if name is None:
            continue
        if name in renamed:
            raise ValueError(
                f"load_weights: key_map makes {name!r} of both {origin[name]!r} and {key!r}"
            )
        renamed[name], origin[name] = value, key
    if isinstance(new_name, _Replacing) and new_name.unused:
        raise ValueError(
            f"load_weights: no name in the file is or begins with {sorted(new_name.unused)}, which "
            "key_map has"
        )
    return renamed


class _Replacing:
    """A dict of names and beginnings of names, as a function of names."""

    def __init__(self, names: Mapping[str, str | None]):
        self.names = dict(names)
        self.unused = set(names)

    def __call__(self, key: str) -> str | None:
        fitting = [k for k in self.names if k == key or (k[-1:] in ("", ".") and key.startswith(k))]
        if not fitting:
            return key
        best = max(fitting, key=len)
        self.unused.discard(best)
        new = self.names[best]
        return new if new is None or best == key else new + key[len(best) :]
