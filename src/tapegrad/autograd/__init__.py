"""Gradients on request, custom operations, and their checks."""

from typing import TYPE_CHECKING

from tapegrad.core.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from tapegrad.ops.common.files import files
from tapegrad.ops.common.later import later

from . import node_hooks as node_hooks  # which gives nodes their methods
from .backward import backward, grad
from .function import Function
from .gradient_check import gradcheck, gradgradcheck

__all__ = [
    "AnomalyError",
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "profiler",
    "set_detect_anomaly",
    "set_grad_enabled",
]

files(
    __name__,
    {
        "anomaly_mode": "detect_anomaly set_detect_anomaly",
        "grad_mode": "enable_grad inference_mode no_grad set_grad_enabled",
        "gradcheck": "gradcheck gradgradcheck",
    },
)

if TYPE_CHECKING:
    from . import functional as functional
    from . import graph as graph
    from . import profiler as profiler
    from .anomaly import AnomalyError as AnomalyError
    from .anomaly import detect_anomaly as detect_anomaly
    from .anomaly import is_anomaly_enabled as is_anomaly_enabled
    from .anomaly import set_detect_anomaly as set_detect_anomaly
    from .variable import Variable as Variable
else:
    # (``functional`` uses operations, which are made of what is in here.)
    __getattr__, __dir__ = later(
        __name__,
        {
            "anomaly": "AnomalyError detect_anomaly is_anomaly_enabled set_detect_anomaly",
            "functional": "functional",
            "graph": "graph",
            "profiler": "profiler",
            "variable": "Variable",
        },
    )
