"""autocast for your own Functions: ``forward`` and ``backward`` in one region."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tapegrad.core.tensor import Tensor

from .regions import autocast, chosen_dtype, regions
from .regions import device_type as known_type
from .values import with_casts


def custom_fwd(
    fwd: Callable | None = None, *, device_type: str, cast_inputs: Any = None
) -> Callable:
    """A decorator for the ``forward`` of an autograd.Function. cast_inputs: None, or the dtype that
    floats of up to 32 bits on this device type are cast to within regions; ``forward`` then runs
    without autocast. Outside of regions it changes nothing. Raises as ``autocast`` does."""
    kind = known_type("custom_fwd", device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=kind, cast_inputs=cast_inputs)
    target = None if cast_inputs is None else chosen_dtype("custom_fwd", cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        now = regions.get()
        on = kind in now.active
        ctx._dtype = now.dtype(kind) if on else None
        ctx._fwd_used_autocast = on and target is None
        if not on or target is None:
            return fwd(ctx, *args, **kwargs)
        with autocast(kind, enabled=False):
            given = [with_casts(values, kind, target, Tensor.to) for values in (args, kwargs)]
            return fwd(ctx, *given[0], **given[1])

    return forward


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Callable:
    """A decorator for the ``backward`` of an autograd.Function whose ``forward`` has
    ``custom_fwd``: it runs in a region as that did, or in none. Raises as ``autocast`` does."""
    kind = known_type("custom_bwd", device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=kind)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(kind, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)

    return backward
