"""Steps along the gradient, or along its sign."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function

from .chunks import Calls, Then, directed, in_chunks, toward


@array_function
def sgd_step(
    xp: Any,
    param: Array,
    grad: Array,
    momentum_buffer: Any,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    first_step: bool,
    then: Then | None = None,
) -> None:
    """param -= lr * d, where d is the gradient with weight decay, smoothed by momentum."""

    def update(work: Any, p: Any, g: Any, buffer: Any) -> Calls:
        t = work.scratch()
        g = yield from directed(work, t, p, g, maximize, weight_decay)
        if buffer is not None:
            if first_step:
                yield np.positive, g, buffer
            else:
                yield np.multiply, buffer, work.number(momentum), buffer
                if dampening == 0:
                    yield np.add, buffer, g, buffer
                else:
                    yield np.multiply, g, work.number(1 - dampening), t
                    yield np.add, buffer, t, buffer
            if nesterov:
                yield np.multiply, buffer, work.number(momentum), t
                yield np.add, g, t, t
                g = t
            else:
                g = buffer
        yield np.multiply, g, work.number(lr), t
        yield np.subtract, p, t, p

    in_chunks(update, (param, grad, momentum_buffer), then)


@array_function
def asgd_step(
    xp: Any,
    param: Array,
    grad: Array,
    ax: Any,
    *,
    lambd: float,
    weight_decay: float,
    maximize: bool,
    eta: float,
    mu: float,
    then: Then | None = None,
) -> None:
    """param = (1 - lambd * eta) * param - eta * gradient, and ax moves by the part mu to param."""

    def update(work: Any, p: Any, g: Any, average: Any) -> Calls:
        t = work.scratch()
        g = yield from directed(work, t, p, g, maximize, weight_decay)
        yield np.multiply, g, work.number(eta), t
        yield np.multiply, p, work.number(1 - lambd * eta), p
        yield np.subtract, p, t, p
        if mu == 1:
            yield np.positive, p, average
        else:
            yield from toward(work, average, p, mu, t)

    in_chunks(update, (param, grad, ax), then)


@array_function
def rprop_step(
    xp: Any,
    param: Array,
    grad: Array,
    prev: Any,
    step_size: Any,
    *,
    eta_minus: float,
    eta_plus: float,
    smallest: float,
    largest: float,
    maximize: bool,
    then: Then | None = None,
) -> None:
    """param -= sign(gradient) * step_size. Where the gradient's sign is what it was, step_size
    grows by the factor eta_plus; where it turned, it shrinks by eta_minus, and the gradient counts
    as 0."""

    def update(work: Any, p: Any, g: Any, before: Any, size: Any) -> Calls:
        t, s = work.scratch(), work.scratch()
        g = yield from directed(work, t, p, g, maximize, 0.0)
        yield np.multiply, g, before, t
        yield np.less, t, work.number(0), before  # 1 where it turned, else 0
        yield np.divide, work.number(0), before, before  # 0 there, else nan, which none of
        yield np.fmin, g, before, s  # these two takes: 0 there, else the gradient, also where
        yield np.fmax, s, before, before  # that is infinite
        yield np.sign, t, t
        yield np.fmin, t, work.number(0), s  # -1 where it turned, else 0
        yield np.fmax, t, work.number(0), t  # 1 where it stayed, else 0
        yield np.multiply, s, work.number(1 - eta_minus), s
        yield np.multiply, t, work.number(eta_plus - 1), t
        yield np.add, t, s, t
        yield np.add, t, work.number(1), t
        yield np.multiply, size, t, size
        yield np.fmax, size, work.number(smallest), size
        yield np.fmin, size, work.number(largest), size
        yield np.sign, before, t
        yield np.fmin, t, work.number(0), s
        yield np.fmax, t, work.number(0), t
        yield np.add, t, s, t  # 0 where it is no number, as in PyTorch
        yield np.multiply, t, size, t
        yield np.subtract, p, t, p

    in_chunks(update, (param, grad, prev, step_size), then)


@array_function
def lion_step(
    xp: Any,
    param: Array,
    grad: Array,
    exp_avg: Any,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    maximize: bool,
    then: Then | None = None,
) -> None:
    """param -= lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * param), then
    m = beta2 * m + (1 - beta2) * g."""

    def update(work: Any, p: Any, g: Any, m: Any) -> Calls:
        t, s = work.scratch(), work.scratch()
        g = yield from directed(work, t, p, g, maximize, 0.0)
        yield np.multiply, m, work.number(beta1), t
        yield np.multiply, g, work.number(1 - beta1), s
        yield np.add, t, s, t
        yield np.sign, t, t
        yield np.multiply, t, work.number(lr), t
        if weight_decay:
            yield np.multiply, p, work.number(1 - lr * weight_decay), p
        yield np.subtract, p, t, p
        yield from toward(work, m, g, 1 - beta2, t)

    in_chunks(update, (param, grad, exp_avg), then)
