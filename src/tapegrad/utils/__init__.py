"""What PyTorch keeps under ``torch.utils``: ``tapegrad.utils.data`` is ``tapegrad.data``."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tapegrad.ops.common.hints import UnknownName as _UnknownName

from . import checkpoint, data

__all__ = [
    "benchmark",
    "checkpoint",
    "cpp_extension",
    "data",
    "dlpack",
    "hooks",
    "model_zoo",
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
else:

    def __getattr__(name: str) -> _Any:
        if name not in __all__ and name != "_pytree":
            raise _UnknownName(f"module {__name__!r}", name, lambda: __all__)
        return _import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
