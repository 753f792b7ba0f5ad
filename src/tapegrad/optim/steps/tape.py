"""A step on the tape: the calls that it consists of, made on Tensors, so that gradients flow
through it to the gradients, the state and the options that are tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from tapegrad.core.caller import tensor_xp
from tapegrad.core.commit import commit
from tapegrad.core.tensor import Tensor, taking
from tapegrad.ops.creation.create import full_like


class Slot:
    """Where an array stands in a step's calls: its value, a new Tensor after each of them."""

    def __init__(self, value: Tensor | None = None) -> None:
        self.value = value


class Work:
    """As ``chunks.Work``, for slots."""

    reduce = staticmethod(np.sum)

    def __init__(self, like: Tensor) -> None:
        self._like = like

    def scratch(self) -> Slot:
        return Slot()

    def number(self, x: Any) -> Any:
        return x.reshape(()).to(self._like.device) if isinstance(x, Tensor) else float(x)

    def cell(self, number: float = 0.0) -> Slot:
        return Slot(full_like(self._like.detach().reshape(-1)[:1].sum(), number))


def on_tape(
    update: Callable[..., Iterator[tuple]], arrays: tuple[Any, ...], then: list[partial]
) -> None:
    """Make the calls of ``update``. What they made of a Tensor is what it is from then on: in
    memory of its own, so what was recorded of it before stays right, and can be differentiated."""
    slots: list[Any] = [None if a is None else Slot(a) for a in arrays]
    for call in update(Work(arrays[0]), *slots):
        if len(call) > 1:  # else it says how to go over chunks
            function, *inputs, out = call
            values = [x.value if isinstance(x, Slot) else x for x in inputs]
            out.value = _on_tensors(function, values)
    changed = [
        (a, slot.value)
        for a, slot in zip(arrays, slots, strict=True)
        if a is not None and slot.value is not a
    ]
    for a, _ in changed:
        a._leave_memory()
    names = ("_array", "_node", "_storage")
    changes = [
        step
        for a, value in changed
        for step in taking(a, {name: getattr(value, name) for name in names})
    ]
    commit([*changes, *then])


def _on_tensors(function: Any, values: list) -> Tensor:
    if function is np.sum:
        return values[0].sum()
    if function is np.positive:
        return values[0].clone()
    return getattr(tensor_xp, function.__name__)(*values)
