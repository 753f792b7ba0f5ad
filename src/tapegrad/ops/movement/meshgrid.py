"""Grids and combinations of vectors' elements."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.index import getitem

from .cat import stack
from .repeat import numbered
from .shape import clone, expand, reshape


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Vectors (or numbers) as coordinates of a grid: the i-th result holds the i-th vector along
    dimension i, expanded to the grid. With indexing "xy" the first two dimensions are exchanged.
    Raises RuntimeError for more dimensions, for different dtypes or devices, and for no tensors."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if not given:
        raise RuntimeError("[meshgrid] expects at least one tensor")
    for x in given:
        require_tensor("meshgrid", x)
        if x.ndim > 1:
            raise RuntimeError(f"[meshgrid] expects vectors, got shape {tuple(x.shape)}")
        if x.dtype != given[0].dtype or x._device is not given[0]._device:
            raise RuntimeError(
                "[meshgrid] all tensors must be of one dtype and device, got "
                + ", ".join(f"{x.dtype.name} on {x._device}" for x in given)
            )
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"[meshgrid] indexing must be 'ij' or 'xy', got {indexing!r}")
    dims = list(range(len(given)))
    if indexing == "xy" and len(given) > 1:
        dims[:2] = 1, 0
    grid = [given[d].numel() for d in dims]  # dims is its own inverse
    return tuple(
        expand(reshape(x, tuple(-1 if i == d else 1 for i in range(len(given)))), grid)
        for d, x in zip(dims, given, strict=True)
    )


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All choices of one element from each of k vectors, as rows of k, the last element changing
    first; of one vector, the vector. Raises RuntimeError for anything but vectors, all of one dtype
    and device, and for none."""
    for x in tensors:
        require_tensor("cartesian_prod", x)
        if x.ndim != 1:
            raise RuntimeError(f"[cartesian_prod] expects vectors, got shape {tuple(x.shape)}")
    if not tensors:
        raise RuntimeError("[cartesian_prod] expects at least one tensor")
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(x, -1) for x in meshgrid(*tensors)], 1)


_MOST = 10**6  # more rows than any memory holds


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, in its order, as rows of r; ``with_replacement``: an
    element may be chosen again. Raises RuntimeError for anything but a vector, for r < 0, and for
    more choices than any memory holds."""
    require_tensor("combinations", input)
    if input.ndim != 1:
        raise RuntimeError(f"[combinations] expects a vector, got shape {tuple(input.shape)}")
    if r < 0:
        raise RuntimeError(f"[combinations] r must not be negative, got {r}")
    if r == 0:
        return clone(getitem(input, index=(slice(0, 0),)))
    if r > input.numel() and not (with_replacement and input.numel()):
        return clone(reshape(getitem(input, index=(slice(0, 0),)), (0, r)))
    if with_replacement and r > 1 and input.numel() > 1 and r * input.numel() > _MOST:
        raise RuntimeError(f"[combinations] there are too many of {r} of {input.numel()} elements")
    rows = input._device.ops["choices"](n=input.numel(), r=r, again=with_replacement)
    return getitem(input, index=(rows,))


@array_function
def choices(xp: Any, *, n: int, r: int, again: bool) -> Array:
    """All choices of r numbers below n in ascending order, as rows; ``again``: also equal ones."""
    library = xp.library
    rows = library.arange(n)[:, None]
    for _ in range(r - 1):
        least = rows[:, -1] + (not again)  # each row goes on with this number or a larger one
        counts = n - least
        of = numbered(xp, counts)
        following = library.arange(of.size) - (library.cumsum(counts) - counts - least)[of]
        rows = library.concatenate([rows[of], following[:, None]], axis=1)
    return rows
