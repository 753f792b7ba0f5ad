"""Gradients checked against finite differences, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.core.devices import to_numpy
from tapegrad.core.modes import enable_grad, no_grad
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.refusals import retelling

from .backward import grad


def _outputs(f: Callable, inputs: Sequence[Any]) -> list[Tensor]:
    result = f(*inputs)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    return [y for y in outputs if isinstance(y, Tensor) and y.is_floating_point()]


def _differentiable(inputs: Sequence[Any]) -> list[int]:
    chosen = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not chosen:
        raise ValueError("[gradcheck] at least one input must require grad")
    for i in chosen:
        if inputs[i].dtype.itemsize < 8:
            raise ValueError(
                f"[gradcheck] input {i} is {inputs[i].dtype.name}: finite differences need float64"
            )
    return chosen


def _numerical(f: Callable, inputs: Sequence[Any], i: int, eps: float) -> list[np.ndarray]:
    """d output / d input i by central differences: a matrix (input size, output size) each."""
    x = inputs[i]
    host = to_numpy(x._array).astype(np.float64)
    rows: list[list[np.ndarray]] = []
    for k in range(host.size):
        sides = []
        for step in (eps, -eps):
            moved = host.copy()
            moved.reshape(-1)[k] += step
            changed = list(inputs)
            changed[i] = wrap(x._device.asarray(moved), x._device)
            with no_grad():
                sides.append([to_numpy(y._array).reshape(-1) for y in _outputs(f, changed)])
        rows.append([(a - b) / (2 * eps) for a, b in zip(*sides, strict=True)])
    return [np.array(column) for column in zip(*rows, strict=True)]


def _analytical(y: Tensor, x: Tensor) -> np.ndarray:
    """d y / d x by backward passes, one for each element of y: (input size, output size)."""
    columns = []
    for k in range(y.numel()):
        seed = np.zeros(tuple(y.shape))
        seed.reshape(-1)[k] = 1.0
        seed_tensor = wrap(y._device.asarray(seed), y._device)
        (g,) = grad(y, x, seed_tensor, retain_graph=True, allow_unused=True)
        columns.append(np.zeros(x.numel()) if g is None else to_numpy(g._array).reshape(-1))
    return np.array(columns).reshape(y.numel(), x.numel()).T


@retelling
def gradcheck(
    f: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of ``f(*inputs)`` agree with central differences: every element of
    every float64 input that requires grad, for every element of every output. A nan agrees with
    nothing.

    Raises RuntimeError naming the input, the output and both Jacobians (or returns False), and
    ValueError where no input requires grad, or one that does is not float64.
    """
    inputs = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    outputs = _outputs(f, inputs)
    for i in _differentiable(inputs):
        numerical = _numerical(f, inputs, i, eps)
        for j, y in enumerate(outputs):
            analytical = (
                _analytical(y, inputs[i])
                if y.requires_grad
                else np.zeros((inputs[i].numel(), y.numel()))
            )
            expected = numerical[j] if inputs[i].numel() else analytical
            if not np.allclose(analytical, expected, rtol=rtol, atol=atol):
                if not raise_exception:
                    return False
                raise RuntimeError(
                    f"[gradcheck] the gradient of output {j} with respect to input {i} is wrong:\n"
                    f"by differences:\n{expected}\nby the tape:\n{analytical}"
                )
    return True


@retelling
def gradgradcheck(
    f: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """``gradcheck`` of the gradients themselves, as functions of the inputs and of the outputs'
    gradients (fixed pseudo-random numbers if none are given). Raises as ``gradcheck`` does."""
    inputs = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    chosen = _differentiable(inputs)
    outputs = [y for y in _outputs(f, inputs) if y.requires_grad]
    if grad_outputs is None:
        random = np.random.default_rng(0)
        grad_outputs = [
            wrap(y._device.asarray(random.standard_normal(tuple(y.shape))), y._device)
            for y in outputs
        ]
    seeds = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]
    seeds = [seed.detach().requires_grad_() for seed in seeds]

    def gradients(*values: Any) -> tuple:
        xs = [
            x.detach().requires_grad_() if i in chosen and not x.requires_grad else x
            for i, x in enumerate(values[: len(inputs)])
        ]
        ys = [y for y in _outputs(f, xs) if y.requires_grad]
        found = grad(
            ys,
            [xs[i] for i in chosen],
            list(values[len(inputs) :]),
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return tuple(found)

    # gradcheck computes differences under no_grad; the inner gradients need the tape all the same
    return gradcheck(
        enable_grad()(gradients),
        inputs + seeds,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
    )
