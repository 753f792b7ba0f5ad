"""Transforms of functions, under the names of ``torch.func``."""

from .autograd.transforms import *  # noqa: F403
from .autograd.transforms import __all__ as __all__
