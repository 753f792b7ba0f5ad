"""Linear maps along one dimension in which each result is a weighted sum of a few elements:
interpolation, and means over windows of different sizes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float32, is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.precision import in_float32


class Taps:
    """Result o is the sum over t of ``weight[t, o] * x[index[t, o]]``; weight 0 means no element.

    index, weight: (taps, results); size: the number of elements of x.
    """

    def __init__(self, index: np.ndarray, weight: np.ndarray, size: int):
        self.index, self.weight, self.size = index, weight, size

    @cached_property
    def transposed(self) -> Taps:
        """The taps of the gradient: which results each element went into."""
        tap, result = np.nonzero(self.weight)
        element = self.index[tap, result]
        order = np.lexsort((result, element))
        tap, result, element = tap[order], result[order], element[order]
        counts = np.bincount(element, minlength=self.size)
        rank = np.arange(len(element)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (max(int(counts.max(initial=0)), 1), self.size)
        index, weight = np.zeros(shape, np.int64), np.zeros(shape)
        index[rank, element] = result
        weight[rank, element] = self.weight[tap, result]
        return Taps(index, weight, self.index.shape[1])


@primitive(vjp=(lambda xp, g, axis, taps: xp.resample(g, axis=axis, taps=taps.transposed),))
@in_float32
def resample(xp: Any, x: Array, *, axis: int, taps: Taps) -> Array:
    """The map of ``taps`` along one dimension."""
    if not taps.size:  # the gradient of an empty result
        shape = (*x.shape[:axis], taps.index.shape[1], *x.shape[axis + 1 :])
        return xp.zeros(shape, dtype=x.dtype)
    behind = (-1, *(1,) * (x.ndim - axis - 1))
    result = None
    for index, weight in zip(taps.index, taps.weight, strict=True):
        part = xp.library.take(x, xp.asarray(index), axis=axis)
        if (weight != 1).any():
            factor = xp.asarray(weight, dtype=x.dtype).reshape(behind)
            part *= factor
            if not weight.all():  # not 0 * inf
                part = xp.where(factor != 0, part, 0)
        if result is None:
            result = part
        else:
            result += part
    return result


def resampled(x: Tensor, taps: Sequence[Taps]) -> Tensor:
    """Each dimension behind the second mapped by its taps; 16-bit floats are rounded at the end."""
    if is_low_precision(x.dtype):
        return resampled(x.to(float32), taps).to(x.dtype)
    for i, along in enumerate(taps):
        x = resample(x, axis=i + 2, taps=along)
    return x
