"""Cells: recurrent layers of one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.catalog import doors
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.creation.create import zeros

from .layer import check_kinds
from .module import Module
from .parameter import Parameter
from .weights import add_parameter, start_uniform


class RNNCellBase(Module):
    """What the cells have in common: weight_ih, (gates * hidden_size, input_size), weight_hh,
    (gates * hidden_size, hidden_size), and with ``bias`` bias_ih and bias_hh. All start uniform
    within 1 / sqrt(hidden_size).

    (batch, input_size) and states (batch, hidden_size) -> states alike, or all without the batch.
    Without ``hx`` the states are zero. Raises TypeError for anything but Tensors, ValueError for an
    input or a state that does not have 1 or 2 dimensions, RuntimeError where their sizes are not
    the cell's, or do not agree, or dtypes differ.
    """

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gates = num_chunks * hidden_size
        add_parameter(self, "weight_ih", (gates, input_size), device, dtype)
        add_parameter(self, "weight_hh", (gates, hidden_size), device, dtype)
        add_parameter(self, "bias_ih", (gates,) if bias else None, device, dtype)
        add_parameter(self, "bias_hh", (gates,) if bias else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        start_uniform(self, self.hidden_size)

    def _step(self, cell: Callable[..., Any], input: Tensor, given: dict[str, Any]) -> list[Tensor]:
        """What ``cell`` makes of an input and of the states by their names, with a batch or
        without."""
        name = type(self).__name__
        require_tensor(name, input)
        states = {}
        for what, h in given.items():
            if h is None:
                shape = (*input.shape[:-1], self.hidden_size)
                h = zeros(shape, device=input.device, dtype=input.dtype)
            require_tensor(name, h)
            states[what] = h
        sizes = {"input": (input, self.input_size)}
        sizes |= {what: (h, self.hidden_size) for what, h in states.items()}
        for what, (x, size) in sizes.items():
            if x.ndim not in (1, 2):
                raise ValueError(
                    f"{name}: {what} must have shape (batch, {size}) or ({size},), got "
                    f"{tuple(x.shape)}"
                )
            if x.shape[-1] != size or x.shape[:-1] != input.shape[:-1]:
                other = what if what != "input" else next(iter(states))
                raise RuntimeError(
                    f"{name}({self.input_size}, {self.hidden_size}): the input "
                    f"{tuple(input.shape)} and {other} {tuple(states[other].shape)} must be "
                    f"(batch, {self.input_size}) and (batch, {self.hidden_size}), or both without "
                    "the batch"
                )
        alone = input.ndim == 1
        ready = [x.unsqueeze(0) if alone else x for x in (input, *states.values())]
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        results = cell(ready[0], ready[1:], *weights)
        return [y.squeeze(0) if alone else y for y in results]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias else ', bias=False'}"


def _cell(name: str) -> Callable[..., Any]:
    """The public function, which autocast knows."""
    return doors["tg"][name].load()


class RNNCell(RNNCellBase):
    """One step of ``RNN``: ``cell(x, h)`` -> h'. For the formula see ``tapegrad.rnn_tanh_cell``,
    for shapes and what is raised ``RNNCellBase``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(
                f"RNNCell: nonlinearity must be 'tanh' or 'relu', not {self.nonlinearity!r}"
            )
        cell = _cell(f"rnn_{self.nonlinearity}_cell")
        return self._step(lambda x, s, *w: (cell(x, *s, *w),), input, {"hx": hx})[0]

    def extra_repr(self) -> str:
        other = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + other


class LSTMCell(RNNCellBase):
    """One step of ``LSTM``: ``cell(x, (h, c))`` -> (h', c'). For the formula and the order of gates
    see ``tapegrad.lstm_cell``, for shapes and what is raised ``RNNCellBase``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        if hx is not None and not isinstance(hx, (tuple, list)):
            raise TypeError(f"LSTMCell: hx must be the pair (h, c), got a {type(hx).__name__}")
        if hx is not None and len(hx) != 2:
            raise RuntimeError(f"LSTMCell: hx must be the pair (h, c), got {len(hx)} of them")
        h, c = (None, None) if hx is None else hx
        h, c = self._step(_cell("lstm_cell"), input, {"hx[0]": h, "hx[1]": c})
        return h, c


class GRUCell(RNNCellBase):
    """One step of ``GRU`` (Cho et al. 2014): ``cell(x, h)`` -> h'. For the formula and the order of
    gates see ``tapegrad.gru_cell``, for shapes and what is raised ``RNNCellBase``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        cell = _cell("gru_cell")
        return self._step(lambda x, s, *w: (cell(x, *s, *w),), input, {"hx": hx})[0]
