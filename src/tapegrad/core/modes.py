"""Whether the tape records: thread by thread, and on in every new thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

# (A ContextVar reads twice as fast as an attribute of threading.local, and every operation asks.)
recording: ContextVar[bool] = ContextVar("recording", default=True)
inference: ContextVar[bool] = ContextVar("inference", default=False)


F = TypeVar("F", bound=Callable[..., Any])


def flag(op: str, name: str, value: Any) -> bool:
    """True or False, also NumPy's or as 1 or 0. Raises TypeError for anything else."""
    if value is True or value is False:
        return value
    if isinstance(value, np.bool_) or (type(value) is int and value in (0, 1)):
        return bool(value)
    raise TypeError(f"[{op}] {name} must be True or False, got {type(value).__name__}")


class _Setting:
    """A context manager and decorator that sets the mode for a stretch of code. Re-entrant."""

    enabled = True
    infers: bool | None = None  # None: leave inference mode as it is

    def __init__(self) -> None:
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((recording.get(), inference.get()))
        self._set(self.enabled, self.infers)

    def __exit__(self, *exception: Any) -> None:
        self._set(*self._before.pop())

    @staticmethod
    def _set(enabled: bool, infers: bool | None) -> None:
        recording.set(enabled)
        if infers is not None:
            inference.set(infers)

    def __call__(self, function: F) -> F:
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


class _Bare(_Setting):
    """A setting without arguments, which may decorate without parentheses, as in PyTorch."""

    def __new__(cls, function: Callable | None = None) -> Any:
        if function is not None and not callable(function):
            raise TypeError(f"[{cls.__name__}] decorates functions, got {type(function).__name__}")
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Callable | None = None):
        super().__init__()


class no_grad(_Bare):
    """Nothing is recorded: results do not require grad."""

    enabled = False


class enable_grad(_Bare):
    """Recording again, inside ``no_grad``."""

    enabled = True


class inference_mode(_Setting):
    """``no_grad`` for results that will never be recorded. Raises TypeError if it decorates without
    parentheses."""

    def __init__(self, mode: bool = True):
        super().__init__()
        if callable(mode):
            raise TypeError("use @inference_mode(), with parentheses")
        self.infers = flag("inference_mode", "mode", mode)
        self.enabled = not self.infers


class set_grad_enabled(_Setting):
    """Recording or not, by a bool: at once, and until the end of a ``with``."""

    def __init__(self, mode: bool):
        super().__init__()
        self.enabled = flag("set_grad_enabled", "mode", mode)
        self._at_first = recording.get()
        recording.set(self.enabled)

    def __enter__(self) -> None:
        self._before.append((self._at_first, inference.get()))
        recording.set(self.enabled)

    def __call__(self, function: F) -> F:
        recording.set(self._at_first)  # a decorator changes nothing now
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require grad are recorded in this thread."""
    return recording.get()


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside ``inference_mode``."""
    return inference.get()
