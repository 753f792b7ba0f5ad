"""Random numbers of named distributions, the same on every device.

Each is a function of uniform or normal numbers (see ``philox``) by arithmetic that every device
rounds alike. The in-place methods fill a tensor and have no gradient; but for those of whole
numbers they raise RuntimeError for tensors that are not floating-point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.memory import Array
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import check_nesting, require_floating, require_tensor
from tapegrad.ops.indexing.inplace import overwrite
from tapegrad.ops.pointwise.elementwise import with_zero_slopes
from tapegrad.ops.reduction.searchsorted import searchsorted

from .draws import randn
from .philox import DIGITS, Generator, call_of, draw, integers, log, pieces, turn, whole_range

_F64 = dtypes.float64


def _open_uniform(x: Tensor, generator: Any) -> Any:
    """float64 numbers in (0, 1], of x's shape."""
    drawn = draw("uniform", tuple(x.shape), _F64, x.device, generator)
    return _changed(drawn, lambda u: u + 2.0**-53)


def _fill(x: Tensor, op: str, drawn: Any) -> Tensor:
    return overwrite(x, op, lambda array: array.__setitem__(..., drawn))


def _changed(drawn: Any, change: Callable[[Any], Any]) -> Any:
    """``change`` of random numbers, in their place and piece by piece."""
    flat = drawn.reshape(-1)
    for piece in pieces(flat):
        flat[piece] = change(flat[piece])
    return drawn


def _require(op: str, fits: bool, what: str, *got: Any) -> None:
    if not fits:
        raise RuntimeError(f"[{op}] expects {what}, got {' and '.join(map(str, got))}")


def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Any = None) -> Tensor:
    """Set the elements to random numbers uniform in [low, high). Raises RuntimeError for
    low > high."""
    require_floating("uniform_", self)
    _require("uniform_", low <= high, "low <= high", low, high)
    u = draw("uniform", self.shape, self.dtype, self.device, generator)
    return _fill(self, "uniform_", _changed(u, lambda u: u * (high - low) + low))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    """Set the elements to random numbers of a normal distribution. Raises RuntimeError for
    std < 0."""
    require_floating("normal_", self)
    _require("normal_", std >= 0, "a standard deviation that is not negative", std)
    z = draw("normal", self.shape, self.dtype, self.device, generator)
    return _fill(self, "normal_", _changed(z, lambda z: z * std + mean))


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Any = None
) -> Tensor:
    """Set the elements to exp(z), z normal with this mean and standard deviation. Raises
    RuntimeError for std <= 0."""
    require_floating("log_normal_", self)
    _require("log_normal_", std > 0, "std > 0", std)
    z = draw("normal", self.shape, _F64, self.device, generator)
    xp = self.device.xp
    return _fill(self, "log_normal_", _changed(z, lambda z: exp(xp, z * std + mean)))


def exp(xp: Any, x: Array) -> Any:
    """exp of float64 numbers, rounded alike on every device: 2**k times a Taylor series."""
    k = xp.rint(x * (1 / math.log(2)))
    r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10  # log 2 in two parts
    series = xp.ones_like(r)
    for i in range(14, 0, -1):
        series = series * r / i + 1.0
    return xp.ldexp(series, xp.minimum(xp.maximum(k, -1100), 1100).astype(np.int32))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    """Set the elements to random numbers with density lambd exp(-lambd x), x > 0. Raises
    RuntimeError for lambd <= 0."""
    require_floating("exponential_", self)
    _require("exponential_", lambd > 0, "lambd > 0", lambd)
    u = _open_uniform(self, generator)
    xp = self.device.xp
    return _fill(self, "exponential_", _changed(u, lambda u: -log(xp, u) / lambd))


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None
) -> Tensor:
    """Set the elements to random numbers of a Cauchy distribution: median + sigma tan(pi u). Raises
    RuntimeError for sigma <= 0."""
    require_floating("cauchy_", self)
    _require("cauchy_", sigma > 0, "sigma > 0", sigma)
    xp = self.device.xp

    def cauchy(u: Any) -> Any:
        sine, cosine = turn(xp, u / 2)
        return median + sigma * sine / cosine

    return _fill(self, "cauchy_", _changed(_open_uniform(self, generator), cauchy))


def geometric_(self: Tensor, p: float, *, generator: Any = None) -> Tensor:
    """Set the elements to the number of trials (1, 2, ...) until one succeeds, each with
    probability p. Raises RuntimeError unless 0 < p < 1."""
    require_tensor("geometric_", self)
    _require("geometric_", 0 < p < 1, "p in 0..1, without its ends", p)
    xp = self.device.xp

    def trials(u: Any) -> Any:
        return xp.maximum(xp.ceil(log(xp, u) / math.log1p(-p)), 1.0)

    return _fill(self, "geometric_", _changed(_open_uniform(self, generator), trials))


def random_(self: Tensor, low: Any = 0, high: Any = None, *, generator: Any = None) -> Tensor:
    """Set the elements to random integers in [low, high): ``random_(high)``, or by default all that
    the dtype holds exactly, from 0. Raises RuntimeError for low >= high."""
    require_tensor("random_", self)
    if high is None:
        low, high = (0, low) if low else (0, _beyond(self.dtype))
    _require("random_", low < high, "low < high", low, high)
    least, most = whole_range(self.dtype)
    fits = least <= low and high - 1 <= most
    _require("random_", fits, f"bounds that {self.dtype.name} holds", low, high - 1)
    drawn = integers(self.device, self.numel(), high - low, generator)
    return _fill(self, "random_", _changed(drawn, lambda n: n + low).reshape(self.shape))


def _beyond(dtype: Any) -> int:
    """Where the integers end that ``random_`` draws: the dtype holds each exactly, and int64."""
    if dtype.kind in "biu":
        return whole_range(dtype)[1] + 1
    return 2 ** DIGITS[dtype.name] + 1


def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that ``input`` gives for each element (or with probability p), else 0,
    in the input's shape and dtype. Raises RuntimeError for probabilities outside [0, 1]."""
    require_tensor("bernoulli", input)
    if p is None and not input.is_floating_point():
        raise RuntimeError(
            f"[bernoulli] probabilities must be floating-point, got {input.dtype.name}"
        )
    drawn = _trials("bernoulli", input, input if p is None else p, generator)
    return with_zero_slopes(wrap(drawn, input.device), input, p)


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Set the elements to 1 with probability p (a number or a tensor that broadcasts), else 0.
    Raises RuntimeError for probabilities outside [0, 1]."""
    require_tensor("bernoulli_", self)
    return _fill(self, "bernoulli_", _trials("bernoulli_", self, p, generator))


def _trials(op: str, x: Tensor, p: Any, generator: Any) -> Any:
    check_nesting(op, p)
    chance = p._array if isinstance(p, Tensor) else np.float64(p)
    if not bool(((chance >= 0) & (chance <= 1)).all()):  # nan is neither
        raise RuntimeError(f"[{op}] probabilities must lie in 0..1")
    u = draw("uniform", tuple(x.shape), dtypes.float32, x.device, generator)
    return (u < chance).astype(x.dtype)


def _as_number(name: str, value: Any) -> Any:
    if isinstance(value, Tensor) and value.ndim:
        raise TypeError(
            f"[normal] {name} has shape {tuple(value.shape)}, which is the size: leave size out"
        )
    return value.item() if isinstance(value, Tensor) else value


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    **options: Any,
) -> Tensor:
    """Normal numbers with the means and standard deviations given: two numbers and a size, or
    tensors that broadcast. Raises RuntimeError for negative deviations and tensors of integers,
    TypeError for two numbers without a size."""
    if size is not None:
        mean, std = (_as_number(n, v) for n, v in (("mean", mean), ("std", std)))
    tensors = [v for v in (mean, std) if isinstance(v, Tensor)]
    lowest = std._array.min() if isinstance(std, Tensor) and std.numel() else std
    if not isinstance(lowest, Tensor):
        _require("normal", bool(lowest >= 0), "standard deviations that are not negative", lowest)
    if not tensors:
        if size is None:
            raise TypeError("[normal] of two numbers needs a size")
        return randn(size, generator=generator, **options) * std + mean
    like = tensors[0]
    if not like.is_floating_point():
        raise RuntimeError(f"[normal] needs floating-point tensors, got {like.dtype.name}")
    shape = np.broadcast_shapes(*(tuple(t.shape) for t in tensors))
    z = draw("normal", shape, like.dtype, like.device, generator)
    a, b = (v._array if isinstance(v, Tensor) else v for v in (mean, std))
    return with_zero_slopes(wrap((z * b + a).astype(like.dtype), like.device), mean, std)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Tensor:
    """``num_samples`` class indices (int64) for each row of weights, drawn with or without
    replacement: (rows, num_samples), or (num_samples,) for a vector of weights. The weights need
    not sum to 1. Raises RuntimeError for weights that are negative or not finite, rows of zeros,
    and more samples than there are classes to draw.

    Without replacement the classes race: each gets an exponential time with its weight as rate, and
    the first num_samples win (Efraimidis & Spirakis 2006).
    """
    op = "multinomial"
    require_tensor(op, input)
    if input.ndim not in (1, 2) or not input.is_floating_point():
        raise RuntimeError(
            f"[{op}] expects a floating-point vector or matrix of weights, got shape "
            f"{tuple(input.shape)} of {input.dtype.name}"
        )
    weights = input._array.astype(_F64)
    xp = input.device.xp
    if num_samples <= 0:
        raise RuntimeError(f"[{op}] num_samples must be positive, got {num_samples}")
    if not bool((xp.isfinite(weights) & (weights >= 0)).all()):
        raise RuntimeError(f"[{op}] weights must be finite and not negative")
    if not bool((weights.sum(-1) > 0).all()):
        raise RuntimeError(f"[{op}] each row needs a weight above 0")
    if not replacement and bool(((weights > 0).sum(-1) < num_samples).any()):
        raise RuntimeError(
            f"[{op}] cannot draw {num_samples} different classes of the {weights.shape[-1]} whose "
            "weights are given (those of weight 0 are never drawn): use replacement=True"
        )
    rows = weights.reshape(-1, weights.shape[-1])
    rows = rows / rows.max(-1, keepdims=True)
    if replacement:
        picked = _with_replacement(input, rows, num_samples, generator)
    else:
        u = draw("uniform", rows.shape, _F64, input.device, generator) + 2.0**-53
        times = -log(xp, u) / xp.where(rows > 0, rows, 1.0)
        # However small a weight is, it arrives before those of weight 0.
        times = xp.where(rows > 0, xp.minimum(times, np.finfo(np.float64).max), math.inf)
        picked = xp.argsort(times, axis=-1, kind="stable")[:, :num_samples]
    return wrap(picked.reshape((*weights.shape[:-1], num_samples)).astype(np.int64), input.device)


def _with_replacement(input: Tensor, rows: Any, n: int, generator: Any) -> Any:
    """By the running totals of weights in 0..1, as integers, whose sums no device rounds."""
    xp, device = input.device.xp, input.device
    unit = 2.0 ** (62 - rows.shape[-1].bit_length())  # so that the totals stay below 2**62
    totals = xp.library.cumsum(xp.ceil(rows * unit).astype(np.int64), axis=-1)
    words = integers(device, len(rows) * n, 2**62, generator).reshape(len(rows), n)
    points = _fraction(words, totals[:, -1:])
    return searchsorted(wrap(totals, device), wrap(points, device), right=True)._array


def _fraction(a: Any, b: Any) -> Any:
    """floor(a b / 2**62) of integers in [0, 2**62): the product's high half, from halves of 31
    bits."""
    low = 2**31 - 1
    a1, a0, b1, b0 = a >> 31, a & low, b >> 31, b & low
    return a1 * b1 + ((a1 * b0 + a0 * b1 + (a0 * b0 >> 31)) >> 31)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of events with the means ``input``, in its shape and dtype. Raises RuntimeError for
    means that are negative or nan.

    Small means: the sum of probabilities up to k passes a uniform number. From 10 on: transformed
    rejection (Hoermann 1993, PTRS), with Stirling's series for log k!.
    """
    require_tensor("poisson", input)
    if not input.is_floating_point():
        raise RuntimeError(f"[poisson] means must be floating-point, got {input.dtype.name}")
    rate = input._array.astype(_F64)
    if not bool((rate >= 0).all()):
        raise RuntimeError("[poisson] means must not be negative or nan")
    xp, device = input.device.xp, input.device
    flat = rate.reshape(-1)
    result = xp.zeros(flat.shape, dtype=_F64)
    for chosen, count in ((flat < 10, _few), (flat >= 10, _many)):
        positions = xp.nonzero(chosen)[0]
        if positions.size:
            uniforms = streams(device, positions.size, generator)
            result[positions] = count(xp, flat[positions], uniforms)
    drawn = wrap(result.reshape(rate.shape).astype(input.dtype), device)
    return with_zero_slopes(drawn, input)


def streams(device: Device, n: int, generator: Generator | None) -> Callable[[int], Any]:
    """One call of the generator as many: n uniform numbers for each step, or as many as are still
    needed, by a seed of its own."""
    seed, offset = call_of(generator)

    def uniforms(step: int, needed: int = n) -> Any:
        key = (seed + step * 0x9E3779B97F4A7C15) % 2**64
        return device.ops["uniform"](n=int(needed), dtype=_F64, seed=key, offset=offset)

    return uniforms


def _few(xp: Any, rate: Any, uniforms: Callable) -> Any:
    u = uniforms(0)
    p = exp(xp, -rate)
    total, k = p.copy(), xp.zeros(rate.shape, dtype=_F64)
    for step in range(1, 100):  # beyond 99 events the probability is below 1e-60
        more = u >= total
        if not bool(more.any()):
            break
        k = k + more
        p = p * rate / step
        total = total + p
    return k


def _many(xp: Any, rate: Any, uniforms: Callable) -> Any:
    b = 0.931 + 2.53 * xp.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    squeeze = 0.9277 - 3.6224 / (b - 2)
    result = xp.zeros(rate.shape, dtype=_F64)
    waiting = xp.ones(rate.shape, dtype=bool)
    step = 0
    while bool(waiting.any()):  # nine in ten are accepted each time
        u, v = uniforms(2 * step) - 0.5, uniforms(2 * step + 1) + 2.0**-53
        us = 0.5 - xp.abs(u) + 2.0**-54
        k = xp.floor((2 * a / us + b) * u + rate + 0.43)
        sure = (us >= 0.07) & (v <= squeeze)
        possible = (k >= 0) & ((us >= 0.013) | (v <= us))
        n = xp.maximum(k, 0.0) + 1.0
        left = log(xp, v) + log(xp, inverse_alpha / (a / (us * us) + b))
        right = k * log(xp, rate) - rate - log_factorial(xp, n)
        accepted = waiting & (sure | (possible & (left <= right)))
        result = xp.where(accepted, k, result)
        waiting = waiting & ~accepted
        step += 1
    return result


def log_factorial(xp: Any, n: Any) -> Any:
    """log((n - 1)!) by Stirling's series, shifted up by 8 so that it is exact to 1e-15."""
    z, shift = n + 8.0, xp.ones_like(n)
    for i in range(8):
        shift = shift * (n + i)
    series = 1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5) - 1 / (1680 * z**7)
    return (z - 0.5) * log(xp, z) - z + 0.5 * math.log(2 * math.pi) + series - log(xp, shift)
