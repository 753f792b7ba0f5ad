"""``tapegrad.linalg``: factorisations, systems, norms, with PyTorch's names and gradients."""

from .ops.catalog import publish as _publish

__getattr__, __dir__, __all__ = _publish(__name__, "linalg")
