"""How many floating-point operations a call takes."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tapegrad.core import caller
from tapegrad.core.devices import Device


def _layer(*weights: int) -> Callable[..., int]:
    """Of a recurrent layer: each row of x meets every element of its matrices once."""

    def formula(result: Any, x: Any, *others: Any, **_: Any) -> int:
        matrices = (others[i - 1] for i in weights)
        return 2 * len(x) * sum(w.size for w in matrices if w is not None)

    return formula


def _attention(result: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    return 2 * math.prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1])


def _convolution(result: Any, x: Any, weight: Any, *_: Any, **__: Any) -> int:
    return 2 * result.size * math.prod(weight.shape[1:])


# Of a primitive's result, inputs and parameters (arrays); a multiplication and the addition of its
# product are two. What is not here counts as none.
_FORMULAS: dict[str, Callable[..., int]] = {
    "matmul": lambda y, a, b: 2 * y.size * a.shape[-1],
    "addmm": lambda y, x, a, b: 2 * y.size * a.shape[-1],
    "attention": _attention,
    "flash_attention": _attention,
    "linear": lambda y, x, w, bias: 2 * y.size * x.shape[-1],
    "feed_forward": lambda y, x, w1, b1, w2, b2, **_: (
        2 * y[0].size // len(w2) * (w1.size + w2.size)
    ),
    "convolution": _convolution,
    "convolution_relu": _convolution,
    "convolution_input": lambda y, x, w, **_: 2 * x.size * math.prod(w.shape[1:]),
    "convolution_weight": lambda y, x, g, **_: 2 * g.size * math.prod(y.shape[1:]),
    "rnn_layer": _layer(2, 3),
    "gru_layer": _layer(2, 3),
    "lstm_layer": _layer(3, 4, 7),
    "chunked_cross_entropy": lambda y, x, w, *_, **__: 2 * x.size * len(w),
}


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Within this, what this thread's operations take is added to the counter, by primitive."""
    counted: Counter[str] = Counter()
    mine = threading.get_ident()

    def counter(name: str, device: Device, implementation: Callable) -> Callable:
        formula = _FORMULAS.get(name)
        if formula is None:
            return implementation

        def run(*arrays: Any, **parameters: Any) -> Any:
            result = implementation(*arrays, **parameters)
            if threading.get_ident() == mine:
                counted[name] += formula(result, *arrays, **parameters)
            return result

        return run

    try:
        caller.interpose(counter)
        yield counted
    finally:
        caller.interpose(counter, False)


def count_flops(function: Callable, *args: Any, **options: Any) -> dict[str, int]:
    """The floating-point operations of one call of a function, by primitive, in the order of size:
    those of matrix products, convolutions and recurrent layers, as PyTorch's FlopCounterMode counts
    them: two for a multiplication and the addition of its product, none for a bias and for what
    works element by element. Only operations on Tensors count, so that gradients do not: a step of
    training takes about three times as many. Raises TypeError for what is no function.
    """
    if not callable(function):
        raise TypeError(f"[count_flops] expects a function, got {type(function).__name__}")
    with counting() as counted:
        function(*args, **options)
    return dict(counted.most_common())
