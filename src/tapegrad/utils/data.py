"""``tapegrad.data`` at PyTorch's address."""

from tapegrad.data import *  # noqa: F403
from tapegrad.data import __all__ as __all__
