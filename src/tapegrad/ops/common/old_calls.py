"""The calls of before 2019, with factors among the tensors, that PyTorch still takes:
``add(x, 2, y)`` for ``add(x, y, alpha=2)``, ``addmm(beta, x, alpha, a, b)``.

They are looked for where a call has failed, so that those of today cost nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from tapegrad.core.tensor import Tensor

# Function -> the order of its arguments then. Methods have the tensor first.
_ORDERS = {
    "add": "input alpha other",
    "sub": "input alpha other",
    "addcmul": "input value tensor1 tensor2",
    "addcdiv": "input value tensor1 tensor2",
    "addmm": "beta input alpha mat1 mat2",
    "addmv": "beta input alpha mat vec",
    "addr": "beta input alpha vec1 vec2",
    "addbmm": "beta input alpha batch1 batch2",
    "baddbmm": "beta input alpha batch1 batch2",
}
_FACTORS = {"beta", "alpha", "value"}


def named(function: str, args: tuple, options: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments of such a call by name, after a UserWarning; None for any other call."""
    for order in _orders(function):
        found = dict(zip(order, args, strict=False))
        if len(args) > len(order) or found.keys() & options.keys() or not found.keys() & _FACTORS:
            continue
        found |= options
        if found.keys() == set(order) and all(_fits(function, n, v) for n, v in found.items()):
            words = ", ".join(n if n not in _FACTORS else f"{n}={n}" for n in _today(order))
            warnings.warn(
                f"[{function}] {function}({', '.join(order)}) is deprecated: say "
                f"{function}({words})",
                UserWarning,
                stacklevel=3,
            )
            return found
    return None


def _orders(function: str) -> Iterator[list[str]]:
    whole = _ORDERS.get(function, "").split()
    if whole:
        yield whole
    if whole[:1] == ["beta"]:
        beta, x, alpha, *tensors = whole
        yield from ([beta, x, *tensors], [x, beta, alpha, *tensors], [x, beta, *tensors])


def _today(order: list[str]) -> list[str]:
    """The tensors, then the factors."""
    return sorted(order, key=lambda name: name in _FACTORS)


def _fits(function: str, name: str, value: Any) -> bool:
    number, tensor = isinstance(value, (int, float)), isinstance(value, Tensor)
    if name in _FACTORS:
        return number or (tensor and not value.ndim and not value.requires_grad)
    return tensor or (number and function in ("add", "sub"))
