"""The parts of matrices above and below a diagonal."""

from __future__ import annotations

from typing import Any

from tapegrad.core.devices import chosen_device
from tapegrad.core.dtypes import dtype as dtype_of
from tapegrad.core.dtypes import int32, int64
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor, shape


def _lower(xp: Any, rows: int, columns: int, offset: int) -> Any:
    """A mask: True up to the ``offset``-th diagonal above the main one."""
    return xp.library.arange(rows)[:, None] >= xp.library.arange(columns) - offset


@array_function
def triangle_indices(xp: Any, *, rows: int, columns: int, offset: int, upper: bool) -> Array:
    mask = _lower(xp, rows, columns, offset - upper)
    return xp.library.stack((~mask if upper else mask).nonzero())


def _zero_outside(xp: Any, x: Array, mask: Any) -> Any:
    return xp.where(mask, x, xp.library.zeros((), dtype=x.dtype))


@primitive("tril", vjp="tril")
def _tril(xp: Any, x: Array, *, diagonal: int) -> Array:
    return _zero_outside(xp, x, _lower(xp, x.shape[-2], x.shape[-1], diagonal))


@primitive("triu", vjp="triu")
def _triu(xp: Any, x: Array, *, diagonal: int) -> Array:
    return _zero_outside(xp, x, ~_lower(xp, x.shape[-2], x.shape[-1], diagonal - 1))


def _require_matrices(op: str, x: Any) -> None:
    require_tensor(op, x)
    if x.ndim < 2:
        raise RuntimeError(f"[{op}] needs matrices, got {x.ndim} dimensions")


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """A copy of matrices (..., m, n) that is 0 above a diagonal (0: the main one, 1: the one above
    it). Raises RuntimeError for fewer than 2 dimensions."""
    _require_matrices("tril", input)
    return _tril(input, diagonal=diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """A copy of matrices (..., m, n) that is 0 below a diagonal (0: the main one, 1: the one above
    it). Raises RuntimeError for fewer than 2 dimensions."""
    _require_matrices("triu", input)
    return _triu(input, diagonal=diagonal)


def _indices(op: str, upper: bool) -> Any:
    def function(
        row: int,
        col: int,
        offset: int = 0,
        *,
        dtype: Any = None,
        device: Any = None,
        layout: Any = None,
    ) -> Tensor:
        target = chosen_device(device)
        kind = int64 if dtype is None else dtype_of(dtype)
        if kind not in (int32, int64):
            raise RuntimeError(f"[{op}] indices are int32 or int64, asked for {kind.name}")
        shape(op, (row, col))
        found = target.ops["triangle_indices"](rows=row, columns=col, offset=offset, upper=upper)
        return wrap(found.astype(kind), target)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"""Rows and columns of the elements that ``{op[:4]}`` keeps of a (row, col)
    matrix: (2, n), int64 by default, in row-major order. Raises RuntimeError for negative sizes and
    for a dtype other than int32 and int64."""
    return function


tril_indices, triu_indices = _indices("tril_indices", False), _indices("triu_indices", True)
