"""``torch.utils.benchmark``: ``tapegrad bench`` and ``tapegrad.bench`` measure."""

from tapegrad.stand_in import publish, refusing

__getattr__, __all__ = publish(
    __name__,
    refusing(
        "Compare Timer",
        "measure with tapegrad.bench, which takes turns with other libraries, or with timeit",
    ),
)
