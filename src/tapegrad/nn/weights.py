"""How layers make their parameters, and what most of them start with."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.ops.creation.create import empty

from . import init
from .module import Module
from .parameter import Parameter


def add_parameter(
    layer: Module, name: str, shape: tuple[int, ...] | None, device: Any, dtype: Any
) -> None:
    """Register a parameter of this shape, its numbers not yet set; None keeps the name for one."""
    made = None if shape is None else Parameter(empty(shape, device=device, dtype=dtype))
    layer.register_parameter(name, made)


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """What of a constructor's keyword arguments is for making tensors: device, dtype and
    memory_format, given as such or in a dict ``factory_kwargs``. Raises TypeError for other words,
    and for one that is given twice."""
    if kwargs is None:
        return {}
    simple = {"device", "dtype", "memory_format"}
    unknown = sorted(kwargs.keys() - simple - {"factory_kwargs"})
    own = dict(kwargs.get("factory_kwargs", {}))
    twice = sorted(own.keys() & kwargs.keys())
    if unknown or twice:
        problem = f"unknown: {', '.join(unknown)}" if unknown else f"twice: {', '.join(twice)}"
        raise TypeError(f"[factory_kwargs] takes device, dtype and memory_format once; {problem}")
    return own | {name: value for name, value in kwargs.items() if name in simple}


def start_uniform(layer: Module, fan_in: int) -> None:
    """Draw a layer's own parameters from -1 / sqrt(fan_in)..1 / sqrt(fan_in), or make
    them 0 where there is no input."""
    for parameter in layer.parameters(recurse=False):
        if fan_in:
            bound = 1.0 / math.sqrt(fan_in)
            init.uniform_(parameter, -bound, bound)
        else:
            init.zeros_(parameter)
