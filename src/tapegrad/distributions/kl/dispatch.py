"""The divergence of two distributions, by their classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from tapegrad.core.tensor import Tensor

from ..distribution import Distribution

__all__ = ["kl_divergence", "register_kl"]

_REGISTERED: dict[tuple[type, type], Callable] = {}
_FOUND: dict[tuple[type, type], Callable | None] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Callable], Callable]:
    """A decorator: the function of (p, q) computes the divergence of these classes, and of those
    derived from them. Raises TypeError for what is no class of distributions.

    Where several are registered, the one of the nearest classes is taken; if that of p and that of
    q disagree, with a RuntimeWarning.
    """
    for kind in (type_p, type_q):
        if not isinstance(kind, type) or not issubclass(kind, Distribution):
            raise TypeError(f"[register_kl] expects a class of distributions, got {kind!r}")

    def register(function: Callable) -> Callable:
        _REGISTERED[type_p, type_q] = function
        _FOUND.clear()
        return function

    return register


def _find(p: type, q: type) -> Callable | None:
    known = [
        (p.__mro__.index(a), q.__mro__.index(b), function)
        for (a, b), function in _REGISTERED.items()
        if issubclass(p, a) and issubclass(q, b)
    ]
    if not known:
        return None
    by_p = min(known, key=lambda k: (k[0], k[1]))
    by_q = min(known, key=lambda k: (k[1], k[0]))
    if by_p[2] is not by_q[2]:
        warnings.warn(
            f"several divergences fit {p.__name__} and {q.__name__}: register one of these two by "
            f"@register_kl({p.__name__}, {q.__name__})",
            RuntimeWarning,
            stacklevel=4,
        )
    return by_p[2]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q), the expectation under p of log p(x) - log q(x), of shape batch_shape (that of p
    and q, broadcast). Raises NotImplementedError for two classes of which it is not known."""
    kinds: tuple[Any, Any] = type(p), type(q)
    if kinds not in _FOUND:
        _FOUND[kinds] = _find(*kinds)
    function = _FOUND[kinds]
    if function is None:
        names = " and ".join(kind.__name__ for kind in kinds)
        raise NotImplementedError(
            f"[kl_divergence] is not known for {names}: average p.log_prob(x) - q.log_prob(x) over "
            "samples of p, or register it with register_kl"
        )
    return function(p, q)
