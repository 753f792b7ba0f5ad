"""``functional_call`` at its old address."""

from __future__ import annotations

import warnings
from typing import Any

from tapegrad.autograd import transforms

from ..module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Any],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``func.functional_call``. Deprecated as in PyTorch, with a FutureWarning."""
    warnings.warn(
        "nn.utils.stateless.functional_call is deprecated: use func.functional_call",
        FutureWarning,
        stacklevel=2,
    )
    return transforms.functional_call(
        module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict
    )
