"""Reports of where a nan comes from: the operation, its line in your program, the first element.

While the mode is on, the result of every operation on Tensors is checked, and every gradient that a
rule makes; the line that called an operation is kept with the tick of its node, so that the
message about a nan in the backward pass can name the line of the forward pass. Nothing is checked
while it is off: operations then run what they always run (see ``caller.interpose``).
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.core import caller, deferred, engine
from tapegrad.core.devices import Device, to_numpy
from tapegrad.core.fields import serials
from tapegrad.core.modes import flag
from tapegrad.core.tensor import Tensor

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_KEPT = 200_000  # lines of calls; the oldest half is dropped when there are more


class AnomalyError(RuntimeError):
    """An operation made a nan: the message says which, where it was called, and which element."""


class _Clock:
    """The tape's clock, noting for each tick the line of the program at that time."""

    def __init__(self) -> None:
        self.lines: dict[int, tuple[str, int]] = {}

    def __next__(self) -> int:
        tick = next(serials)
        if len(self.lines) >= _KEPT:
            for old in list(self.lines)[: _KEPT // 2]:
                del self.lines[old]
        self.lines[tick] = _caller()
        return tick


_clock: _Clock | None = None


class detect_anomaly:
    """Within it, an operation that makes a nan raises AnomalyError, in the forward pass and in the
    backward pass, naming the operation, the line of the program that called it, shapes, and the
    first nan. ``check_nan=False``: only the lines are kept. For all threads.

    Data that is meant to hold nan (gaps) is reported too, at the operation that reads it first, as
    the nan of an input. Raises TypeError for a ``check_nan`` that is neither True nor False.
    """

    def __init__(self, check_nan: bool = True):
        self._check = flag(type(self).__name__, "check_nan", check_nan)
        self._before: tuple[_Clock | None, bool] | None = None

    def __enter__(self) -> None:
        self._before = _state()
        _switch(_clock or _Clock(), self._check)

    def __exit__(self, *error: Any) -> None:
        _switch(*self._before)  # type: ignore[misc]


class set_detect_anomaly(detect_anomaly):
    """``detect_anomaly`` switched on or off by a call; as a context manager, until its end."""

    def __init__(self, mode: bool, check_nan: bool = True):
        super().__init__(check_nan)
        mode = flag("set_detect_anomaly", "mode", mode)
        before = _state()
        if mode:
            self.__enter__()
        else:
            _switch(None, False)
        self._before = before

    def __enter__(self) -> None:
        if self._before is None:
            super().__enter__()


def is_anomaly_enabled() -> bool:
    """Whether ``detect_anomaly`` is on."""
    return _clock is not None


def _state() -> tuple[_Clock | None, bool]:
    """The clock, if the mode is on, and whether there are checks."""
    return _clock, engine.inspect is not None


def _switch(clock: _Clock | None, checks: bool) -> None:
    global _clock
    _clock, engine.inspect = clock, _check_gradient if checks else None
    deferred.at_once = clock is not None
    caller.interpose(_checked, checks)
    caller.set_clock(serials if clock is None else clock)


# ---------------------------------------------------------------------- the checks


def _checked(name: str, device: Device, implementation: Callable) -> Callable:
    """The implementation of an operation, with a look at its results."""

    def run(*arrays: Any, **parameters: Any) -> Any:
        results = implementation(*arrays, **parameters)
        for result in results if isinstance(results, tuple) else (results,):
            if _has_nan(result, device):
                raise _forward_error(name, result, arrays)
        return results

    return run


def _has_nan(array: Any, device: Device) -> bool:
    dtype = getattr(array, "dtype", None)
    if dtype is None or dtype.kind not in "fV":
        return False
    if dtype.kind == "V" or dtype.itemsize == 2 or not isinstance(array, device.array_type):
        return bool((array != array).any())
    square = device.library.vdot(array, array)  # one pass, and nan only if an element is
    return bool(square != square)


def _forward_error(name: str, result: Any, arrays: tuple) -> AnomalyError:
    index = _first_nan(result)
    described = []
    for i, a in enumerate(arrays):
        if not hasattr(a, "dtype"):
            continue
        text = f"input {i} is {a.dtype.name} of shape {tuple(a.shape)}"
        if a.dtype.kind in "fV" and bool((a != a).any()):
            text += f" and holds nan itself, first at {_position_text(_first_nan(a))}"
        elif tuple(a.shape) == tuple(result.shape):
            text += f" and {to_numpy(a)[index]} there" if a.ndim else f" and {a}"
        described.append(text)
    return AnomalyError(
        f"[{name}] made nan in the forward pass: its result of shape {tuple(result.shape)} is nan "
        f"first at {_position_text(index)}; {'; '.join(described)}. "
        f"Called at {_line_text(_caller())}"
    )


def _check_gradient(node: Any, edge: Any, gradient: Any) -> None:
    array = gradient._array if isinstance(gradient, Tensor) else gradient
    if not _has_nan(array, node.device):
        return
    number = next(i for i, e in enumerate(node.edges) if e is edge)
    line = _clock.lines.get(node.serial) if _clock else None
    where = "not called under detect_anomaly" if line is None else f"called at {_line_text(line)}"
    result = f"the result had shape {tuple(node.shape)}"
    if node.dtype is None:  # of several
        result = f"there were {len(node.results)} results"
    raise AnomalyError(
        f"[{node.name()}] made nan in the backward pass: the gradient of input {number} of "
        f"'{node.primitive.name}', of shape {tuple(array.shape)}, is nan first at "
        f"{_position_text(_first_nan(array))}; {result}. In the forward pass "
        f"'{node.primitive.name}' was {where}"
    )


# ---------------------------------------------------------------------- describing


def _first_nan(array: Any) -> tuple[int, ...]:
    host = to_numpy(np.asarray(array) if isinstance(array, np.generic) else array)
    flat = int(np.argmax((host != host).reshape(-1)))
    return tuple(int(i) for i in np.unravel_index(flat, host.shape))


def _position_text(index: tuple[int, ...]) -> str:
    return f"index {index}" if index else "its only element"


def _caller() -> tuple[str, int]:
    """File and line of the nearest call from outside this package."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _line_text(line: tuple[str, int]) -> str:
    file, number = line
    text = linecache.getline(file, number).strip()
    return f"{file}:{number}" + (f": {text}" if text else "")
