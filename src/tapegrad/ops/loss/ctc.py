"""Connectionist temporal classification (Graves et al. 2006).

The labels of a sequence, with blanks between and around them, are the L = 2 S + 1 states of a
lattice. alpha[t, s] is the logarithm of the probability of all ways to be in state s at time t,
beta[t, s] that of all ways on from there, both with the probability of time t itself. Everything
stays in logarithms, and runs over all samples and states at once, one time step after another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_floating, require_tensor
from tapegrad.ops.common.precision import compute_in_float32, in_float32
from tapegrad.ops.pointwise.elementwise import divide
from tapegrad.ops.reduction.reduce import mean, sum

from .elementwise import check_reduction


def _states(xp: Any, labels: Array, blank: int) -> tuple[Any, Any]:
    """(n, L) classes of the states, and (n, L) whether a state may follow that two before it: a
    label that differs from the last."""
    n, count = labels.shape
    states = xp.library.full((n, 2 * count + 1), blank, dtype=np.int64)
    states[:, 1::2] = labels
    skips = xp.zeros(states.shape, dtype=bool)
    skips[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    return states, skips


def _shifted(xp: Any, x: Array, by: int) -> Any:
    """x moved along the states; the logarithm of 0 moves in."""
    y = xp.library.roll(x, by, axis=1)
    y[:, slice(by) if by > 0 else slice(by, None)] = -math.inf
    return y


def _add_logs(xp: Any, a: Array, b: Array, c: Any) -> Any:
    """log(exp(a) + exp(b) + exp(c)); -inf where all are."""
    top = xp.maximum(xp.maximum(a, b), c)
    top = xp.where(top == -math.inf, 0, top)
    return top + xp.log(xp.exp(a - top) + xp.exp(b - top) + xp.exp(c - top))


def _at_states(xp: Any, log_probs: Array, states: Any) -> Any:
    """(t, n, classes) -> (t, n, L)."""
    return log_probs[:, xp.arange(len(states))[:, None], states]


@array_function
@in_float32
def ctc_backward(
    xp: Any,
    g: Array,
    losses: Array,
    log_probs: Array,
    labels: Array,
    times: Any,
    counts: Any,
    alpha: Any,
    *,
    blank: int,
    forgive: bool,
) -> Array:
    """The gradient for the logits whose log_softmax the log-probabilities are, as PyTorch has it:
    exp(log_probs) - the expected number of times that the class is emitted at time t."""
    states, skips = _states(xp, labels, blank)
    here = _at_states(xp, log_probs, states)
    state, rows = xp.arange(states.shape[1]), xp.arange(len(states))
    ends = (state == 2 * counts[:, None]) | (state == 2 * counts[:, None] - 1)
    follows = xp.zeros(skips.shape, dtype=bool)
    follows[:, :-2] = skips[:, 2:]
    occupied = xp.zeros(here.shape, dtype=here.dtype)
    beta = xp.library.full(here.shape[1:], -math.inf, dtype=here.dtype)
    possible = xp.where(alpha == -math.inf, 0, here)
    losses = losses[:, None]
    for t in range(len(here) - 1, -1, -1):
        skipped = xp.where(follows, _shifted(xp, beta, -2), -math.inf)
        onward = _add_logs(xp, beta, _shifted(xp, beta, -1), skipped)
        onward = xp.where((times == t + 1)[:, None], xp.where(ends, 0.0, -math.inf), onward)
        beta = onward + here[t]
        occupied[t] = xp.exp(alpha[t] + beta - possible[t] + losses)
    gradient = xp.exp(log_probs)
    gradient[:, :, blank] -= occupied[:, :, 0::2].sum(axis=2)
    for s in range(1, states.shape[1], 2):  # no class twice in a column: no atomic additions
        gradient[:, rows, states[:, s]] -= occupied[:, :, s]
    running = (xp.arange(len(here))[:, None] < times)[:, :, None]
    gradient = xp.where(running, gradient, 0)
    if forgive:  # what was impossible has been given the loss 0
        impossible = (alpha[xp.maximum(times - 1, 0), rows] == -math.inf) | ~ends
        gradient[:, impossible.all(axis=1)] = 0
    return gradient * g[:, None]


@primitive("ctc_loss", vjp=("ctc_backward", None, None, None), extras=("alpha", "losses"))
@in_float32
def _ctc_loss(
    xp: Any, log_probs: Array, labels: Array, times: Any, counts: Any, *, blank: int, forgive: bool
) -> tuple:
    """log_probs (t, n, classes), labels (n, S), lengths (n,) of both -> losses (n,), alpha, and
    the losses as alpha has them, in no fewer than 32 bits."""
    states, skips = _states(xp, labels, blank)
    here = _at_states(xp, log_probs, states)
    alpha = xp.library.full(here.shape, -math.inf, dtype=here.dtype)
    if len(here):
        alpha[0, :, :2] = here[0, :, :2]
    for t in range(1, len(here)):
        before = alpha[t - 1]
        skipped = xp.where(skips, _shifted(xp, before, 2), -math.inf)
        alpha[t] = _add_logs(xp, before, _shifted(xp, before, 1), skipped) + here[t]
    rows, last = xp.arange(len(states)), xp.maximum(times - 1, 0)
    if len(here):
        end = alpha[last, rows, 2 * counts]
        end_label = xp.where(
            counts > 0, alpha[last, rows, xp.maximum(2 * counts - 1, 0)], -math.inf
        )
        total = _add_logs(xp, end, end_label, xp.library.full_like(end, -math.inf))
    else:
        total = xp.zeros((len(states),), dtype=here.dtype)
    # In no time steps an empty target is certain, and any other impossible.
    losses = -xp.where(times == 0, xp.where(counts == 0, 0.0, -math.inf), total)
    if forgive:
        losses = xp.where(losses == math.inf, 0, losses)
    losses = losses.astype(here.dtype)
    return losses, alpha, losses.copy()


# ---------------------------------------------------------------------- PyTorch's signature


@compute_in_float32
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log probability of the target sequences (Graves et al. 2006).

    log_probs: (t, n, classes) or (t, classes), logarithms of probabilities. targets: classes
    (n, S), or all of them one after the other. Lengths: tensors, or tuples or lists of ints.
    "mean" divides each loss by its target's length first. zero_infinity: targets too long for
    their input have loss and gradient 0 instead of inf. As in PyTorch, the gradient takes
    log_probs to come from log_softmax. Raises RuntimeError where shapes, lengths or classes do not
    fit.
    """
    op = "ctc_loss"
    check_reduction(op, reduction)
    require_floating(op, log_probs)
    require_tensor(op, targets)
    if log_probs.ndim not in (2, 3):
        raise RuntimeError(
            f"[{op}] log_probs must be (t, n, classes) or (t, classes), got "
            f"{tuple(log_probs.shape)}"
        )
    x = log_probs if log_probs.ndim == 3 else log_probs.unsqueeze(1)
    steps, n, classes = x.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"[{op}] blank {blank} is out of range for {classes} classes")
    times = _lengths(op, "input_lengths", input_lengths, n, steps)
    counts = _lengths(op, "target_lengths", target_lengths, n, None)
    labels = _padded(op, targets, counts, classes, blank)
    device = x._device
    arrays = [wrap(device.asarray(a), device) for a in (labels, times, counts)]
    losses = _ctc_loss(x, *arrays, blank=blank, forgive=zero_infinity)
    if reduction == "mean":
        labelled = wrap(device.asarray(np.maximum(counts, 1)).astype(x.dtype), device)
        return mean(divide(losses, labelled))
    if reduction == "sum":
        return sum(losses)
    return losses if log_probs.ndim == 3 else losses.reshape(())


def _lengths(op: str, name: str, given: Any, n: int, most: int | None) -> np.ndarray:
    values = given.tolist() if isinstance(given, Tensor) else given
    values = list(values) if isinstance(values, Sequence) else [values]
    if len(values) != n or not all(isinstance(v, (int, np.integer)) for v in values):
        raise RuntimeError(f"[{op}] {name} must be {n} ints, got {given}")
    lengths = np.asarray(values, dtype=np.int64)
    if n and (lengths.min() < 0 or (most is not None and lengths.max() > most)):
        raise RuntimeError(
            f"[{op}] {name} must not be negative, nor exceed the {most} time steps; got {given}"
        )
    return lengths


def _padded(op: str, targets: Tensor, counts: np.ndarray, classes: int, blank: int) -> np.ndarray:
    """Targets as (n, S); blanks, which nothing reads, behind the end of the shorter ones."""
    if targets.dtype.kind not in "iu":
        raise RuntimeError(f"[{op}] targets must hold integer classes, got {targets.dtype.name}")
    given = targets.detach().cpu().numpy().astype(np.int64)
    n, longest = len(counts), int(counts.max(initial=0))
    used = np.arange(longest) < counts[:, None]
    fits = (
        given.shape[0] == n and given.shape[1] >= longest
        if given.ndim == 2
        else (given.ndim == 1 and given.size == counts.sum())
    )
    if not fits:
        raise RuntimeError(
            f"[{op}] targets of shape {given.shape} do not hold target_lengths {counts.tolist()}: "
            "expected (n, S), or all targets one after the other"
        )
    labels = np.full((n, longest), blank, dtype=np.int64)
    labels[used] = given[:, :longest][used] if given.ndim == 2 else given
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise RuntimeError(
            f"[{op}] class {wrong[0]} is out of range for {classes} classes: expected 0 to "
            f"{classes - 1}"
        )
    return labels
