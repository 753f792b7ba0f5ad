"""Window functions under the names of ``torch.signal.windows``."""

# Written by tools/write_stubs.py: change the functions, then run it.
# fmt: off
from typing import Any

from ..core.tensor import Tensor

def bartlett(
    M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False, out: Tensor | None = None,
) -> Tensor:
    """A triangle from 0 up to 1 and back."""
def blackman(
    M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False, out: Tensor | None = None,
) -> Tensor:
    """0.42 - 0.5 cos(x) + 0.08 cos(2 x), x from 0 to 2 pi."""
def cosine(
    M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False, out: Tensor | None = None,
) -> Tensor:
    """Half a period of the sine, in the middles of intervals."""
def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: Any = None,
    device: Any = None, requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """exp(-|k - center| / tau), k = 0 .."""
def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """exp(-(k - middle)^2 / (2 std^2)), k = 0 .."""
def general_cosine(
    M: int, *, a: Any, sym: bool = True, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """a[0] - a[1] cos(x) + a[2] cos(2 x) - ..., x from 0 to 2 pi."""
def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """alpha - (1 - alpha) cos(x), x from 0 to 2 pi."""
def hamming(
    M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False, out: Tensor | None = None,
) -> Tensor:
    """0.54 - 0.46 cos(x), x from 0 to 2 pi."""
def hann(
    M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False, out: Tensor | None = None,
) -> Tensor:
    """0.5 - 0.5 cos(x), x from 0 to 2 pi."""
def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """I_0(beta sqrt(1 - x^2)) / I_0(beta), x from -1 to 1."""
def nuttall(
    M: int, *, sym: bool = True, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False, out: Tensor | None = None,
) -> Tensor:
    """Four cosines with the lowest side lobes (Nuttall 1981)."""
