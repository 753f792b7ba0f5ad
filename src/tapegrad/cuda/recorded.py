"""Arrays of the emulated device that note what is computed with them, so that it can be repeated.

A GPU's driver records launches. The emulated device computes with NumPy's functions besides its
kernels: while work is recorded its arrays are ``Recorded``, through which NumPy hands every call to
the recording. A call whose result has memory of its own is repeated into that memory, a view is
none. What would wait for a GPU is refused as it is there, and so is an array of the host: then no
number of the first run is left in what is repeated.

Nothing of a recording has happened when it is over: it computes while it is made (shapes and dtypes
come of it), and then what it has written is put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from tapegrad.core.capture import refuse
from tapegrad.core.memory import HostTable

# Functions and methods whose result's shape, or Python number, depends on values: CuPy waits there.
# (Its sorts are Thrust's, which wait, too.)
_WAITING = """
    __bool__ __complex__ __contains__ __float__ __index__ __int__ allclose argpartition argsort
    argwhere array_equal array_equiv bincount compress extract flatnonzero item lexsort nonzero
    partition sort tobytes tolist unique
"""
WAITING = frozenset(_WAITING.split())
# Those that make an array of numbers, and of those of the host that they are given.
MAKING = frozenset(("arange", "empty", "eye", "full", "identity", "linspace", "ones", "zeros"))
CONVERTING = frozenset(("array", "asanyarray", "asarray", "ascontiguousarray", "asfortranarray"))


class Recording:
    """Calls, and the arrays that their results are in: ``replay`` repeats them all."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], Any]] = []
        self._before: list[tuple[np.ndarray, np.ndarray]] = []

    # ------------------------------------------------------------------ before and after

    def begin(self, arrays: Iterable[np.ndarray]) -> None:
        """Keep the values of the arrays that there are."""
        whole = {id(memory): memory for memory in map(_root, arrays)}
        self._before = [(memory, memory.copy()) for memory in whole.values()]

    def end(self) -> None:
        """Put them back."""
        for memory, values in self._before:
            if memory.flags.writeable:
                np.copyto(memory, values)
        self._before = []

    def replay(self) -> None:
        with np.errstate(all="ignore"):
            for step in self.steps:
                step()

    # ------------------------------------------------------------------ calls

    def call(self, function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The result of one call, noted."""
        given: dict[int, Recorded] = {}  # by their NumPy arrays, which the arguments keep
        args = tuple(_plain(x, given) for x in args)
        kwargs = {key: _plain(x, given) for key, x in kwargs.items()}
        with np.errstate(all="ignore"):
            result = function(*args, **kwargs)
        again = partial(function, *args, **kwargs)
        if result is None:
            self.steps.append(again)
            return None
        if id(result) in given:  # it may have been written to: out= has no place of its own
            self.steps.append(again)
            return given[id(result)]
        if isinstance(result, (np.ndarray, np.generic)):
            if isinstance(result, np.ndarray) and _is_view(result, given.values()):
                return result.view(Recorded)
            made = np.asarray(result)
            if function is np.empty_like:
                return made.view(Recorded)
            self.steps.append(partial(_into, made, again))
            return made.view(Recorded)
        if isinstance(result, (tuple, list)) and any(isinstance(r, np.ndarray) for r in result):
            return self._several(result, again, given)
        return result

    def _several(self, results: Any, again: partial, given: dict[int, Recorded]) -> Any:
        fresh = [r for r in results if not _is_view(r, given.values())]
        if fresh and len(fresh) < len(results):
            refuse(f"{again.func} returns views and copies")
        if fresh:
            self.steps.append(partial(_into_several, fresh, again))
        wrapped = [r.view(Recorded) for r in results]
        if hasattr(results, "_fields"):
            return type(results)(*wrapped)
        return type(results)(wrapped)

    def launch(self, function: Callable, arguments: tuple) -> Any:
        """Launch a kernel, noted."""
        for argument in arguments:
            _plain(argument, {})
        step = partial(function, *arguments)
        answer = step()
        self.steps.append(step)
        return answer


def _root(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _is_view(array: np.ndarray, of: Iterable[np.ndarray]) -> bool:
    return any(np.may_share_memory(array, other.view(np.ndarray)) for other in of)


def _into(made: np.ndarray, again: partial) -> None:
    np.copyto(made, again(), casting="no")


def _into_several(made: list[np.ndarray], again: partial) -> None:
    results = [r for r in again() if isinstance(r, np.ndarray)]
    for array, result in zip(made, results, strict=True):
        np.copyto(array, result, casting="no")


def _plain(value: Any, given: dict[int, Recorded]) -> Any:
    """NumPy's own array of an argument; ``given`` is told of it."""
    if isinstance(value, Recorded):
        array = value.view(np.ndarray)
        given[id(array)] = value
        return array
    if isinstance(value, np.ndarray) and value.ndim and not isinstance(value, HostTable):
        refuse(
            f"an array of the host, {value.dtype} {value.shape}, would be the same in every "
            "replay: make it on the device before, and copy what changes into it"
        )
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)([_plain(x, given) for x in value])
    return value


# ---------------------------------------------------------------------- the arrays


computing: list[Recording] = []  # that is being made, if one is


def _call(function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Of a Recorded that has outlived its recording, a call like any other."""
    if not computing:
        given: dict[int, Recorded] = {}
        args = tuple(_plain(x, given) for x in args)
        return function(*args, **{key: _plain(x, given) for key, x in kwargs.items()})
    name = getattr(function, "__name__", "")
    if name in WAITING:
        refuse(f"NumPy's {name} needs values of the device on the host")
    return computing[-1].call(function, args, kwargs)


class Recorded(np.ndarray):
    """An array of the device whose work is recorded."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None and len(kwargs["out"]) == 1:
            (kwargs["out"],) = kwargs["out"]
        return _call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func.__name__ == "where" and len(args) == 1:
            refuse("NumPy's where(condition) needs values of the device on the host")
        return _call(func, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        if any(_is_mask(part) for part in (index if isinstance(index, tuple) else (index,))):
            refuse("the shape of x[mask] depends on the mask's values: use where, or a product")
        parts = index if isinstance(index, tuple) else (index,)
        if not any(part is Ellipsis or isinstance(part, (np.ndarray, list)) for part in parts):
            index = (*parts, ...)  # a view of one element as well
        return _call(np.ndarray.__getitem__, (self, index), {})

    def __iter__(self) -> Iterator:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __setitem__(self, index: Any, value: Any) -> None:
        _call(np.ndarray.__setitem__, (self, index, value), {})


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind == "b"


def _method(name: str) -> Callable:
    own = getattr(np.ndarray, name)

    def method(self: Recorded, *args: Any, **kwargs: Any) -> Any:
        return _call(own, (self, *args), kwargs)

    return method


# (What only looks at an array in another way needs none: views are Recorded, too.)
_METHODS = """
    __bool__ __complex__ __contains__ __float__ __index__ __int__ all any argmax argmin argpartition
    argsort astype byteswap choose clip compress conj copy cumprod cumsum diagonal dot fill flatten
    item max mean min nonzero partition prod put ravel repeat reshape round searchsorted sort std
    sum take tobytes tolist trace var
"""
for _name in _METHODS.split():
    setattr(Recorded, _name, _method(_name))


class Library:
    """NumPy for the recorded device: functions that make arrays make Recorded ones."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        as_strided = partial(np.lib.stride_tricks.as_strided, subok=True)
        self.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=as_strided))

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if name in MAKING:
            found = partial(self._make, found, name != "empty")
        elif name in CONVERTING:
            found = partial(self._convert, found)
        setattr(self, name, found)
        return found

    def _make(self, function: Callable, repeated: bool, *args: Any, **kwargs: Any) -> Any:
        made = function(*[_plain(x, {}) for x in args], **kwargs)
        if repeated:
            again = partial(function, *args, **kwargs)
            self._recording.steps.append(partial(_into, made, again))
        return made.view(Recorded)

    def _convert(self, function: Callable, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, Recorded):
            return self._recording.call(function, (value, *args), kwargs)
        if isinstance(value, np.ndarray) and value.ndim:
            _plain(value, {})
        elif isinstance(value, (list, tuple)) and value:
            refuse(
                "numbers of the host, in a list, would be the same in every replay: make the "
                "tensor before, and copy what changes into it"
            )
        return self._make(function, True, value, *args, **kwargs)
