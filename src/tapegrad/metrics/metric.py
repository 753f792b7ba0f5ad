"""The protocol of a metric that is gathered batch by batch, and what all metrics share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.creation.create import from_numpy


class Metric(Retelling):
    """Base class: ``update(input, target)`` once a batch, ``compute()`` for the score of all since
    ``reset()``.

    A subclass defines ``update`` and ``compute`` and keeps in the dict ``state`` what they share;
    ``_empty()`` makes that of no batches. A loop asks for nothing but these three, so any object
    that has them is a metric. With ``state_dict`` and ``load_state_dict`` it also goes on after a
    resume, with ``merge`` it can be shared by several ranks.
    """

    def __init__(self) -> None:
        self.reset()

    def _empty(self) -> dict[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} does not define _empty()")

    def reset(self) -> None:
        """Forget all batches."""
        self.state = self._empty()

    def update(self, input: Any, target: Any) -> None:
        """Add a batch: what a model returned, and what would be right."""
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    def compute(self) -> Any:
        """The score of all batches together."""
        raise NotImplementedError(f"{type(self).__name__} does not define compute()")

    def state_dict(self) -> dict[str, Any]:
        """What was gathered, arrays as tensors."""
        return {name: _saved(value) for name, value in self.state.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what was gathered. Raises ValueError for another metric's state."""
        if not isinstance(state_dict, Mapping) or state_dict.keys() != self._empty().keys():
            given = sorted(state_dict) if isinstance(state_dict, Mapping) else state_dict
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: a state has the entries "
                f"{sorted(self._empty())}, got {given}"
            )
        self.state = {name: _loaded(value) for name, value in state_dict.items()}

    def merge(self, state_dict: Mapping[str, Any]) -> None:
        """Add what another one of its kind has gathered. Raises ValueError for another metric's
        state."""
        before = self.state
        self.load_state_dict(state_dict)
        self.state = {name: _added(before[name], more) for name, more in self.state.items()}


def measured(metric: Any, input: Any, target: Any) -> Any:
    """A metric of one batch."""
    metric.update(input, target)
    return metric.compute()


def host(x: Tensor) -> np.ndarray:
    """The numbers of a tensor on the host, of the 16-bit floats as float32."""
    x = x.detach()
    return (x.float() if x.is_floating_point() and x.itemsize == 2 else x).cpu().numpy()


def require_tensors(op: str, **given: Any) -> None:
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"[{op}] {name} must be a Tensor, got {type(value).__name__}")


def require_lists(op: str, of: str, **given: Any) -> None:
    """Raise TypeError for what is no list of ``of``."""
    for name, value in given.items():
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"[{op}] {name} must be a list of {of}, got {type(value).__name__}")


def grown(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array with zeros added at the ends of its dimensions, to at least this shape."""
    missing = [(0, max(n - old, 0)) for n, old in zip(shape, array.shape, strict=True)]
    return np.pad(array, missing) if any(after for _, after in missing) else array


def _added(a: Any, b: Any) -> Any:
    """Counts, tables of counts, lists of batches: those of both."""
    if isinstance(a, np.ndarray) and a.ndim == b.ndim:
        a, b = grown(a, b.shape), grown(b, a.shape)
    return a + b


def _saved(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return from_numpy(value.copy())
    if isinstance(value, dict):
        return {name: _saved(v) for name, v in value.items()}
    return [_saved(v) for v in value] if isinstance(value, list) else value


def _loaded(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu().numpy().copy()
    if isinstance(value, Mapping):
        return {name: _loaded(v) for name, v in value.items()}
    return [_loaded(v) for v in value] if isinstance(value, list) else value
