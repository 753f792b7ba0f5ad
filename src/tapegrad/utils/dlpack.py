"""``torch.utils.dlpack``: memory shared with other libraries through the DLPack protocol."""

from __future__ import annotations

from typing import Any

import tapegrad
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule of the tensor's memory, for another library. Raises BufferError for a tensor that
    requires grad."""
    require_tensor("to_dlpack", tensor)
    return tensor.__dlpack__()


from_dlpack = tapegrad.from_dlpack
