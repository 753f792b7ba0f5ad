"""The numbers of a step that is compiled: what kernels/steps.h names in each struct, in its order.

A function for each step takes what the step's plain body takes but the parameter and its gradient:
the states (of which only None counts), and the options. It returns the name of the launcher for
these states, and the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Numbers = tuple[str, tuple[float, ...]]


def _sign(maximize: bool) -> float:
    return -1.0 if maximize else 1.0


def _decay(lr: float, weight_decay: float, decoupled: bool) -> tuple[float, float]:
    """What the parameter is multiplied by, and what of it joins the gradient."""
    return (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)


def rectified_rate(lr: float, beta1: float, beta2: float, step: int) -> tuple[float, bool]:
    """RAdam's rate, and whether the running mean of squares is one of enough steps to divide by."""
    correction = 1 - beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / correction  # in steps, of what v is a mean of
    rate = lr / (1 - beta1**step)
    rectified = bool(length > 5)
    if rectified:
        grown = (length - 4) * (length - 2) * longest
        rate = rate * (correction * grown / ((longest - 4) * (longest - 2) * length)) ** 0.5
    return rate, rectified


def sgd_step(
    momentum_buffer: Any,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    first_step: bool,
) -> Numbers:
    plain = (lr, _sign(maximize), weight_decay)
    if momentum_buffer is None:
        return "sgd_step", plain
    kept, added = (0.0, 1.0) if first_step else (momentum, 1 - dampening)
    return "sgd_momentum_step", (*plain, kept, added, momentum, float(nesterov))


def asgd_step(
    ax: Any, *, lambd: float, weight_decay: float, maximize: bool, eta: float, mu: float
) -> Numbers:
    return "asgd_step", (eta, 1 - lambd * eta, mu, _sign(maximize), weight_decay)


def rprop_step(
    prev: Any,
    step_size: Any,
    *,
    eta_minus: float,
    eta_plus: float,
    smallest: float,
    largest: float,
    maximize: bool,
) -> Numbers:
    return "rprop_step", (eta_minus, eta_plus, smallest, largest, _sign(maximize))


def lion_step(
    exp_avg: Any, *, lr: float, beta1: float, beta2: float, weight_decay: float, maximize: bool
) -> Numbers:
    return "lion_step", (lr, 1 - beta1, 1 - beta2, 1 - lr * weight_decay, _sign(maximize))


def rmsprop_step(
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
) -> Numbers:
    centered = "" if grad_avg is None else "_centered"
    smoothed = "" if momentum_buffer is None else "_momentum"
    numbers = (lr, eps, 1 - alpha, momentum, _sign(maximize), weight_decay)
    return f"rmsprop{centered}{smoothed}_step", numbers


def adagrad_step(
    sum: Any,
    *,
    lr: float,
    lr_decay: float,
    weight_decay: float,
    eps: float,
    maximize: bool,
    step: int,
) -> Numbers:
    rate = lr / (1 + (step - 1) * lr_decay)
    return "adagrad_step", (rate, eps, _sign(maximize), weight_decay)


def adadelta_step(
    square_avg: Any,
    acc_delta: Any,
    *,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> Numbers:
    return "adadelta_step", (lr, eps, 1 - rho, _sign(maximize), weight_decay)


def adam_step(
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
) -> Numbers:
    root = (1 - beta2**step) ** 0.5
    rate = lr * root / (1 - beta1**step)
    shrink, joins = _decay(lr, weight_decay, decoupled_weight_decay)
    numbers = (rate, eps * root, 1 - beta1, 1 - beta2, shrink, _sign(maximize), joins)
    return "adam_step" if max_exp_avg_sq is None else "amsgrad_step", numbers


def adamax_step(
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
) -> Numbers:
    rate = lr / (1 - beta1**step)
    return "adamax_step", (rate, eps, 1 - beta1, beta2, _sign(maximize), weight_decay)


def nadam_step(
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
) -> Numbers:
    root = (1 - beta2**step) ** 0.5
    of_g = lr * root * (1 - mu) / (1 - mu_product)
    of_m = lr * root * mu_next / (1 - mu_product * mu_next)
    shrink, joins = _decay(lr, weight_decay, decoupled_weight_decay)
    kept = (1 - beta1, 1 - beta2)
    return "nadam_step", (of_g, of_m, eps * root, *kept, shrink, _sign(maximize), joins)


def radam_step(
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
) -> Numbers:
    rate, rectified = rectified_rate(lr, beta1, beta2, step)
    shrink, joins = _decay(lr, weight_decay, decoupled_weight_decay)
    kept = (1 - beta1, 1 - beta2)
    return "radam_step", (rate, eps, float(rectified), *kept, shrink, _sign(maximize), joins)


def ademamix_step(
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
) -> Numbers:
    root = (1 - beta2**step) ** 0.5
    rates = (lr * root / (1 - beta1**step), lr * alpha * root)
    kept = (1 - beta1, 1 - beta2, 1 - beta3)
    return "ademamix_step", (*rates, eps * root, *kept, 1 - lr * weight_decay, _sign(maximize))


def schedule_free_step(
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
) -> Numbers:
    root = (1 - beta2**step) ** 0.5
    pull = rate * (1 - beta1 * (1 - part))
    numbers = (rate, pull, part, root, eps * root, 1 - beta2, _sign(maximize), weight_decay)
    return "schedule_free_step", numbers


NUMBERS: dict[str, Callable[..., Numbers]] = {
    function.__name__: function
    for function in (
        sgd_step,
        asgd_step,
        rprop_step,
        lion_step,
        rmsprop_step,
        adagrad_step,
        adadelta_step,
        adam_step,
        adamax_step,
        nadam_step,
        radam_step,
        ademamix_step,
        schedule_free_step,
    )
}
