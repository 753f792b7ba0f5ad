"""Window functions under the names of ``torch.signal.windows``."""

from ..ops.calls import as_called
from ..ops.tapers import (
    bartlett,
    blackman,
    cosine,
    exponential,
    gaussian,
    general_cosine,
    general_hamming,
    hamming,
    hann,
    kaiser,
    nuttall,
)

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine",
    "general_hamming", "hamming", "hann", "kaiser", "nuttall",
]  # fmt: skip

for _name in __all__:
    globals()[_name] = as_called(globals()[_name], _name)
