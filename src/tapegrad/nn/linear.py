"""Linear, Bilinear and Identity."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor

from . import functional as F
from .layer import check_kinds
from .module import Module
from .parameter import Parameter
from .weights import add_parameter, start_uniform


class Identity(Module):
    """Returns its input; a placeholder for a layer that was taken out. Takes any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """y = x Wᵀ + b, with W of shape (out_features, in_features): (..., in_features) ->
    (..., out_features). W and b start uniform within 1 / sqrt(in_features)."""

    weight: Parameter
    bias: Parameter | None
    _shown = "in_features=, out_features=, bias="

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.in_features, self.out_features = in_features, out_features
        add_parameter(self, "weight", (out_features, in_features), device, dtype)
        add_parameter(self, "bias", (out_features,) if bias else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        start_uniform(self, self.in_features)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)


class Bilinear(Module):
    """y[k] = x1ᵀ W[k] x2 + b[k], with W of shape (out_features, in1_features, in2_features):
    (..., in1_features) and (..., in2_features) -> (..., out_features).

    Raises ValueError if in1_features is not positive: W and b start uniform within its root.
    """

    weight: Parameter
    bias: Parameter | None
    _shown = "in1_features=, in2_features=, out_features=, bias="

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        if in1_features < 1:
            raise ValueError(f"Bilinear: in1_features must be positive, not {in1_features}")
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        add_parameter(self, "weight", (out_features, in1_features, in2_features), device, dtype)
        add_parameter(self, "bias", (out_features,) if bias else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        start_uniform(self, self.in1_features)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)
