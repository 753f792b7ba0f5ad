"""Random numbers that are a function of (seed, offset, element index): the same bits on every
device, in any order of computation.

The generator is Philox4x32-10 (Salmon et al. 2011): block b of four 32-bit words is a keyed mixing
of the counter (b, offset) under the seed, so element i needs no state but its index. ``offset``
counts the calls made of a generator. Everything after the words is IEEE additions,
multiplications, divisions and square roots, which every device rounds alike.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.capture import Capture, capturing, refuse
from tapegrad.core.commit import fork_safe_lock
from tapegrad.core.devices import Device
from tapegrad.core.kernels import kernel
from tapegrad.core.launches import launching
from tapegrad.core.memory import Array
from tapegrad.core.modes import holds
from tapegrad.core.tape import array_function
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.common.series import horner
from tapegrad.ops.common.type_info import finfo

# ---------------------------------------------------------------------- the generator


_STATE_BYTES = 16

# A number; or, while launches are recorded, an array of the device with the seed, and the offset
# that others are added to (kernels/philox.cuh).
Seed: TypeAlias = Any


class Generator(Retelling):
    """A stream of random numbers: a seed, and the number of calls made so far.

    ``device`` is accepted for PyTorch's sake: the numbers are the same on all.
    """

    _lock = fork_safe_lock()  # threads may share a generator

    def __init__(self, device: Any = "cpu"):
        self.device = Device(device)
        self._seed, self._offset = 0, 0

    def manual_seed(self, seed: int) -> Generator:
        """Start again from ``seed`` (any 64-bit integer, negative ones wrap around). Raises
        TypeError for what is no number; CaptureError while launches are recorded."""
        if capturing() is not None:
            refuse("a generator is seeded, which would be so in every replay: seed it before")
        try:
            self._seed, self._offset = math.floor(seed) % 2**64, 0
        except (TypeError, ValueError, OverflowError):
            raise TypeError(
                f"[manual_seed] seed must be an int, got {type(seed).__name__}"
            ) from None
        return self

    def initial_seed(self) -> int:
        """The seed."""
        return self._seed

    def seed(self) -> int:
        """Start again from a number of the operating system's, and return it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def get_state(self) -> Tensor:
        """The seed and the number of calls made, as 16 bytes: a uint8 tensor of shape (16,)."""
        numbers = np.array([self._seed, self._offset], dtype="<u8")
        return wrap(numbers.view(np.uint8), Device("cpu"))

    def set_state(self, state: Tensor) -> Generator:
        """Go on from what ``get_state`` returned; the two int64 numbers that it once returned are
        taken, too. Raises TypeError for anything but bytes, RuntimeError for another number of
        them."""
        wanted = f"[set_state] a generator's state is a uint8 tensor of shape ({_STATE_BYTES},)"
        if not isinstance(state, Tensor):
            raise TypeError(f"{wanted}, got {type(state).__name__}")
        size = tuple(state.shape)
        if state.dtype not in (dtypes.uint8, dtypes.int64):
            raise TypeError(f"{wanted}, got {state.dtype.name} {size}")
        if state.dtype.itemsize * math.prod(size) != _STATE_BYTES or len(size) != 1:
            raise RuntimeError(
                f"{wanted}, got {state.dtype.name} {size}: another library's generators are others"
            )
        held = np.ascontiguousarray(state.numpy(force=True))  # type: ignore[attr-defined]
        seed, offset = held.view("<u8").tolist()
        recording, changes = capturing(), (seed, offset) != (self._seed, self._offset)
        if changes and recording is not None and self not in recording.shared:
            refuse("a generator gets this state, as it would in every replay: set it before")
        self._seed, self._offset = seed, offset
        return self

    def jump(self, seed: int, offset: int) -> None:
        """Go on from there."""
        with self._lock:
            self._seed, self._offset = seed, offset

    def next(self, calls: int = 1) -> tuple[Seed, int]:
        """The (seed, offset) of one call, or of the first of so many."""
        recording = capturing()
        if recording is not None:
            replayed = recording.shared.get(self) or _Replayed(recording, self)
            return replayed.next(calls)
        with self._lock:
            self._offset += calls
            return self._seed, self._offset - calls


class _Replayed:
    """A generator while its calls are recorded: each replay goes on where the generator is then,
    and takes as many calls as the recording did."""

    def __init__(self, recording: Capture, generator: Generator) -> None:
        self._generator, self._calls = generator, 0
        self._seed, self._offset = generator._seed, generator._offset
        recording.before_each.append(lambda: partial(generator.jump, *generator.next(0)))
        self._start = recording.live(self._words(self._seed, self._offset), self._later)
        recording.shared[generator] = self
        recording.at_end.append(partial(generator.jump, self._seed, self._offset))

    @staticmethod
    def _words(seed: int, offset: int) -> np.ndarray:
        return np.array([seed, offset], np.uint64)

    def _later(self) -> np.ndarray:
        seed, offset = self._generator.next(self._calls)
        assert isinstance(seed, int)
        return self._words(seed, offset)

    def next(self, calls: int) -> tuple[Seed, int]:
        """Where the stream begins in each replay, and the offset from there."""
        generator = self._generator
        first = generator._offset - self._offset
        # (It may go back to where it was within the recording, as a checkpoint does.)
        if generator._seed != self._seed or not 0 <= first <= self._calls:
            refuse("a generator got another state, as it would in every replay: set it before")
        generator._offset += calls
        self._calls = max(self._calls, first + calls)
        return self._start, first


default_generator = Generator()
_lent: ContextVar[Generator | None] = ContextVar("what stands for the default one", default=None)


def current_generator() -> Generator:
    """The default generator, or what stands for it in this thread."""
    return _lent.get() or default_generator


def lent_generator() -> holds[Generator]:
    """Within this, in this thread alone, another generator stands for the default one."""
    return holds(_lent, Generator())


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which serves all devices, and return it."""
    return current_generator().manual_seed(seed)


def seed() -> int:
    """Seed the default generator with a number of the operating system's, and return it."""
    return current_generator().seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return current_generator().initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state, as ``Generator.get_state`` gives it."""
    return current_generator().get_state()


def set_rng_state(state: Tensor) -> None:
    """Put the default generator back into a state of ``get_rng_state``. Raises as
    ``Generator.set_state``."""
    current_generator().set_state(state)


@contextmanager
def fork_rng(
    devices: Any = None, enabled: bool = True, device_type: str = "cuda"
) -> Iterator[None]:
    """Within this, the default generator may be seeded and used as one likes: then it goes on from
    where it was, unless ``enabled`` is False. It serves all devices, so that neither ``devices``
    nor ``device_type`` matter."""
    state = current_generator().get_state()
    try:
        yield
    finally:
        if enabled:
            current_generator().set_state(state)


# ---------------------------------------------------------------------- words to numbers

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1
_LOW = 0xFFFFFFFF


# How many numbers are made at once: their twenty temporary arrays stay in the L2 cache. (A multiple
# of four words, and of two numbers.) Of words alone it may be more, as there are six arrays of a
# quarter of their number.
_AT_ONCE = 1 << 13
_WORDS_AT_ONCE = 1 << 15


def pieces(array: Any, at_once: int = _AT_ONCE) -> list[slice]:
    """The elements of a vector in pieces that are worked out one after the other: on a GPU, where a
    launch costs more than memory, one."""
    whole = not isinstance(array, np.ndarray) or capturing() is not None
    step = max(array.size, 1) if whole else at_once
    return [slice(i, i + step) for i in range(0, array.size, step)]


@array_function
def philox(xp: Any, *, n: int, seed: Seed, offset: int, start: int = 0) -> Array:
    """n uint32 words: word i is number i % 4 of the block with counter (i / 4, offset). They begin
    with word ``start``, a multiple of 4."""
    words = xp.empty(n, dtype=np.uint32)
    for piece in pieces(words, _WORDS_AT_ONCE):
        first, last = start + piece.start, start + min(piece.stop, n)
        words[piece] = _words(xp, first, last, seed, offset)
    return words


# Of few blocks Python's own integers are faster than arrays: one takes 6 microseconds, not 70.
_FEW_BLOCKS = 8


def _few_words(start: int, stop: int, seed: Seed, offset: int) -> np.ndarray:
    words: list[int] = []
    for block in range(start // 4, -(-stop // 4)):
        c0, c1, c2, c3 = block & _LOW, block >> 32, offset & _LOW, offset >> 32
        k0, k1 = seed & _LOW, seed >> 32
        for _ in range(10):
            p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
            c0, c1, c2, c3 = p1 >> 32 ^ c1 ^ k0, p1 & _LOW, p0 >> 32 ^ c3 ^ k1, p0 & _LOW
            k0, k1 = (k0 + _KEY_STEPS[0]) & _LOW, (k1 + _KEY_STEPS[1]) & _LOW
        words += (c0, c1, c2, c3)
    return np.array(words[: stop - start], np.uint32)


def _words(xp: Any, start: int, stop: int, seed: Seed, offset: int) -> Any:
    if not isinstance(seed, int):
        refuse("random numbers are drawn without a kernel, from a seed of the host's")
    if stop - start <= 4 * _FEW_BLOCKS and xp.library is np:
        return _few_words(start, stop, seed, offset)
    block = xp.arange(start // 4, -(-stop // 4), dtype=np.uint64)
    library, u64 = xp.library, xp.library.uint64
    low, shift = u64(_LOW), u64(32)
    c0, c1 = block & low, block >> shift
    c2, c3 = xp.full_like(block, offset & _LOW), xp.full_like(block, offset >> 32)
    p0, p1 = library.empty_like(block), library.empty_like(block)
    k0, k1 = seed & _LOW, seed >> 32
    m0, m1 = (u64(m) for m in _MULTIPLIERS)
    for _ in range(10):  # in these six arrays, as new ones would not stay in the cache
        library.multiply(c0, m0, out=p0)
        library.multiply(c2, m1, out=p1)
        library.right_shift(p1, shift, out=c0)
        library.right_shift(p0, shift, out=c2)
        c0 ^= c1
        c0 ^= u64(k0)
        c2 ^= c3
        c2 ^= u64(k1)
        p0 &= low
        p1 &= low
        c1, p1, c3, p0 = p1, c1, p0, c3
        k0, k1 = (k0 + _KEY_STEPS[0]) & _LOW, (k1 + _KEY_STEPS[1]) & _LOW
    words = xp.empty((block.size, 4), dtype=np.uint32)
    for i, c in enumerate((c0, c1, c2, c3)):
        words[:, i] = c.astype(np.uint32)
    return words.reshape(-1)[: stop - start]


_draw = launching("philox", "start[2] -> words[n]", uint32="words", uint64="start")


def start_of(seed: Seed) -> tuple[Array, int]:
    """The array from which a launcher reads where its stream begins, or None, and the seed that it
    takes as a number."""
    return (None, seed) if isinstance(seed, int) else (seed, 0)


@kernel("philox")
def _philox_kernel(device: Device, *, n: int, seed: Seed, offset: int, start: int = 0) -> Array:
    if start:
        return NotImplemented
    start_array, seed = start_of(seed)
    return _draw(device, start_array, n=n, seed=seed, offset=offset)


def _from_words(
    xp: Any, n: int, dtype: Any, seed: Seed, offset: int, each: int, number: Callable
) -> Any:
    """n numbers, made by ``number`` of ``each`` words for one, in pieces."""
    result = xp.empty(n, dtype=dtype)
    for piece in pieces(result):
        words = (min(piece.stop, n) - piece.start) * each
        words = xp.philox(n=words, seed=seed, offset=offset, start=piece.start * each)
        result[piece] = number(words)
    return result


def _long(xp: Any, words: Any) -> Any:
    """uint64 words, each of two of Philox's."""
    words = words.astype(np.uint64)
    return (words[0::2] << xp.library.uint64(32)) | words[1::2]


def _unit(xp: Any, words: Any) -> Any:
    """float64 numbers in [0, 1), each of two words."""
    return (_long(xp, words) >> xp.library.uint64(11)).astype(np.float64) * 2.0**-53


@array_function
def integers_below(xp: Any, *, n: int, span: int, seed: Seed, offset: int) -> Array:
    """n int64 numbers in [0, span), each the remainder of two words."""
    most = xp.library.uint64(span)
    return _from_words(xp, n, np.dtype(np.int64), seed, offset, 2, lambda w: _long(xp, w) % most)


# The bits of each dtype's integers that it holds exactly, and all smaller ones.
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}


@array_function
def uniform(xp: Any, *, n: int, dtype: Any, seed: Seed, offset: int) -> Array:
    """n numbers in [0, 1): the highest bits of a word that the dtype can hold exactly (of two
    words for float64)."""
    if dtype == dtypes.float64:
        return _from_words(xp, n, dtype, seed, offset, 2, lambda words: _unit(xp, words))
    bits = DIGITS[dtype.name]

    def number(words: Any) -> Any:
        high = words >> xp.library.uint32(32 - bits)
        return (high.astype(np.float32) * np.float32(2.0**-bits)).astype(dtype)

    return _from_words(xp, n, dtype, seed, offset, 1, number)


def whole_range(dtype: Any) -> tuple[int, int]:
    """The least and the largest whole number of a dtype, as far as int64 has them."""
    if dtype.kind == "b":
        return 0, 1
    info = np.iinfo(dtype) if dtype.kind in "iu" else finfo(dtype)
    return max(int(info.min), -(2**63)), min(int(info.max), 2**63 - 1)


# Chebyshev fits computed in 40-digit arithmetic, highest power first; errors below 1e-16.
# log(m) / s as a polynomial in s^2, s = (m - 1) / (m + 1), on sqrt(1/2) <= m <= sqrt(2)
_LOG = (
    0.14809710360655277,
    0.15312528148364191,
    0.18183631680229329,
    0.22222197056726047,
    0.2857142876064168,
    0.39999999999302338,
    0.66666666666667646,
    2.0,
)
# sin(pi/2 f) / f and cos(pi/2 f) as polynomials in f^2, on |f| <= 1/2
_SIN = (
    -6.6276249389924724e-10,
    5.6919278504896334e-8,
    -3.5988427171448578e-6,
    0.0001604411847266723,
    -0.0046817541353148271,
    0.079692626246166924,
    -0.64596409750624625,
    1.5707963267948966,
)
_COS = (
    -6.3212568696285884e-9,
    4.710609726757823e-7,
    -2.5202036770460258e-5,
    0.00091926027418315572,
    -0.020863480763311209,
    0.25366950790104671,
    -1.2337005501361698,
    1.0,
)


@array_function
def normal(xp: Any, *, n: int, dtype: Any, seed: Seed, offset: int) -> Array:
    """n numbers of the standard normal distribution, in pairs (Box & Muller 1958): r cos(a) and
    r sin(a), with r = sqrt(-2 log u) and a = 2 pi v. The library's log and sin differ in the last
    bit between devices, so they are polynomials here."""
    even = n + n % 2
    wide = dtype == dtypes.float64

    def number(words: Any) -> Any:
        if wide:
            u, v = _unit(xp, words).reshape(-1, 2).T
            u = u + 2.0**-53
        else:
            words = words.astype(np.float64)
            u, v = (words[0::2] + 1) * 2.0**-32, words[1::2] * 2.0**-32
        r = xp.sqrt(xp.maximum(-2 * log(xp, u), 0))
        sine, cosine = turn(xp, v)
        return xp.library.stack((r * cosine, r * sine), axis=1).reshape(-1).astype(dtype)

    drawn = _from_words(xp, even, dtype, seed, offset, 1 + wide, number)
    return drawn if n == even else drawn[:n].copy()


def log(xp: Any, u: Array) -> Any:
    """The logarithm of positive float64 numbers, rounded alike on every device."""
    mantissa, exponent = xp.frexp(u)
    small = mantissa < math.sqrt(0.5)
    mantissa = xp.where(small, 2 * mantissa, mantissa)
    s = (mantissa - 1) / (mantissa + 1)
    return (exponent - small) * math.log(2) + s * horner(_LOG, s * s)


def turn(xp: Any, v: Any) -> tuple[Any, Any]:
    """sin and cos of 2 pi v, for v in 0..1, rounded alike on every device."""
    turns = 4 * v
    quarter = xp.floor(turns + 0.5)
    f = turns - quarter
    square = f * f
    sine, cosine = f * horner(_SIN, square), horner(_COS, square)
    odd = quarter % 2 == 1
    negative_cos = (quarter == 1) | (quarter == 2)
    negative_sin = (quarter == 2) | (quarter == 3)
    x = xp.where(odd, sine, cosine) * xp.where(negative_cos, -1.0, 1.0)
    y = xp.where(odd, cosine, sine) * xp.where(negative_sin, -1.0, 1.0)
    return y, x


def call_of(generator: Any) -> tuple[Seed, int]:
    """The (seed, offset) of one call, of the default generator for None. Raises TypeError for
    anything but a Generator."""
    if generator is None:
        generator = current_generator()
    elif not isinstance(generator, Generator):
        raise TypeError(f"generator must be a Generator, got {type(generator).__name__}")
    return generator.next()


def draw(name: str, shape: tuple[int, ...], dtype: Any, device: Device, generator: Any) -> Any:
    """An array of ``uniform`` or ``normal`` numbers; one call of the generator."""
    seed, offset = call_of(generator)
    array = device.ops[name](n=math.prod(shape), dtype=dtype, seed=seed, offset=offset)
    return array.reshape(shape)


def integers(device: Device, n: int, span: int, generator: Generator | None) -> Any:
    """n int64 numbers in [0, span), from 64 bits each."""
    seed, offset = call_of(generator)
    return device.ops["integers_below"](n=n, span=span, seed=seed, offset=offset)
