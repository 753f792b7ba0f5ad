"""Transforms of vectors to probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.activation.gated import logsigmoid

from .. import constraints
from .. import operations as tg
from .base import Transform

__all__ = ["SoftmaxTransform", "StickBreakingTransform"]


def _vector(op: str, shape: Sequence[int], change: int) -> Size:
    if len(shape) < 1:
        raise ValueError(f"[{op}] expects at least one dimension, got a 0-d tensor")
    return Size((*shape[:-1], shape[-1] + change))


class SoftmaxTransform(Transform):
    """y = softmax(x) along the last dimension, with log(y) for its inverse. It is not bijective: a
    constant added to x leaves y."""

    domain, codomain, _compared = constraints.real_vector, constraints.simplex, ()

    def _call(self, x: Tensor) -> Tensor:
        return x.softmax(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def forward_shape(self, shape: Sequence[int]) -> Size:
        """The same. Raises ValueError for a 0-d one."""
        return _vector("SoftmaxTransform", shape, 0)

    inverse_shape = forward_shape


class StickBreakingTransform(Transform):
    """(..., k) numbers to (..., k + 1) probabilities: number i breaks the fraction
    sigmoid(x_i - log(k - i)) off what is left of a stick of length 1, i = 0, 1, ..., so that zeros
    become equal parts (Stan Reference Manual, *Unit simplex*)."""

    domain, codomain, bijective, _compared = constraints.real_vector, constraints.simplex, True, ()

    def _log_left(self, x: Tensor) -> Tensor:
        """log(k), log(k - 1), ..., log(1)."""
        return tg.arange(x.shape[-1], 0, -1, dtype=x.dtype, device=x.device).log()

    def _call(self, x: Tensor) -> Tensor:
        limits = tg.finfo(x.dtype)  # a fraction of 0 or 1 could not be told back
        z = (x - self._log_left(x)).sigmoid().clamp(limits.tiny, 1 - limits.eps)
        one = tg.ones_like(x[..., :1])
        left = tg.cat([one, (1 - z).cumprod(-1)], -1)
        return tg.cat([z, one], -1) * left

    def _inverse(self, y: Tensor) -> Tensor:
        broken = y[..., :-1]
        # What is left: rounding must not make it 0.
        left = (1 - broken.cumsum(-1)).clamp(min=tg.finfo(y.dtype).tiny)
        return broken.log() - left.log() + self._log_left(broken)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of log y_i + log(1 - z_i), z_i the fraction."""
        x = x - self._log_left(x)
        return (logsigmoid(x) - x + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> Size:
        """One more in the last dimension. Raises ValueError for a 0-d shape."""
        return _vector("StickBreakingTransform", shape, 1)

    def inverse_shape(self, shape: Sequence[int]) -> Size:
        """One less in the last dimension. Raises ValueError for a 0-d shape."""
        return _vector("StickBreakingTransform", shape, -1)
