"""What PyTorch keeps under ``torch.utils``: ``tapegrad.utils.data`` is ``tapegrad.data``."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.later import later as _later

from . import checkpoint, data

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
    "show_backward",
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
    from .backward_steps import show_backward as show_backward
    from .flops import count_flops as count_flops
    from .gradients import gradient_report as gradient_report
    from .model_summary import summary as summary
    from .tape_graph import draw_tape as draw_tape
else:
    __getattr__, __dir__ = _later(
        __name__,
        {
            **{name: name for name in ("_pytree", "benchmark", "cpp_extension", "dlpack")},
            **{name: name for name in ("hooks", "model_zoo", "tensorboard")},
            "backward_steps": "show_backward",
            "flops": "count_flops",
            "gradients": "gradient_report",
            "model_summary": "summary",
            "tape_graph": "draw_tape",
        },
    )
