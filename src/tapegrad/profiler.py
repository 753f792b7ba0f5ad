"""``torch.profiler``: regions may be named, but nothing is measured."""

from types import SimpleNamespace

from tapegrad.ops.common.files import files

from .stand_in import doing_nothing, publish, refusing

__getattr__, __all__ = publish(
    __name__,
    {
        **doing_nothing("record_function", "nothing is measured"),
        **refusing(
            "profile schedule tensorboard_trace_handler",
            "measure with python -m cProfile, 'tapegrad bench', or on a GPU with nsys",
        ),
        "ProfilerActivity": SimpleNamespace(CPU="cpu", CUDA="cuda"),
    },
)
files(__name__, {"profiler": "profile schedule tensorboard_trace_handler"})
