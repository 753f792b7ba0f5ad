"""How many operations a function's body has, where that can be told from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from tapegrad.core.devices import EMULATED
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.fusion import fuse
from tapegrad.fusion.axes import INPUT, NUMBER, VIEW
from tapegrad.utils.flops import count_flops

from .arrays import on_host

_NO_WORK = (INPUT, NUMBER, VIEW)


def operations(
    body: Callable, numbers: Mapping[str, Any], values: Sequence[Any], backward: bool = False
) -> float:
    """Those of the body for inputs like these, or of its gradients: what it computes for an element
    counts as one, and a sum as many as it adds. Where it does more than such, the operations of its
    products of matrices alone, which are not known backward. 0 where nothing is known."""
    try:
        return _of_elements(body, numbers, values, backward)
    except Exception:  # it may do anything
        return 0.0 if backward else _of_products(body, numbers, values)


def _of_elements(
    body: Callable, numbers: Mapping[str, Any], values: Sequence[Any], backward: bool
) -> float:
    arrays = [EMULATED.ops["empty"](v.shape, v.dtype) for v in values]
    tensors = [wrap(a, EMULATED) for a in arrays]
    plan, known = fuse(body).plan(tuple(tensors), dict(numbers))
    needs = [t.is_floating_point() for t in tensors]
    made = plan.backward_for(needs, [True] * plan.count, known) if backward else plan.forward
    return float(sum(_operations_of(step) for kernel in made.kernels for step in kernel.steps))


def _operations_of(step: Any) -> int:
    if step.op in _NO_WORK:
        return 0
    shapes = [x.shape for x in step.inputs if hasattr(x, "shape")]
    return max(map(prod, [step.shape, *shapes]))


def _of_products(body: Callable, numbers: Mapping[str, Any], values: Sequence[Any]) -> float:
    try:
        hosts = [on_host(v) for v in values]
        tensors = [v if h is None else Tensor(h) for v, h in zip(values, hosts, strict=True)]
        return float(sum(count_flops(body, *tensors, **numbers).values()))
    except Exception:
        return 0.0
