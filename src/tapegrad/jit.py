"""``torch.jit``: nothing is compiled, functions and modules run as they are."""

from typing import Any, Final

from .nn import Module
from .stand_in import answering, doing_nothing, publish, refusing, returning

_WHY = "nothing is compiled: functions and modules run as they are"


class ScriptModule(Module):
    """A Module under the name that older scripts derive theirs from."""


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value."""
    return the_value


def Attribute(value: Any, type: Any) -> Any:
    """The value."""
    return value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Python's ``isinstance``."""
    import builtins

    return builtins.isinstance(obj, target_type)


def fork(func: Any, *args: Any, **options: Any) -> Any:
    """The function's result, at once."""
    return func(*args, **options)


__getattr__, __all__ = publish(
    __name__,
    {
        **returning("export freeze ignore interface optimize_for_inference script", _WHY),
        **returning("script_if_tracing script_method trace trace_module unused wait", _WHY),
        **answering(False, "is_scripting is_tracing onednn_fusion_enabled", _WHY),
        **doing_nothing("enable_onednn_fusion fuser optimized_execution", _WHY),
        **doing_nothing("set_fusion_strategy strict_fusion", _WHY),
        **refusing(
            "load save",
            "save model.state_dict() with tapegrad.save, and load it into a model that the "
            "script makes",
        ),
        **{f.__name__: f for f in (Attribute, ScriptModule, annotate, fork, isinstance)},
        "Final": Final,
    },
)
