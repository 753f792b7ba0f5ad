"""What an operation costs beside the arithmetic: 4x4 float32, and of recording it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .case import Case, Step, integers, normal

REPEATS = 10  # of an operation in a step, so that calling the step is no part of what is measured
SIMPLE, OTHER, OTHER_BACK = 4.0, 1.5, 2.0  # the goals

# Unary and binary operations, and all others: as one writes them, with x, w and z of 4x4, g and b
# of 4, c of bools, t of integers.
SIMPLE_OPERATIONS = (
    *("x + w", "x * w", "x * 2.0", "x.relu()", "F.relu(x)", "x.tanh()", "x.exp()", "x.sigmoid()"),
    "-x",
)
OPERATIONS = (
    *("x @ w", "F.linear(x, w, b)", "x[1]", "x[:, 1:3]", "x.sum()", "x.sum(1)"),
    *("x.mean(-1, keepdim=True)", "x.max(1)[0]", "lib.cat((x, w))", "lib.stack((x, w))"),
    *("x.split(2)[0]", "x.reshape(2, 8)", "x.view(2, 8)", "x.transpose(0, 1)"),
    *("F.softmax(x, -1)", "F.layer_norm(x, (4,), g, b)", "F.cross_entropy(x, t)"),
    *("x.clamp(-1.0, 1.0)", "lib.where(c, x, w)", "x.detach().add_(z)", "x.clone().mul_(w)"),
    *("x.clone().relu_()", "x.clone().zero_()", "x.max()", "x.amax(1)", "x.var(1)", "x.norm()"),
    *("x.logsumexp(1)", "x.cumsum(1)", "x.topk(2)[0]", "x.sort(1)[0]", "x[t]", "x[c]"),
    *("x.index_select(1, t)", "x.gather(0, t.reshape(1, 4))", "lib.addmm(b, x, w)", "lib.mv(x, b)"),
    *("x.clone()", "x.flip(0)", "x.roll(1, 0)", "x.tril()", "F.nll_loss(x, t)", "F.silu(x)"),
    *("x.add(w, alpha=2)", "lib.lerp(x, w, 0.3)", "lib.addcmul(x, w, z)", "lib.maximum(x, w)"),
)
PLAIN_OPERATIONS = (  # without a gradient
    *("lib.zeros(4, 4)", "lib.ones_like(x)", "lib.full((4, 4), 2.0)", "lib.arange(10)"),
    *("lib.tensor([1.0, 2.0])", "x.double()", "x.long()", "x == w", "x.argmax(1)", "c.any()"),
    *("c.sum()", "x.detach().sqrt_()", "x.detach().__setitem__(t, 1.0)"),
)


def operation(mode: str, expression: str, lib: Any) -> Step:
    """A function of REPEATS times the operation, compiled from its text."""
    grad = mode != "no grad"
    names = {
        "lib": lib,
        "F": lib.nn.functional,
        **{name: normal(lib, 4, 4, grad=grad) for name in "xwz"},
        **{name: normal(lib, 4, grad=grad) for name in "gb"},
        "c": lib.tensor(np.eye(4) > 0),
        "t": integers(lib, 4, 4),
    }
    with lib.no_grad():
        names["z"].zero_()
    line = expression
    if mode == "fwd+bwd":
        names["seed"] = normal(lib, *eval(expression, names).shape)
        line = f"x.grad = w.grad = z.grad = g.grad = b.grad = None; ({expression}).backward(seed)"
    body = "\n".join([line] * REPEATS)
    if not grad:
        body = f"with lib.no_grad():\n{textwrap.indent(body, '    ')}"
    exec(f"def step():\n{textwrap.indent(body, '    ')}", names)
    return names["step"]


def operations() -> Iterator[Case]:
    for expressions, goals in (
        (SIMPLE_OPERATIONS, (SIMPLE, SIMPLE, SIMPLE)),
        (OPERATIONS, (OTHER, OTHER, OTHER_BACK)),
    ):
        for expression in expressions:
            for mode, goal in zip(("no grad", "grad", "fwd+bwd"), goals, strict=True):
                make = partial(operation, mode, expression)
                yield Case(f"{expression}, {mode}", make, goal, calls=REPEATS, alone=True)
    for expression in PLAIN_OPERATIONS:
        make = partial(operation, "no grad", expression)
        yield Case(f"{expression}, no grad", make, OTHER, calls=REPEATS, alone=True)


def chain(mode: str, lib: Any) -> Step:
    """20 operations on 4x4 tensors."""
    x, w = (normal(lib, 4, 4, grad=True) for _ in "xw")

    def run() -> Any:
        y = x
        for _ in range(5):
            y = y * w
            y = y + x
            y = y.tanh()
            y = y - w
        return y

    def back() -> Any:
        x.grad = w.grad = None
        run().sum().backward()
        return x.grad

    return {"forward": run, "forward, no grad": lib.no_grad()(run), "fwd+bwd": back}[mode]


def long_chain(lib: Any) -> Step:
    """100,000 nodes of 4 numbers each, forward and backward."""
    x, w = normal(lib, 4, grad=True), (normal(lib, 4) * 0.1).requires_grad_()  # (nothing overflows)

    def step() -> Any:
        x.grad = w.grad = None
        y = x
        for _ in range(50_000):
            y = y * w
            y = y + x
        y.sum().backward()
        return x.grad

    return step


CASES = [
    Case("20-op chain fwd+bwd", partial(chain, "fwd+bwd"), 5.0, alone=True),
    Case("20-op chain forward", partial(chain, "forward"), alone=True),
    Case("20-op chain forward, no grad", partial(chain, "forward, no grad"), alone=True),
    *operations(),
    Case("chain of 100,000 nodes fwd+bwd", long_chain, 5.0, alone=True),
]
