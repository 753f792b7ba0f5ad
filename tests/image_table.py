"""The rows of kernel_table.py for kernels on images: convolution, batch norm and pooling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from kernel_table import (
    BY_TENSOR_CORES,
    Call,
    Draw,
    In,
    Out,
    Scratch,
    Update,
    reference,
    row,
    wide,
    workspace,
)

from tapegrad.ops.conv.sliding_window import Geometry, Windows, outputs
from tapegrad.ops.pooling.avg_pool import Counts
from tapegrad.ops.pooling.max_pool import _clipped

Sizes = tuple[int, ...]


def rows_of_channels(x: np.ndarray, gap: int = 0) -> np.ndarray:
    """(n, c, *size) as (n, *size, c or more): whole packs, and NaN where there is no channel."""
    pack = 16 // x.itemsize
    more = -x.shape[1] % pack + gap * pack
    moved = np.moveaxis(x, 1, -1)
    return np.pad(moved, [(0, 0)] * (x.ndim - 1) + [(0, more)], constant_values=np.nan)


@row("channels_last", dtypes=BY_TENSOR_CORES, exact=True)
def channels_last(draw: Draw) -> Iterator[Call]:
    # (batch, channels, pixels, distance of rows)
    for n, c, pixels, stride in (
        (0, 3, 4, 8), (2, 0, 3, 8), (2, 3, 0, 8), (1, 1, 1, 1), (2, 3, 5, 8), (2, 33, 31, 40),
        (3, 31, 65, 33), (5, 64, 64, 64), (1, 8, 300, 8),
    ):  # fmt: skip
        x = draw.normal(n, c, pixels)
        y = np.zeros((n, pixels, stride))
        y[..., :c] = wide(x).swapaxes(1, 2)
        yield [Out(y), In(x), n, c, pixels, stride]


@dataclass(frozen=True)
class Convolution:
    """One to convolve; how its images lie: ``gap`` packs between pixels, results channels last."""

    n: int
    channels: int
    size: Sizes
    filters: int
    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int = 1
    gap: int = 0
    last: bool = True

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.stride, self.padding, self.dilation, self.groups)

    @property
    def out(self) -> Sizes:
        return outputs(self.size, self.kernel, self.geometry)

    @property
    def numbers(self) -> list[int]:
        per_dimension = (self.stride, self.padding, self.dilation)
        return [n for sizes in (self.size, self.kernel, self.out, *per_dimension) for n in sizes]

    def drawn(self, draw: Draw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, weight and the gradient of the result."""
        weight = (self.filters, self.channels // self.groups, *self.kernel)
        return (
            draw.integers(self.n, self.channels, *self.size), draw.integers(*weight),
            draw.integers(self.n, self.filters, *self.out),
        )  # fmt: skip


def cube(n: int) -> Sizes:
    return (n, n, n)


PLAIN = (cube(1), cube(0), cube(1))  # stride, padding, dilation
CONVOLUTIONS = [
    Convolution(0, 8, (1, 2, 2), 8, (1, 1, 1), *PLAIN),
    Convolution(1, 1, (1, 1, 1), 1, (1, 1, 1), *PLAIN),
    Convolution(2, 3, (1, 5, 7), 5, (1, 3, 3), (1, 1, 1), (0, 1, 1), cube(1), last=False),
    Convolution(2, 24, (1, 9, 8), 17, (1, 3, 3), (1, 2, 2), (0, 1, 1), cube(1)),
    Convolution(1, 16, (1, 9, 11), 9, (1, 3, 2), (1, 2, 3), (0, 2, 1), (1, 1, 2), gap=1),
    Convolution(3, 5, (4, 5, 6), 20, (2, 3, 2), (1, 2, 1), (1, 0, 2), (2, 1, 3)),
    # An edge larger than the kernel, and a stride larger than that.
    Convolution(1, 8, (1, 3, 3), 8, (1, 2, 2), (1, 3, 3), (0, 3, 3), cube(1), last=False),
    Convolution(2, 32, (1, 4, 4), 48, (1, 3, 3), (1, 1, 1), (0, 1, 1), cube(1), 2),
    Convolution(1, 64, (1, 3, 5), 16, (1, 3, 3), (1, 1, 1), (0, 1, 1), cube(1), 2, last=False),
    Convolution(1, 8, (1, 33, 33), 264, (1, 1, 1), *PLAIN),  # large tiles
]


def layout_of(shape: Sequence[int], last: bool) -> list[int]:
    """The strides of images, pixels and channels."""
    _, channels, *size = shape
    pixels = math.prod(size)
    return [pixels * channels, channels if last else 1, 1 if last else pixels]


def as_stored(y: np.ndarray, last: bool) -> np.ndarray:
    return np.moveaxis(y, 1, -1) if last else y


def strides_of(images: np.ndarray) -> list[int]:
    return [s // images.itemsize for s in images.strides[:-1]]


def packed(weight: np.ndarray) -> np.ndarray:
    """(groups, filters, channels, elements) -> (groups, filters, elements, channels and zeros)."""
    more = -weight.shape[2] % (16 // weight.itemsize)
    return np.pad(weight.swapaxes(2, 3), [(0, 0)] * 3 + [(0, more)])


def convolution_call(
    draw: Draw,
    how: Convolution,
    transposed: bool,
    bias: bool = False,
    relu: bool = False,
    lost: int | None = None,
) -> Call:
    """lost: a plane of the images that is NaN."""
    x, weight, dy = how.drawn(draw)
    if lost is not None:
        x[:, :, lost] = np.nan
    groups, geometry = how.groups, how.geometry
    by_group = weight.reshape(groups, how.filters // groups, -1, math.prod(how.kernel))
    if transposed:
        y = reference("convolution_input", dy, weight, size=how.size, geometry=geometry)
        given, windows, by_group = dy, how.size, by_group.swapaxes(1, 2)
    else:
        y = reference("convolution", x, weight, None, out=how.out, geometry=geometry)
        given, windows = x, how.out
    shift = draw.integers(y.shape[1]) if bias else None
    if shift is not None:
        y = y + wide(shift).reshape(-1, 1, 1, 1)
    if relu:
        y = np.maximum(y, 0)
    images, rows = rows_of_channels(given, how.gap), packed(by_group)
    per_group = [given.shape[1] // groups, y.shape[1] // groups]
    numbers = how.numbers
    numbers[:3], numbers[6:9] = given.shape[2:], windows
    sizes = (how.n, groups, *per_group, *numbers)
    return [
        Out(as_stored(y, how.last)), In(images, 16), In(rows, 16),
        None if shift is None else In(shift),
        workspace(draw, "convolution_workspace", *sizes, transposed), *sizes,
        *strides_of(images), *layout_of(y.shape, how.last), transposed, relu,
    ]  # fmt: skip


def of_whole_packs(draw: Draw, how: Convolution, *channels: int) -> bool:
    """Groups begin at multiples of 16 bytes."""
    return how.groups == 1 or not any(c // how.groups * draw.dtype.itemsize % 16 for c in channels)


@row("convolution", dtypes=BY_TENSOR_CORES, exact=True)
def convolution(draw: Draw) -> Iterator[Call]:
    for number, how in enumerate(CONVOLUTIONS):
        if of_whole_packs(draw, how, how.channels):
            yield convolution_call(draw, how, False, bias=number % 2 == 1, relu=number % 4 > 1)


@row("convolution", dtypes=BY_TENSOR_CORES, what="beside what is lost")
def convolution_beside_what_is_lost(draw: Draw) -> Iterator[Call]:
    """A window's last step is filled up: zeros meet nothing of the plane behind the window."""
    how = Convolution(1, 8, (6, 5, 5), 4, (2, 3, 3), *PLAIN)
    yield convolution_call(draw, how, False, lost=3)


@row("convolution", dtypes=BY_TENSOR_CORES, exact=True, what="transposed")
def convolution_transposed(draw: Draw) -> Iterator[Call]:
    for number, how in enumerate(CONVOLUTIONS):
        if of_whole_packs(draw, how, how.filters):
            yield convolution_call(draw, how, True, bias=number == 4, relu=number in (4, 6))


@row("convolution_weight", dtypes=BY_TENSOR_CORES, exact=True)
def convolution_weight(draw: Draw) -> Iterator[Call]:
    many = Convolution(5, 9, (1, 8, 9), 12, (1, 2, 2), *PLAIN)  # splits
    wider = Convolution(1, 40, (1, 3, 3), 1026, (1, 2, 2), *PLAIN, gap=1)  # large tiles
    for how in (*CONVOLUTIONS, many, wider):
        if not of_whole_packs(draw, how, how.channels, how.filters):
            continue
        x, _, dy = how.drawn(draw)
        y = reference("convolution_weight", x, dy, kernel=how.kernel, geometry=how.geometry)
        images, gradients = rows_of_channels(x, how.gap), rows_of_channels(dy, how.gap)
        channels, filters = how.channels // how.groups, how.filters // how.groups
        sizes = (how.n, how.groups, channels, filters, *how.numbers)
        yield [
            Out(y), In(images, 16), In(gradients, 16),
            workspace(draw, "convolution_weight_workspace", *sizes), *sizes,
            *strides_of(images), gradients.shape[-1],
        ]  # fmt: skip


# Groups of few channels, depthwise among them, and one that no kernel for many takes.
IN_GROUPS = [
    Convolution(0, 4, (1, 2, 2), 4, (1, 1, 1), *PLAIN, 4),
    Convolution(2, 4, (1, 5, 7), 4, (1, 3, 3), (1, 1, 1), (0, 1, 1), cube(1), 4, last=False),
    Convolution(2, 33, (1, 9, 8), 66, (1, 3, 3), (1, 2, 2), (0, 1, 1), cube(1), 33),
    Convolution(1, 12, (4, 5, 6), 6, (2, 3, 2), (1, 2, 1), (1, 0, 2), (2, 1, 3), 3),
    Convolution(1, 6, (1, 3, 3), 8, (1, 2, 2), (1, 3, 3), (0, 3, 3), cube(1), 2, last=False),
    Convolution(9, 20, (1, 6, 6), 20, (1, 2, 2), *PLAIN, 20, last=False),
]


def by_channels(images: np.ndarray, last: bool) -> tuple[np.ndarray, list[int]]:
    """As it lies, and its strides of images, channels and three dimensions."""
    stored = np.ascontiguousarray(as_stored(images, last))
    image, *rest = (s // stored.itemsize for s in stored.strides)
    return stored, [image, rest[-1], *rest[:-1]] if last else [image, *rest]


@row("convolution_direct", exact=True)
def convolution_direct(draw: Draw) -> Iterator[Call]:
    for (number, how), transposed in itertools.product(enumerate(IN_GROUPS), (False, True)):
        x, weight, dy = how.drawn(draw)
        given, windows = (dy, how.size) if transposed else (x, how.out)
        if transposed:
            y = reference("convolution_input", dy, weight, size=how.size, geometry=how.geometry)
        else:
            y = reference("convolution", x, weight, None, out=how.out, geometry=how.geometry)
        bias = draw.integers(y.shape[1]) if number % 2 else None
        if bias is not None:
            y = y + wide(bias).reshape(-1, 1, 1, 1)
        relu = number % 4 > 1
        if relu:
            y = np.maximum(y, 0)
        images, strides = by_channels(given, how.last)
        made, steps = by_channels(y, how.last)
        numbers = how.numbers
        numbers[:3], numbers[6:9] = given.shape[2:], windows
        yield [
            Out(made), In(images), In(weight), None if bias is None else In(bias), how.n,
            how.groups, given.shape[1] // how.groups, y.shape[1] // how.groups, *numbers, *strides,
            *steps, transposed, relu,
        ]  # fmt: skip


@row("convolution_weight_direct", exact=True)
def convolution_weight_direct(draw: Draw) -> Iterator[Call]:
    for how in IN_GROUPS:
        x, _, dy = how.drawn(draw)
        y = reference("convolution_weight", x, dy, kernel=how.kernel, geometry=how.geometry)
        (images, strides), (gradients, steps) = (by_channels(a, how.last) for a in (x, dy))
        yield [
            Out(y), In(images), In(gradients), how.n, how.groups, how.channels // how.groups,
            how.filters // how.groups, *how.numbers, *strides, *steps,
        ]  # fmt: skip


# ---- batch norm ----

# (batch, channels, pixels, channels last): chunks that are whole and not, more channels than a warp
# has lanes, more images than a thread has numbers, and more blocks than run at once.
SPREAD = [
    (0, 3, 4, False), (1, 1, 2, False), (3, 5, 7, False), (3, 5, 7, True), (2, 3, 4100, False),
    (300, 3, 1, True), (2, 33, 100, True), (40, 9, 15, False), (5, 70, 64, True), (3, 72, 9, True),
]  # fmt: skip
EPS = 1e-3


def spread_like(x: np.ndarray, last: bool) -> tuple[np.ndarray, list[int]]:
    """(batch, channels, pixels) as it lies, and strides of images, pixels and channels."""
    stored = np.ascontiguousarray(x.swapaxes(1, 2) if last else x)
    image, *rest = (s // stored.itemsize for s in stored.strides)
    return stored, [image, *(rest if last else rest[::-1])]


def moments_of(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return reference("batch_moments", wide(x).astype(np.longdouble))


def mean_of(index: int, draw: Draw) -> float:
    """Far from 0 in float32 and float64, where digits are at stake."""
    return 0.0 if index % 2 or draw.dtype.itemsize == 2 else 1e4


@row("fold_moments")
def fold_moments(draw: Draw) -> Iterator[Call]:
    kind, part, unbiased = draw.accumulator, 0.125, 33 / 32
    for channels, which in itertools.product((0, 1, 255, 2500), (7, 1, 2, 4)):
        mean, variance = (abs(draw.normal(channels)).astype(kind) for _ in range(2))
        running = [draw.normal(channels), abs(draw.normal(channels))]
        found = (wide(mean), unbiased * wide(variance))
        given: list = [
            Update(old, (1 - part) * wide(old) + part * new) if which & bit else None
            for old, new, bit in zip(running, found, (1, 2), strict=True)
        ]
        count = np.array([41], np.int64)
        given.append(Update(count, count + (channels > 0)) if which & 4 else None)
        yield [*given, In(mean), In(variance), channels, part, unbiased]


@row("batch_moments", slack=4)
def batch_moments(draw: Draw) -> Iterator[Call]:
    kind = draw.accumulator
    squared = np.sqrt(np.finfo(kind).smallest_subnormal)  # whose square is the smallest number
    for index, (n, c, pixels, last) in [*enumerate(SPREAD), (-1, SPREAD[2])]:
        x = draw.normal(n, c, pixels, mean=mean_of(index, draw))
        if index < 0:  # the variance is 0 then, and not less
            x *= squared / 1000
        stored, strides = spread_like(x, last)
        chunks = draw.library.channel_chunks(n, c, pixels, strides[2] == 1)
        mean, variance = moments_of(x)[:2] if n else (np.zeros(c),) * 2
        deviation = np.sqrt(variance) * (variance.astype(kind) > 0)
        found = [mean, variance, mean - mean.astype(kind), deviation]
        results = [Out(wide(m), kind) if n else Scratch(c, kind) for m in found]
        yield [*results, Scratch(4 * chunks * c, kind), In(stored), n, c, pixels, *strides]


def normalised(draw: Draw, index: int) -> tuple[Any, ...]:
    """Of SPREAD: x, weight, bias, the moments as the kernel has them, and in float64."""
    n, c, pixels, _ = SPREAD[index]
    x = draw.normal(n, c, pixels, mean=mean_of(index, draw))
    weight = draw.normal(c) if index % 3 else None
    bias = draw.normal(c) if index % 4 else None
    centre, spread, _ = moments_of(x) if n else (np.zeros(c),) * 3
    kind = draw.accumulator
    mean, deviation = (np.asarray(m).astype(kind) for m in (centre, np.sqrt(spread)))
    rest = np.asarray(centre - mean).astype(kind)
    told = [wide(mean), wide(deviation) ** 2, wide(rest)]
    return x, weight, bias, [In(mean), In(rest), In(deviation)], told


def optional(x: np.ndarray | None) -> In | None:
    return None if x is None else In(x)


def widened(draw: Draw, is_wide: bool, *each: np.ndarray | None) -> list:
    """Weights and biases in the accumulator's dtype, where they are."""
    return [p.astype(draw.accumulator) if is_wide and p is not None else p for p in each]


@row("batch_norm", slack=4)
def batch_norm(draw: Draw) -> Iterator[Call]:
    for (index, (n, c, pixels, last)), is_wide in itertools.product(
        enumerate(SPREAD), (False, True)
    ):
        x, weight, bias, given, moments = normalised(draw, index)
        weight, bias = widened(draw, is_wide, weight, bias)
        y = reference("batch_norm", x, weight, bias, moments=moments, eps=EPS)
        stored, strides = spread_like(x, last)
        made, steps = spread_like(y, last != (index % 5 == 4))  # sometimes otherwise than x
        yield [
            Out(made), In(stored), optional(weight), optional(bias), *given, n, c, pixels, *steps,
            *strides, is_wide, EPS,
        ]  # fmt: skip


@row("batch_norm_backward", slack=8, cancels=4.0)
def batch_norm_backward(draw: Draw) -> Iterator[Call]:
    for (index, (n, c, pixels, last)), is_wide in itertools.product(
        enumerate(SPREAD), (False, True)
    ):
        x, weight, _, given, moments = normalised(draw, index)
        (weight,) = widened(draw, is_wide, weight)
        g, kind = draw.normal(n, c, pixels), draw.accumulator
        stored, strides = spread_like(x, last)
        gradients, of_g = spread_like(g, last != (index % 5 == 4))
        chunks = draw.library.channel_chunks(n, c, pixels, strides[2] == 1)
        if n:
            needs = (True,) * 3
            found = reference(
                "batch_norm_backward", g, x, weight, moments=moments, eps=EPS, needs=needs
            )
        else:
            found = (wide(x), np.zeros(0), np.zeros(0))
        dx, steps = spread_like(found[0], last)
        of_weights = kind if is_wide else None
        results: list = [Out(dx), Out(found[1], of_weights), Out(found[2], of_weights)]
        if index < 6 or not n:  # one that nobody needs
            results[index % 3] = None
        yield [
            *results, Scratch(2 * c, kind), Scratch(2 * chunks * c, kind), In(gradients),
            In(stored), optional(weight), *given, n, c, pixels, *steps, *of_g, *strides, is_wide,
            EPS,
        ]  # fmt: skip


# ---- pooling ----


def pools(
    draw: Draw, dilated: bool = True
) -> Iterator[tuple[np.ndarray, tuple[Windows, ...], bool]]:
    """x, its windows, and whether channels are last: windows apart and overlapping, in the border
    and beyond it, and, dilated, some that lie in the border alone."""
    for last, (n, c, *size), kernel, stride, padding, dilation, ceil_mode in (
        (False, (0, 2, 1, 2, 2), (1, 2, 2), (1, 2, 2), (0, 0, 0), (1, 1, 1), False),
        (False, (2, 3, 1, 7, 8), (1, 2, 2), (1, 2, 2), (0, 0, 0), (1, 1, 1), False),
        (True, (2, 5, 1, 9, 8), (1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 1, 1), True),
        (False, (3, 2, 1, 1, 300), (1, 1, 5), (1, 1, 3), (0, 0, 2), (1, 1, 1), True),
        (True, (1, 33, 4, 5, 6), (2, 3, 2), (1, 2, 3), (1, 1, 0), (1, 1, 1), False),
        (False, (2, 2, 5, 3, 4), (3, 2, 2), (2, 1, 2), (0, 0, 0), (1, 1, 1), False),
        (False, (2, 2, 1, 6, 9), (1, 3, 2), (1, 1, 2), (0, 1, 1), (1, 2, 3), False),
        (True, (1, 2, 1, 2, 5), (1, 2, 2), (1, 1, 1), (0, 1, 1), (1, 3, 3), False),
        (False, (20, 8, 1, 8, 8), (1, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1), False),
    ):
        if max(dilation) > 1 and not dilated:
            continue
        out = outputs(size, kernel, Geometry(stride, padding, dilation), ceil_mode)
        windows = tuple(map(Windows, out, kernel, stride, padding, dilation))
        yield draw.normal(n, c, *size), windows, last


def window_numbers(size: Sequence[int], windows: tuple[Windows, ...]) -> list[int]:
    out, kernel, *rest = zip(*windows, strict=True)
    return [n for sizes in (size, kernel, out, *rest) for n in sizes]


def beside_the_border(
    where: np.ndarray, size: Sequence[int], windows: tuple[Windows, ...]
) -> np.ndarray:
    """What windows find that lie in the border alone: the first beside them, not the largest."""
    elements, without = zip(*map(_clipped, size, windows), strict=True)
    place, alone = np.zeros((), int), np.zeros((), bool)
    for n, indices, none in zip(size, elements, without, strict=True):
        place = np.add.outer(place * n, indices[0].reshape(-1))
        alone = np.logical_or.outer(alone, none)
    return np.where(alone, place, where)


@row("max_pool")
def max_pool(draw: Draw) -> Iterator[Call]:
    for number, (x, windows, last) in enumerate(pools(draw)):
        x = np.round(wide(x)).astype(draw.dtype)  # with equals
        if number % 2 and x.size > 20:
            x.flat[::7], x.flat[5::11] = np.nan, -np.inf
        y, where = reference("max_pool", x, windows=windows)
        where = beside_the_border(where, x.shape[2:], windows)
        (stored, strides), (made, steps), (places, _) = (
            by_channels(a, last) for a in (x, y, where)
        )
        yield [
            Out(made), Out(places, np.int64), In(stored), *x.shape[:2],
            *window_numbers(x.shape[2:], windows), *strides, *steps,
        ]  # fmt: skip


@row("max_pool_backward", exact=True)
def max_pool_backward(draw: Draw) -> Iterator[Call]:
    for x, windows, last in pools(draw):
        x = np.round(wide(x))
        y, where = reference("max_pool", x, windows=windows)
        g = draw.integers(*y.shape)
        dx = reference("max_pool_backward", g, where, size=x.shape[2:], windows=windows)
        (made, steps), (stored, strides), (places, _) = (
            by_channels(a, last) for a in (dx, g, where)
        )
        yield [
            Out(made), In(stored), In(places.astype(np.int64)), *x.shape[:2],
            *window_numbers(x.shape[2:], windows), *steps, *strides,
        ]  # fmt: skip


DIVISORS = (0, True), (0, False), (3, True)


@row("avg_pool", slack=2)
def avg_pool(draw: Draw) -> Iterator[Call]:
    for (x, windows, last), (divisor, with_border) in itertools.product(
        pools(draw, dilated=False), DIVISORS
    ):
        y = reference("avg_pool", x, windows=windows, divisor=divisor or Counts(with_border))
        (stored, strides), (made, steps) = (by_channels(a, last) for a in (x, y))
        yield [
            Out(made), In(stored), *x.shape[:2], *window_numbers(x.shape[2:], windows), divisor,
            with_border, *strides, *steps,
        ]  # fmt: skip


@row("avg_pool_backward", slack=2)
def avg_pool_backward(draw: Draw) -> Iterator[Call]:
    for (x, windows, last), (divisor, with_border) in itertools.product(
        pools(draw, dilated=False), DIVISORS
    ):
        g = draw.normal(*x.shape[:2], *(along.out for along in windows))
        how = {"size": x.shape[2:], "windows": windows, "divisor": divisor or Counts(with_border)}
        dx = reference("avg_pool_backward", g, **how)
        (made, steps), (stored, strides) = (by_channels(a, last) for a in (dx, g))
        yield [
            Out(made), In(stored), *x.shape[:2], *window_numbers(x.shape[2:], windows), divisor,
            with_border, *steps, *strides,
        ]  # fmt: skip
