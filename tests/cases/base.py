"""One row an operation: every test in test_ops.py runs over these rows, on every device.

``call(lib, *inputs)`` is written once and run with tapegrad and with PyTorch, the oracle: the names
and semantics are the same. A sample is a tuple of input makers; the first sample of each row is
small, for finite differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Maker = Callable[[np.random.Generator], Any]


def f(*shape: int, low: float = -2.0, high: float = 2.0) -> Maker:
    """Floats between low and high, at least 0.05 from 0 and from each other's kinks."""

    def make(random: np.random.Generator) -> np.ndarray:
        x = random.uniform(low, high, shape)
        return np.asarray(np.where(np.abs(x) < 0.05, 0.3, x))

    return make


def pos(*shape: int) -> Maker:
    """Positive floats."""
    return f(*shape, low=0.2, high=3.0)


def unit(*shape: int) -> Maker:
    """Floats in 0..1."""
    return f(*shape, low=0.06, high=0.94)


def distinct(*shape: int) -> Maker:
    """Floats no two of which are close: maxima are unique under finite differences."""

    def make(random: np.random.Generator) -> np.ndarray:
        n = int(np.prod(shape))
        return (random.permutation(n) - n / 2 + 0.25).reshape(shape) * 0.3

    return make


def values(data: Any) -> Maker:
    """Given numbers, as floats."""
    return lambda random: np.asarray(data, dtype=np.float64)


def constant(make: Maker) -> Maker:
    """An input for which PyTorch has no gradient (class weights, running statistics)."""

    def made(random: np.random.Generator) -> Any:
        return make(random)

    made.constant = True  # type: ignore[attr-defined]
    return made


def ints(*shape: int, low: int = 0, high: int = 3) -> Maker:
    return lambda random: random.integers(low, high, shape)


def given(data: Any) -> Maker:
    """Given integers or bools."""
    return lambda random: np.asarray(data)


def mask(*shape: int) -> Maker:
    return lambda random: random.random(shape) < 0.5


@dataclass
class Case:
    name: str
    call: Callable[..., Any]
    samples: list[tuple[Maker, ...]]
    grad: bool = True  # whether it has a gradient
    second: bool = True  # whether finite differences hold, to the second order
    low: bool = True  # whether float16 and bfloat16 are tried


CASES: list[Case] = []


def case(name: str, call: Callable[..., Any], *samples: tuple[Maker, ...], **options: Any) -> None:
    CASES.append(Case(name, call, list(samples), **options))


# Samples that many rows share: a matrix, a number, nothing.
ONE = [(f(2, 3),), (f(),), (f(0, 3),)]
# Far from 0 exponentials overflow, and the first and second gradients must not.
FAR = values([-1000.0, -100.0, -30.0, 30.0, 100.0, 1000.0])
