"""What PyTorch keeps under ``torch.utils``: ``tapegrad.utils.data`` is ``tapegrad.data``."""

from . import data

__all__ = ["data"]
