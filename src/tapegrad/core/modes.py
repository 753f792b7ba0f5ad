"""Whether the tape records: thread by thread, and on in every new thread."""

from __future__ import annotations

import functools
import io
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from .accelerator import compiled

# (A ContextVar reads twice as fast as an attribute of threading.local, and every operation asks.)
recording: ContextVar[bool] = ContextVar("recording", default=True)
inference: ContextVar[bool] = ContextVar("inference", default=False)


F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound="_Entered")
V = TypeVar("V")


def flag(op: str, name: str, value: Any) -> bool:
    """True or False, also NumPy's or as 1 or 0. Raises TypeError for anything else."""
    if value is True or value is False:
        return value
    if isinstance(value, np.bool_) or (type(value) is int and value in (0, 1)):
        return bool(value)
    raise TypeError(f"[{op}] {name} must be True or False, got {type(value).__name__}")


class _Closing(io.IOBase):
    """Of which ``__exit__`` does nothing but call ``close()``, and is written in C."""

    closed = True  # no close() when it dies


class _Exit:
    """The ``__exit__`` of a setting: a function without a line of Python.

    Python serves an interrupt where one of its own functions begins, and then ``__exit__`` would be
    over before it has restored anything, and the mode wrong for good. So what is restored is
    prepared when ``with`` asks for ``__exit__``, which is before it calls ``__enter__``.
    """

    def __get__(self, setting: Any, owner: type) -> Callable:
        if setting is None:  # for contextlib, which asks the class
            return lambda setting, *exception: setting.__exit__(*exception)
        closing = _Closing()
        closing.close = _calls(map(list.pop, (setting._before,)))  # type: ignore[method-assign]
        return closing.__exit__


def _calls(functions: Iterable[partial]) -> partial:
    """One function, in C, that calls all of these, once."""
    return partial(deque, map(partial.__call__, functions), 0)


class holds(Generic[V]):
    """``with holds(variable, value)``: within it a ContextVar has this value, and behind it the one
    before, wherever an interrupt comes."""

    __exit__ = _Exit()

    def __init__(self, variable: ContextVar[Any], value: V) -> None:
        self._variable, self._value = variable, value
        self._before: list[partial] = []

    def __enter__(self) -> V:
        restore = partial(self._variable.set, self._variable.get())
        try:
            self._before.append(restore)
            self._variable.set(self._value)
        except BaseException:
            if restore in self._before:
                self.__exit__()
            raise
        return self._value


def _decorated(setting: Any, function: Callable | None = None) -> Any:
    return setting if function is None else setting(function)


if compiled is not None and not TYPE_CHECKING:
    compiled.use_modes(recording, inference)
    _Entered = compiled.Setting
else:

    class _Entered:
        """What enters and leaves the mode that ``enabled`` and ``infers`` say. Where the tape was
        compiled, this is a type in C (csrc/tape/modes.cpp)."""

        enabled: bool
        infers: bool | None
        _at_first: bool | None
        _before: list[partial]  # what restores the mode, the latest last
        __exit__ = _Exit()

        def __new__(cls: type[S], *arguments: Any, **keywords: Any) -> S:
            setting = object.__new__(cls)
            setting._before = []
            bare = cls.__init__ is object.__init__
            return _decorated(setting, *arguments, **keywords) if bare else setting

        def __enter__(self) -> None:
            restore = partial(
                recording.set, recording.get() if self._at_first is None else self._at_first
            )
            if self.infers is not None:
                restore = _calls([restore, partial(inference.set, inference.get())])
            try:
                self._before.append(restore)
                recording.set(self.enabled)
                if self.infers is not None:
                    inference.set(self.infers)
            except BaseException:
                if restore in self._before:
                    self.__exit__()
                raise


class _Setting(_Entered):
    """A context manager and decorator that sets the mode for a stretch of code. Re-entrant. An
    interrupt leaves the mode as it was before the ``with``. A class without an ``__init__`` may
    decorate without parentheses, as in PyTorch."""

    enabled = True
    infers: bool | None = None  # None: leave inference mode as it is
    _at_first: bool | None = None  # the mode before, if it was changed before the ``with``

    def __call__(self, function: F) -> F:
        if not callable(function):
            raise TypeError(
                f"[{type(self).__name__}] decorates functions, got {type(function).__name__}"
            )

        def fresh() -> _Setting:  # one for every call: calls may overlap in threads
            setting = _Setting()
            setting.enabled, setting.infers = self.enabled, self.infers
            return setting

        if _is_generator_function(function):
            return _step_by_step(function, fresh)  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with fresh():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def _is_generator_function(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & 0x20)


def _step_by_step(function: Callable, fresh: Callable[[], _Setting]) -> Callable:
    """A generator function each of whose steps runs in a setting; between them its caller does
    not."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        step, value = generator.send, None
        while True:
            try:
                with fresh():
                    result = step(value)
            except StopIteration as end:
                return end.value
            try:
                step, value = generator.send, (yield result)
            except GeneratorExit:
                with fresh():
                    generator.close()
                raise
            except BaseException as error:
                step, value = generator.throw, error

    return wrapped


class no_grad(_Setting):
    """Nothing is recorded: results do not require grad."""

    enabled = False


class enable_grad(_Setting):
    """Recording again, inside ``no_grad``."""

    enabled = True


class inference_mode(_Setting):
    """``no_grad`` for results that will never be recorded. Raises TypeError if it decorates without
    parentheses."""

    def __init__(self, mode: bool = True):
        if callable(mode):
            raise TypeError("use @inference_mode(), with parentheses")
        self.infers = flag("inference_mode", "mode", mode)
        self.enabled = not self.infers


class set_grad_enabled(_Setting):
    """Recording or not, by a bool: at once, and until the end of a ``with``."""

    def __init__(self, mode: bool):
        self.enabled = flag("set_grad_enabled", "mode", mode)
        self._at_first = recording.get()
        recording.set(self.enabled)

    def __call__(self, function: F) -> F:
        recording.set(bool(self._at_first))  # a decorator changes nothing now
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require grad are recorded in this thread."""
    return recording.get()


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside ``inference_mode``."""
    return inference.get()
