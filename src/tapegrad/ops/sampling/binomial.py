"""Draws of the binomial distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.pointwise.elementwise import with_zero_slopes

from .distributions import exp, log_factorial, streams
from .philox import log

_F64 = dtypes.float64


def binomial(count: Tensor, prob: Tensor, *, generator: Any = None) -> Tensor:
    """Numbers of successes in ``count`` trials with probability ``prob`` each, of two tensors of
    one shape, in prob's dtype.

    Small means: the sum of probabilities up to k passes a uniform number. From 10 on: transformed
    rejection (Hoermann 1993, *The generation of binomial random variates*, BTRD without its
    squeezes). Probabilities above 1/2 are drawn as failures.
    """
    xp, device = prob.device.xp, prob.device
    n, p = (t._array.reshape(-1).astype(_F64) for t in (count, prob))
    high = p > 0.5
    q = xp.where(high, 1 - p, p)
    result = xp.zeros(n.shape, dtype=_F64)
    for chosen, drawn in ((n * q < 10, _few), (n * q >= 10, _many)):
        positions = xp.nonzero(chosen)[0]
        if positions.size:
            uniforms = streams(device, positions.size, generator)
            result[positions] = drawn(xp, n[positions], q[positions], uniforms)
    result = xp.where(high, n - result, result).reshape(prob.shape).astype(prob.dtype)
    return with_zero_slopes(wrap(result, device), count, prob)


def _few(xp: Any, n: Any, p: Any, uniforms: Callable) -> Any:
    """k is the number of sums that a uniform number passes."""
    result = xp.zeros(n.shape, dtype=_F64)
    waiting, u = xp.library.arange(n.size), uniforms(0)
    probability = exp(xp, n * log(xp, 1 - p))
    total = probability
    for step in range(1, 111):  # beyond 110 successes of a mean below 10 the probability is 1e-70
        more = (u >= total) & (n >= step)
        if not bool(more.any()):
            break
        waiting, u, n, p = waiting[more], u[more], n[more], p[more]
        result[waiting] += 1
        probability = probability[more] * (p / (1 - p)) * ((n - (step - 1)) / step)
        total = total[more] + probability
    return result


def _many(xp: Any, n: Any, p: Any, uniforms: Callable) -> Any:
    deviation = xp.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    alpha = (2.83 + 5.1 / b) * deviation
    most = xp.floor((n + 1) * p)
    at_most = log_factorial(xp, most + 1) + log_factorial(xp, n - most + 1)
    table = (n, n * p + 0.5, a, b, alpha, log(xp, p / (1 - p)), most, at_most)
    result, waiting = xp.zeros(n.shape, dtype=_F64), xp.library.arange(n.size)
    step = 0
    while waiting.size:
        n, c, a, b, alpha, log_odds, most, at_most = table
        u, v = (uniforms(2 * step + i, waiting.size) for i in (0, 1))
        u, v = u - 0.5, v + 2.0**-53
        us = 0.5 - xp.abs(u) + 2.0**-54
        k = xp.floor((2 * a / us + b) * u + c)
        possible = (k >= 0) & (k <= n)
        k = xp.where(possible, k, most)
        log_ratio = at_most - log_factorial(xp, k + 1) - log_factorial(xp, n - k + 1)
        log_ratio = log_ratio + (k - most) * log_odds
        rejected = ~possible | (log(xp, v * (alpha / (a / (us * us) + b))) > log_ratio)
        result[waiting] = k
        waiting, table = waiting[rejected], tuple(column[rejected] for column in table)
        step += 1
    return result
