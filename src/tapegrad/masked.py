"""Reductions and normalisations of the elements that a mask chooses: ``torch.masked``."""

from .ops.reduction.masked import *  # noqa: F403
from .ops.reduction.masked import __all__ as __all__
