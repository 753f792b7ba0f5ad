"""Kullback-Leibler divergences: how much p tells q."""

# These register the pairs that are known.
from . import across, discrete, made_of_others, multivariate, same
from .dispatch import kl_divergence, register_kl

__all__ = ["kl_divergence", "register_kl"]

del across, discrete, made_of_others, multivariate, same
