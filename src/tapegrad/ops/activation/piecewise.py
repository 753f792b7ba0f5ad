"""Activations in straight pieces: what is passed on, cut off or scaled, by intervals of the input.

One row each: the function, and the gradient with PyTorch's choice of slope at the kinks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_floating, require_tensor
from tapegrad.ops.common.precision import in_float32, to_float32
from tapegrad.ops.indexing.inplace import inplace as in_place
from tapegrad.ops.sampling.philox import draw

from .activation import leaky_relu, ramp


@primitive(
    "hardtanh", vjp=(lambda xp, g, x, low, high: xp.where((x <= low) | (x >= high), 0.0, g),)
)
def _hardtanh(xp: Any, x: Array, *, low: float, high: float) -> Array:
    return xp.clip(x, low=low, high=high)


@primitive("threshold", vjp=(lambda xp, g, x, limit: xp.where(x <= limit, 0.0, g),))
def _threshold(xp: Any, x: Array, *, limit: float, value: float) -> Array:
    return xp.where(x <= limit, x.dtype.type(value), x)


def _shrink_rule(xp: Any, g: Array, x: Array, limit: float) -> Any:
    return xp.where((x >= -limit) & (x <= limit), 0.0, g)


@primitive("hardshrink", vjp=(_shrink_rule,))
def _hardshrink(xp: Any, x: Array, *, limit: float) -> Array:
    return xp.where((x >= -limit) & (x <= limit), x.dtype.type(0), x)


@primitive("softshrink", vjp=(_shrink_rule,))
@in_float32
def _softshrink(xp: Any, x: Array, *, limit: float) -> Array:
    return x - xp.clip(x, low=-limit, high=limit)


@primitive(
    "hardsigmoid", vjp=(to_float32(lambda xp, g, x: xp.where((x > -3) & (x < 3), g / 6, 0.0)),)
)
@in_float32
def _hardsigmoid(xp: Any, x: Array) -> Array:
    return xp.clip(x + 3, low=0.0, high=6.0) / 6


@to_float32
def _hardswish_rule(xp: Any, g: Array, x: Array) -> Any:
    inner = xp.where(x < 3, g * (x / 3 + 0.5), g)
    return xp.where(x <= -3, 0.0, inner)


@primitive("hardswish", vjp=(_hardswish_rule,))
@in_float32
@ramp
def _hardswish(xp: Any, x: Array) -> Array:
    return x * xp.clip(x + 3, low=0.0, high=6.0) / 6


@primitive(
    "prelu",
    vjp=(
        to_float32(lambda xp, g, x, slope: xp.where(x > 0, g, slope * g)),
        # The choice before the product: an infinite x times 0 would be nan.
        to_float32(lambda xp, g, x: xp.where(x > 0, 0.0, x) * g),
    ),
)
@in_float32
def _prelu(xp: Any, x: Array, slope: Any) -> Array:
    return xp.where(x > 0, x, slope * x)


# ---------------------------------------------------------------------- PyTorch's signatures


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x clipped to min_val..max_val, with slope 0 on the bounds as well. Raises ValueError where
    min_val exceeds max_val, RuntimeError for a dtype that does not hold them."""
    if inplace:
        return hardtanh_(input, min_val, max_val)
    require_tensor("hardtanh", input)
    if min_val > max_val:
        raise ValueError(f"[hardtanh] min_val {min_val} must not exceed max_val {max_val}")
    if input.dtype.kind == "b" or (input.dtype.kind == "u" and min_val < 0):
        raise RuntimeError(f"[hardtanh] {input.dtype.name} does not hold min_val {min_val}")
    if not input.is_floating_point():  # of which bounds may lie outside the range
        limits = np.iinfo(input.dtype)
        min_val, max_val = max(min_val, limits.min), min(max_val, limits.max)
    return _hardtanh(input, low=min_val, high=max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0, 6, inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where above the threshold, ``value`` elsewhere. Raises RuntimeError for bools."""
    if inplace:
        return threshold_(input, threshold, value)
    require_tensor("threshold", input)
    if input.dtype.kind == "b":
        raise RuntimeError("[threshold] is not defined for bool tensors: convert with .float()")
    return _threshold(input, limit=threshold, value=value)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where -lambd <= x <= lambd, x elsewhere."""
    require_floating("hardshrink", input)
    return _hardshrink(input, limit=lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 where that would pass it. Raises RuntimeError for a
    negative lambd."""
    require_floating("softshrink", input)
    if not lambd >= 0:
        raise RuntimeError(f"[softshrink] lambd must not be negative, got {lambd}")
    return _softshrink(input, limit=lambd)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    if inplace:
        return hardsigmoid_(input)
    require_floating("hardsigmoid", input)
    return _hardsigmoid(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x relu6(x + 3) / 6 (Howard et al. 2019)."""
    if inplace:
        return hardswish_(input)
    require_floating("hardswish", input)
    return _hardswish(input)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, weight * x elsewhere (He et al. 2015): one weight, or one for each channel
    (dimension 1), of the input's dtype. Raises RuntimeError for other weights."""
    require_floating("prelu", input)
    require_tensor("prelu", weight)
    if weight.dtype != input.dtype:
        raise RuntimeError(
            f"[prelu] input is {input.dtype.name}, weight {weight.dtype.name}: convert one"
        )
    if weight.ndim > 1:
        raise RuntimeError(f"[prelu] weight must be 0-d or 1-d, got shape {tuple(weight.shape)}")
    if weight.numel() != 1:
        if input.ndim == 0:
            raise RuntimeError(f"[prelu] a 0-d input has one weight, not {weight.numel()}")
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(
                f"[prelu] weight has {weight.numel()} elements, input {tuple(input.shape)} has "
                f"{channels} channels"
            )
        weight = weight.reshape((-1,) + (1,) * (input.ndim - 2))
    elif weight.ndim:
        weight = weight.reshape(())
    return _prelu(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """x where positive; elsewhere x times a slope: random in lower..upper for each element while
    training, their mean otherwise (Xu et al. 2015). Raises RuntimeError where lower exceeds
    upper."""
    if inplace:
        return rrelu_(input, lower, upper, training)
    require_floating("rrelu", input)
    if lower > upper:
        raise RuntimeError(f"[rrelu] lower {lower} must not exceed upper {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    u = draw("uniform", tuple(input.shape), dtypes.float32, input.device, None)
    slope = (u * (upper - lower) + lower).astype(input.dtype)
    return _prelu(input, wrap(slope, input._device))


hardtanh_, threshold_, hardsigmoid_, hardswish_, rrelu_ = (
    in_place(f) for f in (hardtanh, threshold, hardsigmoid, hardswish, rrelu)
)
