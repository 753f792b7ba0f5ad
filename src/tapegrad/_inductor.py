"""``torch._inductor``: nothing is compiled, functions run as they are."""

from .stand_in import answering, publish, settings

__getattr__, __all__ = publish(
    __name__,
    {
        **answering([], "list_mode_options list_options", "nothing is compiled"),
        "config": settings(f"{__name__}.config"),
    },
)
