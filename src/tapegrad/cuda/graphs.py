"""Recorded launches, of which there are none."""

from tapegrad.stand_in import publish, refusing

__getattr__, __all__ = publish(
    __name__,
    refusing(
        "CUDAGraph graph make_graphed_callables",
        "launches are not recorded, call the function itself",
    ),
)
