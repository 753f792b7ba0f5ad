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
    u = uniforms(0)
    odds = p / (1 - p)
    probability = exp(xp, n * log(xp, 1 - p))
    total, k = probability.copy(), xp.zeros(n.shape, dtype=_F64)
    for step in range(1, 111):  # beyond 110 successes of a mean below 10 the probability is 1e-70
        more = (u >= total) & (k < n)
        if not bool(more.any()):
            break
        k = k + more
        probability = probability * odds * (xp.maximum(n - (step - 1), 0.0) / step)
        total = total + probability
    return k


def _many(xp: Any, n: Any, p: Any, uniforms: Callable) -> Any:
    deviation = xp.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = n * p + 0.5
    alpha = (2.83 + 5.1 / b) * deviation
    log_odds = log(xp, p / (1 - p))
    most = xp.floor((n + 1) * p)
    at_most = log_factorial(xp, most + 1) + log_factorial(xp, n - most + 1)
    result, waiting = xp.zeros(n.shape, dtype=_F64), xp.ones(n.shape, dtype=bool)
    step = 0
    while bool(waiting.any()):
        u, v = uniforms(2 * step) - 0.5, uniforms(2 * step + 1) + 2.0**-53
        us = 0.5 - xp.abs(u) + 2.0**-54
        k = xp.floor((2 * a / us + b) * u + c)
        possible = (k >= 0) & (k <= n)
        k = xp.where(possible, k, most)
        left = log(xp, v * (alpha / (a / (us * us) + b)))
        right = at_most - log_factorial(xp, k + 1) - log_factorial(xp, n - k + 1)
        accepted = waiting & possible & (left <= right + (k - most) * log_odds)
        result = xp.where(accepted, k, result)
        waiting = waiting & ~accepted
        step += 1
    return result
