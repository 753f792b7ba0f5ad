"""``torch.functional``: functions of ``tapegrad`` under their other address."""

from typing import Any

import tapegrad
from tapegrad.nn import functional as F

__all__ = ["F"]


def __getattr__(name: str) -> Any:
    return getattr(tapegrad, name)
