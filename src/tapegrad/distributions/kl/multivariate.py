"""Divergences of multivariate normal distributions, each with a full covariance or one of low
rank."""

from __future__ import annotations

from tapegrad.core.tensor import Tensor

from .. import operations as tg
from ..lowrank_multivariate_normal import LowRankMultivariateNormal
from ..matrices import log_det
from ..multivariate_normal import MultivariateNormal
from .dispatch import register_kl

_Normal = MultivariateNormal | LowRankMultivariateNormal


def _root(p: _Normal) -> Tensor:
    """A matrix A with A A^T = covariance."""
    if isinstance(p, MultivariateNormal):
        return p._unbroadcasted_scale_tril
    return tg.cat([p.cov_factor, p.cov_diag.sqrt().diag_embed()], -1)


def _half_log_det(p: _Normal) -> Tensor:
    if isinstance(p, MultivariateNormal):
        return log_det(p._unbroadcasted_scale_tril)
    return 0.5 * p._log_det()


def _trace(q: _Normal, a: Tensor) -> Tensor:
    """tr(inverse(covariance) a a^T) of matrices (..., n, k)."""
    if isinstance(q, MultivariateNormal):
        factor = q._unbroadcasted_scale_tril
        return tg.linalg.solve_triangular(factor, a, upper=False).square().sum((-2, -1))
    scaled = a / q._unbroadcasted_cov_diag.unsqueeze(-1)
    projected = q._unbroadcasted_cov_factor.mT @ scaled
    solved = tg.linalg.solve_triangular(q._capacitance_tril, projected, upper=False)
    return (a * scaled).sum((-2, -1)) - solved.square().sum((-2, -1))


@register_kl(MultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _normals(p: _Normal, q: _Normal) -> Tensor:
    """log det of the roots' quotient, and half of tr(inverse(S_q) S_p) + d^T inverse(S_q) d - n, d
    the distance of the means. Raises ValueError for vectors of two lengths."""
    if p.event_shape != q.event_shape:
        raise ValueError(
            "[kl_divergence] of multivariate normal distributions needs one event_shape, got "
            f"{tuple(p.event_shape)} and {tuple(q.event_shape)}"
        )
    distance = _trace(q, (q.loc - p.loc).unsqueeze(-1))
    logs = _half_log_det(q) - _half_log_det(p)
    return logs + 0.5 * (_trace(q, _root(p)) + distance - p.event_shape[0])
