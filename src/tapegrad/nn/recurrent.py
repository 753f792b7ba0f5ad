"""Recurrent layers."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.creation.create import zeros
from tapegrad.ops.layers.recurrent import gru_cell

from .layer import check_kinds
from .module import Module
from .parameter import Parameter
from .weights import add_parameter, start_uniform


class GRUCell(Module):
    """The next state of a gated recurrent unit (Cho et al. 2014), from an input and a state:
    (batch, input_size) and (batch, hidden_size) -> (batch, hidden_size), or all without the batch.

    Without ``hx`` the state is zero. For the formula and the order of gates in weight_ih,
    (3 hidden_size, input_size), and weight_hh see ``tapegrad.gru_cell``. All parameters start
    uniform within 1 / sqrt(hidden_size). Raises TypeError for anything but Tensors, ValueError for
    an input or a state that does not have 1 or 2 dimensions, RuntimeError where their sizes are not
    the layer's, or do not agree, or dtypes differ.
    """

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gates = 3 * hidden_size
        add_parameter(self, "weight_ih", (gates, input_size), device, dtype)
        add_parameter(self, "weight_hh", (gates, hidden_size), device, dtype)
        add_parameter(self, "bias_ih", (gates,) if bias else None, device, dtype)
        add_parameter(self, "bias_hh", (gates,) if bias else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        start_uniform(self, self.hidden_size)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        require_tensor("GRUCell", input)
        if hx is None:
            shape = (*input.shape[:-1], self.hidden_size)
            hx = zeros(shape, device=input.device, dtype=input.dtype)
        require_tensor("GRUCell", hx)
        for name, x, size in (("input", input, self.input_size), ("hx", hx, self.hidden_size)):
            if x.ndim not in (1, 2):
                raise ValueError(
                    f"GRUCell: {name} must have shape (batch, {size}) or ({size},), got "
                    f"{tuple(x.shape)}"
                )
            if x.shape[-1] != size or x.shape[:-1] != input.shape[:-1]:
                raise RuntimeError(
                    f"GRUCell({self.input_size}, {self.hidden_size}): the input "
                    f"{tuple(input.shape)} and hx {tuple(hx.shape)} must be (batch, "
                    f"{self.input_size}) and (batch, {self.hidden_size}), or both without the batch"
                )
        alone = input.ndim == 1
        if alone:
            input, hx = input.unsqueeze(0), hx.unsqueeze(0)
        y = gru_cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return y.squeeze(0) if alone else y

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias else ', bias=False'}"
