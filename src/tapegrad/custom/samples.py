"""What a kernel is called with when it is checked: element types, sizes, and inputs drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.signature import Signature, Sizes, counts

from .checkable import Checkable
from .launch import FLOATS, actual

# Around the sizes of packs, warps and blocks.
LENGTHS = (0, 1, 31, 33, 127, 129, 257, 1000, 20011)
ROWS = (0, 3, 1, 45, 3, 40, 35, 5, 4, 37, 3, 4, 10, 9, 2, 2)
COLUMNS = (5, 0, 1, 5, 31, 33, 64, 127, 129, 257, 520, 1000, 1111, 2104, 3001, 9001)
FEW = (1, 2, 3, 5, 8, 17, 31, 32, 33, 65, 129)

Draws = Mapping[str, Callable[[dict[str, int], np.random.Generator], Any]]


def check_draws(kernel: str, signature: Signature, draws: Draws) -> None:
    """Raise ValueError for names of no inputs, TypeError for what draws none."""
    names = [item.name for item in signature.inputs]
    unknown = sorted({*draws} - {*names})
    if unknown:
        raise ValueError(f"[{kernel}] inputs= names {unknown}, but the inputs are {names}")
    for name, function in draws.items():
        if not callable(function):
            raise TypeError(
                f"[{kernel}] inputs[{name!r}] must be a function of sizes and random, "
                f"got {type(function).__name__}"
            )


def element_types(kernel: Checkable) -> list[Any]:
    """The dtypes that T may be; [None] where the kernel has no T."""
    if not any(item.dtype == "T" for item in kernel.forward.inputs):
        return [None]
    found = []
    for name in FLOATS:
        with suppress(ImportError):
            found.append(dtypes.bfloat16() if name == "bfloat16" else np.dtype(name))
    return found


def samples(kernel: Checkable, chosen: Mapping[str, Sequence[int]]) -> list[dict[str, int]]:
    """Values for the sizes of a signature. chosen: for some names, only these."""
    names = kernel.signature.sizes
    found: list[tuple[int, ...]]
    if len(names) == 1:
        found = [(n,) for n in LENGTHS]
    elif len(names) == 2:
        found = [*zip(ROWS, COLUMNS, strict=True)]
    else:
        random = np.random.default_rng(3)
        drawn = ([int(v) for v in random.choice(FEW, len(names))] for _ in range(200))
        found = [tuple(v) for v in drawn if math.prod(v) <= 40_000][:12] + [(0,) * len(names)]
    result = []
    for i, values in enumerate(found):
        sample = dict(zip(names, values, strict=True))
        sample |= {name: int(allowed[i % len(allowed)]) for name, allowed in chosen.items()}
        if sample not in result:
            result.append(sample)
    return result


def dimensions(kernel: Checkable, sample: Mapping[str, int]) -> Sizes:
    """A sample as sizes: of a name with a star, one dimension or two."""
    stars = kernel.signature.stars
    return {
        name: ((3, n // 3) if n % 3 == 0 and n else (n,)) if name in stars else n
        for name, n in sample.items()
    }


def draw(
    kernel: Checkable, sizes: Sizes, dtype: Any, random: np.random.Generator, draws: Draws
) -> list[np.ndarray]:
    """Inputs. Raises ValueError for whole numbers of which nobody said what they may be."""
    arrays = []
    for item in kernel.forward.inputs:
        shape, of = kernel.signature.shape(item, sizes), actual(item.dtype, dtype)
        if item.name in draws:
            array = np.asarray(draws[item.name](counts(sizes), random)).astype(of)
            if array.size != math.prod(shape):
                raise ValueError(
                    f"[{kernel.name}] inputs[{item.name!r}] made shape {array.shape}, not {shape}"
                )
            array = array.reshape(shape)
        elif of.kind in "iu":
            said = [s if s.isdigit() else f"sizes['{s.lstrip('*')}']" for s in item.sizes or ()]
            raise ValueError(
                f"[{kernel.name}] {item.name} is {of}: let tg.kernel know what it may be, like "
                f"inputs={{'{item.name}': lambda sizes, random: random.integers(0, 10, "
                f"[{', '.join(said)}])}}"
            )
        elif of.kind == "b":
            array = random.integers(0, 2, shape).astype(bool)
        else:
            array = random.standard_normal(shape).astype(of)
        arrays.append(np.asarray(array))
        arrays[-1].flags.writeable = False  # no body and no rule changes what others get, too
    return arrays
