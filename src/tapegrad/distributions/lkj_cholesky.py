"""The LKJ distribution of correlation matrices, by their Cholesky factors."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.sampling.gamma import dirichlet

from . import constraints
from . import operations as tg
from .distribution import Distribution
from .utils import broadcast_all, standard_normal

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Lower Cholesky factors (..., dim, dim) of correlation matrices R with density proportional to
    det(R)^(concentration - 1) (Lewandowski, Kurowicka & Joe 2009, *Generating random correlation
    matrices based on vines and extended onion method*): for concentration 1 all R are equally
    probable. Raises ValueError for dim < 2, TypeError for one that
    is no int."""

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        try:
            self.dim = operator.index(dim)
        except TypeError:
            raise TypeError(
                f"[LKJCholesky] dim must be an int, got {type(dim).__name__} {dim!r}"
            ) from None
        if self.dim < 2:
            raise ValueError(f"[LKJCholesky] dim must be at least 2, got {dim}")
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(
            self.concentration.shape, (self.dim, self.dim), validate_args=validate_args
        )

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """By the onion method: row i + 1 is a uniform direction times sqrt(y), y beta draws of
        i / 2 and concentration + (dim - 1 - i) / 2, and on the diagonal sqrt(1 - y)."""
        shape = self._extended_shape(sample_shape)
        like = self.concentration
        with tg.no_grad():
            direction = standard_normal(shape, like).tril(-1)
            norm = direction.square().sum(-1, keepdim=True).sqrt()
            direction = direction / norm.masked_fill(norm == 0, 1.0)
            i = tg.arange(1, self.dim, dtype=like.dtype, device=like.device)
            rest = like.unsqueeze(-1) + 0.5 * (self.dim - 1 - i)
            both = tg.stack(tg.broadcast_tensors(0.5 * i, rest), -1)
            parts = dirichlet(both.expand((*shape[:-2], self.dim - 1, 2)))
            y = tg.cat([tg.zeros_like(parts[..., :1, 0]), parts[..., 0]], -1)
            left = tg.cat([tg.ones_like(parts[..., :1, 1]), parts[..., 1]], -1)
            return direction * y.sqrt().unsqueeze(-1) + left.sqrt().diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        """sum over rows i = 2, ..., n of (n - i + 2 (concentration - 1)) log L_ii, less the
        normaliser (page 1999 of the paper)."""
        value = self._fit(value)
        n, concentration = self.dim, self.concentration
        rows = tg.arange(2, n + 1, dtype=value.dtype, device=value.device)
        order = 2 * (concentration - 1).unsqueeze(-1) + n - rows
        unnormalized = (order * value.diagonal(0, -2, -1)[..., 1:].log()).sum(-1)
        alpha = concentration + 0.5 * (n - 1)
        constant = 0.5 * (n - 1) * math.log(math.pi)
        normalizer = constant + tg.mvlgamma(alpha - 0.5, n - 1) - (n - 1) * alpha.lgamma()
        return unnormalized - normalizer
