"""Divergences of distributions of counts and classes."""

from __future__ import annotations

import math

from tapegrad.core.tensor import Tensor
from tapegrad.ops.activation.activation import softplus

from .. import operations as tg
from ..bernoulli import Bernoulli
from ..binomial import Binomial
from ..categorical import Categorical
from ..geometric import Geometric
from ..one_hot_categorical import OneHotCategorical
from ..poisson import Poisson
from .dispatch import register_kl


def _weighted(weight: Tensor, gain: Tensor, impossible: Tensor) -> Tensor:
    """weight * gain; inf where q gives 0, and 0 where p does."""
    return (weight * gain).masked_fill(impossible, math.inf).masked_fill(weight == 0, 0.0)


@register_kl(Bernoulli, Bernoulli)
def _bernoullis(p: Bernoulli, q: Bernoulli) -> Tensor:
    ones = softplus(-q.logits) - softplus(-p.logits)
    zeros = softplus(q.logits) - softplus(p.logits)
    return _weighted(p.probs, ones, q.probs == 0) + _weighted(1 - p.probs, zeros, q.probs == 1)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    """Neither value has a factorial but 1."""
    return q.rate - tg.xlogy(p.probs, q.rate) - p.entropy()


@register_kl(Binomial, Binomial)
def _binomials(p: Binomial, q: Binomial) -> Tensor:
    """inf where p has more trials. Raises NotImplementedError where q has: the sum has no closed
    form."""
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "[kl_divergence] of Binomials is known where q has as many trials as p, got "
            f"total_count {p.total_count.tolist()} and {q.total_count.tolist()}"
        )
    gain = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return (p.total_count * gain).masked_fill(p.total_count > q.total_count, math.inf)


@register_kl(Categorical, Categorical)
def _categoricals(p: Categorical, q: Categorical) -> Tensor:
    return _weighted(p.probs, p.logits - q.logits, q.probs == 0).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hots(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categoricals(p._categorical, q._categorical)


@register_kl(Geometric, Geometric)
def _geometrics(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poissons(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Poisson, Bernoulli)
@register_kl(Poisson, Binomial)
def _more_than_q_counts(p: Poisson, q: Bernoulli | Binomial) -> Tensor:
    return tg.full_like(p.rate + q.probs.detach(), math.inf)
