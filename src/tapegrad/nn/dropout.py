"""Dropout: zeros at random while training, nothing at all while evaluating."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from tapegrad.core.tensor import Tensor

from . import functional as F
from .module import Module


class _Dropout(Module):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(
                f"{type(self).__name__}: the probability must be between 0 and 1, not {p}"
            )
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zeroes each element with probability p and divides the others by 1 - p."""

    function = F.dropout


class Dropout1d(_Dropout):
    """Zeroes whole channels of (N, C, L) or (C, L)."""

    function = F.dropout1d


class Dropout2d(_Dropout):
    """Zeroes whole channels of (N, C, H, W); 3 dimensions are (N, C, L)."""

    function = F.dropout2d


class Dropout3d(_Dropout):
    """Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W)."""

    function = F.dropout3d


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, for use with SELU."""

    function = F.alpha_dropout


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels of (N, C, ...)."""

    function = F.feature_alpha_dropout
