"""Recurrent cells, each a layer of one step, and stacks of recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_floating, same_dtype
from tapegrad.ops.movement.cat import cat, stack

from .dropout import dropout
from .recurrence import Sizes, gru_layer, lstm_layer, rnn_layer


def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """The next state of a gated recurrent unit (Cho et al. 2014), (batch, hidden)::

        r, z = sigmoid(W_ir x + b_ir + W_hr h + b_hr), sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        result = (1 - z) * n + z * h

    input: (batch, features); hx: (batch, hidden); w_ih: (3 hidden, features), W_ir, W_iz and W_in
    one below the other; w_hh: (3 hidden, hidden) likewise; b_ih, b_hh: (3 hidden,) or None. All of
    one floating dtype. Raises TypeError for anything but Tensors, RuntimeError for other shapes and
    dtypes.
    """
    given = _cell("gru_cell", 3, input, {"hx": hx}, w_ih, w_hh, b_ih, b_hh)
    return gru_layer(*given, **_one_step(input))[1]


def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """The next state of a recurrent unit (Elman 1990): tanh(W_ih x + b_ih + W_hh h + b_hh), (batch,
    hidden).

    input: (batch, features); hx: (batch, hidden); w_ih: (hidden, features); w_hh: (hidden, hidden);
    b_ih, b_hh: (hidden,) or None. All of one floating dtype. Raises TypeError for anything but
    Tensors, RuntimeError for other shapes and dtypes.
    """
    given = _cell("rnn_tanh_cell", 1, input, {"hx": hx}, w_ih, w_hh, b_ih, b_hh)
    return rnn_layer(*given, **_one_step(input), relu=False)[1]


def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """``rnn_tanh_cell`` with relu in tanh's place."""
    given = _cell("rnn_relu_cell", 1, input, {"hx": hx}, w_ih, w_hh, b_ih, b_hh)
    return rnn_layer(*given, **_one_step(input), relu=True)[1]


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The next state and cell of long short-term memory (Hochreiter & Schmidhuber 1997, with forget
    gates), both (batch, hidden)::

        i, f, o = sigmoid(W_ii x + b_ii + W_hi h + b_hi), and likewise with the rows of f and of o
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        c' = f * c + i * g
        h' = o * tanh(c')

    input: (batch, features); hx: h and c, (batch, hidden) each; w_ih: (4 hidden, features), W_ii,
    W_if, W_ig and W_io one below the other; w_hh: (4 hidden, hidden) likewise; b_ih, b_hh: (4
    hidden,) or None. All of one floating dtype. Raises TypeError for anything but Tensors,
    RuntimeError for other shapes and dtypes.
    """
    if not isinstance(hx, (tuple, list)):
        raise TypeError(f"[lstm_cell] hx must be the pair (h, c), got a {type(hx).__name__}")
    if len(hx) != 2:
        raise RuntimeError(f"[lstm_cell] hx must be the pair (h, c), got {len(hx)} of them")
    states = {"hx[0]": hx[0], "hx[1]": hx[1]}
    given = _cell("lstm_cell", 4, input, states, w_ih, w_hh, b_ih, b_hh)
    _, h, c = lstm_layer(*given, None, **_one_step(input))
    return h, c


def _one_step(input: Tensor) -> dict[str, Any]:
    return {"batch_sizes": (len(input),), "reverse": False}


def _cell(
    op: str,
    count: int,
    input: Tensor,
    states: dict[str, Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
) -> tuple:
    """The inputs of a cell of ``count`` gates, checked."""
    require_floating(op, input)
    given = {**states, "w_ih": w_ih, "w_hh": w_hh}
    given |= {name: b for name, b in (("b_ih", b_ih), ("b_hh", b_hh)) if b is not None}
    for name, x in given.items():
        same_dtype(op, input, x, ("input", name))
    shapes = {name: tuple(x.shape) for name, x in given.items()}
    first = next(iter(states))
    if input.ndim != 2 or states[first].ndim != 2:
        raise RuntimeError(
            f"[{op}] expects input (batch, features) and {first} (batch, hidden), got "
            f"{tuple(input.shape)} and {shapes[first]}"
        )
    (batch, features), hidden = input.shape, states[first].shape[1]
    gates = count * hidden
    expected = dict.fromkeys(states, (batch, hidden)) | {
        "w_ih": (gates, features),
        "w_hh": (gates, hidden),
        "b_ih": (gates,),
        "b_hh": (gates,),
    }
    for name, shape in shapes.items():
        if shape != expected[name]:
            raise RuntimeError(
                f"[{op}] with input {(batch, features)} and {first} {shapes[first]}, {name} must "
                f"have shape {expected[name]}, got {shape}"
            )
    return input, *states.values(), w_ih, w_hh, b_ih, b_hh


# ---------------------------------------------------------------------- stacks of layers

# Mode, as PyTorch names it -> what runs a layer: ``(x, *states, w_ih, w_hh, b_ih, b_hh, w_hr,
# batch_sizes=, reverse=)`` -> the result and the last states.
LAYERS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "RNN_TANH": lambda *given, **steps: rnn_layer(*given[:-1], **steps, relu=False),
    "RNN_RELU": lambda *given, **steps: rnn_layer(*given[:-1], **steps, relu=True),
    "LSTM": lstm_layer,
    "GRU": lambda *given, **steps: gru_layer(*given[:-1], **steps),
}


def run_layers(
    mode: str,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Sequence[Sequence[Tensor | None]]],
    batch_sizes: Sizes,
    p: float = 0.0,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Layers one upon the other: x (rows, features), as ``recurrence.py`` has it -> (rows,
    directions * hidden), and the last states, shaped as the first ones.

    states: each (layers * directions, batch, hidden). weights: by layer and direction w_ih, w_hh,
    b_ih, b_hh and w_hr, each of which but the first two may be None; the second direction walks
    from the end. p: the probability with which the result of each layer but the last is dropped.
    All is checked by the caller.
    """
    layer = LAYERS[mode]
    lasts: list[list[Tensor]] = [[] for _ in states]
    for depth, directions in enumerate(weights):
        if depth and p:
            x = dropout(x, p)
        results = []
        for turn, given in enumerate(directions):
            at = depth * len(directions) + turn
            first = [s[at] for s in states]
            y, *last = layer(x, *first, *given, batch_sizes=batch_sizes, reverse=turn == 1)
            results.append(y)
            for collected, s in zip(lasts, last, strict=True):
                collected.append(s)
        x = results[0] if len(results) == 1 else cat(results, 1)
    return x, tuple([stack(collected) for collected in lasts])
