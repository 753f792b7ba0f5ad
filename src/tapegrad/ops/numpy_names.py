"""NumPy's names of arguments, which PyTorch takes beside its own: axis is dim, keepdims keepdim."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..primitive import signature


def with_numpy_names(function: Callable) -> Callable:
    """The function, if it has a ``dim``, with ``axis`` and ``keepdims`` as second names."""
    if not hasattr(function, "__code__"):  # a class
        return function
    positional, keywords, _ = signature(function)
    names = {*positional, *keywords}
    if "dim" not in names or "axis" in names:
        return function

    @wraps(function)
    def named(*args: Any, **options: Any) -> Any:
        if "axis" in options:
            _rename(function.__name__, options, "axis", "dim")
        if "keepdims" in options and "keepdim" in names:
            _rename(function.__name__, options, "keepdims", "keepdim")
        return function(*args, **options)

    named.takes_axis = True  # type: ignore[attr-defined]  # for who writes its signature down
    return named


def _rename(op: str, options: dict, name: str, ours: str) -> None:
    if ours in options:
        raise TypeError(f"[{op}] {ours}= and {name}= are one argument: give one of them")
    options[ours] = options.pop(name)
