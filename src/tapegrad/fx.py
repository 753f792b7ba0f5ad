"""``torch.fx``: no graph is made of code."""

from .stand_in import publish, refusing, returning

__getattr__, __all__ = publish(
    __name__,
    {
        **refusing("symbolic_trace replace_pattern", "there is no graph, call the module itself"),
        **returning("wrap", "there is no graph, functions run as they are"),
    },
)
