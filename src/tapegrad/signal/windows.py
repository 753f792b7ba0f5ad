"""Window functions under the names of ``torch.signal.windows``."""

from tapegrad.ops.common.signatures import check_arguments
from tapegrad.ops.creation.window_functions import (
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
    globals()[_name] = check_arguments(globals()[_name], _name)
