"""How losses were reduced before ``reduction``: by the flags ``size_average`` and ``reduce``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

from tapegrad.core.primitive import signature

FLAGS = ("size_average", "reduce")


def reduction_of(op: str, size_average: Any, reduce: Any) -> str:
    """The reduction that the two flags mean, where None stands for True: no ``reduce`` is "none",
    no ``size_average`` "sum". Warns that they are out of use."""
    if reduce is not None and not reduce:
        reduction = "none"
    else:
        reduction = "mean" if size_average is None or size_average else "sum"
    level, frame = 1, sys._getframe()
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith("tapegrad."):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"[{op}] size_average and reduce are deprecated: say reduction={reduction!r}",
        stacklevel=level,  # the user's line
    )
    return reduction


def takes_flags(loss: Callable) -> Callable:
    """A loss that takes the two flags where its signature has them, and need not look at them: if
    one is given, it says the reduction."""
    names = signature(loss)[0]
    first = names.index("size_average")

    @wraps(loss)
    def called(*args: Any, **options: Any) -> Any:
        if len(args) <= first and options.keys().isdisjoint(FLAGS):
            return loss(*args, **options)
        given = dict(zip(names, args, strict=False))
        if len(args) > len(names) or not given.keys().isdisjoint(options):
            return loss(*args, **options)  # which says what is wrong
        given.update(options)
        flags = [given.pop(name, None) for name in FLAGS]
        if flags != [None, None]:
            given["reduction"] = reduction_of(loss.__name__, *flags)
        return loss(**given)

    return called
