"""Random numbers. Peers draw others, so that only the shape of theirs is checked."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tapegrad.core.memory import Array

from .case import Case, Draw

_SIZES = {"tiny": [(1_003,)], "small": [(1 << 18,)], "large": [(1 << 26,)]}
_SEED, _OFFSET, _P, _SPAN = 0x5EED_0F_1234_5678, 7, 0.25, 1000


def _like(draw: Draw, n: int) -> tuple:
    """A normal array: the results have its length and dtype; dropout reads it, the others not."""
    return (draw.normal(n),)


@cache
def _generator(xp: Any) -> Any:
    return xp.random.default_rng(0)


def _random_words(xp: Any, x: Array) -> Any:
    return _generator(xp).integers(0, 2**32, x.size, dtype=xp.uint32)


def _random_integers(xp: Any, x: Array) -> Any:
    return _generator(xp).integers(0, _SPAN, x.size)


def _random_uniform(xp: Any, x: Array) -> Any:
    return _generator(xp).random(x.size, dtype=xp.float32).astype(x.dtype)


def _random_normal(xp: Any, x: Array) -> Any:
    return _generator(xp).standard_normal(x.size, dtype=xp.float32).astype(x.dtype)


def _random_dropout(xp: Any, x: Array) -> Any:
    keep = _generator(xp).random(x.size, dtype=xp.float32) >= _P
    return xp.where(keep, x / x.dtype.type(1 - _P), x.dtype.type(0))


def _drawn(name: str, flops: int, peer: Callable, arrays: Callable) -> Case:
    """Numbers of a distribution; in float64 one takes two words, so there they are others."""

    def drawn(ops: Any, x: Any, dtype: Any) -> Any:
        return ops[name](n=x.size, dtype=dtype, seed=_SEED, offset=_OFFSET)

    return Case(
        name,
        name,
        _SIZES,
        _like,
        lambda ops, x: drawn(ops, x, x.dtype),
        lambda n: flops * n,
        peer,
        reference=lambda ops, x: drawn(ops, x, np.dtype("float32")),
        arrays=arrays,
        bytes=lambda itemsize, n: itemsize * n,
        dtypes=("float32", "float16", "bfloat16"),
        peers_draw=True,
    )


CASES = [
    Case(
        "philox",
        "philox",
        _SIZES,
        _like,
        lambda ops, x: ops["philox"](n=x.size, seed=_SEED, offset=_OFFSET),
        lambda n: 10 * n,
        lambda t, x: t.empty(x.shape, dtype=t.int32, device=x.device).random_(),
        arrays=_random_words,
        bytes=lambda itemsize, n: 4 * n,
        peers_draw=True,
    ),
    Case(
        "integers_below",
        "integers_below",
        _SIZES,
        _like,
        lambda ops, x: ops["integers_below"](n=x.size, span=_SPAN, seed=_SEED, offset=_OFFSET),
        lambda n: 20 * n,
        lambda t, x: t.randint(_SPAN, x.shape, device=x.device),
        arrays=_random_integers,
        bytes=lambda itemsize, n: 8 * n,
        peers_draw=True,
    ),
    _drawn(
        "uniform", 10, lambda t, x: t.rand(x.shape, dtype=x.dtype, device=x.device), _random_uniform
    ),
    _drawn(
        "normal", 15, lambda t, x: t.randn(x.shape, dtype=x.dtype, device=x.device), _random_normal
    ),
    Case(
        "dropout",
        "dropout",
        _SIZES,
        _like,
        lambda ops, x: ops["dropout"](x, p=_P, seed=_SEED, offset=_OFFSET)[0],
        lambda n: 11 * n,
        lambda t, x: t.nn.functional.dropout(x, _P),
        arrays=_random_dropout,
        peers_draw=True,
    ),
]
