"""Keeping gradients within bounds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from types import GeneratorType
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.memory import Array
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.distributed.collectives import all_reduce
from tapegrad.distributed.reductions import ReduceOp
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import zeros


@retelling
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together so that their joint norm is at most ``max_norm``.

    Returns the norm they had before. ``foreach`` changes nothing. Of parameters of ``fully_shard``
    it is the norm of all ranks' parts, and all ranks call it. Raises RuntimeError, before anything
    has changed, for a norm that is not finite if ``error_if_nonfinite``.
    """
    if max_norm < 0 or norm_type <= 0:
        raise ValueError(
            "clip_grad_norm_: max_norm must not be negative and norm_type positive, "
            f"got {max_norm} and {norm_type}"
        )
    params = _listed(parameters)
    if not params and isinstance(parameters, GeneratorType):
        warnings.warn("clip_grad_norm_: the generator of parameters is empty", stacklevel=3)
    grads = _gradients(params)
    parts = _with_those_of_all_ranks(params, norm_type)
    total = _total("clip_grad_norm_", parts, norm_type, error_if_nonfinite)
    _scale("clip_grad_norm_", grads, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """``clip_grad_norm_``. Deprecated as in PyTorch, with a FutureWarning."""
    warnings.warn(
        "nn.utils.clip_grad_norm is deprecated: use nn.utils.clip_grad_norm_",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@retelling
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of all tensors together, on the first tensor's device; 0 where there
    are none. ``foreach`` changes nothing. Raises RuntimeError for one that is not finite if
    ``error_if_nonfinite``."""
    return _total("get_total_norm", _listed(tensors), norm_type, error_if_nonfinite)


@retelling
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale all gradients by ``max_norm / total_norm`` where that is less than 1; ``total_norm`` is
    what ``get_total_norm`` returned. ``foreach`` changes nothing."""
    _scale("clip_grads_with_norm_", _gradients(_listed(parameters)), max_norm, total_norm)


@retelling
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamp every element of every gradient to [-clip_value, clip_value]. ``foreach`` changes
    nothing."""
    if clip_value < 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    for grad in _gradients(_listed(parameters)):
        grad._array.clip(-clip_value, clip_value, out=grad._array)
        grad._bump("nn.utils.clip_grad_value_")


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def _with_those_of_all_ranks(parameters: list[Tensor], norm_type: float) -> list[Tensor]:
    """Gradients of the same joint norm: of sharded parameters, one number in place of all parts."""
    parts: dict[Any, list[Tensor]] = {}
    found: list[Tensor] = []
    for p in parameters:
        if p.grad is not None:
            sharding = getattr(p, "sharding", None)
            (found if sharding is None else parts.setdefault(sharding.group, [])).append(p.grad)
    for group, grads in parts.items():
        norm = _total("clip_grad_norm_", grads, norm_type, False)
        if math.isinf(norm_type):
            all_reduce(norm, ReduceOp.MAX, group)
        else:
            norm = norm**norm_type
            all_reduce(norm, ReduceOp.SUM, group)
            norm = norm ** (1 / norm_type)
        found.append(norm)
    return found


def _total(op: str, tensors: list[Tensor], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    if not tensors:
        return zeros(())
    norms = [
        wrap(device.ops["joint_norm"](*arrays, order=float(norm_type)), device)
        for device, arrays in _by_device(tensors).items()
    ]
    total = norms[0]
    if len(norms) > 1:
        device = total.device
        together = [norm.to(device)._array for norm in norms]
        total = wrap(device.ops["joint_norm"](*together, order=float(norm_type)), device)
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise RuntimeError(
            f"{op}: the total norm of the gradients is {float(total)}; nothing was scaled "
            "(error_if_nonfinite=True)"
        )
    return total


def _scale(op: str, grads: list[Tensor], max_norm: float, total: Tensor) -> None:
    for device, arrays in _by_device(grads).items():
        norm = total.to(device)._array
        device.ops["scale_to_norm"](norm, *arrays, most=max_norm)
    for grad in grads:
        grad._bump(f"nn.utils.{op}")


def _by_device(tensors: list[Tensor]) -> dict[Device, list[Array]]:
    found: dict[Device, list[Array]] = {}
    for tensor in tensors:
        found.setdefault(tensor._device, []).append(tensor._array)
    return found
