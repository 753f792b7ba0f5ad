"""Modules without first values."""

from __future__ import annotations

from inspect import signature
from typing import Any, TypeVar

from ..init import skipped
from ..module import Module

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """A module of this class whose parameters are not initialised: what ``nn.init`` would fill
    keeps what the memory holds, and no random numbers are drawn.

    Raises TypeError for what is no class, RuntimeError for one that is none of modules, and for
    one that takes no ``device``.
    """
    if not isinstance(module_cls, type):
        raise TypeError(f"skip_init: expected a class of modules, got {module_cls!r}")
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"skip_init: {module_cls.__name__} is no class of modules")
    if "device" not in signature(module_cls).parameters:
        raise RuntimeError(f"skip_init: {module_cls.__name__} takes no device=")
    with skipped():
        return module_cls(*args, **kwargs)
