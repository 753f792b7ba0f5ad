"""Activations as modules, for use inside Sequential. Where no shapes are given, the input has any
shape and the result has the same."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.creation.create import empty

from . import functional as F
from . import init
from .layer import FunctionLayer, check_kinds
from .module import Module
from .parameter import Parameter


class Sigmoid(FunctionLayer, function=F.sigmoid):
    """1 / (1 + exp(-x))."""


class Tanh(FunctionLayer, function=F.tanh):
    """tanh(x)."""


class LogSigmoid(FunctionLayer, function=F.logsigmoid):
    """log(sigmoid(x)), without overflow."""


class Softsign(FunctionLayer, function=F.softsign):
    """x / (1 + |x|)."""


class Tanhshrink(FunctionLayer, function=F.tanhshrink):
    """x - tanh(x)."""


class _InPlace(FunctionLayer):
    """An activation that may overwrite its input."""

    def __init__(self, inplace: bool = False) -> None:
        self._take(locals())

    def forward(self, input: Tensor) -> Any:
        # (The options stand in the function's order, and by position they cost it less.)
        return type(self).function(input, *[getattr(self, name) for name in self._options])

    def extra_repr(self) -> str:
        shown = (name for name in self._options if name != "inplace" or self.inplace)
        return ", ".join(self._describe(f"{name}=") for name in shown)


class ReLU(_InPlace, function=F.relu):
    """max(x, 0)."""


class ReLU6(_InPlace, function=F.relu6):
    """min(max(x, 0), 6)."""


class SELU(_InPlace, function=F.selu):
    """scale * (x where x > 0, alpha * (exp(x) - 1) elsewhere), with the constants that keep mean 0
    and variance 1 through many layers (Klambauer et al. 2017)."""


class SiLU(_InPlace, function=F.silu):
    """x * sigmoid(x), also called swish (Elfwing et al. 2017)."""


class Mish(_InPlace, function=F.mish):
    """x * tanh(log(1 + exp(x))) (Misra 2019)."""


class Hardsigmoid(_InPlace, function=F.hardsigmoid):
    """min(max(x + 3, 0), 6) / 6: a sigmoid of three straight lines."""


class Hardswish(_InPlace, function=F.hardswish):
    """x * hardsigmoid(x) (Howard et al. 2019)."""


class LeakyReLU(_InPlace, function=F.leaky_relu):
    """x where x > 0, negative_slope * x elsewhere (Maas et al. 2013)."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self._take(locals())


class ELU(_InPlace, function=F.elu):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere (Clevert et al. 2015)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self._take(locals())


class CELU(ELU, function=F.celu):
    """x where x > 0, alpha * (exp(x / alpha) - 1) elsewhere: its slope has no jump (Barron
    2017)."""


class Threshold(_InPlace, function=F.threshold):
    """x where x > threshold, ``value`` elsewhere."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self._take(locals())


class Hardtanh(_InPlace, function=F.hardtanh):
    """x clipped to min_val..max_val. Raises ValueError unless min_val < max_val."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self._take(locals())
        if min_val >= max_val:
            raise ValueError(f"Hardtanh: min_val {min_val} must be less than max_val {max_val}")


class RReLU(_InPlace):
    """LeakyReLU whose slope, while training, is drawn anew for each element from lower..upper; in
    evaluation it is their mean (Xu et al. 2015)."""

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        self._take(locals())

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class PReLU(Module):
    """x where x > 0, weight * x elsewhere, with a trainable weight: one, or one for each of the
    ``num_parameters`` channels of (N, C, ...), which start with ``init`` (He et al. 2015)."""

    _shown = "num_parameters="

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)


class GELU(FunctionLayer, function=F.gelu):
    """x * Phi(x), with the standard normal distribution Phi (Hendrycks & Gimpel 2016).

    ``approximate`` is "none" (exact, by erf) or "tanh"; another raises ValueError.
    """

    def __init__(self, approximate: str = "none") -> None:
        self._take(locals())
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', not {approximate!r}")


class Softplus(FunctionLayer, function=F.softplus):
    """log(1 + exp(beta * x)) / beta; x itself where beta * x exceeds the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self._take(locals())


class Hardshrink(FunctionLayer, function=F.hardshrink):
    """0 where -lambd <= x <= lambd, x elsewhere."""

    _shown = "lambd"

    def __init__(self, lambd: float = 0.5) -> None:
        self._take(locals())


class Softshrink(Hardshrink, function=F.softshrink):
    """x moved towards 0 by lambd, and 0 where that would pass it. A negative lambd is a
    RuntimeError in the call."""


class GLU(FunctionLayer, function=F.glu):
    """a * sigmoid(b), with a and b the halves of the input along ``dim``, whose size must be even:
    (..., 2n, ...) -> (..., n, ...) (Dauphin et al. 2017)."""

    def __init__(self, dim: int = -1) -> None:
        self._take(locals())


class Softmax(FunctionLayer, function=F.softmax):
    """exp(x) / sum(exp(x)) along ``dim``; for None see ``nn.functional.softmax``."""

    def __init__(self, dim: int | None = None) -> None:
        self._take(locals())


class LogSoftmax(Softmax, function=F.log_softmax):
    """log(softmax(x)) along ``dim``, without overflow."""


class Softmin(Softmax, function=F.softmin):
    """softmax(-x) along ``dim``."""


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W); ValueError for other dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(
                "Softmax2d expects an input of shape (N, C, H, W) or (C, H, W), got "
                f"{tuple(input.shape)}"
            )
        return F.softmax(input, -3)
