"""Distances and similarities of pairs of vectors as modules."""

from __future__ import annotations

from tapegrad.core.tensor import Tensor

from . import functional as F
from .layer import check_kinds
from .module import Module


class CosineSimilarity(Module):
    """x1 · x2 / (max(|x1|, eps) max(|x2|, eps)) of vectors along ``dim``: the cosine of their
    angle. Two tensors that broadcast; the result lacks that dimension."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps along the last dimension: (..., n) -> (...), or (..., 1) with
    ``keepdim``."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
