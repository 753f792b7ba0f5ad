"""What array functions do with a kernel's results: sums over its rows, and what follows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tapegrad.core.devices import Device

from .axes import INPUT, NUMBER, VIEW, Step, parts_of
from .functions import REDUCTIONS


def replay(device: Device, step: Step, known: Mapping[int, Any]) -> Any:
    """The step's array, from those of its inputs."""
    given = [_value(device, t, known) for t in step.inputs if not isinstance(t, tuple)]
    if step.op == VIEW:
        return _view(device, given[0], step.inputs[0], step)
    if step.op in REDUCTIONS:
        return _reduction(device, given[0], step)
    if step.op == "cast":
        return given[0].astype(step.dtype)
    return device.asarray(device.ops[step.op](*given))


def whole(device: Device, step: Step, known: Mapping[int, Any]) -> Any:
    """A step's array as a result, which shares memory with no input."""
    array = _value(device, step, known)
    if step.op == NUMBER:
        return device.library.full(step.shape, array, step.dtype)
    return array.copy() if step.op == INPUT else array


def _value(device: Device, given: Any, known: Mapping[int, Any]) -> Any:
    if not isinstance(given, Step):
        return given
    if given.op == NUMBER:
        return given.dtype.type(given.inputs[0])
    return known[id(given)]


def _view(device: Device, array: Any, source: Step, view: Step) -> Any:
    """Dimensions in another order, of other groups, of size 1 or repeated."""
    before, after = parts_of(source.axes), parts_of(view.axes)
    array = array.reshape([axis.size for axis in before])
    array = array.transpose([before.index(axis) for axis in after if axis in before])
    sizes = iter(array.shape)
    array = array.reshape([next(sizes) if axis in before else 1 for axis in after])
    repeated = math.prod(axis.size for axis in after if axis not in before) != 1
    if repeated:
        array = device.library.broadcast_to(array, [axis.size for axis in after])
    return array.reshape(view.shape)


def _reduction(device: Device, array: Any, step: Step) -> Any:
    source, over = step.inputs[0], set(parts_of([step.inputs[1]]))
    axes = parts_of(source.axes)
    array = array.reshape([axis.size for axis in axes])
    gone = tuple(i for i, axis in enumerate(axes) if axis in over)
    name = {"sum": "sum", "max": "amax", "min": "amin"}[step.op]
    return device.ops[name](array, axis=gone, keepdims=False).reshape(step.shape)
