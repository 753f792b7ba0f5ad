"""Recurrent layers."""

from __future__ import annotations

import warnings
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor, same_dtype
from tapegrad.ops.creation.create import zeros
from tapegrad.ops.layers.recurrent import LAYERS, run_layers

from .layer import check_kinds
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence
from .weights import add_parameter, start_uniform

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_MOST_LAYERS = 65536  # far more, which take forever to make, are some other number


class RNNBase(Module):
    """What RNN, LSTM and GRU have in common: all but the formula, which ``mode`` names.

    mode: "RNN_TANH", "RNN_RELU", "LSTM" or "GRU". num_layers: layers, each of which gets the one
    before it as its input. bidirectional: a second set of weights that walks from the end; the
    results of both stand side by side. dropout: what is dropped of each layer's result but the
    last's in training. proj_size: W_hr makes the state of an LSTM that much smaller.

    Parameters of layer k: ``weight_ih_l{k}`` (gates * hidden, input), ``weight_hh_l{k}`` (gates *
    hidden, hidden or proj_size), ``bias_ih_l{k}`` and ``bias_hh_l{k}`` with ``bias``,
    ``weight_hr_l{k}`` (proj_size, hidden); ``_reverse`` at the end for the second direction. All
    start uniform within 1 / sqrt(hidden_size).

    The input is (length, batch, input_size), with ``batch_first`` (batch, length, input_size),
    without a batch (length, input_size), or a PackedSequence; the result is alike, with directions
    * (hidden or proj_size) features. The states, first and last, are (num_layers * directions,
    batch, hidden_size), h of an LSTM with a projection (..., proj_size); zeros where none are
    given.

    Raises ValueError for arguments out of range; forward raises TypeError for anything but
    Tensors, ValueError for an input of the wrong number of dimensions or of another dtype than the
    weights, RuntimeError for other sizes.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given = _without_self(locals())
        given |= {"bidirectional": bool(bidirectional)}
        given |= check_kinds(self, given)
        device, dtype = given.pop("device"), given.pop("dtype")
        _check_options(type(self).__name__, **given)
        for name, value in given.items():
            setattr(self, name, value)
        self.dropout = float(dropout)
        self._all_weights: list[list[str]] = []
        gates, state = _GATES[mode] * self.hidden_size, self.proj_size or self.hidden_size
        for layer in range(self.num_layers):
            width = state * self._directions if layer else self.input_size
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (gates, width),
                "weight_hh": (gates, state),
            }
            if self.bias:
                shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
            if self.proj_size:
                shapes["weight_hr"] = (self.proj_size, self.hidden_size)
            for suffix in ("", "_reverse")[: self._directions]:
                names = {f"{name}_l{layer}{suffix}": shape for name, shape in shapes.items()}
                for name, shape in names.items():
                    add_parameter(self, name, shape, device, dtype)
                self._all_weights.append([*names])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        start_uniform(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Nothing: the parameters are used where they are."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters by layer and direction, in the order of their names in the docstring."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        name = type(self).__name__
        require_tensor(name, input)
        input, hx, weights = self._ready(input, hx)
        if input.ndim not in (2, 3):
            raise ValueError(
                f"{name}: the input must be {self._layout()}, or the same without the batch, got "
                f"{tuple(input.shape)}"
            )
        alone = input.ndim == 2
        across = 0 if self.batch_first else 1  # the dimension of the batch
        x = input.unsqueeze(across) if alone else input
        x = x.transpose(0, 1) if self.batch_first else x
        length, batch, _ = x.shape
        self._check_input(input, weights)
        states = self._states(input, hx, batch, alone)
        if not length:
            raise RuntimeError(f"{name}: the input {tuple(input.shape)} has no step")
        rows = x.reshape(length * batch, self.input_size)
        y, last = self._run(rows, states, weights, (batch,) * length)
        y = y.reshape(length, batch, y.shape[1])
        if alone:
            return y.squeeze(1), self._paired([s.squeeze(1) for s in last])
        return (y.transpose(0, 1) if self.batch_first else y), self._paired(last)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        x, batch_sizes, order, back = input
        require_tensor(type(self).__name__, x)
        x, hx, weights = self._ready(x, hx)
        if x.ndim != 2:
            raise RuntimeError(
                f"{type(self).__name__}: the data of a PackedSequence must be (rows, "
                f"{self.input_size}), got {tuple(x.shape)}"
            )
        self._check_input(x, weights)
        sizes = tuple(batch_sizes.tolist())
        states = self._states(x, hx, sizes[0], False)
        if hx is not None and order is not None:
            states = [s.index_select(1, order) for s in states]
        y, last = self._run(x, states, weights, sizes)
        if back is not None:
            last = [s.index_select(1, back) for s in last]
        return PackedSequence(y, batch_sizes, order, back), self._paired(last)

    def _run(
        self, x: Tensor, states: list[Tensor], sets: list[list[Any]], batch_sizes: tuple[int, ...]
    ) -> tuple[Tensor, list[Tensor]]:
        n = self._directions
        weights = [sets[i : i + n] for i in range(0, len(sets), n)]
        p = self.dropout if self.training else 0.0
        y, last = run_layers(self.mode, x, states, weights, batch_sizes, p)
        return y, [*last]

    def _ready(self, input: Tensor, hx: Any) -> tuple[Tensor, Any, list[list[Any]]]:
        """The input, the states, and the weights by layer and direction: within autocast in the
        dtype in which the layer computes there."""
        from tapegrad.amp.casting import recurrent_casts

        return recurrent_casts(self.mode, input, hx, [*map(self._complete, self._all_weights)])

    def _complete(self, names: list[str]) -> list[Any]:
        """w_ih, w_hh, b_ih, b_hh and w_hr; None for what there is not."""
        given = [getattr(self, name) for name in names]
        biases = given[2:4] if self.bias else [None, None]
        return [*given[:2], *biases, given[-1] if self.proj_size else None]

    # ---- what is given --------------------------------------------------------------------

    def _layout(self) -> str:
        first = "batch, length" if self.batch_first else "length, batch"
        return f"({first}, {self.input_size})"

    def _check_input(self, input: Tensor, weights: list[list[Any]]) -> None:
        name, weight = type(self).__name__, weights[0][0]
        if input.dtype != weight.dtype:
            raise ValueError(
                f"{name}: the input is {input.dtype.name}, the weights are {weight.dtype.name}: "
                "convert one with .to()"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{name}: the input's last size must be input_size, {self.input_size}, got an "
                f"input of shape {tuple(input.shape)}"
            )

    def _state_sizes(self) -> dict[str, int]:
        """How many numbers each state has, by its name."""
        if self.mode == "LSTM":
            return {"h_0": self.proj_size or self.hidden_size, "c_0": self.hidden_size}
        return {"hx": self.hidden_size}

    def _states(self, input: Tensor, hx: Any, batch: int, alone: bool) -> list[Tensor]:
        """The first states, (layers * directions, batch, hidden) each."""
        sizes, layers = self._state_sizes(), self.num_layers * self._directions
        if hx is None:
            return [
                zeros((layers, batch, n), device=input.device, dtype=input.dtype)
                for n in sizes.values()
            ]
        name = type(self).__name__
        if self.mode == "LSTM" and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            shape = f" of shape {tuple(hx.shape)}" if isinstance(hx, Tensor) else ""
            raise RuntimeError(
                f"{name}: hx must be the pair (h_0, c_0), got a {type(hx).__name__}{shape}"
            )
        states = [*hx] if self.mode == "LSTM" else [hx]
        for (what, n), state in zip(sizes.items(), states, strict=True):
            same_dtype(name, input, state, ("input", what))
            expected = (layers, n) if alone else (layers, batch, n)
            if tuple(state.shape) != expected:
                raise RuntimeError(
                    f"{name}: with an input of shape {tuple(input.shape)}, {what} must have shape "
                    f"{expected}, got {tuple(state.shape)}"
                )
        return [s.unsqueeze(1) for s in states] if alone else states

    def _paired(self, states: list[Tensor]) -> Any:
        return tuple(states) if self.mode == "LSTM" else states[0]

    def extra_repr(self) -> str:
        usual = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        shown = [f"{n}={getattr(self, n)}" for n, x in usual.items() if getattr(self, n) != x]
        return ", ".join([str(self.input_size), str(self.hidden_size), *shown])


def _check_options(
    name: str,
    mode: str,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    batch_first: bool,
    dropout: float,
    bidirectional: bool,
    proj_size: int,
) -> None:
    if mode not in LAYERS:
        raise ValueError(f"{name}: mode must be one of {', '.join(LAYERS)}, not {mode!r}")
    if isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(f"{name}: dropout must be a probability, 0 to 1, not {dropout}")
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    for what, n in sizes.items():
        if n < 1:
            raise ValueError(f"{name}: {what} must be positive, not {n}")
    if num_layers > _MOST_LAYERS:
        raise ValueError(f"{name}: num_layers must be at most {_MOST_LAYERS}, not {num_layers}")
    if not 0 <= proj_size < hidden_size:
        raise ValueError(
            f"{name}: proj_size must be 0 (no projection) or more, and less than hidden_size, "
            f"{hidden_size}; got {proj_size}"
        )
    if proj_size and mode != "LSTM":
        raise ValueError(f"{name}: only LSTM has a proj_size, got {proj_size}")
    if dropout and num_layers == 1:
        warnings.warn(
            f"{name}: dropout={dropout} stands between layers, and there is one alone: give "
            "num_layers of 2 or more, or no dropout",
            stacklevel=4,
        )


class RNN(RNNBase):
    """Layers of h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu with ``nonlinearity="relu"``
    (Elman 1990): ``rnn(input, h_0)`` -> the result and the last h. For shapes, parameters and what
    is raised see ``RNNBase``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', not {nonlinearity!r}")
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Layers of long short-term memory (``tapegrad.lstm_cell`` has the formula and the order of
    gates): ``lstm(input, (h_0, c_0))`` -> the result, and (h, c), the last ones. For shapes,
    parameters and what is raised see ``RNNBase``; for ``proj_size`` Sak et al. 2014."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("LSTM", **_without_self(locals()))


class GRU(RNNBase):
    """Layers of gated recurrent units (``tapegrad.gru_cell`` has the formula and the order of
    gates): ``gru(input, h_0)`` -> the result and the last h. For shapes, parameters and what is
    raised see ``RNNBase``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("GRU", **_without_self(locals()))


def _without_self(given: dict[str, Any]) -> dict[str, Any]:
    return {name: x for name, x in given.items() if name not in ("self", "__class__")}
