"""Losses element by element, as a mean; their gradients; likelihoods of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tapegrad.core.dtypes import accumulator

from .case import WIDE, Case, Draw, TorchGradient, of_primitive

_SIZES = {"tiny": [(1_003,)], "small": [(1 << 20,)], "large": [(1 << 26,)]}
_CLASSES = {"tiny": [(70, 67)], "small": [(4096, 256)], "large": [(65536, 1024)]}


def _pair(draw: Draw, n: int) -> tuple:
    return draw.normal(n), draw.positive(n) - draw.dtype.type(0.5)  # a probability


def _loss(
    name: str, flops: tuple[int, int], torch: Callable[..., Any], number: float = 0.0
) -> Iterator[Case]:
    """Rows for a loss and its gradient; ``torch(functional, reduction, x, target)``."""
    yield Case(
        name,
        name,
        _SIZES,
        _pair,
        lambda ops, x, target: ops[name](x, target, total=x.size, number=number),
        lambda n: flops[0] * n,
        lambda t, x, target: torch(t.nn.functional, "mean", x, target),
        depth=lambda n: n,
        dtypes=WIDE,
    )
    yield of_primitive(
        f"{name}_backward",
        _SIZES,
        lambda draw, n: (draw.normal(n), *_pair(draw, n)),
        flops[1],
        TorchGradient(
            lambda t, x, target: torch(t.nn.functional, "none", x, target), (1,), along=0
        ),
        parameters={"total": None, "number": number},
        dtypes=WIDE,
    )


def _picked(draw: Draw, rows: int, classes: int) -> tuple:
    return draw.normal(rows, classes), draw.integers(classes, rows)


def _scattered(draw: Draw, rows: int, classes: int) -> tuple:
    """The gradient of each loss, the targets, their weights, and what all is divided by; an array
    tells how many classes."""
    return (
        *(draw.normal(rows), draw.integers(classes, rows), draw.positive(rows), draw.positive()),
        draw.normal(1, classes),
    )


def _nll_backward(ops: Any, g: Any, target: Any, factors: Any, total: Any, like: Any) -> Any:
    shape = (len(g), like.shape[1])
    return ops["nll_backward"](g, target, factors, total, shape=shape, ignored=-100)


def _torch_nll_backward(t: Any, g: Any, target: Any, factors: Any, total: Any, like: Any) -> Any:
    zeros = g.new_zeros((len(g), like.shape[1]))
    return zeros.scatter_(1, target[:, None], (-g * factors / total)[:, None])


def _target_weight(ops: Any, target: Any, weight: Any) -> Any:
    kind = {"dtype": accumulator(weight.dtype), "ignored": -100, "classes": len(weight)}
    return ops["target_weight"](target, weight, **kind)


CASES = [
    Case(
        "target_weight",
        "target_weight",
        _CLASSES,
        lambda draw, rows, classes: (draw.integers(classes, rows), draw.positive(classes)),
        _target_weight,
        lambda rows, classes: rows,
        lambda t, target, weight: weight.float()[target].sum(0, True),
        depth=lambda rows, classes: rows,
    ),
    *_loss("squared_distance", (3, 3), lambda f, r, x, y: f.mse_loss(x, y, reduction=r)),
    *_loss("absolute_distance", (3, 3), lambda f, r, x, y: f.l1_loss(x, y, reduction=r)),
    *_loss("huber_distance", (6, 4), lambda f, r, x, y: f.huber_loss(x, y, reduction=r), 1.0),
    *_loss(
        "bce_of_two",
        (7, 6),
        lambda f, r, x, y: f.binary_cross_entropy_with_logits(x, y, reduction=r),
    ),
    *_loss(
        "kl_of_logarithms", (4, 3), lambda f, r, x, y: f.kl_div(x, y, reduction=r, log_target=True)
    ),
    Case(
        "nll",
        "nll",
        _CLASSES,
        _picked,
        lambda ops, x, target: ops["nll"](
            x, target, None, op="bench", ignored=-100, reduction="none"
        )[0],
        lambda rows, classes: 2 * rows,
        lambda t, x, target: t.nn.functional.nll_loss(x, target, reduction="none"),
        bytes=lambda itemsize, rows, classes: (2 * itemsize + 8) * rows,
    ),
    Case(
        "nll_backward",
        "nll_backward",
        _CLASSES,
        _scattered,
        _nll_backward,
        lambda rows, classes: 2 * rows,
        _torch_nll_backward,
        bytes=lambda itemsize, rows, classes: (itemsize * (classes + 2) + 8) * rows,
    ),
]
