"""Recurrent cells: one primitive each, with its gates and their gradient written once."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_floating, same_dtype
from tapegrad.ops.common.precision import in_float32


@array_function
@in_float32
def gru_cell_backward(
    xp: Any,
    g: Array,
    x: Array,
    h: Array,
    w_ih: Any,
    w_hh: Any,
    reset: Any,
    update: Any,
    new: Any,
    inner: Any,
    *,
    needs: tuple[bool, ...],
) -> tuple:
    """The gradients of all six inputs. What reaches the gates before sigmoid and tanh reaches the
    two linear layers side by side; only the third gate's part from h passes ``reset`` first."""
    third = g * (1 - update) * (1 - new * new)
    first = third * inner * reset * (1 - reset)
    second = g * (h - new) * update * (1 - update)
    at_x = xp.library.concatenate([first, second, third], axis=1)
    at_h = xp.library.concatenate([first, second, third * reset], axis=1)
    return (
        xp.matmul(at_x, w_ih) if needs[0] else None,
        g * update + xp.matmul(at_h, w_hh) if needs[1] else None,
        xp.matmul(at_x.T, x) if needs[2] else None,
        xp.matmul(at_h.T, h) if needs[3] else None,
        xp.column_sum(at_x) if needs[4] else None,
        xp.column_sum(at_h) if needs[5] else None,
    )


@primitive(
    "gru_cell", vjp_all="gru_cell_backward", plain=True, extras=("reset", "update", "new", "inner")
)
@in_float32
def _gru_cell(xp: Any, x: Array, h: Array, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple:
    """The new state, and the three gates with the state's part of the third."""
    n = h.shape[1]
    from_x, from_h = xp.linear(x, w_ih, b_ih), xp.linear(h, w_hh, b_hh)
    reset = xp.sigmoid(from_x[:, :n] + from_h[:, :n])
    update = xp.sigmoid(from_x[:, n : 2 * n] + from_h[:, n : 2 * n])
    inner = from_h[:, 2 * n :]
    new = xp.tanh(from_x[:, 2 * n :] + reset * inner)
    return new + update * (h - new), reset, update, new, inner


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
    require_floating("gru_cell", input)
    given = {"hx": hx, "w_ih": w_ih, "w_hh": w_hh}
    given |= {name: b for name, b in (("b_ih", b_ih), ("b_hh", b_hh)) if b is not None}
    for name, x in given.items():
        same_dtype("gru_cell", input, x, ("input", name))
    shapes = {name: tuple(x.shape) for name, x in given.items()}
    if input.ndim != 2 or hx.ndim != 2:
        raise RuntimeError(
            "[gru_cell] expects input (batch, features) and hx (batch, hidden), got "
            f"{tuple(input.shape)} and {shapes['hx']}"
        )
    (batch, features), hidden = input.shape, hx.shape[1]
    gates = 3 * hidden
    expected = {
        "hx": (batch, hidden),
        "w_ih": (gates, features),
        "w_hh": (gates, hidden),
        "b_ih": (gates,),
        "b_hh": (gates,),
    }
    for name, shape in shapes.items():
        if shape != expected[name]:
            raise RuntimeError(
                f"[gru_cell] with input {(batch, features)} and hx {shapes['hx']}, {name} must "
                f"have shape {expected[name]}, got {shape}"
            )
    return _gru_cell(input, hx, w_ih, w_hh, b_ih, b_hh)
