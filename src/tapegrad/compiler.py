"""``torch.compiler`` and ``torch.compile``: nothing is compiled, functions run as they are."""

from .stand_in import answering, doing_nothing, publish, returning, settings

_WHY = "nothing is compiled: functions and modules run as they are"
__getattr__, __all__ = publish(
    __name__,
    {
        **returning("allow_in_graph assume_constant_result compile disable", _WHY),
        **returning("nested_compile_region substitute_in_graph wrap_numpy", _WHY),
        **answering(False, "is_compiling is_dynamo_compiling is_exporting", _WHY),
        **answering([], "list_backends", _WHY),
        **doing_nothing("cudagraph_mark_step_begin reset set_stance", _WHY),
        "config": settings(f"{__name__}.config"),
    },
)
