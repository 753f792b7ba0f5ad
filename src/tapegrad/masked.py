"""Reductions and normalisations of the elements that a mask chooses: ``torch.masked``."""

from .ops.catalog import publish as _publish

__getattr__, __dir__, __all__ = _publish(__name__, "masked")
