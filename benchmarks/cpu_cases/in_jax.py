"""Some of the cases in JAX (https://docs.jax.dev), each compiled as one function."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .case import Step
from .elements import SIZES
from .networks import PERCEPTRONS

# Of what elements.py calls by PyTorch's names.
ELEMENTS: dict[str, Callable[..., Any]] = {
    "x + y": lambda jax, x, y: x + y,
    "x.exp()": lambda jax, x, y: jax.numpy.exp(x),
    "x.relu()": lambda jax, x, y: jax.nn.relu(x),
    "x.sigmoid()": lambda jax, x, y: jax.nn.sigmoid(x),
    "x.tanh()": lambda jax, x, y: jax.numpy.tanh(x),
    "F.silu(x)": lambda jax, x, y: jax.nn.silu(x),
    "F.gelu(x)": lambda jax, x, y: jax.nn.gelu(x, approximate=False),
    "F.gelu(x, approximate='tanh')": lambda jax, x, y: jax.nn.gelu(x, approximate=True),
    "x.erf()": lambda jax, x, y: jax.lax.erf(x),
    "F.softmax(x, -1)": lambda jax, x, y: jax.nn.softmax(x, -1),
    "F.log_softmax(x, -1)": lambda jax, x, y: jax.nn.log_softmax(x, -1),
    "x.sum()": lambda jax, x, y: x.sum(),
    "x.sum(0)": lambda jax, x, y: x.sum(0),
    "x.sum(1)": lambda jax, x, y: x.sum(1),
    "x.cumsum(1)": lambda jax, x, y: jax.numpy.cumsum(x, 1),
    "x.sort(1)": lambda jax, x, y: jax.numpy.sort(x, 1),
    "x.clamp(-1.0, 1.0)": lambda jax, x, y: jax.numpy.clip(x, -1.0, 1.0),
}


def _waiting(compiled: Callable[..., Any], *arguments: Any) -> Step:
    """JAX returns before the result is there."""
    return lambda: compiled(*arguments).block_until_ready()


def element(expression: str, size: str, jax: Any) -> Step:
    x = jax.numpy.asarray(np.random.default_rng(0).standard_normal(SIZES[size], dtype=np.float32))
    return _waiting(jax.jit(partial(ELEMENTS[expression], jax)), x, x + 1)


def perceptron(batch: int, widths: tuple[int, ...], jax: Any) -> Step:
    """A step of SGD on a ReLU network with cross-entropy, its parameters handed from one step to
    the next."""
    xp, random = jax.numpy, np.random.default_rng(0)
    state = [
        (random.uniform(-1, 1, (a, b)).astype("float32") / a**0.5, np.zeros(b, "float32"))
        for a, b in itertools.pairwise(widths)
    ]
    x = xp.asarray(random.standard_normal((batch, widths[0]), dtype=np.float32))
    y = xp.asarray(random.integers(0, widths[-1], batch))

    def loss(parameters: Any) -> Any:
        h = x
        for weight, bias in parameters[:-1]:
            h = jax.nn.relu(h @ weight + bias)
        weight, bias = parameters[-1]
        logarithms = jax.nn.log_softmax(h @ weight + bias)
        return -xp.take_along_axis(logarithms, y[:, None], 1).mean()

    @jax.jit
    def stepped(parameters: Any) -> Any:
        slopes = jax.grad(loss)(parameters)
        return jax.tree_util.tree_map(lambda p, g: p - 1e-3 * g, parameters, slopes)

    def step() -> Any:
        nonlocal state
        state = stepped(state)
        return state[0][0].block_until_ready()

    return step


MAKERS: dict[str, Callable[[Any], Step]] = {
    f"MLP {'-'.join(map(str, widths))}, batch {batch}, SGD": partial(perceptron, batch, widths)
    for batch, widths in PERCEPTRONS
} | {
    f"{expression}, {size}": partial(element, expression, size)
    for expression in ELEMENTS
    for size in SIZES
}
