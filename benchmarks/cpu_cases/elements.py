"""Elementwise operations, reductions, indexing and random numbers on a million numbers and more."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .case import Case, Step, integers, normal

GOAL = 1.0
SIZES = {"1e6": (1000, 1000), "1e7": (10_000, 1000)}
# Forward without gradients, as one writes it: x, y and z are matrices of so many numbers, r a row
# and c a column of one; h is x in float16, g in bfloat16; b are bools, i indices of columns, j of
# rows. ``v`` is written in place.
FORWARD = (
    *("x + y", "v.mul_(1.0)", "x.exp()", "x.relu()", "x.sigmoid()", "x.tanh()", "F.silu(x)"),
    *("F.gelu(x)", "F.gelu(x, approximate='tanh')", "x.erf()", "F.dropout(x, 0.1)"),
    *("lib.randn(rows, columns)", "lib.rand(rows, columns)", "lib.randperm(rows * columns)"),
    *("F.softmax(x, -1)", "F.log_softmax(x, -1)", "F.softmax(x, 0)"),
    *("F.layer_norm(x, (columns,))", "x.sum()", "x.sum(0)", "x.sum(1)", "x.mean(1)", "x.var(1)"),
    *("x.max(1)", "x.argmax(1)", "x.norm()", "x.cumsum(1)", "x.sort(1)", "x.topk(10, 1)"),
    *("v.scatter_add(1, i, x)", "x.gather(1, i)", "x.index_select(0, j)", "v.index_add(0, j, x)"),
    *("lib.where(b, x, y)", "x.masked_fill(b, 0.0)", "x.clamp(-1.0, 1.0)", "x > 0", "x + r"),
    *("x + c", "x.t().contiguous()", "x.clone()", "lib.cat((x, y))", "x**2", "x**3"),
    *("x.abs().sqrt()", "(1 + x * x).log()", "x.to(lib.float64)", "x.to(lib.float16)"),
    *("h + h", "h.sum(1)", "h.sum(0)", "h.to(lib.float32)", "x.to(lib.bfloat16)", "g + g"),
    *("g.sum(1)", "x.prod(1)", "x.cummax(1)[0]", "x.cummin(0)[0]", "x.argsort(0)"),
)
BOTH_WAYS = (
    *("x.relu()", "F.gelu(x)", "F.softmax(x, -1)", "F.layer_norm(x, (columns,))"),
    *("F.dropout(x, 0.1)", "x * y", "F.mse_loss(x, y)", "x.sum(1)", "x.max(1)[0]"),
    *("lib.where(b, x, y)", "x.gather(1, i)", "x.clamp(-1.0, 1.0)"),
)


def names(lib: Any, rows: int, columns: int, grad: bool = False) -> dict[str, Any]:
    return {
        **{"lib": lib, "F": lib.nn.functional, "rows": rows, "columns": columns},
        **{name: normal(lib, rows, columns, grad=grad) for name in "xy"},
        "v": normal(lib, rows, columns),
        "h": normal(lib, rows, columns).to(lib.float16),
        "g": normal(lib, rows, columns).to(lib.bfloat16),
        "r": normal(lib, columns),
        "c": normal(lib, rows, 1),
        "b": lib.tensor(np.random.default_rng(0).random((rows, columns)) > 0.5),
        "i": integers(lib, columns, rows, columns),
        "j": integers(lib, rows, rows),
    }


def forward(expression: str, size: str, lib: Any) -> Step:
    computed = compile(expression, f"<{expression}>", "eval")
    known = names(lib, *SIZES[size])

    def step() -> Any:
        with lib.no_grad():
            return eval(computed, known)

    return step


def both_ways(expression: str, size: str, lib: Any) -> Step:
    computed = compile(expression, f"<{expression}>", "eval")
    known = names(lib, *SIZES[size], grad=True)
    x, y = known["x"], known["y"]
    seed = normal(lib, *eval(computed, known).shape)

    def step() -> Any:
        x.grad = y.grad = None
        eval(computed, known).backward(seed)
        return x.grad

    return step


def cases(size: str) -> Iterator[Case]:
    for expression in FORWARD:
        yield Case(f"{expression}, {size}", partial(forward, expression, size), GOAL)
    for expression in BOTH_WAYS:
        yield Case(f"{expression} fwd+bwd, {size}", partial(both_ways, expression, size), GOAL)


CASES = list(cases("1e6"))
LARGE = list(cases("1e7"))
