"""Operations on the elements for which a bool mask is True, as if the others were not there.

Compositions: what is masked out becomes the operation's neutral element. Masks broadcast to their
tensor. As in PyTorch, results are computed in the tensor's dtype, or in ``dtype``.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.dtypes import is_floating
from tapegrad.core.tensor import Tensor

from .activation import softmax as soft
from .common.arguments import axes, require_tensor
from .common.operands import named
from .common.precision import compute_in_float32
from .indexing.where import select_where
from .linalg.norms import norm_over
from .movement.shape import broadcast_to, reshape
from .pointwise.elementwise import maximum, sqrt
from .pointwise.exponential import logaddexp as _logaddexp
from .reduction import cumulative, minmax, quantile, reduce
from .reduction.reduce import to_dtype


def _canonical(op: str, input: Tensor, mask: Any) -> Tensor:
    """The mask in the tensor's shape, as bools."""
    require_tensor(op, input)
    require_tensor(op, mask)
    if mask.ndim > input.ndim:
        raise IndexError(
            f"[{op}] the mask has more dimensions than the tensor: shapes {tuple(mask.shape)} and "
            f"{tuple(input.shape)}"
        )
    return broadcast_to(to_dtype(mask, dtypes.bool_), tuple(input.shape))


def _fill(op: str, input: Tensor, mask: Any, neutral: float) -> Tensor:
    """The tensor with ``neutral`` (an infinity: the dtype's extreme) where masked out."""
    require_tensor(op, input)
    if mask is None:
        return input
    if math.isinf(neutral) and not is_floating(input.dtype):
        limits = np.iinfo(input.dtype)
        neutral = limits.max if neutral > 0 else limits.min
    return select_where(_canonical(op, input, mask), input, neutral)


# ---------------------------------------------------------------------- reductions


def sum(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The sum over ``dim`` (all dimensions by default); 0 where everything is masked out."""
    return reduce.sum(_fill("masked.sum", input, mask, 0), dim, keepdim, dtype=dtype)


def prod(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The product over ``dim`` (all by default); 1 where everything is masked out."""
    return reduce.prod(_fill("masked.prod", input, mask, 1), dim, keepdim, dtype=dtype)


def amax(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The largest elements over ``dim`` (all by default); -inf, or the dtype's smallest number,
    where everything is masked out."""
    y = minmax.amax(_fill("masked.amax", input, mask, -math.inf), dim, keepdim)
    return to_dtype(y, dtype or input.dtype)


def amin(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The smallest elements over ``dim`` (all by default); inf, or the dtype's largest number,
    where everything is masked out."""
    y = minmax.amin(_fill("masked.amin", input, mask, math.inf), dim, keepdim)
    return to_dtype(y, dtype or input.dtype)


def _position(name: str, function: Callable, neutral: float, extreme: str) -> Callable:
    def position(
        input: Tensor,
        dim: int | None = None,
        *,
        keepdim: bool = False,
        dtype: Any = None,
        mask: Any = None,
    ) -> Tensor:
        y = function(_fill(f"masked.{name}", input, mask, neutral), dim, keepdim)
        return to_dtype(y, dtype or input.dtype)

    doc = (
        f"The index of the {extreme} element along ``dim`` (in the flattened tensor by default); "
        "as in PyTorch in the tensor's dtype, unless ``dtype`` is given."
    )
    return named(name, position, doc)


argmax = _position("argmax", minmax.argmax, -math.inf, "largest")
argmin = _position("argmin", minmax.argmin, math.inf, "smallest")


def logsumexp(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """log(sum(exp(input))) over ``dim`` (all by default); -inf where everything is masked out."""
    y = reduce.logsumexp(_fill("masked.logsumexp", input, mask, -math.inf), dim, keepdim)
    return to_dtype(y, dtype or input.dtype)


def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Tensor:
    """The norm of order ``ord`` (2 by default) over ``dim`` (all dimensions by default)."""
    order = 2.0 if ord is None else ord
    x = _fill("masked.norm", input, mask, math.inf if order == -math.inf else 0)
    return norm_over("masked.norm", x, order, dim, keepdim, dtype)


def _counted(op: str, input: Tensor, dim: Any, keepdim: bool, mask: Any) -> Any:
    """How many elements there are to reduce: a number, or a tensor."""
    if mask is None:
        return reduce.count(tuple(input.shape), axes(op, input, dim))
    return reduce.sum(_canonical(op, input, mask), dim, keepdim)


@compute_in_float32
def mean(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The arithmetic mean over ``dim`` (all by default); nan where everything is masked out. Raises
    ValueError for integers without a floating-point ``dtype``."""
    require_tensor("masked.mean", input)
    wanted = input.dtype if dtype is None else dtypes.dtype(dtype)
    if not is_floating(wanted):
        raise ValueError(
            f"[masked.mean] needs a floating-point tensor or dtype=, got {wanted.name}"
        )
    whole = sum(input, dim, keepdim=keepdim, dtype=wanted, mask=mask)
    return whole / _counted("masked.mean", input, dim, keepdim, mask)


def median(
    input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The lower median along ``dim`` (the last by default); nan where everything is masked out, for
    which integers raise ValueError."""
    require_tensor("masked.median", input)
    x = input if input.is_floating_point() else to_dtype(input, dtypes.float32)
    y = quantile.nanmedian(_fill("masked.median", x, mask, math.nan), dim, keepdim).values
    if input.is_floating_point():
        return y
    if bool((y._array != y._array).any()):
        raise ValueError(
            f"[masked.median] a row is masked out as a whole, and {input.dtype.name} has no nan "
            "for its median: convert with .float()"
        )
    return to_dtype(y, dtype or input.dtype)


def _deviation(name: str, doc: str) -> Callable:
    """``var``, or its square root ``std``."""
    op = f"masked.{name}"

    @compute_in_float32
    def function(
        input: Tensor,
        dim: Any = None,
        unbiased: bool | None = None,
        *,
        correction: float | None = None,
        keepdim: bool = False,
        dtype: Any = None,
        mask: Any = None,
    ) -> Tensor:
        require_tensor(op, input)
        if unbiased is not None and correction is not None:
            raise RuntimeError(f"[{op}] takes unbiased or correction, not both")
        if correction is None:
            correction = 0 if unbiased is False else 1
        kind = input.dtype if dtype is None else dtypes.dtype(dtype)
        kind = kind if is_floating(kind) else dtypes.float32
        count = _counted(op, input, dim, True, mask)
        centred = input
        for _ in range(2):  # the second time from what the mean's rounding left
            centred = centred - sum(centred, dim, keepdim=True, dtype=dtype, mask=mask) / count
        if name == "std":
            spread = norm(to_dtype(centred, kind), 2.0, dim, keepdim=keepdim, mask=mask)
        else:
            spread = sum(centred * centred, dim, keepdim=keepdim, dtype=kind, mask=mask)
        if isinstance(count, Tensor):
            freedom = to_dtype(reshape(count, tuple(spread.shape)), kind) - correction
            freedom = freedom.clamp(min=0)
            return spread / (sqrt(freedom) if name == "std" else freedom)
        freedom = builtins.max(count - correction, 0)
        return spread / (math.sqrt(freedom) if name == "std" else freedom)

    return named(name, function, f"{doc} Raises RuntimeError for ``unbiased`` with ``correction``.")


var = _deviation(
    "var",
    "The variance over ``dim`` (all by default): the squared deviations from the mean, summed up "
    "and divided by n - correction (1 by default, 0 with unbiased=False).",
)
std = _deviation("std", "The standard deviation: the square root of ``var``.")


# ---------------------------------------------------------------------- along a dimension


def cumsum(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """The sums of the elements so far along ``dim``; those masked out count as 0."""
    x = _fill("masked.cumsum", input, mask, 0)
    return to_dtype(cumulative.cumsum(x, dim, dtype=dtype), dtype or input.dtype)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """The products of the elements so far along ``dim``; those masked out count as 1."""
    x = _fill("masked.cumprod", input, mask, 1)
    return to_dtype(cumulative.cumprod(x, dim, dtype=dtype), dtype or input.dtype)


def softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Softmax along ``dim``; 0 where masked out."""
    return soft.softmax(_fill("masked.softmax", input, mask, -math.inf), dim, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """log(softmax) along ``dim``; -inf where masked out."""
    return soft.log_softmax(_fill("masked.log_softmax", input, mask, -math.inf), dim, dtype)


def softmin(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """softmax(-input) along ``dim``; 0 where masked out."""
    return soft.softmax(-_fill("masked.softmin", input, mask, math.inf), dim, dtype)


@compute_in_float32
def normalize(
    input: Tensor, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The tensor divided by its norm of order ``ord`` along ``dim`` (or by ``eps``, if that is
    larger); 0 where masked out."""
    norms = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _fill("masked.normalize", input, mask, 0) / maximum(norms, eps)


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: Any = None,
    input_mask: Any = None,
    other_mask: Any = None,
) -> Tensor:
    """log(exp(input) + exp(other)) of the elements for which their mask is True."""
    a = _fill("masked.logaddexp", input, input_mask, -math.inf)
    b = _fill("masked.logaddexp", other, other_mask, -math.inf)
    return to_dtype(_logaddexp(a, b), dtype or input.dtype)
