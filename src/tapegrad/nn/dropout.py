"""Dropout: zeros at random while training, nothing at all while evaluating."""

from __future__ import annotations

from . import functional as F
from .layer import FunctionLayer


class _DropoutNd(FunctionLayer):
    _options = ("p", "training", "inplace")
    _shown = "p=, inplace="

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        self._take(locals())
        if not 0.0 <= p <= 1.0:
            raise ValueError(
                f"{type(self).__name__}: the probability must be between 0 and 1, not {p}"
            )


class Dropout(_DropoutNd, function=F.dropout):
    """Zeroes each element with probability p and divides the others by 1 - p (Srivastava et al.
    2014). Any shape. Raises ValueError unless 0 <= p <= 1, as all dropouts do."""


class Dropout1d(_DropoutNd, function=F.dropout1d):
    """Zeroes whole channels of (N, C, L) or (C, L)."""


class Dropout2d(_DropoutNd, function=F.dropout2d):
    """Zeroes whole channels of (N, C, H, W); 3 dimensions are (N, C, L) (Tompson et al. 2015)."""


class Dropout3d(_DropoutNd, function=F.dropout3d):
    """Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W)."""


class AlphaDropout(_DropoutNd, function=F.alpha_dropout):
    """Dropout that keeps mean 0 and variance 1, for use with SELU (Klambauer et al. 2017)."""


class FeatureAlphaDropout(_DropoutNd, function=F.feature_alpha_dropout):
    """AlphaDropout of whole channels of (N, C, ...)."""
