"""Keeping gradients within bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import zeros


@retelling
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients together so that their joint norm is at most ``max_norm``.

    Returns the norm they had before.
    """
    if max_norm < 0 or norm_type <= 0:
        raise ValueError(
            "clip_grad_norm_: max_norm must not be negative and norm_type positive, "
            f"got {max_norm} and {norm_type}"
        )
    grads = _gradients(parameters)
    if not grads:
        return zeros(())
    device = grads[0].device
    xp = device.xp
    norms = [wrap(_norm(grad, norm_type), grad.device).to(device) for grad in grads]
    total = _norm(wrap(xp.stack([norm._array for norm in norms]), device), norm_type)
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise RuntimeError(
            f"clip_grad_norm_: the total norm of the gradients is {float(total)}; they were not "
            "scaled (error_if_nonfinite=True)"
        )
    factor = wrap(device.asarray(xp.minimum(max_norm / (total + 1e-6), 1.0)), device)
    for grad in grads:
        array = grad._array
        wide = array.astype(dtypes.accumulator(array.dtype), copy=False)
        wide *= factor.to(grad.device)._array.astype(wide.dtype)
        if wide is not array:
            array[...] = wide.astype(array.dtype)
        grad._bump("nn.utils.clip_grad_norm_")
    return wrap(device.asarray(total), device)


@retelling
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clamp every element of every gradient to [-clip_value, clip_value]."""
    if clip_value < 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    for grad in _gradients(parameters):
        grad._array.clip(-clip_value, clip_value, out=grad._array)
        grad._bump("nn.utils.clip_grad_value_")


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = (parameters,) if isinstance(parameters, Tensor) else tuple(parameters)
    return [p.grad for p in params if p.grad is not None]


def _norm(grad: Tensor, norm_type: float) -> Any:
    """The norm of all elements, carried in float32 for the 16-bit floats."""
    device, array = grad._device, grad._array
    flat = array.ravel().astype(dtypes.accumulator(array.dtype), copy=False)
    if flat.size == 0:
        return device.ops["zeros"]((), dtype=flat.dtype)
    norm = device.ops["vector_norm"](flat, order=float(norm_type), axis=(0,), keepdims=False)
    return device.asarray(norm)
