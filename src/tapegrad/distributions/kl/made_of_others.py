"""Divergences of distributions that are made of others."""

from __future__ import annotations

from tapegrad.core.tensor import Tensor

from ..independent import Independent
from ..transformed_distribution import TransformedDistribution
from ..utils import sum_rightmost
from .dispatch import kl_divergence, register_kl


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    """The bases', summed. Raises NotImplementedError for two numbers of dimensions."""
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "[kl_divergence] of Independents needs one reinterpreted_batch_ndims, got "
            f"{p.reinterpreted_batch_ndims} and {q.reinterpreted_batch_ndims}"
        )
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    """The bases': a bijection changes nothing. Raises NotImplementedError for two transforms."""
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            "[kl_divergence] of transformed distributions is known for the same transforms and "
            f"event_shape, got {type(p).__name__} of {p.transforms} and {type(q).__name__} of "
            f"{q.transforms}"
        )
    return kl_divergence(p.base_dist, q.base_dist)
