"""``torch.autograd.profiler``: regions may be named, but nothing is measured."""

from tapegrad.stand_in import doing_nothing, publish, refusing

__getattr__, __all__ = publish(
    __name__,
    {
        **doing_nothing("emit_nvtx record_function", "nothing is measured"),
        **refusing(
            "profile", "measure with python -m cProfile, 'tapegrad bench', or on a GPU with nsys"
        ),
    },
)
