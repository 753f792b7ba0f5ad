"""Gradients on request, custom operations, and their checks."""

from importlib import import_module
from typing import Any

from ..modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .backward import backward, grad
from .check import gradcheck, gradgradcheck
from .function import Function

__all__ = [
    "Function",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    if name == "functional":  # it uses operations, which are made of what is in this package
        return import_module(".functional", __name__)
    raise AttributeError(f"module 'tapegrad.autograd' has no attribute {name!r}")
