"""One way to compute a case: whose function, on which kind of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Way:
    """``call(*take(values))`` computes the case. take: makes of a set of the case's inputs what the
    function is called with, in the same memory, and is not timed. check: what is called in place of
    ``call`` where results are checked. give: makes an array of each result. inputs: the function's
    own, where those of the case are of another kind. counts: who knows the memory that it
    allocates: "tapegrad", "torch" or, for nobody, ""."""

    call: Callable[..., Any]
    take: Callable[[Sequence[Any]], Sequence[Any]] = list
    check: Callable[..., Any] | None = None
    give: Callable[[Any], Any] = lambda result: result
    inputs: Sequence[Any] | None = None
    counts: str = ""
