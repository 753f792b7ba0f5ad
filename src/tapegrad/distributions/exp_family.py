"""Exponential families: the entropy is the derivative of the log normaliser."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor

from . import operations as tg
from .distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A density exp(<t(x), theta> - F(theta) + k(x)), with natural parameters theta, log normaliser
    F and carrier measure k.

    A subclass defines ``_natural_params``, ``_log_normalizer(*theta)`` and
    ``_mean_carrier_measure``, the expectation of k(x). The entropy F - <theta, F'> - E k then needs
    no more: F' is taken from the tape (Nielsen & Nock 2010, *Entropies and cross-entropies of
    exponential families*).
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise self._missing("_natural_params")

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise self._missing("_log_normalizer")

    @property
    def _mean_carrier_measure(self) -> Any:
        raise self._missing("_mean_carrier_measure")

    def _normalizer_and_slopes(self) -> tuple[list[Tensor], Tensor, tuple[Tensor, ...]]:
        """The natural parameters, F of them and its derivatives, on the tape of the parameters."""
        with tg.enable_grad():
            # Nodes of their own: each derivative is with respect to one alone.
            natural = [
                t * 1.0 if t.requires_grad else t.detach().requires_grad_()
                for t in self._natural_params
            ]
            normalizer = self._log_normalizer(*natural)
            slopes: tuple = tg.autograd.grad(normalizer.sum(), natural, create_graph=True)
        if not any(t.requires_grad for t in self._natural_params):
            natural, normalizer = [t.detach() for t in natural], normalizer.detach()
            slopes = tuple(slope.detach() for slope in slopes)
        return natural, normalizer, slopes

    def entropy(self) -> Tensor:
        """The entropy in nats, of shape batch_shape, by the derivative of the log normaliser."""
        natural, normalizer, slopes = self._normalizer_and_slopes()
        result = normalizer - self._mean_carrier_measure
        for parameter, slope in zip(natural, slopes, strict=True):
            result = result - (parameter * slope).reshape(*self._batch_shape, -1).sum(-1)
        return result
