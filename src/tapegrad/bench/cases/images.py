"""Layers of images, (n, channels, size, size): convolutions, pooling, norms of channels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tapegrad.core.commit import commit
from tapegrad.core.dtypes import accumulator
from tapegrad.ops.conv.sliding_window import Geometry, Windows

from .case import UP_TO_FLOAT32, WIDE, Case, Draw, TorchGradient, of_primitive

# images, channels, size
_SIZES = {"tiny": [(3, 8, 12)], "small": [(16, 64, 32)], "large": [(64, 128, 56)]}
# and filters, of 3 x 3
_FILTERS = {"tiny": [(2, 3, 7, 5)], "small": [(8, 32, 32, 64)], "large": [(64, 128, 56, 128)]}
_GEOMETRY = Geometry((1, 1), (1, 1), (1, 1))
_GROUPS, _EPS = 4, 1e-5


def _image(draw: Draw, n: int, c: int, size: int) -> Any:
    return draw.normal(n, c, size, size)


def _images(count: int, draw: Draw, n: int, c: int, size: int) -> tuple:
    return tuple(_image(draw, n, c, size) for _ in range(count))


def _elements(n: int, c: int, size: int) -> int:
    return n * c * size * size


def _per_channel(n: int, c: int, size: int) -> int:
    return n * size * size


# ---------------------------------------------------------------------- convolutions


def _convolution(
    name: str,
    of: tuple[str, str],
    mine: Callable[..., Any],
    torch: Callable[..., Any],
    depth: Callable[..., int],
) -> Case:
    """A convolution or one of its gradients, of two of: images x, filters w, results y."""

    def inputs(draw: Draw, n: int, c: int, size: int, out: int) -> tuple:
        shapes = {"x": (n, c, size, size), "w": (out, c, 3, 3), "y": (n, out, size, size)}
        return tuple(draw.normal(*shapes[what]) for what in of)

    def flops(n: int, c: int, size: int, out: int) -> float:
        return 2.0 * 9 * n * c * out * size * size

    return Case(
        name, name, _FILTERS, inputs, mine, flops, torch, depth=depth, dtypes=UP_TO_FLOAT32
    )  # fmt: skip


def _torch_gradient(t: Any, g: Any, x: Any, w: Any, of: int) -> Any:
    needs = [i == of for i in range(3)]
    common = None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, needs
    return t.ops.aten.convolution_backward(g, x, w, *common)[of]


# ---------------------------------------------------------------------- pooling


def _halves(x: Any) -> Windows:
    return Windows(x.shape[3] // 2, 2, 2)


def _thirds(x: Any) -> tuple[Windows, ...]:
    return tuple(Windows((size - 1) // 2 + 1, 3, 2, 1) for size in x.shape[2:])


def _maxima_and_backward(ops: Any, g: Any, x: Any) -> Any:
    which = ops["max_along"](x, axis=3, windows=_halves(x))[1]
    return ops["max_along_backward"](g, which, size=x.shape[3], axis=3, windows=_halves(x))


def _squares(x: Any) -> tuple[Windows, Windows]:
    return Windows(x.shape[2] // 2, 2, 2), Windows(x.shape[3] // 2, 2, 2)


def _pooled_and_backward(ops: Any, g: Any, x: Any) -> Any:
    where = ops["max_pool"](x, windows=_squares(x))[1]
    return ops["max_pool_backward"](g, where, size=x.shape[2:], windows=_squares(x))


def _half_images(draw: Draw, n: int, c: int, size: int) -> tuple:
    return draw.normal(n, c, size, size // 2), _image(draw, n, c, size)


def _means_backward(ops: Any, g: Any) -> Any:
    size = tuple(2 * n for n in g.shape[2:])
    windows = tuple(Windows(n, 3, 2, 1) for n in g.shape[2:])
    return ops["avg_pool_backward"](g, size=size, windows=windows, divisor=9)


def _torch_means_backward(t: Any, g: Any) -> Any:
    like = g.new_empty((*g.shape[:2], *(2 * n for n in g.shape[2:])))  # for its shape
    return t.ops.aten.avg_pool2d_backward(g, like, [3, 3], [2, 2], [1, 1], False, True, None)


def _largest_at(ops: Any, x: Any) -> Any:
    """The maxima of 2 x 2 windows, whose elements are told one by one."""
    starts = ops.library.arange(0, x.shape[3], 2)
    elements = ops.library.stack([starts, starts + 1])[:, None, None]
    return ops["largest_at"](x, elements=[elements, elements])


def _positions(count: Callable[[int], int], draw: Draw, n: int, c: int, size: int) -> tuple:
    """Flattened images or what goes into them, and half as many places in them as elements."""
    places = size * size // 2
    return draw.normal(n, c, count(size)), draw.integers(size * size, n, c, places)


def _add_positions(ops: Any, x: Any, positions: Any) -> Any:
    return ops["add_positions"](x, positions, size=2 * x.shape[2])


def _torch_add_positions(t: Any, x: Any, positions: Any) -> Any:
    return x.new_zeros((*x.shape[:2], 2 * x.shape[2])).scatter_add_(2, positions, x)


# ---------------------------------------------------------------------- norms


def _channels(kept: int, draw: Draw, n: int, c: int, size: int) -> tuple:
    """Images, and ``kept`` positive numbers of each channel."""
    return _image(draw, n, c, size), *(draw.positive(c) for _ in range(kept))


def _with_moments(gradient: bool, draw: Draw, n: int, c: int, size: int) -> tuple:
    """What batch norm or its gradient takes: images, weights and biases, the batch's moments."""
    x = _image(draw, n, c, size)
    moments = draw.plain["batch_moments"](x.astype(accumulator(draw.dtype)))
    if gradient:
        return _image(draw, n, c, size), x, draw.positive(c), *moments
    return x, draw.positive(c), draw.normal(c), *moments


def _running(draw: Draw, c: int) -> tuple:
    """Running statistics, and those of a batch."""
    kind = accumulator(draw.dtype)
    found = draw.normal(c, dtype=kind), draw.positive(c, dtype=kind)
    return draw.normal(c), draw.positive(c), *found


def _fold(ops: Any, mean: Any, variance: Any, *found: Any) -> None:
    commit(ops["folding"](mean, variance, None, *found, part=0.125, unbiased=1.25))


def _torch_fold(t: Any, mean: Any, variance: Any, new: Any, spread: Any) -> None:
    mean.lerp_(new.to(mean.dtype), 0.125)
    variance.lerp_((1.25 * spread).to(variance.dtype), 0.125)


def _torch_batch_norm_backward(t: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, _: Any) -> Any:
    kept = mean, (var + _EPS).rsqrt()
    return t.ops.aten.native_batch_norm_backward(g, x, w, None, None, *kept, True, _EPS, [True] * 3)


def _group_norm_backward(ops: Any, g: Any, x: Any, w: Any, b: Any) -> Any:
    kept = ops["group_norm"](x, w, b, groups=_GROUPS, eps=_EPS)[1:]
    return ops["group_norm_backward"](g, x, w, *kept, groups=_GROUPS, needs=(True,) * 3)


def _in_groups(t: Any, x: Any, w: Any, b: Any) -> Any:
    return t.nn.functional.group_norm(x, _GROUPS, w, b, _EPS)


def _scaled(t: Any, x: Any, centre: Any, scale: Any, bias: Any) -> Any:
    centre, scale, bias = (v[:, None, None] for v in (centre, scale, bias))
    return (x - centre) * scale + bias


CASES = [
    _convolution(
        "convolution",
        ("x", "w"),
        lambda ops, x, w: ops["convolution"](x, w, None, out=x.shape[2:], geometry=_GEOMETRY),
        lambda t, x, w: t.nn.functional.conv2d(x, w, padding=1),
        depth=lambda n, c, size, out: 9 * c,
    ),
    _convolution(
        "convolution_relu",
        ("x", "w"),
        lambda ops, x, w: ops["convolution_relu"](x, w, None, out=x.shape[2:], geometry=_GEOMETRY),
        lambda t, x, w: t.nn.functional.conv2d(x, w, padding=1).relu(),
        depth=lambda n, c, size, out: 9 * c,
    ),
    _convolution(
        "convolution_input",
        ("y", "w"),
        lambda ops, g, w: ops["convolution_input"](g, w, size=g.shape[2:], geometry=_GEOMETRY),
        lambda t, g, w: _torch_gradient(
            t, g, g.new_empty((len(g), w.shape[1], *g.shape[2:])), w, 0
        ),
        depth=lambda n, c, size, out: 9 * out,
    ),
    _convolution(
        "convolution_weight",
        ("x", "y"),
        lambda ops, x, g: ops["convolution_weight"](x, g, kernel=(3, 3), geometry=_GEOMETRY),
        lambda t, x, g: _torch_gradient(t, g, x, g.new_empty((g.shape[1], x.shape[1], 3, 3)), 1),
        depth=lambda n, c, size, out: n * size * size,
    ),
    Case(
        "max_along",
        "max_along",
        _SIZES,
        partial(_images, 1),
        lambda ops, x: ops["max_along"](x, axis=3, windows=_halves(x))[0],
        _elements,
        lambda t, x: t.nn.functional.max_pool2d(x, (1, 2)),
    ),
    Case(
        "max_along_and_backward",
        "max_along_backward",
        _SIZES,
        _half_images,
        _maxima_and_backward,
        lambda *shape: 2 * _elements(*shape),
        TorchGradient(lambda t, x: t.nn.functional.max_pool2d(x, (1, 2)), (1,), along=0),
    ),
    Case(
        "max_pool",
        "max_pool",
        _SIZES,
        partial(_images, 1),
        lambda ops, x: ops["max_pool"](x, windows=_squares(x))[0],
        _elements,
        lambda t, x: t.nn.functional.max_pool2d(x, 2),
    ),
    Case(
        "max_pool_and_backward",
        "max_pool_backward",
        _SIZES,
        lambda draw, n, c, size: (
            draw.normal(n, c, size // 2, size // 2),
            _image(draw, n, c, size),
        ),
        _pooled_and_backward,
        lambda *shape: 2 * _elements(*shape),
        TorchGradient(lambda t, x: t.nn.functional.max_pool2d(x, 2), (1,), along=0),
    ),
    Case(
        "avg_pool",
        "avg_pool",
        _SIZES,
        partial(_images, 1),
        lambda ops, x: ops["avg_pool"](x, windows=_thirds(x), divisor=9),
        lambda *shape: 9 * _elements(*shape) / 4,
        lambda t, x: t.nn.functional.avg_pool2d(x, 3, 2, 1),
        depth=lambda *shape: 9,
    ),
    Case(
        "avg_pool_backward",
        "avg_pool_backward",
        _SIZES,
        lambda draw, n, c, size: (_image(draw, n, c, size // 2),),
        _means_backward,
        lambda *shape: 9 * _elements(*shape) / 4,
        _torch_means_backward,
        depth=lambda *shape: 4,
    ),
    Case(
        "largest_at",
        "largest_at",
        _SIZES,
        partial(_images, 1),
        _largest_at,
        _elements,
        lambda t, x: t.nn.functional.max_pool2d(x, 2, return_indices=True)[1],
        dtypes=WIDE,  # in 16 bits, which of equal ones is chosen may differ
    ),
    of_primitive(
        "read_positions",
        _SIZES,
        partial(_positions, lambda size: size * size),
        0,
        lambda t, x, positions: x.gather(2, positions),
        bytes=lambda itemsize, *shape: (2 * itemsize + 8) * _elements(*shape) // 2,
    ),
    Case(
        "add_positions",
        "add_positions",
        _SIZES,
        partial(_positions, lambda size: size * size // 2),
        _add_positions,
        lambda *shape: _elements(*shape) / 2,
        _torch_add_positions,
        depth=lambda *shape: 4,
    ),
    Case(
        "batch_moments",
        "batch_moments",
        _SIZES,
        partial(_images, 1),
        lambda ops, x: ops["batch_moments"](x)[:2],  # the third is what the mean lost by rounding
        lambda *shape: 4 * _elements(*shape),
        lambda t, x: (x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)),
        depth=_per_channel,
    ),
    Case(
        "batch_norm",
        "batch_norm",
        _SIZES,
        partial(_with_moments, False),
        lambda ops, x, w, b, *moments: ops["batch_norm"](x, w, b, moments=moments, eps=_EPS),
        lambda *shape: 3 * _elements(*shape),
        lambda t, x, w, b, mean, var, _: t.nn.functional.batch_norm(x, mean, var, w, b, eps=_EPS),
    ),
    Case(
        "batch_norm_backward",
        "batch_norm_backward",
        _SIZES,
        partial(_with_moments, True),
        lambda ops, g, x, w, *moments: ops["batch_norm_backward"](
            g, x, w, moments=moments, eps=_EPS, needs=(True,) * 3
        ),
        lambda *shape: 9 * _elements(*shape),
        _torch_batch_norm_backward,
        depth=_per_channel,
    ),
    Case(
        "folding",
        "folding",
        {"tiny": [(67,)], "small": [(512,)], "large": [(4096,)]},
        _running,
        _fold,
        lambda c: 6 * c,
        _torch_fold,
        changes=(0, 1),
    ),
    of_primitive("scale_channels", _SIZES, partial(_channels, 3), 3, _scaled),
    Case(
        "scale_channels_backward",
        "scale_channels_backward",
        _SIZES,
        lambda draw, *shape: (_image(draw, *shape), *_channels(3, draw, *shape)),
        lambda ops, g, x, centre, scale, bias: ops["scale_channels_backward"](
            g, x, centre, scale, needs=(True, False, True, True)
        ),
        lambda *shape: 5 * _elements(*shape),
        TorchGradient(_scaled, (1, 3, 4), along=0),
        depth=_per_channel,
        dtypes=WIDE,
    ),
    Case(
        "group_norm",
        "group_norm",
        _SIZES,
        partial(_channels, 2),
        lambda ops, x, w, b: ops["group_norm"](x, w, b, groups=_GROUPS, eps=_EPS)[0],
        lambda *shape: 8 * _elements(*shape),
        _in_groups,
        depth=_elements,
    ),
    Case(
        "group_norm_and_backward",
        "group_norm_backward",
        _SIZES,
        lambda draw, *shape: (_image(draw, *shape), *_channels(2, draw, *shape)),
        _group_norm_backward,
        lambda *shape: 22 * _elements(*shape),
        TorchGradient(_in_groups, (1, 2, 3), along=0),
        depth=_elements,
        dtypes=WIDE,
    ),
]
