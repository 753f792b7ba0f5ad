"""Adam's step and its relatives: of running means m of the gradient and v of its square."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function

from .chunks import (
    AGAIN,
    ONCE,
    Calls,
    Then,
    add_square,
    directed,
    in_chunks,
    in_passes,
    mean_square,
    toward,
)
from .scalars import rectified_rate


@array_function
def adam_step(
    xp: Any,
    param: Array,
    grad: Array,
    exp_avg: Any,
    exp_avg_sq: Any,
    max_exp_avg_sq: Any,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled_weight_decay: bool,
    maximize: bool,
    step: int,
    then: Then | None = None,
) -> None:
    """param -= lr * m̂ / (sqrt(v̂) + eps), with m̂ and v̂ the bias-corrected running means of the
    gradient and of its square. ``decoupled_weight_decay`` makes it AdamW."""
    # The corrections 1 - beta**step are moved out of the arrays into two numbers:
    # m / c1 / (sqrt(v / c2) + eps) = (sqrt(c2) / c1) * m / (sqrt(v) + eps * sqrt(c2))
    root = (1 - beta2**step) ** 0.5
    rate = lr * root / (1 - beta1**step)

    def update(work: Any, p: Any, g: Any, m: Any, v: Any, largest: Any) -> Calls:
        t = work.scratch()
        g = yield from decayed(work, t, p, g, lr, weight_decay, decoupled_weight_decay, maximize)
        yield from toward(work, m, g, 1 - beta1, t)
        yield from mean_square(work, v, g, beta2, t)
        if largest is not None:
            yield np.maximum, largest, v, largest
            v = largest
        yield np.sqrt, v, t
        yield np.add, t, work.number(eps * root), t
        yield np.divide, m, t, t
        yield np.multiply, t, work.number(rate), t
        yield np.subtract, p, t, p

    in_chunks(update, (param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq), then)


def decayed(
    work: Any,
    t: Any,
    p: Any,
    g: Any,
    lr: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> Any:
    """``directed``; or the weight decay shrinks the parameter itself, where it is ``decoupled``."""
    if decoupled and weight_decay:
        yield np.multiply, p, work.number(1 - lr * weight_decay), p
    return (yield from directed(work, t, p, g, maximize, 0.0 if decoupled else weight_decay))


@array_function
def adamax_step(
    xp: Any,
    param: Array,
    grad: Array,
    exp_avg: Any,
    exp_inf: Any,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    step: int,
    then: Then | None = None,
) -> None:
    """param -= lr * m̂ / u, with u the larger of beta2 * u and |g| + eps."""
    rate = lr / (1 - beta1**step)

    def update(work: Any, p: Any, g: Any, m: Any, u: Any) -> Calls:
        t = work.scratch()
        g = yield from directed(work, t, p, g, maximize, weight_decay)
        yield from toward(work, m, g, 1 - beta1, t)
        yield np.absolute, g, t
        yield np.add, t, work.number(eps), t
        yield np.multiply, u, work.number(beta2), u
        yield np.maximum, u, t, u
        yield np.divide, m, u, t
        yield np.multiply, t, work.number(rate), t
        yield np.subtract, p, t, p

    in_chunks(update, (param, grad, exp_avg, exp_inf), then)


@array_function
def nadam_step(
    xp: Any,
    param: Array,
    grad: Array,
    exp_avg: Any,
    exp_avg_sq: Any,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled_weight_decay: bool,
    maximize: bool,
    step: int,
    mu: float,
    mu_next: float,
    mu_product: float,
    then: Then | None = None,
) -> None:
    """param -= lr * (part of g + part of m) / (sqrt(v̂) + eps): Adam's step with the momentum of the
    step to come, mu_next; mu is this step's and mu_product that of all steps so far."""
    of_g = lr * (1 - mu) / (1 - mu_product)
    of_m = lr * mu_next / (1 - mu_product * mu_next)

    def update(work: Any, p: Any, g: Any, m: Any, v: Any) -> Calls:
        t, s = work.scratch(), work.scratch()
        g = yield from decayed(work, t, p, g, lr, weight_decay, decoupled_weight_decay, maximize)
        yield from toward(work, m, g, 1 - beta1, t)
        yield from mean_square(work, v, g, beta2, t)
        yield np.multiply, g, work.number(of_g), s
        yield np.multiply, m, work.number(of_m), t
        yield np.add, s, t, s
        yield np.divide, v, work.number(1 - beta2**step), t
        yield np.sqrt, t, t
        yield np.add, t, work.number(eps), t
        yield np.divide, s, t, t
        yield np.subtract, p, t, p

    in_chunks(update, (param, grad, exp_avg, exp_avg_sq), then)


@array_function
def radam_step(
    xp: Any,
    param: Array,
    grad: Array,
    exp_avg: Any,
    exp_avg_sq: Any,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled_weight_decay: bool,
    maximize: bool,
    step: int,
    then: Then | None = None,
) -> None:
    """param -= lr * m̂, divided by sqrt(v̂) and rectified as soon as v is a mean of enough steps."""
    rate, rectified = rectified_rate(lr, beta1, beta2, step)

    def update(work: Any, p: Any, g: Any, m: Any, v: Any) -> Calls:
        t, s = work.scratch(), work.scratch()
        g = yield from decayed(work, t, p, g, lr, weight_decay, decoupled_weight_decay, maximize)
        yield from toward(work, m, g, 1 - beta1, t)
        yield from mean_square(work, v, g, beta2, t)
        yield np.multiply, m, work.number(rate), t
        if rectified:
            yield np.sqrt, v, s
            yield np.add, s, work.number(eps), s
            yield np.divide, t, s, t
        yield np.subtract, p, t, p

    in_chunks(update, (param, grad, exp_avg, exp_avg_sq), then)


@array_function
def ademamix_step(
    xp: Any,
    param: Array,
    grad: Array,
    exp_avg_fast: Any,
    exp_avg_sq: Any,
    exp_avg_slow: Any,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    beta3: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    step: int,
    then: Then | None = None,
) -> None:
    """param -= lr * ((m̂ + alpha * slow) / (sqrt(v̂) + eps) + weight_decay * param), where slow is
    the running mean of the gradient that keeps the part beta3."""
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step

    def update(work: Any, p: Any, g: Any, m: Any, v: Any, slow: Any) -> Calls:
        t, s = work.scratch(), work.scratch()
        g = yield from decayed(work, t, p, g, lr, weight_decay, True, maximize)
        yield from toward(work, m, g, 1 - beta1, t)
        yield from toward(work, slow, g, 1 - beta3, t)
        yield from mean_square(work, v, g, beta2, t)
        yield np.divide, v, work.number(correction2), t
        yield np.sqrt, t, t
        yield np.add, t, work.number(eps), t
        yield np.multiply, m, work.number(lr / correction1), s
        yield np.divide, s, t, s
        yield np.subtract, p, s, p
        yield np.multiply, slow, work.number(lr * alpha), s
        yield np.divide, s, t, s
        yield np.subtract, p, s, p

    in_chunks(update, (param, grad, exp_avg_fast, exp_avg_sq, exp_avg_slow), then)


@array_function
def schedule_free_step(
    xp: Any,
    param: Array,
    grad: Array,
    z: Any,
    exp_avg_sq: Any,
    *,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    step: int,
    part: float,
    then: Then | None = None,
) -> None:
    """z -= rate * d, where d = g / (sqrt(v̂) + eps) + weight_decay * param. The parameter lies
    between z and the average of all z; it goes by ``part`` toward z, and with it, by what it keeps
    of z."""

    def update(work: Any, y: Any, g: Any, z: Any, v: Any) -> Calls:
        t, d = work.scratch(), work.scratch()
        g = yield from directed(work, t, y, g, maximize, 0.0)
        yield from mean_square(work, v, g, beta2, t)
        yield np.divide, v, work.number(1 - beta2**step), t
        yield np.sqrt, t, t
        yield np.add, t, work.number(eps), t
        yield np.divide, g, t, d
        if weight_decay:
            yield np.multiply, y, work.number(weight_decay), t
            yield np.add, d, t, d
        yield from toward(work, y, z, part, t)
        yield np.multiply, d, work.number(rate * (1 - beta1 * (1 - part))), t
        yield np.subtract, y, t, y
        yield np.multiply, d, work.number(rate), d
        yield np.subtract, z, d, z

    in_chunks(update, (param, grad, z, exp_avg_sq), then)


@array_function
def lamb_step(
    xp: Any,
    param: Array,
    grad: Array,
    exp_avg: Any,
    exp_avg_sq: Any,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    step: int,
    then: Then | None = None,
) -> None:
    """param -= lr * r * |param| / |r|, where r = m̂ / (sqrt(v̂) + eps) + weight_decay * param and |x|
    is the root of the sum of all x²; where one of them is 0, param -= lr * r."""
    root = (1 - beta2**step) ** 0.5
    rate = root / (1 - beta1**step)

    def update(work: Any, p: Any, g: Any, m: Any, v: Any) -> Calls:
        t, r = work.scratch(), work.scratch()

        def direction() -> Calls:
            yield np.sqrt, v, t
            yield np.add, t, work.number(eps * root), t
            yield np.divide, m, t, r
            yield np.multiply, r, work.number(rate), r
            if weight_decay:
                yield np.multiply, p, work.number(weight_decay), t
                yield np.add, r, t, r

        g = yield from directed(work, t, p, g, maximize, 0.0)
        yield from toward(work, m, g, 1 - beta1, t)
        yield from mean_square(work, v, g, beta2, t)
        yield from direction()
        of_p, of_r, both, trust = (work.cell() for _ in range(4))
        yield from add_square(work, p, of_p, t)
        yield from add_square(work, r, of_r, t)
        yield ONCE
        yield np.sign, of_p, both
        yield np.sign, of_r, trust
        yield np.multiply, both, trust, both  # 1, or 0 where one of the sums is
        yield np.sqrt, of_p, of_p
        yield np.sqrt, of_r, of_r
        yield np.subtract, work.cell(1.0), both, trust
        yield np.add, of_r, trust, of_r
        yield np.divide, of_p, of_r, of_p
        yield np.multiply, of_p, both, of_p
        yield np.add, of_p, trust, trust
        yield np.multiply, trust, work.number(lr), trust
        yield AGAIN
        yield from direction()
        yield np.multiply, r, trust, r
        yield np.subtract, p, r, p

    in_passes(update, (param, grad, exp_avg, exp_avg_sq), then)
