"""Gradients on request, custom operations, and their checks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tapegrad.core.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from tapegrad.ops.common.files import files
from tapegrad.ops.common.hints import UnknownName

from . import node_hooks as node_hooks  # which gives nodes their methods
from .backward import backward, grad
from .function import Function
from .gradient_check import gradcheck, gradgradcheck

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

files(
    __name__,
    {
        "anomaly_mode": "detect_anomaly set_detect_anomaly",
        "grad_mode": "enable_grad inference_mode no_grad set_grad_enabled",
        "gradcheck": "gradcheck gradgradcheck",
    },
)


# Imported when first named. (``functional`` uses operations, which are made of what is in here.)
_LATER = {
    "AnomalyError": ".anomaly",
    "Variable": ".variable",
    "detect_anomaly": ".anomaly",
    "functional": ".functional",
    "graph": ".graph",
    "is_anomaly_enabled": ".anomaly",
    "profiler": ".profiler",
    "set_detect_anomaly": ".anomaly",
}

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

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise UnknownName(f"module {__name__!r}", name, __dir__)
        module = import_module(_LATER[name], __name__)
        return getattr(module, name, module)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
