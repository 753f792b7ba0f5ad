"""Batch normalisation in evaluation, folded into the layer before it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

from tapegrad.core.modes import no_grad
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling

from ..module import Module
from ..parameter import Parameter

M = TypeVar("M", bound=Module)


@retelling
def fuse_conv_bn_eval(conv: M, bn: Module, transpose: bool = False) -> M:
    """A convolution that computes ``bn(conv(x))``; ``transpose`` for a transposed one. Raises
    AssertionError if one of the two is in training, or ``bn`` remembers no statistics."""
    return _fused(conv, bn, transpose)


@retelling
def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of a convolution that is followed by batch normalisation with these mean,
    variance, eps, weight and bias. Their dtypes are those of the convolution's."""
    axis = 1 if transpose else 0
    return _folded(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, axis)


@retelling
def fuse_linear_bn_eval(linear: M, bn: Module) -> M:
    """A Linear that computes ``bn(linear(x))``. Raises AssertionError if one of the two is in
    training, if ``bn`` remembers no statistics, or if it has neither one feature nor as many as
    ``linear``."""
    if bn.num_features not in (1, linear.out_features):
        raise AssertionError(
            f"[fuse_linear_bn_eval] the batch norm has {bn.num_features} features, the linear "
            f"layer {linear.out_features}"
        )
    return _fused(linear, bn, False)


@retelling
def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of a Linear that is followed by batch normalisation with these mean,
    variance, eps, weight and bias. Their dtypes are those of the Linear's."""
    return _folded(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _fused(layer: M, bn: Module, transpose: bool) -> M:
    if layer.training or bn.training:
        raise AssertionError(
            f"[fuse] {type(layer).__name__} and {type(bn).__name__} must be in evaluation: call "
            "eval() of both"
        )
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError(f"[fuse] {type(bn).__name__} has no running statistics to fuse")
    fused = deepcopy(layer)
    fused.weight, fused.bias = _folded(
        layer.weight, layer.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        1 if transpose else 0,
    )  # fmt: skip
    return fused


@no_grad()
def _folded(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    scale: Tensor | None,
    shift: Tensor | None,
    axis: int,
) -> tuple[Parameter, Parameter]:
    factor: Any = (variance + eps).rsqrt()
    if scale is not None:
        factor = factor * scale
    shape = [1] * weight.ndim
    shape[axis] = -1
    fused = weight * factor.reshape(shape)
    moved = -mean * factor if bias is None else (bias - mean) * factor
    if shift is not None:
        moved = moved + shift
    trained = bias is not None and bias.requires_grad
    return (
        Parameter(fused.to(weight.dtype), weight.requires_grad),
        Parameter(moved.to(weight.dtype if bias is None else bias.dtype), trained),
    )
