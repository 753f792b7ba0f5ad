"""Transforms of functions, under the names of ``torch.func``."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from .autograd.batched import vmap
from .autograd.transforms import *  # noqa: F403
from .autograd.transforms import __all__ as _transforms

__all__ = [*_transforms, "vmap"]

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
