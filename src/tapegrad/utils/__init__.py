"""What PyTorch keeps under ``torch.utils``: ``tapegrad.utils.data`` is ``tapegrad.data``."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tapegrad.ops.common.hints import UnknownName as _UnknownName

from . import checkpoint, data

# What shows models, in files that are read when it is first asked for.
_SHOWING = {
    "count_flops": "flops",
    "draw_tape": "tape_graph",
    "gradient_report": "gradients",
    "summary": "model_summary",
}

__all__ = [
    "benchmark",
    "checkpoint",
    "count_flops",
    "cpp_extension",
    "data",
    "dlpack",
    "draw_tape",
    "gradient_report",
    "hooks",
    "model_zoo",
    "summary",
    "tensorboard",
]

if _TYPE_CHECKING:
    from . import _pytree as _pytree
    from . import benchmark as benchmark
    from . import cpp_extension as cpp_extension
    from . import dlpack as dlpack
    from . import hooks as hooks
    from . import model_zoo as model_zoo
    from . import tensorboard as tensorboard
    from .flops import count_flops as count_flops
    from .gradients import gradient_report as gradient_report
    from .model_summary import summary as summary
    from .tape_graph import draw_tape as draw_tape
else:

    def __getattr__(name: str) -> _Any:
        if name not in __all__ and name != "_pytree":
            raise _UnknownName(f"module {__name__!r}", name, lambda: __all__)
        found = _import_module(f".{_SHOWING.get(name, name)}", __name__)
        return getattr(found, name) if name in _SHOWING else found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
