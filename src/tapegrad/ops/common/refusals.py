"""What a wrong call is answered, where no check has foreseen it.

Arguments are used as they come, as functions in Python do: looking at all of them would cost every
right call. What then goes wrong inside is told here in terms of the call: the operation, the
argument that its signature has as a Tensor and that is none, or else what it was given. The first
error stays attached. Errors from the user's own code (a hook, a distance function) pass as they
are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any, TypeVar

from tapegrad.core.primitive import signature
from tapegrad.core.tensor import Tensor

F = TypeVar("F", bound=Callable)

# Errors of the machinery below, and what they mean to the caller.
_MEANING: dict[type, type] = {
    AttributeError: TypeError, AssertionError: TypeError, KeyError: ValueError,
    ZeroDivisionError: ValueError, UnicodeError: ValueError, BufferError: ValueError,
}  # fmt: skip
_TOO_LARGE = ("Maximum allowed", "array is too big", "negative dimensions are not allowed")
_OURS = {"tapegrad", "numpy", "scipy", "cupy", "cupyx", "ml_dtypes"}


def retell(op: str, function: Any, args: tuple, options: dict, error: Exception) -> None:
    """Raise what ``error``, raised in a call of ``function``, means to the caller of ``op``; return
    if it says so itself."""
    text = str(error)
    short = op.rpartition(".")[2].strip("_")
    of_class = re.match(r"[A-Z]\w*(\.\w+)?: ", text)  # "SGD: lr must be ..."
    if (
        text.startswith("[")
        or (of_class and short.islower())
        or (short in text and not isinstance(error, AttributeError))
    ):
        return
    kind = next((k for k in type(error).__mro__ if k.__module__ == "builtins"), Exception)
    known = type(error) is kind or type(error).__module__.partition(".")[0] == "numpy"
    if not known or isinstance(error, (ImportError, Warning)) or not _is_ours(error):
        return
    if not of_class:
        kind = next((k for base, k in _MEANING.items() if issubclass(kind, base)), kind)
    if kind in (StopIteration, RecursionError, Exception):
        return
    if isinstance(error, ValueError) and text.startswith(_TOO_LARGE):
        kind, text = RuntimeError, "the result would be larger than any memory"
    wrong = _no_tensor(function, args, options) if not isinstance(error, MemoryError) else ""
    if wrong:
        kind, text = TypeError, wrong
    else:
        text = re.sub(r"^[\w.<>]+\(\) ", "", text.rstrip("."))
        text = f"{text}; the arguments were {_shown(args, options)}"
    raise kind(f"[{op}] {text}") from error


def retelling(function: F) -> F:
    """The function, with what goes wrong in it told in its name (of a constructor: the class's)."""
    name = function.__name__
    method = signature(function)[0][:1] == ["self"] and "self" not in function.__annotations__

    @wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except Exception as error:
            op = type(args[0]).__name__ if name == "__init__" else name
            retell(op, function, args[method:], options, error)
            raise

    return called  # type: ignore[return-value]


class Retelling:
    """Base of classes whose methods that take what they are given whole, those of this library,
    are ``retelling``."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.partition(".")[0] == "tapegrad":
            for name in {"__init__", "add_param_group", "load_state_dict"} & vars(cls).keys():
                setattr(cls, name, retelling(vars(cls)[name]))


def _is_ours(error: Exception) -> bool:
    """Whether the code that raised it is this library's or one's below it."""
    trace = error.__traceback__
    frame: FrameType | None = None
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
    home = str(frame.f_globals.get("__name__", "")).partition(".")[0] if frame else ""
    return home in _OURS or (home in sys.stdlib_module_names and home != "__main__")


def _no_tensor(function: Any, args: tuple, options: dict) -> str:
    """What is wrong with the first argument that must be a Tensor and is none."""
    try:
        names, _, variadic = signature(function)
    except AttributeError:  # of a class, or of C
        return ""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    kinds = function.__annotations__
    names = [n for n in names if n in kinds]  # without self, and what factories are given first
    places = [*zip(names, args, strict=False), *options.items()]
    if variadic and names:
        places += [(names[-1], value) for value in args[len(names) :]]
    for name, value in places:
        wanted = str(kinds.get(name))
        fits = isinstance(value, Tensor) or (value is None and wanted == "Tensor | None")
        if wanted in ("Tensor", "Tensor | None") and not fits:
            what = "Tensors" if variadic and name == names[-1] else "a Tensor"
            return f"{name} must be {what}, got {type(value).__name__}"
    return ""


def _shown(args: tuple, options: dict) -> str:
    words = [_word(v) for v in args] + [f"{n}={_word(v)}" for n, v in options.items()]
    return f"({', '.join(words)})"


def _word(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype.name} {tuple(value.shape)}"
    shown = repr(value) if isinstance(value, (int, float, str, tuple, list, type(None))) else ""
    return shown if 0 < len(shown) <= 40 else type(value).__name__
