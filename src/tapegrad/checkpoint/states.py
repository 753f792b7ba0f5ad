"""Which objects have a state that can be saved: modules, optimizers, schedulers, loaders,
generators, and all that have their methods."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor

_WAYS = (("state_dict", "load_state_dict"), ("get_state", "set_state"))


def way_of(value: Any) -> tuple[str, str] | None:
    """The methods by which an object gives its state and takes it back; None without a state."""
    if isinstance(value, (type, Tensor)):
        return None
    for give, take in _WAYS:
        if callable(getattr(value, give, None)) and callable(getattr(value, take, None)):
            return give, take
    return None
