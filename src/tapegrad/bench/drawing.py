"""The inputs of functions of a user's own: their sizes, and where the numbers come from."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.core.devices import Device
from tapegrad.core.dtypes import is_floating
from tapegrad.core.modes import no_grad
from tapegrad.core.signature import Sizes
from tapegrad.custom.checkable import Checkable
from tapegrad.custom.samples import draw as draw_inputs
from tapegrad.ops.sampling.philox import fork_rng, manual_seed

from .arrays import memory
from .cases import Draw
from .cases.case import Shape, several, shape_of
from .check import FLOATS, BenchmarkError

_ELEMENTS = {"tiny": 1 << 10, "small": 1 << 22, "large": 1 << 26}  # unless sizes are said


@dataclass
class Drawing:
    """How a function's inputs are made: see ``case`` for ``inputs`` and ``sizes``."""

    name: str
    function: Callable
    inputs: Any = None
    shapes: Sequence[Any] | None = None

    @property
    def is_given(self) -> bool:
        """Whether there is one set of inputs, of one shape."""
        return self.inputs is not None and not callable(self.inputs)

    def sizes(self) -> dict[str, Sequence[Shape]]:
        if self.is_given:
            return {size: [()] for size in _ELEMENTS}
        if self.shapes is not None:
            return {size: list(map(shape_of, self.shapes)) for size in _ELEMENTS}
        return {name: [self._usual(elements)] for name, elements in _ELEMENTS.items()}

    def _usual(self, elements: int) -> Shape:
        """About so many elements, where nobody said which sizes."""
        count = len(self.function.signature.sizes) if isinstance(self.function, Checkable) else 1
        return tuple([max(1, round(elements ** (1 / count)))] * count)

    def dtypes(self) -> tuple[str, ...]:
        if isinstance(self.function, Checkable):
            kinds = [item.dtype for item in self.function.forward.inputs]
            floats = [k for k in kinds if k in FLOATS]
            if "T" not in kinds:
                return (floats[0] if floats else "float32",)
        return FLOATS

    def __call__(self, draw: Draw, *shape: int) -> tuple:
        """The inputs: of a given tuple as they are, else arrays on the device."""
        device, seed = draw.device, zlib.crc32(f"{self.name} {shape}".encode())
        if self.is_given:
            values = several(self.inputs)
        elif self.inputs is not None:
            with fork_rng(), device, no_grad():
                manual_seed(seed)
                values = [moved(v, device, draw.dtype) for v in several(self.inputs(*shape))]
        elif isinstance(self.function, Checkable):
            sizes, random = self._named(self.function, shape), np.random.default_rng(seed)
            arrays = draw_inputs(self.function, sizes, draw.dtype, random, self.function.draws)
            values = [device.receive(a) for a in arrays]
        else:
            values = [draw.normal(*shape) for _ in range(self._arity())]
        return tuple(values)

    def _named(self, kernel: Checkable, shape: Shape) -> Sizes:
        """The sizes of a kernel's signature: each has one number, a star all that are left."""
        names = kernel.signature.sizes
        stars = kernel.signature.stars
        star = next((n for n in names if n in stars), None)
        extra = len(shape) - len(names)
        if extra < 0 or (extra > 0 and star is None):
            raise BenchmarkError(
                f"[{self.name}] has the sizes {', '.join(names)}, got "
                f"{'x'.join(map(str, shape)) or 'none'}: write {'x'.join(names)}"
            )
        sizes: Sizes = {}
        left = list(shape)
        for name in names:
            if name == star:
                sizes[name], left = tuple(left[: 1 + extra]), left[1 + extra :]
            else:
                value = left.pop(0)
                sizes[name] = (value,) if name in stars else value
        return sizes

    def _arity(self) -> int:
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):
            parameters = None
        if parameters is None or any(p.kind == p.VAR_POSITIONAL for p in parameters):
            raise BenchmarkError(
                f"[{self.name}] does not say how many tensors it takes: give it inputs="
            )
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return sum(p.kind in positional and p.default is p.empty for p in parameters)


def moved(value: Any, device: Device, dtype: Any) -> Any:
    """An input on the device, as an array; a float in this dtype."""
    array = memory(value)
    if array is None:
        return value
    array = device.receive(array)
    return array.astype(dtype) if is_floating(array.dtype) else array
