"""What ``torch.cuda.amp`` and ``torch.cpu.amp`` have: autocast and GradScaler for one device type.
They warn, as in PyTorch, and are what ``tapegrad.amp`` has otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from .custom import custom_bwd, custom_fwd
from .grad_scaler import GradScaler
from .regions import autocast


def _warn(kind: str, name: str, now: str) -> None:
    warnings.warn(
        f"tapegrad.{kind}.amp.{name} is an old name: use tapegrad.amp.{now}",
        FutureWarning,
        stacklevel=3,
    )


def autocast_for(kind: str) -> type[autocast]:
    """The class ``autocast`` for one device type."""

    class old_autocast(autocast):
        """``tapegrad.autocast`` for this module's device type."""

        def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True):
            _warn(kind, "autocast", f"autocast({kind!r})")
            super().__init__(kind, dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)

    return _named(old_autocast, "autocast", kind)


def grad_scaler_for(kind: str) -> type[GradScaler]:
    """The class ``GradScaler`` for one device type."""

    class OldGradScaler(GradScaler):
        """``tapegrad.amp.GradScaler`` for this module's device type."""

        def __init__(
            self,
            init_scale: float = 2.0**16,
            growth_factor: float = 2.0,
            backoff_factor: float = 0.5,
            growth_interval: int = 2000,
            enabled: bool = True,
        ) -> None:
            _warn(kind, "GradScaler", f"GradScaler({kind!r})")
            options = (init_scale, growth_factor, backoff_factor, growth_interval, enabled)
            super().__init__(kind, *options)

    return _named(OldGradScaler, "GradScaler", kind)


def _named(made: type, name: str, kind: str) -> Any:
    made.__name__ = made.__qualname__ = name
    made.__module__ = f"tapegrad.{kind}.amp"
    return made


def cuda_custom_fwd(fwd: Callable | None = None, *, cast_inputs: Any = None) -> Callable:
    """``tapegrad.amp.custom_fwd`` for GPUs."""
    _warn("cuda", "custom_fwd", "custom_fwd(device_type='cuda')")
    return custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def cuda_custom_bwd(bwd: Callable) -> Callable:
    """``tapegrad.amp.custom_bwd`` for GPUs."""
    _warn("cuda", "custom_bwd", "custom_bwd(device_type='cuda')")
    return custom_bwd(bwd, device_type="cuda")
