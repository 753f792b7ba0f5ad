"""What is saved beside tensors: dicts, lists, tuples and plain values around them, as JSON text.

A dict of tensors by name needs none of it. Anything else is described by lists that begin with what
they are: ``["dict", [key, value], ...]``, ``["list", ...]``, ``["tuple", ...]``, ``["tensor",
name]``, ``["float", "nan"]``, ``["dtype", "float32"]``, ``["device", "cpu"]``, ``["size", ...]``;
numbers, text, true, false and null stand for themselves. Reading it makes nothing else than these.
An object with a state is described by that.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.tensor import Size, Tensor

from .errors import CheckpointError
from .pickle_opcodes import LARGEST_KEY
from .states import way_of

_DEEPEST = 100
_LONGEST = 200
_RESERVED = ("file", "allow_pickle", "__metadata__", "__tree__")  # what a format keeps for itself


def is_plain(state: Any) -> bool:
    """Whether it is a dict of tensors by name, which both formats hold as it is."""
    return isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    )


def flatten(state: Any, refuse: Callable[[str], CheckpointError]) -> tuple[str, dict[str, Tensor]]:
    """A structure as text, and its tensors by name. Raises what ``refuse`` makes of the reason
    where it holds anything else than the module's docstring says."""
    tensors: dict[str, Tensor] = {}
    names: dict[int, str] = {}

    def described(value: Any, path: tuple[str, ...]) -> Any:
        if len(path) > _DEEPEST:
            raise refuse(f"it is nested more than {_DEEPEST} deep, or holds itself")
        if isinstance(value, np.bool_):
            value = bool(value)
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, np.generic) and value.dtype.kind in "iuf":
            value = value.item()
        if isinstance(value, int) and not isinstance(value, bool):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else ["float", repr(float(value))]
        if isinstance(value, Tensor):
            if id(value) not in names:
                name = re.sub(r"[^\w.-]", "_", ".".join(path))[:_LONGEST] or "tensor"
                while name in tensors or name in _RESERVED:
                    name += "_"
                names[id(value)], tensors[name] = name, value
            return ["tensor", names[id(value)]]
        if isinstance(value, Mapping):
            items = value.items()
            return [
                "dict",
                *([described(k, path), described(v, (*path, str(k)))] for k, v in items),
            ]
        if isinstance(value, (list, tuple)):
            kind = {list: "list", tuple: "tuple", Size: "size"}.get(type(value))
            if kind is not None:
                parts = [described(v, (*path, str(i))) for i, v in enumerate(value)]
                return [kind, *parts]
        if isinstance(value, np.dtype):
            return ["dtype", value.name]
        if isinstance(value, Device):
            return ["device", str(value)]
        way = way_of(value)
        if way is not None:
            return described(getattr(value, way[0])(), path)
        where = ".".join(path) or "it"
        raise refuse(
            f"{where!r} is of type {type(value).__name__}, which no checkpoint holds: pass "
            "numbers, text, tensors, and dicts, lists and tuples of them, such as vars(args), "
            "x.state_dict(), str(path), tapegrad.from_numpy(array)"
        )

    return json.dumps(described(state, ()), allow_nan=False), tensors


def restore(text: str, tensors: Mapping[str, Tensor]) -> Any:
    """The structure that ``flatten`` described."""
    return _restored(json.loads(text), tensors)


def _restored(description: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(description, list):
        return description
    kind, *parts = description
    if kind == "dict":
        keys = [_restored(k, tensors) for k, _ in parts]
        if any(isinstance(k, int) and abs(k) >= LARGEST_KEY for k in keys):
            raise CheckpointError("a key in it is a very large number")
        return {k: _restored(v, tensors) for k, (_, v) in zip(keys, parts, strict=True)}
    if kind in ("list", "tuple", "size"):
        make = {"list": list, "tuple": tuple, "size": Size}[kind]
        return make([_restored(part, tensors) for part in parts])
    (content,) = parts
    makers: dict[str, Callable] = {
        "tensor": tensors.__getitem__,
        "float": float,
        "dtype": dtypes.dtype,
        "device": Device,
    }
    if kind not in makers:
        raise CheckpointError(f"it describes a {kind!r}, which this version does not know")
    return makers[kind](content)
