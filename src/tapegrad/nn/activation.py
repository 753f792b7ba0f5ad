"""Activations as modules, for use inside Sequential."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tapegrad.core.tensor import Tensor
from tapegrad.ops.creation.create import empty

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _Plain(Module):
    """An activation without parameters."""

    function: ClassVar[Callable[..., Tensor]]

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input)


class Sigmoid(_Plain):
    function = F.sigmoid


class Tanh(_Plain):
    function = F.tanh


class LogSigmoid(_Plain):
    function = F.logsigmoid


class Softsign(_Plain):
    function = F.softsign


class Tanhshrink(_Plain):
    function = F.tanhshrink


class _InPlace(Module):
    """An activation that may overwrite its input, and takes these parameters of its own before
    ``inplace``."""

    function: ClassVar[Callable[..., Tensor]]
    parameters_shown: tuple[str, ...] = ()

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        own = [getattr(self, name) for name in self.parameters_shown]
        return type(self).function(input, *own, inplace=self.inplace)

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)}" for name in self.parameters_shown]
        return ", ".join([*shown, "inplace=True"] if self.inplace else shown)


class ReLU(_InPlace):
    function = F.relu


class ReLU6(_InPlace):
    function = F.relu6


class SELU(_InPlace):
    function = F.selu


class SiLU(_InPlace):
    function = F.silu


class Mish(_InPlace):
    function = F.mish


class Hardsigmoid(_InPlace):
    function = F.hardsigmoid


class Hardswish(_InPlace):
    function = F.hardswish


class LeakyReLU(_InPlace):
    function = F.leaky_relu
    parameters_shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope


class ELU(_InPlace):
    function = F.elu
    parameters_shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha


class CELU(ELU):
    function = F.celu


class Threshold(_InPlace):
    function = F.threshold
    parameters_shown = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold, self.value = threshold, value


class Hardtanh(_InPlace):
    function = F.hardtanh
    parameters_shown = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if min_val >= max_val:
            raise ValueError(f"Hardtanh: min_val {min_val} must be less than max_val {max_val}")
        self.min_val, self.max_val = min_val, max_val


class RReLU(_InPlace):
    """While training each element has a random slope of its own, in lower..upper."""

    parameters_shown = ("lower", "upper")

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__(inplace)
        self.lower, self.upper = lower, upper

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class PReLU(Module):
    """A trainable slope for negative numbers: one, or one for each channel."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class GELU(Module):
    """``approximate`` is "none" (exact, by erf) or "tanh"."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', not {approximate!r}")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Hardshrink(Module):
    function = F.hardshrink

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Hardshrink):
    function = F.softshrink


class GLU(Module):
    """Half of the input, gated by the other half."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(Module):
    """``dim`` must be given: which axis sums to one is never guessed."""

    function = F.softmax

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    function = F.log_softmax


class Softmin(Softmax):
    function = F.softmin


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(
                "Softmax2d expects an input of shape (N, C, H, W) or (C, H, W), got "
                f"{tuple(input.shape)}"
            )
        return F.softmax(input, -3)
