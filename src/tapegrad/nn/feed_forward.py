"""A Linear, a GELU and a Linear, one after the other, as one operation."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor

from . import functional as F
from .activation import GELU
from .linear import Linear
from .module import Module


def is_feed_forward(*modules: Any) -> bool:
    """Whether these are such modules as their classes say, without hooks."""
    kinds = (Linear, GELU, Linear)
    return len(modules) == 3 and all(
        isinstance(module, Module) and module._is_just(kind)
        for module, kind in zip(modules, kinds, strict=True)
    )


def feed_forward(input: Tensor, first: Any, activation: Any, second: Any) -> Tensor:
    """``second(activation(first(input)))``"""
    weights = (first.weight, first.bias, second.weight, second.bias)
    return F.feed_forward(input, *weights, activation.approximate)
