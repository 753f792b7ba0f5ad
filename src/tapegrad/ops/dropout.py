"""Dropout: elements set to 0 at random, with no mask stored."""

from __future__ import annotations

import math
from typing import Any

from ..backend import Device, override
from ..kernels import launch
from ..tape import primitive
from ..tensor import Tensor
from .arguments import require_tensor
from .inplace import become
from .precision import in_float32
from .random import default_generator


@primitive(
    "dropout",
    vjp=(lambda xp, g, p, seed, offset: xp.dropout(g, p=p, seed=seed, offset=offset),),
)
@in_float32
def _dropout(xp: Any, x: Any, *, p: float, seed: int, offset: int) -> Any:
    """No mask is stored: the backward pass draws the same numbers again."""
    words = xp.philox(n=x.size, seed=seed, offset=offset) >> xp.library.uint32(8)
    keep = (words >= xp.library.uint32(math.ceil(p * 2**24))).reshape(x.shape)
    # A division, not a product with 1 / (1 - p): the kernel's bits.
    return xp.where(keep, x / x.dtype.type(1 - p), x.dtype.type(0))


@override("dropout", "cuda", "emulated")
def _dropout_kernel(device: Device, x: Any, *, p: float, seed: int, offset: int) -> Any:
    x = device.ops["contiguous"](x)
    y = device.ops["empty"](x.shape, dtype=x.dtype)
    launch(device, "dropout", x.dtype, y, x, x.size, p, seed, offset)
    return y


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements set to 0 with probability p, the others scaled by 1 / (1 - p)."""
    require_tensor("dropout", x)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"[dropout] p must be in 0..1, got {p}")
    if not training or p == 0.0:
        return x
    if not x.is_floating_point():
        raise RuntimeError(f"[dropout] needs a floating-point tensor, got {x.dtype.name}")
    if p == 1.0:
        y = x * 0.0
    else:
        seed, offset = default_generator.next()
        y = _dropout(x, p=p, seed=seed, offset=offset)
    if inplace:
        return become(x, y, "dropout_")
    return y
