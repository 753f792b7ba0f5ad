"""Arrays of all ranks made into one, element by element, in the order of the ranks.

The order is all that decides the bits: not the network, nor when what arrives, nor how long the
array is or what stands beside an element in it. 16-bit floats are added up in float32, and rounded
once. What MPI does here is to carry bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from typing import Any

import numpy as np

from tapegrad.core.dtypes import accumulator
from tapegrad.core.memory import Array


class ReduceOp(Enum):
    """How the elements of all ranks become one. AVG is of floating-point numbers, and BAND, BOR and
    BXOR are of integers and bool."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR = range(8)

    def check(self, name: str, dtype: np.dtype) -> None:
        """Raise TypeError where this is nothing to do with numbers of this dtype."""
        exact = dtype.kind in "biu"
        if exact if self is ReduceOp.AVG else not exact and self.name.startswith("B"):
            raise TypeError(
                f"[{name}] ReduceOp.{self.name} is for "
                f"{'floating-point numbers' if exact else 'integers and bool'}, not {dtype.name}"
            )


_FUNCTIONS = {
    ReduceOp.SUM: "add",
    ReduceOp.AVG: "add",
    ReduceOp.PRODUCT: "multiply",
    ReduceOp.MIN: "minimum",
    ReduceOp.MAX: "maximum",
    ReduceOp.BAND: "bitwise_and",
    ReduceOp.BOR: "bitwise_or",
    ReduceOp.BXOR: "bitwise_xor",
}


def combine(library: Any, op: ReduceOp, parts: Sequence[Array], spare: Array, out: Array) -> None:
    """Reduce ``parts``, in their order, to ``out``, which may be one of them; ``spare``, which may
    be the first of them, is overwritten."""
    wide = accumulator(out.dtype)
    function = getattr(library, _FUNCTIONS[op])
    if wide != out.dtype:
        total = parts[0].astype(wide)
        for part in parts[1:]:
            function(total, part.astype(wide), out=total)
        if op is ReduceOp.AVG:
            total /= len(parts)
        out[...] = total
        return
    else:
        total = parts[0]
        for part in parts[1:-1]:
            total = function(total, part, out=spare)
        function(total, parts[-1], out=out)
    if op is ReduceOp.AVG:
        out /= len(parts)


def bounds(count: int, size: int) -> list[slice]:
    """Where each of ``size`` ranks has its part of ``count`` elements."""
    edges = [count * i // size for i in range(size + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]
