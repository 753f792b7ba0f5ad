"""Layers of sequences: attention, LSTM and GRU. The loops of a layer's steps are measured with all
of the layer, as PyTorch computes it in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tapegrad.core.devices import Namespace, bodies, load_primitive

from .case import ALL, UP_TO_FLOAT32, WIDE, Case, Draw, TorchGradient

# batch, heads, length, features of a head
_ATTENTION = {
    "tiny": [(2, 3, 19, 32)],
    "small": [(4, 8, 256, 64)],
    "large": [(8, 16, 1024, 64), (8, 16, 1024, 128)],
}
# steps, sequences, features (as many as hidden ones)
_LAYERS = {"tiny": [(5, 6, 16)], "small": [(32, 32, 256)], "large": [(128, 64, 1024)]}
_GATES = {"lstm": 4, "gru": 3}


# ---------------------------------------------------------------------- attention


def _heads(count: int, draw: Draw, *shape: int) -> tuple:
    return tuple(draw.normal(*shape) for _ in range(count))


# What parameters the two ways to attention have: by loops on the CPU, by kernels on other devices.
_WAYS: dict[str, dict[str, Any]] = {
    "attention": {"causal": False},
    "flash_attention": {"causal": False, "p": 0.0, "seed": 0, "offset": 0},
}


def _attention(name: str, ops: Any, q: Any, k: Any, v: Any) -> Any:
    return ops[name](q, k, v, None, scale=q.shape[3] ** -0.5, **_WAYS[name])


def _attention_and_backward(name: str, ops: Any, g: Any, q: Any, k: Any, v: Any) -> Any:
    y, *kept = _attention(name, ops, q, k, v)
    kept = [y, *kept] if name == "flash_attention" else kept
    given = {"scale": q.shape[3] ** -0.5, **_WAYS[name], "needs": (True, True, True, False)}
    return ops[f"{name}_backward"](g, q, k, v, None, *kept, **given)[:3]


def _torch_attention(t: Any, q: Any, k: Any, v: Any) -> Any:
    return t.nn.functional.scaled_dot_product_attention(q, k, v)


def _scores(batch: int, heads: int, length: int, features: int) -> int:
    return batch * heads * length * length


def _terms(batch: int, heads: int, length: int, features: int) -> int:
    return length + features


# ---------------------------------------------------------------------- recurrences


def _layer_inputs(kind: str, gradient: bool, draw: Draw, steps: int, batch: int, n: int) -> tuple:
    """(the gradient,) the input of all steps, the first states, and the layer's weights."""
    rows, gates = steps * batch, _GATES[kind] * n
    states = [draw.normal(batch, n) for _ in range(2 if kind == "lstm" else 1)]
    weights = [draw.normal(gates, n) / draw.dtype.type(math.sqrt(n)) for _ in "ih"]
    given = draw.normal(rows, n), *states, *weights, draw.normal(gates), draw.normal(gates)
    return (draw.normal(rows, n), *given) if gradient else given


def _body(ops: Any, name: str, *arrays: Any, **parameters: Any) -> Any:
    """The body of a layer, that calls its steps and products in ``ops``."""
    load_primitive(name)
    return bodies[name](Namespace(ops), *arrays, **parameters)


def _sizes(x: Any, h: Any) -> dict[str, Any]:
    return {"batch_sizes": (len(h),) * (len(x) // len(h)), "reverse": False}


def _projection(kind: str) -> tuple:
    return (None,) if kind == "lstm" else ()


def _layer(kind: str, ops: Any, x: Any, h: Any, *others: Any) -> Any:
    given = x, h, *others, *_projection(kind)
    return _body(ops, f"{kind}_layer", *given, **_sizes(x, h))[0]


def _layer_and_backward(kind: str, ops: Any, g: Any, x: Any, h: Any, *others: Any) -> Any:
    none = _projection(kind)
    (_, *states), *kept = _body(ops, f"{kind}_layer", x, h, *others, *none, **_sizes(x, h))
    gradients = [g, *(None for _ in states)]
    given = gradients, x, h, *others[:-2], *none, *kept
    needs = (*(True for _ in (x, h, *others)), *(False for _ in none))
    found = _body(ops, f"{kind}_layer_backward", *given, **_sizes(x, h), needs=needs)
    return found[: len(needs) - len(none)]


def _torch_layer(kind: str, t: Any, x: Any, *others: Any) -> tuple:
    states, weights = list(others[:-4]), list(others[-4:])
    steps = len(x) // len(states[0])
    states = [s[None] for s in states]
    run, given = getattr(t, kind), states if kind == "lstm" else states[0]
    options: Sequence[Any] = (True, 1, 0.0, False, False, False)
    y, *last = run(x.reshape(steps, -1, x.shape[1]), given, weights, *options)
    return y.reshape(x.shape), *(s[0] for s in last)


def _of_layer(kind: str) -> list[Case]:
    def flops(times: int) -> Callable[..., float]:
        return lambda steps, batch, n: times * 4.0 * _GATES[kind] * steps * batch * n * n

    def depth(steps: int, batch: int, n: int) -> int:
        return 2 * n + steps * batch

    return [
        Case(
            f"{kind}_layer",
            f"{kind}_steps",
            _LAYERS,
            partial(_layer_inputs, kind, False),
            partial(_layer, kind),
            flops(1),
            partial(_torch_layer, kind),
            depth=depth,
        ),
        Case(
            f"{kind}_layer_and_backward",
            f"{kind}_steps_backward",
            _LAYERS,
            partial(_layer_inputs, kind, True),
            partial(_layer_and_backward, kind),
            flops(3),
            TorchGradient(
                lambda t, *tensors: _torch_layer(kind, t, *tensors)[0],
                tuple(range(1, 8 if kind == "lstm" else 7)),
                along=0,
            ),
            depth=depth,
        ),
    ]


def _of_attention(name: str, dtypes: tuple[str, ...], for_gradient: tuple[str, ...]) -> list[Case]:
    return [
        Case(
            name,
            name,
            _ATTENTION,
            partial(_heads, 3),
            lambda ops, *heads: _attention(name, ops, *heads)[0],
            lambda *shape: 4 * _scores(*shape) * shape[3],
            _torch_attention,
            depth=_terms,
            dtypes=dtypes,
        ),
        Case(
            f"{name}_and_backward",
            f"{name}_backward",
            _ATTENTION,
            partial(_heads, 4),
            partial(_attention_and_backward, name),
            lambda *shape: 14 * _scores(*shape) * shape[3],
            TorchGradient(_torch_attention, (1, 2, 3), along=0),
            depth=_terms,
            dtypes=for_gradient,
        ),
    ]


CASES = [
    # The body keeps the weights, rounded to 16 bits.
    *_of_attention("attention", ALL, WIDE),
    *_of_attention("flash_attention", UP_TO_FLOAT32, UP_TO_FLOAT32),
    *_of_layer("lstm"),
    *_of_layer("gru"),
]
