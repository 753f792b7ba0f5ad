"""What a case is, and where its random inputs come from."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.bench.check import BenchmarkError
from tapegrad.core.devices import Device, PlainOperations
from tapegrad.core.dtypes import is_floating

if TYPE_CHECKING:
    from tapegrad.bench.ways import Way

Shape = tuple[int, ...]

ALL = ("float32", "float64", "float16", "bfloat16")
UP_TO_FLOAT32 = ("float32", "float16", "bfloat16")
# The dtypes of what is computed in float32 for 16-bit floats before it comes to the primitive.
WIDE = ("float32", "float64")
SIZES = ("tiny", "small", "large")
# A prime: rows of any usual length do not repeat one another.
_PERIOD = 1_048_573


@dataclass(frozen=True)
class Case:
    """One computation, written for each library. Arrays are positional everywhere.

    inputs(draw, *shape): the arrays. mine(ops, *arrays): tapegrad's way, ``ops`` being a device's
    operations. With the plain bodies as ``ops`` it is, in float64, what results are checked
    against, and what is timed for NumPy and CuPy; reference(ops, *arrays) is that where ``mine``
    cannot be, arrays(xp, *arrays) where NumPy and CuPy have a way of their own. torch(torch,
    *tensors): PyTorch's. compiled: the same for torch.compile, where ``torch`` is nothing to
    compile. A peer may return the first few of the results only.

    sizes: shapes by the name of the size. flops(*shape) counts a transcendental function as one.
    bytes(itemsize, *shape): what memory must move at least; by default every input and every
    result once. depth(*shape): how many terms the longest sum has. changes: the inputs that are
    updated in place, which then are the results. dtypes: those it exists for. peers_draw: the peers
    draw random numbers of their own, so that of theirs only the shape is compared.

    label: what the results call ``mine``, which is the function itself in a case of a user's. ways:
    of contestants that need more than a function of arrays, by name, functions of the device;
    rivals: those of them that are on trial, too. rtol: the largest error accepted, by default some
    units in the last place. group: several cases have the same. work(inputs): the operations, where
    the shape does not tell them. gradient(): the case of the gradients. sets: how many sets of
    inputs there are (None: many).
    """

    name: str
    primitive: str
    sizes: Mapping[str, Sequence[Shape]]
    inputs: Callable[..., tuple]
    mine: Callable[..., Any]
    flops: Callable[..., float]
    torch: Callable[..., Any] | None = None
    reference: Callable[..., Any] | None = None
    arrays: Callable[..., Any] | None = None
    compiled: Callable[..., Any] | None = None
    bytes: Callable[..., float] | None = None
    depth: Callable[..., int] = lambda *shape: 1
    changes: tuple[int, ...] = ()
    dtypes: tuple[str, ...] = ALL
    peers_draw: bool = False
    label: str = "tapegrad"
    ways: Mapping[str, Callable[[Device], Way | None]] = field(default_factory=dict)
    rivals: tuple[str, ...] = ()
    rtol: float | None = None
    group: str = ""
    work: Callable[[Sequence[Any]], float] | None = None
    gradient: Callable[[], Case] | None = None
    sets: int | None = None

    def plain(self, library: Any) -> Callable[..., Any]:
        """The case in plain bodies on the arrays of NumPy or CuPy."""
        return partial(self.reference or self.mine, PlainOperations(library))

    def shapes(self, size: str | Shape) -> Sequence[Shape]:
        """Those of a size; of a shape itself, where the case may have it."""
        if isinstance(size, str):
            return self.sizes[size]
        usual = self.sizes["tiny"][0]
        if not usual and self.ways:  # its inputs are given
            return [usual]
        return [size] if self.ways or len(size) == len(usual) else []

    def results(self, arrays: Sequence[Any], returned: Any) -> list[Any]:
        """The results as a list: what was returned, else the inputs that were changed."""
        if returned is None:
            return [arrays[i] for i in self.changes]
        return [result for result in several(returned) if result is not None]


def shape_of(size: Any) -> Shape:
    """``(4096, 512)``, of that or ``"4096x512"``. Raises BenchmarkError for anything else."""
    parts = size.split("x") if isinstance(size, str) else size
    try:
        shape = tuple(int(n) for n in (parts if isinstance(parts, (tuple, list)) else (parts,)))
        if any(n < 0 for n in shape):
            raise ValueError
    except (TypeError, ValueError):
        raise BenchmarkError(f"no shape: {size!r}; write it like 4096x512") from None
    return shape


def several(returned: Any) -> list[Any]:
    """The inputs or results of a function, of which one stands for itself."""
    return list(returned) if isinstance(returned, (tuple, list)) else [returned]


def of_primitive(
    name: str,
    sizes: Mapping[str, Sequence[Shape]],
    inputs: Callable[..., tuple],
    flops: int,
    torch: Callable[..., Any],
    primitive: str = "",
    parameters: Mapping[str, Any] | None = None,
    **more: Any,
) -> Case:
    """The case of a primitive (of the same name by default) that is called with nothing but the
    inputs and these parameters, and computes ``flops`` times the product of the shape."""
    key, given = primitive or name, parameters or {}

    def mine(ops: Any, *arrays: Any) -> Any:
        return ops[key](*arrays, **given)

    return Case(name, key, sizes, inputs, mine, lambda *s: flops * math.prod(s), torch, **more)


@dataclass(frozen=True)
class TorchGradient:
    """PyTorch's way to a gradient: of forward(torch, *tensors) for the inputs number ``of``, with
    the cotangent that input number ``along`` is (a scalar needs none). torch.compile compiles the
    forward function, and with it the way back."""

    forward: Callable[..., Any]
    of: tuple[int, ...]
    along: int | None = None

    def __call__(self, torch: Any, *tensors: Any, wrapped: Callable | None = None) -> Any:
        """``wrapped``: what is called in place of ``forward``, without the first argument."""
        leaves = [t.detach().requires_grad_() if i in self.of else t for i, t in enumerate(tensors)]
        inputs = [t for i, t in enumerate(leaves) if i != self.along]
        y = wrapped(*inputs) if wrapped else self.forward(torch, *inputs)
        cotangent = None if self.along is None else tensors[self.along]
        return torch.autograd.grad(y, [leaves[i] for i in self.of], cotangent)


class Draw:
    """Random arrays on a device, a function of the case's name, the shape and the dtype.

    The numbers are drawn on the CPU, by NumPy; large arrays repeat them after a prime number of
    elements, so that even a GPU's memory is filled quickly.
    """

    def __init__(self, device: Device, dtype: Any, seed: str):
        self.device, self.dtype = device, dtype
        self.xp = device.library
        self.plain = PlainOperations(self.xp)
        self._random = np.random.default_rng(zlib.crc32(seed.encode()))

    def normal(self, *shape: int, dtype: Any = None) -> Any:
        """Of the standard normal distribution."""
        block = self._random.standard_normal(_drawn(shape), dtype=np.float32)
        return self._fill(block.astype(dtype or self.dtype), shape)

    def positive(self, *shape: int, dtype: Any = None) -> Any:
        """Uniform in 0.5 to 1.5."""
        block = self._random.random(_drawn(shape), dtype=np.float32) + np.float32(0.5)
        return self._fill(block.astype(dtype or self.dtype), shape)

    def integers(self, high: int, *shape: int) -> Any:
        """int64, at least 0 and below ``high``."""
        return self._fill(self._random.integers(0, high, _drawn(shape)), shape)

    def words(self, high: int, *shape: int) -> Any:
        """int64 below ``high`` as words of a text are: number n comes up 1/n as often as the first
        (Zipf's law)."""
        ranks = np.exp(self._random.random(_drawn(shape)) * math.log(high))
        return self._fill(ranks.astype(np.int64) - 1, shape)

    def _fill(self, block: np.ndarray, shape: Shape) -> Any:
        n = math.prod(shape)
        words = self.device.receive(_words(block))
        if n > len(block):
            words = words[self.xp.arange(n) % len(block)]
        return words.view(block.dtype).reshape(shape)


def _drawn(shape: Shape) -> int:
    return min(math.prod(shape), _PERIOD)


def _words(array: Any) -> Any:
    """16-bit floats as integers: not every function of NumPy and CuPy knows bfloat16."""
    return array.view(np.uint16) if is_floating(array.dtype) and array.itemsize == 2 else array
