"""Steps of the gradient over the root of its summed or averaged squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function

from .chunks import Calls, Then, directed, in_chunks, mean_square, toward


@array_function
def rmsprop_step(
    xp: Any,
    param: Array,
    grad: Array,
    square_avg: Any,
    momentum_buffer: Any,
    grad_avg: Any,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool,
    then: Then | None = None,
) -> None:
    """param -= lr * g / (sqrt(v) + eps), summed up by momentum, with v the running mean of the
    gradient's square, less the square of its mean where ``grad_avg`` is kept."""

    def update(work: Any, p: Any, g: Any, square: Any, buffer: Any, mean: Any) -> Calls:
        t = work.scratch()
        g = yield from directed(work, t, p, g, maximize, weight_decay)
        yield from mean_square(work, square, g, alpha, t)
        if mean is None:
            yield np.sqrt, square, t
        else:
            yield from toward(work, mean, g, 1 - alpha, t)
            yield np.square, mean, t
            yield np.subtract, square, t, t
            yield np.sqrt, t, t
        yield np.add, t, work.number(eps), t
        yield np.divide, g, t, t
        if buffer is not None:
            yield np.multiply, buffer, work.number(momentum), buffer
            yield np.add, buffer, t, buffer
            yield np.multiply, buffer, work.number(lr), t
        else:
            yield np.multiply, t, work.number(lr), t
        yield np.subtract, p, t, p

    in_chunks(update, (param, grad, square_avg, momentum_buffer, grad_avg), then)


@array_function
def adagrad_step(
    xp: Any,
    param: Array,
    grad: Array,
    sum: Any,
    *,
    lr: float,
    lr_decay: float,
    weight_decay: float,
    eps: float,
    maximize: bool,
    step: int,
    then: Then | None = None,
) -> None:
    """param -= lr / (1 + (step - 1) * lr_decay) * g / (sqrt(sum of g²) + eps)."""
    rate = lr / (1 + (step - 1) * lr_decay)

    def update(work: Any, p: Any, g: Any, total: Any) -> Calls:
        t = work.scratch()
        g = yield from directed(work, t, p, g, maximize, weight_decay)
        yield np.square, g, t
        yield np.add, total, t, total
        yield np.sqrt, total, t
        yield np.add, t, work.number(eps), t
        yield np.divide, g, t, t
        yield np.multiply, t, work.number(rate), t
        yield np.subtract, p, t, p

    in_chunks(update, (param, grad, sum), then)


@array_function
def adadelta_step(
    xp: Any,
    param: Array,
    grad: Array,
    square_avg: Any,
    acc_delta: Any,
    *,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    then: Then | None = None,
) -> None:
    """param -= lr * d, where d = g * sqrt(u + eps) / sqrt(v + eps), with v and u the running means
    of g² and d²."""

    def update(work: Any, p: Any, g: Any, v: Any, u: Any) -> Calls:
        t, d = work.scratch(), work.scratch()
        g = yield from directed(work, t, p, g, maximize, weight_decay)
        yield from mean_square(work, v, g, rho, t)
        yield np.add, v, work.number(eps), t
        yield np.sqrt, t, t
        yield np.add, u, work.number(eps), d
        yield np.sqrt, d, d
        yield np.divide, d, t, d
        yield np.multiply, d, g, d
        yield from mean_square(work, u, d, rho, t)
        yield np.multiply, d, work.number(lr), d
        yield np.subtract, p, d, p

    in_chunks(update, (param, grad, square_avg, acc_delta), then)
