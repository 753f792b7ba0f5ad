"""Divergences of distributions of one number from those of another family.

KL(p || q) = -H(p) - E log q(x), and log q is made of few functions of x, whose expectations under p
stand in tables: x, x^2, |x - c|, log x, log(1 - x), exp(-t x). Where p reaches beyond q's support
the divergence is inf.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tapegrad.core.tensor import Tensor

from .. import operations as tg
from ..beta import Beta
from ..continuous_bernoulli import ContinuousBernoulli
from ..exponential import Exponential
from ..gamma import Gamma
from ..gumbel import Gumbel
from ..laplace import Laplace
from ..normal import Normal
from ..pareto import Pareto
from ..uniform import Uniform
from ..utils import euler_constant
from .dispatch import register_kl

# ---------------------------------------------------------------------- expectations under p


def _uniform_log(p: Any) -> Tensor:
    """The integral of log over low..high is that of x log x - x."""
    return (tg.xlogy(p.high, p.high) - tg.xlogy(p.low, p.low)) / (p.high - p.low) - 1


_MEAN_LOG: dict[type, Callable] = {
    Beta: lambda p: p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma(),
    Exponential: lambda p: -p.rate.log() - euler_constant,
    Gamma: lambda p: p.concentration.digamma() - p.rate.log(),
    Pareto: lambda p: p.scale.log() + p.alpha.reciprocal(),
    Uniform: _uniform_log,
}

_MEAN_EXP: dict[type, Callable] = {  # E exp(-t x)
    Exponential: lambda p, t: p.rate / (p.rate + t),
    Gamma: lambda p, t: (1 + t / p.rate) ** -p.concentration,
    Gumbel: lambda p, t: ((1 + t * p.scale).lgamma() - t * p.loc).exp(),
    Normal: lambda p, t: (0.5 * (t * p.scale).square() - t * p.loc).exp(),
    Uniform: lambda p, t: ((-t * p.low).exp() - (-t * p.high).exp()) / (t * (p.high - p.low)),
}


def _mean_log(p: Any) -> Tensor:
    return _MEAN_LOG[type(p)](p)


def _mean_log_rest(p: Any) -> Tensor:
    """E log(1 - x): of a uniform distribution, E log of its mirror image."""
    return _uniform_log(Uniform(1 - p.high, 1 - p.low, validate_args=False))


def _normal_distance(p: Normal, center: Tensor) -> Tensor:
    """E |x - center|, the mean of the folded normal distribution."""
    d, root = p.loc - center, math.sqrt(0.5)
    z = d / p.scale
    near = math.sqrt(2 / math.pi) * p.scale * (-0.5 * z.square()).exp()
    return near + d * (z * root).erf()


# ---------------------------------------------------------------------- E -log q(x)


def _to_normal(p: Any, q: Normal) -> Tensor:
    square = p.variance + (p.mean - q.loc).square()
    return 0.5 * square / q.variance + q.scale.log() + 0.5 * math.log(2 * math.pi)


def _to_exponential(p: Any, q: Exponential) -> Tensor:
    return q.rate * p.mean - q.rate.log()


def _to_gamma(p: Any, q: Gamma) -> Tensor:
    a, b = q.concentration, q.rate
    return a.lgamma() - a * b.log() - (a - 1) * _mean_log(p) + b * p.mean


def _to_gumbel(p: Any, q: Gumbel) -> Tensor:
    z = (p.mean - q.loc) / q.scale
    return q.scale.log() + z + (q.loc / q.scale).exp() * _MEAN_EXP[type(p)](p, 1 / q.scale)


def _to_laplace(p: Normal, q: Laplace) -> Tensor:
    return (2 * q.scale).log() + _normal_distance(p, q.loc) / q.scale


def _to_uniform(p: Any, q: Uniform) -> Tensor:
    return (q.high - q.low).log()


def _to_continuous_bernoulli(p: Any, q: ContinuousBernoulli) -> Tensor:
    return -p.mean * q.logits - (-q.probs).log1p() - q._log_norm()


def _to_beta(p: Uniform, q: Beta) -> Tensor:
    a, b = q.concentration1, q.concentration0
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return log_beta - (a - 1) * _mean_log(p) - (b - 1) * _mean_log_rest(p)


def _to_pareto(p: Uniform, q: Pareto) -> Tensor:
    return (q.alpha + 1) * _mean_log(p) - q.alpha.log() - q.alpha * q.scale.log()


# ---------------------------------------------------------------------- where p reaches beyond q


def _below_0(p: Uniform, q: Any) -> Tensor:
    return p.low < 0


def _beyond_1(p: Uniform, q: Any) -> Tensor:
    return (p.low < 0) | (p.high > 1)


def _inside_0_1(p: Any, q: Uniform) -> Tensor:
    return (q.low > 0) | (q.high < 1)


def _below_scale(p: Uniform, q: Pareto) -> Tensor:
    return p.low < q.scale


def _without_mean(p: Pareto, q: Any) -> Tensor:
    return p.alpha <= 1


def _without_variance(p: Pareto, q: Any) -> Tensor:
    return p.alpha <= 2


_Pair = tuple[type, type, Callable, Callable | None]
_PAIRS: list[_Pair] = [
    *((p, Normal, _to_normal, None) for p in (Beta, ContinuousBernoulli, Exponential, Gamma)),
    *((p, Normal, _to_normal, None) for p in (Gumbel, Laplace, Uniform)),
    (Pareto, Normal, _to_normal, _without_variance),
    *((p, Exponential, _to_exponential, None) for p in (Beta, ContinuousBernoulli, Gamma)),
    (Pareto, Exponential, _to_exponential, _without_mean),
    (Uniform, Exponential, _to_exponential, _below_0),
    *((p, Gamma, _to_gamma, None) for p in (Beta, Exponential)),
    (Pareto, Gamma, _to_gamma, _without_mean),
    (Uniform, Gamma, _to_gamma, _below_0),
    *((p, Gumbel, _to_gumbel, None) for p in (Exponential, Gamma, Gumbel, Normal, Uniform)),
    (Normal, Laplace, _to_laplace, None),
    *((p, Uniform, _to_uniform, _inside_0_1) for p in (Beta, ContinuousBernoulli)),
    (Beta, ContinuousBernoulli, _to_continuous_bernoulli, None),
    (ContinuousBernoulli, ContinuousBernoulli, _to_continuous_bernoulli, None),
    (Uniform, ContinuousBernoulli, _to_continuous_bernoulli, _beyond_1),
    (Uniform, Beta, _to_beta, _beyond_1),
    (Uniform, Pareto, _to_pareto, _below_scale),
]


def _divergence(cross: Callable, beyond: Callable | None) -> Callable:
    def divergence(p: Any, q: Any) -> Tensor:
        value = cross(p, q) - p.entropy()
        return value if beyond is None else value.masked_fill(beyond(p, q), math.inf)

    return divergence


for _p, _q, _cross, _beyond in _PAIRS:
    register_kl(_p, _q)(_divergence(_cross, _beyond))


# ---------------------------------------------------------------------- always inf

_UNBOUNDED = {
    Beta: (Pareto,),
    ContinuousBernoulli: (Pareto,),
    Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, ContinuousBernoulli, Uniform),
}


def _infinite(p: Any, q: Any) -> Tensor:
    shape = tg.broadcast_shapes(tuple(p.batch_shape), tuple(q.batch_shape))
    like = next(v for v in p.__dict__.values() if isinstance(v, Tensor))
    return tg.full(shape, math.inf, dtype=like.dtype, device=like.device)


for _p, _all in _UNBOUNDED.items():
    for _q in _all:
        register_kl(_p, _q)(_infinite)
