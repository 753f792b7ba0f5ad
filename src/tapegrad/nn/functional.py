"""The functions behind the layers, under PyTorch's names. They live in ``ops``, by family."""

from tapegrad.ops.catalog import publish as _publish

__getattr__, __dir__, __all__ = _publish(__name__, "F")
