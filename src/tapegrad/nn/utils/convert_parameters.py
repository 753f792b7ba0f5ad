"""Parameters in one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.movement.cat import cat


@retelling
def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters in one vector, one after the other; gradients go back through it."""
    return cat([p.reshape(-1) for p in parameters])


@retelling
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters what the vector holds: each ``.data`` becomes a part of its memory.

    Raises RuntimeError, before anything has changed, if the vector is not as long as they are.
    """
    wanted = list(parameters)
    sizes = [p.numel() for p in wanted]
    if not isinstance(vec, Tensor):
        raise TypeError(f"[vector_to_parameters] expects a Tensor, got {type(vec).__name__}")
    if tuple(vec.shape) != (sum(sizes),):
        raise RuntimeError(
            f"[vector_to_parameters] the parameters have {sum(sizes)} elements together, the "
            f"vector has shape {tuple(vec.shape)}"
        )
    for p, part in zip(wanted, vec.detach().split(sizes), strict=True):
        p.data = part.view_as(p)
