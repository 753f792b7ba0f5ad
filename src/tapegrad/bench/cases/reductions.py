"""Sums and other reductions, of rows and of columns, and running ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .case import Case, Draw, of_primitive

_SIZES = {"tiny": [(65, 67)], "small": [(1024, 1024)], "large": [(16384, 4096)]}


def _normal(draw: Draw, rows: int, columns: int) -> tuple:
    return (draw.normal(rows, columns),)


def _near_1(draw: Draw, rows: int, columns: int) -> tuple:
    """Factors of which thousands stay in the range of every dtype."""
    return (1 + draw.normal(rows, columns) / draw.dtype.type(256),)


def _reduction(
    name: str,
    flops: int,
    torch: Callable[..., Any],
    inputs: Callable[..., tuple] = _normal,
    **parameters: float,
) -> Iterator[Case]:
    """Rows and columns reduced; PyTorch is given the dimension."""
    for label, axis in ((name, 1), (f"{name}_of_columns", 0)):
        yield of_primitive(
            label,
            _SIZES,
            inputs,
            flops,
            lambda t, x, axis=axis: torch(t, x, axis),
            name,
            {"axis": (axis,), "keepdims": False, **parameters},
            depth=max,
        )


def _running(
    name: str, torch: Callable[..., Any], inputs: Callable[..., tuple] = _normal, **more: Any
) -> Case:
    return of_primitive(name, _SIZES, inputs, 1, torch, parameters={"axis": 1}, depth=max, **more)


def _top(ops: Any, x: Any) -> Any:
    """The values there: of equal ones, PyTorch may choose another."""
    indices = ops["top"](x, axis=1, k=8, largest=True)
    return ops.library.take_along_axis(x, indices, 1)


def _sorted(ops: Any, x: Any) -> Any:
    """The values in order: of equal ones, PyTorch may choose another first."""
    indices = ops["order"](x, axis=1, descending=False)
    return ops.library.take_along_axis(x, indices, 1)


CASES = [
    *_reduction("sum", 1, lambda t, x, dim: x.sum(dim)),
    *_reduction("mean", 1, lambda t, x, dim: x.mean(dim)),
    *_reduction("prod", 1, lambda t, x, dim: x.prod(dim), _near_1),
    *_reduction("amax", 1, lambda t, x, dim: x.amax(dim)),
    *_reduction("amin", 1, lambda t, x, dim: x.amin(dim)),
    *_reduction("logsumexp", 4, lambda t, x, dim: x.logsumexp(dim)),
    *_reduction("vector_norm", 2, lambda t, x, dim: t.linalg.vector_norm(x, 2.0, dim), order=2.0),
    *_reduction("var", 3, lambda t, x, dim: x.var(dim), correction=1),
    *_reduction("std", 3, lambda t, x, dim: x.std(dim), correction=1),
    _running("cumsum", lambda t, x: x.cumsum(1)),
    _running("cumprod", lambda t, x: x.cumprod(1), _near_1),
    _running("last_largest", lambda t, x: x.cummax(1).indices),
    _running("last_smallest", lambda t, x: x.cummin(1).indices),
    Case(
        "top",
        "top",
        _SIZES,
        _normal,
        _top,
        lambda rows, columns: rows * columns,
        lambda t, x: x.topk(8).values,
    ),
    Case(
        "order",
        "order",
        _SIZES,
        _normal,
        _sorted,
        lambda rows, columns: rows * columns * math.log2(columns),
        lambda t, x: x.sort(1).values,
    ),
]
