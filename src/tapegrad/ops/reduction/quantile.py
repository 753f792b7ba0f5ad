"""Medians, quantiles and modes: elements by their rank."""

from __future__ import annotations

from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor, same_device
from tapegrad.ops.creation.create import as_tensor
from tapegrad.ops.indexing.gather import gather
from tapegrad.ops.indexing.take_along import Picked, indices_of, pick, with_dimension
from tapegrad.ops.movement.shape import permute, reshape
from tapegrad.ops.movement.split import slice_along
from tapegrad.ops.pointwise.elementwise import cast, ceil, floor, isinf, isnan, maximum, rint, where

from .cumulative import accumulate
from .reduce import keepdim_shape, sum
from .sort import keys, sort

# ---------------------------------------------------------------------- medians


def _median_rank(xp: Any, x: Array, axis: int, ignore_nan: bool) -> Any:
    """The rank along ``axis`` of the (lower) median, or of the first nan: nans are sorted last."""
    n = x.shape[axis]
    nans = (x != x).sum(axis=axis, keepdims=True)
    if ignore_nan:
        return xp.maximum(n - nans - 1, 0) // 2
    return xp.where(nans > 0, n - nans, (n - 1) // 2)


def _median_position(xp: Any, x: Array, axis: int, ignore_nan: bool) -> Any:
    rank = _median_rank(xp, x, axis, ignore_nan)
    return xp.library.take_along_axis(xp.order(x, axis=axis, descending=False), rank, axis)


def _share(xp: Any, g: Array, y: Array, x: Array) -> Any:
    """Elements that equal the median share its gradient evenly."""
    ties = (x == y) | ((x != x) & (y != y))
    return xp.where(ties, g / xp.sum(xp.cast(ties, dtype=g.dtype), axis=None, keepdims=False), 0.0)


def _overall(name: str, ignore_nan: bool) -> Any:
    def body(xp: Any, x: Array) -> Any:
        flat = keys(x).reshape(-1)
        ascending = xp.library.sort(flat)
        return ascending[_median_rank(xp, flat, 0, ignore_nan)].reshape(()).astype(x.dtype)

    return primitive(f"{name}_of_all", vjp=(_share,))(body)


_median_of_all, _nanmedian_of_all = _overall("median", False), _overall("nanmedian", True)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median (the lower one of two), or nan if there is one; with a dimension, (values,
    indices) along it. Without, equal elements share the gradient evenly, and an empty input gives
    nan. Raises IndexError for a dimension of size 0, RuntimeError for an empty input of
    integers."""
    return _median("median", _median_of_all, input, dim, keepdim)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """``median`` of the elements that are not nan, or nan if there are none."""
    return _median("nanmedian", _nanmedian_of_all, input, dim, keepdim)


def _median(op: str, of_all: Any, input: Tensor, dim: int | None, keepdim: bool) -> Any:
    require_tensor(op, input)
    if dim is None:
        if input.numel():
            return of_all(input)
        if not input.is_floating_point():
            raise RuntimeError(f"[{op}] an empty input has no median: shape {tuple(input.shape)}")
        return sum(input) / 0
    x, d = with_dimension(op, input, dim, filled=True)
    return pick(input, indices_of(_median_position, x, d, op == "nanmedian"), d, keepdim)


# ---------------------------------------------------------------------- quantiles

_ROUNDED = {"lower": floor, "higher": ceil, "nearest": rint}
_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-th quantiles (0 <= q <= 1, a number or a vector, whose dimension comes first) over
    ``dim`` or over all. The rank q (n - 1) between two elements is interpolated: linear, lower,
    higher, midpoint or nearest. nan if there is one. Raises RuntimeError for dtypes other than
    float32 and float64, for an empty input, and for a q of another dtype or device or not 0 to
    1."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """``quantile`` of the elements that are not nan, or nan if there are none."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


def _quantile(
    op: str, input: Tensor, q: Any, dim: Any, keepdim: bool, interpolation: str
) -> Tensor:
    q = _fractions(op, input, q)
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"[{op}] interpolation must be one of {', '.join(_INTERPOLATIONS)}, "
            f"got {interpolation!r}"
        )
    x, d = with_dimension(op, input, 0 if dim is None else dim)
    if dim is None:
        x = reshape(x, -1)
    rest = [i for i in range(x.ndim) if i != d]
    ascending = sort(permute(x, [*rest, d]), -1).values
    n = ascending.shape[-1]
    numbers = n - sum(isnan(ascending), -1, keepdim=True)  # (..., 1): how many are not nan
    last = cast(maximum(numbers - 1, 0), dtype=x.dtype)
    ranks = reshape(q, -1) * last  # (..., len(q))
    if op == "quantile":  # of numbers with a nan, the last element: that nan
        ranks = where(numbers == n, ranks, float(n - 1))
    if interpolation in _ROUNDED:
        ranks = _ROUNDED[interpolation](ranks)
    low = floor(ranks.detach())
    y = gather(ascending, -1, cast(low, dtype=dtypes.int64))
    if interpolation not in _ROUNDED:
        above = gather(ascending, -1, cast(ceil(ranks.detach()), dtype=dtypes.int64))
        weight = 0.5 if interpolation == "midpoint" else ranks - low
        y = _interpolated(y, above, weight)
    y = permute(y, [x.ndim - 1, *range(x.ndim - 1)])
    over = tuple(range(input.ndim)) if dim is None else (d,)
    sizes = keepdim_shape(input.shape, over)
    if not keepdim:
        sizes = tuple(n for i, n in enumerate(sizes) if i not in over)
    return reshape(y, (*q.shape, *sizes))


def _interpolated(a: Tensor, b: Tensor, weight: Any) -> Tensor:
    """a + weight (b - a), from the nearer end, so that a weight of 1 gives b exactly; where b - a
    leaves the range, the sum of both ends' shares."""
    step = b - a
    beyond = isinf(step)
    step = where(beyond, 0.0, step)
    y = b - step * (1 - weight)
    if not isinstance(weight, float):
        y = where(weight < 0.5, a + weight * step, y)
    return where(beyond, a * (1 - weight) + b * weight, y)


def _fractions(op: str, input: Tensor, q: Any) -> Tensor:
    require_tensor(op, input)
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(
            f"[{op}] needs a float32 or float64 tensor, got {input.dtype.name}: convert it"
        )
    if not input.numel():
        raise RuntimeError(f"[{op}] an empty input has no quantiles: shape {tuple(input.shape)}")
    if not isinstance(q, Tensor):
        q = as_tensor(q, dtype=input.dtype, device=input.device)
    if q.ndim > 1 or q.dtype != input.dtype:
        raise RuntimeError(
            f"[{op}] q must be a number or a vector of the tensor's dtype {input.dtype.name}, got "
            f"shape {tuple(q.shape)}, dtype {q.dtype.name}"
        )
    same_device(op, input, q, "q")
    if not bool(((q._array >= 0) & (q._array <= 1)).all()):
        raise RuntimeError(f"[{op}] q must be 0 to 1, got {q.tolist()}")
    return q


# ---------------------------------------------------------------------- modes


def _mode_position(xp: Any, x: Array, axis: int) -> Any:
    """The (last) index of the (smallest) most frequent element along ``axis``."""
    indices = xp.order(x, axis=axis, descending=False)
    ascending = xp.library.take_along_axis(keys(x), indices, axis)
    n = x.shape[axis]
    late, early = slice_along(axis, 1, n), slice_along(axis, 0, n - 1)
    same = xp.zeros(x.shape, dtype=bool)
    same[late] = ascending[late] == ascending[early]
    position = xp.arange(n).reshape((-1,) + (1,) * (x.ndim - axis - 1))
    # How many equal ones there are so far: the position less that of the first of them.
    first = accumulate(xp, xp.library.maximum, xp.where(same, 0, position), axis)
    last = (position - first).argmax(axis=axis, keepdims=True)
    return xp.library.take_along_axis(indices, last, axis)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Picked:
    """(values, indices) of the most frequent elements along ``dim``; of several the smallest, at
    its last position. Raises IndexError for a dimension of size 0."""
    x, d = with_dimension("mode", input, dim, filled=True)
    return pick(input, indices_of(_mode_position, x, d), d, keepdim)
