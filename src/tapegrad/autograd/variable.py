"""``Variable``, the name that tensors with gradients once had."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor


class _IsTensor(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Tensor)


class Variable(metaclass=_IsTensor):
    """Variable(data, requires_grad=False) is a Tensor over the same memory, off the tape; every
    Tensor is an instance. Raises TypeError for anything but a Tensor, and RuntimeError where
    integers are to require grad."""

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:  # type: ignore[misc]
        if not isinstance(data, Tensor):
            raise TypeError(
                f"[Variable] data must be a Tensor, got {type(data).__name__}: tapegrad.tensor() "
                "makes one"
            )
        return data.detach().requires_grad_(requires_grad)
