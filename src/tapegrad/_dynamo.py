"""``torch._dynamo``: nothing is compiled, functions run as they are."""

from .stand_in import answering, doing_nothing, publish, refusing, returning, settings

_WHY = "nothing is compiled: functions and modules run as they are"
__getattr__, __all__ = publish(
    __name__,
    {
        **returning("allow_in_graph assume_constant_result disable forbid_in_graph", _WHY),
        **returning("disallow_in_graph optimize optimize_assert run", _WHY),
        **answering(False, "is_compiling is_dynamo_supported", _WHY),
        **answering([], "list_backends", _WHY),
        **doing_nothing("graph_break mark_dynamic mark_static maybe_mark_dynamic reset", _WHY),
        **refusing("explain export", "there is no graph, call the function itself"),
        "config": settings(f"{__name__}.config"),
    },
)
