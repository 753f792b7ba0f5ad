"""Draws of the standard gamma distribution, and of Dirichlet's, with gradients to their
concentrations."""

from __future__ import annotations

from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_floating
from tapegrad.ops.common.precision import to_float64
from tapegrad.ops.common.type_info import finfo

from .philox import call_of, log

_F64 = dtypes.float64


def _log_gamma_draws(xp: Any, a: Any, seed: int, offset: int) -> Any:
    """Logarithms of draws, float64: that of a draw of a small concentration may be below -745.

    The rejection of Marsaglia & Tsang (2000): d v, with v = (1 + c z)^3 of a normal z, d = a - 1/3
    and c = 1 / sqrt(9 d), is accepted at least 95 times in 100. For a < 1 a draw of a + 1 is
    multiplied by u^(1/a).
    """
    flat = a.reshape(-1).astype(_F64)
    n = int(flat.size)

    def drawn(name: str, n: int, step: int) -> Any:
        key = (seed + step * 0x9E3779B97F4A7C15) % 2**64  # a stream of its own for each step
        return getattr(xp, name)(n=n, dtype=_F64, seed=key, offset=offset)

    small = flat < 1
    d = flat + small - 1 / 3
    c = 1 / xp.sqrt(9 * d)
    result = log(xp, d)
    waiting, step = xp.library.arange(n), 1
    while waiting.size:
        left = int(waiting.size)
        z, u = drawn("normal", left, step), drawn("uniform", left, step + 1) + 2.0**-53
        v = 1 + c[waiting] * z
        possible = v > 0
        log_v = 3 * log(xp, xp.where(possible, v, 1.0))
        bound = 0.5 * z * z + d[waiting] * (1 - v * v * v + log_v)
        accepted = possible & (log(xp, u) < bound)
        result[waiting[accepted]] += log_v[accepted]
        waiting = waiting[~accepted]
        step += 2
    few = xp.library.nonzero(small)[0]
    if few.size:
        result[few] += log(xp, drawn("uniform", int(few.size), 0) + 2.0**-53) / flat[few]
    return result.reshape(a.shape)


@primitive(
    "standard_gamma", vjp=(to_float64(lambda xp, g, y, a: g * xp.standard_gamma_slope(y, a)),)
)
def _standard_gamma(xp: Any, a: Array, *, seed: int, offset: int) -> Any:
    drawn = xp.exp(_log_gamma_draws(xp, a, seed, offset)).astype(a.dtype)
    return xp.library.maximum(drawn, _tiny(a.dtype))


def _tiny(dtype: Any) -> Any:
    """The smallest normal number: what has a logarithm, where a draw would be 0."""
    return dtype.type(finfo(dtype).tiny)


def _dirichlet_rule(xp: Any, g: Any, y: Any, a: Any) -> Any:
    """The others keep their proportions: dx_j/da_i = -x_j dx_i/da_i / (1 - x_i)."""
    last = (y.ndim - 1,)
    slope = xp.dirichlet_slope(y, a, xp.sum(a, axis=last, keepdims=True))
    return slope * (g - xp.sum(g * y, axis=last, keepdims=True))


@primitive("dirichlet", vjp=(to_float64(_dirichlet_rule),))
def _dirichlet(xp: Any, a: Array, *, seed: int, offset: int) -> Any:
    drawn = _log_gamma_draws(xp, a, seed, offset)
    parts = xp.exp(drawn - drawn.max(-1, keepdims=True))
    parts = (parts / parts.sum(-1, keepdims=True)).astype(a.dtype)
    parts = xp.library.maximum(parts, _tiny(a.dtype))
    if a.shape[-1] == 1:
        return parts
    return xp.library.minimum(parts, a.dtype.type(1 - finfo(a.dtype).eps / 2))  # 1 has no density


def standard_gamma(concentration: Tensor, *, generator: Any = None) -> Tensor:
    """Draws of the gamma distributions with these concentrations (positive) and rate 1, in their
    shape and dtype; gradients by implicit reparameterization (see ``implicit.py``)."""
    require_floating("standard_gamma", concentration)
    seed, offset = call_of(generator)
    return _standard_gamma(concentration, seed=seed, offset=offset)


def dirichlet(concentration: Tensor, *, generator: Any = None) -> Tensor:
    """Draws of the Dirichlet distributions with these concentrations (positive), (..., k), in their
    shape and dtype; gradients likewise."""
    require_floating("dirichlet", concentration)
    seed, offset = call_of(generator)
    return _dirichlet(concentration, seed=seed, offset=offset)
