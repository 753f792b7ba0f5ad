"""Random numbers. Those of the peers are others, so of theirs only shape and dtype are checked."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from tapegrad.core.memory import Array

from .case import Case, Draw

_SIZES = {"tiny": [(1_003,)], "small": [(1 << 18,)], "large": [(1 << 26,)]}
_SEED, _OFFSET, _P = 0x5EED_0F_1234_5678, 7, 0.25
_LOW = np.uint64(0xFFFFFFFF)


def _like(draw: Draw, n: int) -> tuple:
    """A normal array: the results have its length and dtype; dropout reads it, the others not."""
    return (draw.normal(n),)


def _words(xp: Any, n: int) -> Any:
    """n words of Philox4x32-10 (Salmon et al. 2011) under the seed, with the block number in the
    lower half of the counter and the offset in the upper."""
    u64, shift = xp.uint64, xp.uint64(32)
    counter = xp.zeros((4, -(-n // 4)), dtype=xp.uint64)
    counter[0] = xp.arange(counter.shape[1])
    counter[2] = _OFFSET
    key = [_SEED & 0xFFFFFFFF, _SEED >> 32]
    low = u64(_LOW)
    for _ in range(10):
        left, right = counter[0] * u64(0xD2511F53), counter[2] * u64(0xCD9E8D57)
        counter = xp.stack(
            [
                (right >> shift) ^ counter[1] ^ u64(key[0]),
                right & low,
                (left >> shift) ^ counter[3] ^ u64(key[1]),
                left & low,
            ]
        )
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter.T.reshape(-1)[:n].astype(xp.uint32)


def _normal(xp: Any, x: Array) -> Any:
    """Pairs by Box & Muller (1958), from words as fractions."""
    pairs = -(-x.size // 2)
    words = _words(xp, 2 * pairs).astype(np.float64)
    radius = xp.sqrt(-2 * xp.log((words[0::2] + 1) / 2**32))
    angle = 2 * math.pi * words[1::2] / 2**32
    return xp.stack([radius * xp.cos(angle), radius * xp.sin(angle)], 1).reshape(-1)[: x.size]


def _dropout(xp: Any, x: Array) -> Any:
    keep = _words(xp, x.size) >> xp.uint32(8) >= math.ceil(_P * 2**24)
    return xp.where(keep, x / (1 - _P), 0)


@cache
def _generator(xp: Any) -> Any:
    return xp.random.default_rng(0)


def _random_words(xp: Any, x: Array) -> Any:
    return _generator(xp).integers(0, 2**32, x.size, dtype=xp.uint32)


def _random_normal(xp: Any, x: Array) -> Any:
    return _generator(xp).standard_normal(x.size, dtype=xp.float32).astype(x.dtype)


def _random_dropout(xp: Any, x: Array) -> Any:
    keep = _generator(xp).random(x.size, dtype=xp.float32) >= _P
    return xp.where(keep, x / x.dtype.type(1 - _P), x.dtype.type(0))


CASES = [
    Case(
        "philox",
        "philox",
        _SIZES,
        _like,
        lambda ops, x: ops["philox"](n=x.size, seed=_SEED, offset=_OFFSET),
        lambda xp, x: _words(xp, x.size),
        lambda n: 10 * n,
        lambda t, x: t.empty(x.shape, dtype=t.int32, device=x.device).random_(),
        arrays=_random_words,
        bytes=lambda itemsize, n: 4 * n,
        peers_draw=True,
    ),
    Case(
        "normal",
        "normal",
        _SIZES,
        _like,
        lambda ops, x: ops["normal"](n=x.size, dtype=x.dtype, seed=_SEED, offset=_OFFSET),
        _normal,
        lambda n: 15 * n,
        lambda t, x: t.randn(x.shape, dtype=x.dtype, device=x.device),
        arrays=_random_normal,
        bytes=lambda itemsize, n: itemsize * n,
        dtypes=("float32", "float16", "bfloat16"),  # float64 takes two words a number
        peers_draw=True,
    ),
    Case(
        "dropout",
        "dropout",
        _SIZES,
        _like,
        lambda ops, x: ops["dropout"](x, p=_P, seed=_SEED, offset=_OFFSET),
        _dropout,
        lambda n: 11 * n,
        lambda t, x: t.nn.functional.dropout(x, _P),
        arrays=_random_dropout,
        peers_draw=True,
    ),
]
