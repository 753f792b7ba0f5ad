"""``Variable``, the name that tensors with gradients once had."""

from __future__ import annotations

import warnings
from typing import Any

from tapegrad.core.tensor import Tensor


class _IsTensor(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Tensor)


class Variable(metaclass=_IsTensor):
    """Variable(data, requires_grad=False) is a Tensor over the same memory, off the tape; every
    Tensor is an instance. ``volatile`` has no effect, and warns. Raises TypeError for anything but
    a Tensor, and RuntimeError where integers are to require grad."""

    def __new__(  # type: ignore[misc]
        cls, data: Tensor, requires_grad: bool = False, volatile: bool | None = None
    ) -> Any:
        if volatile is not None:
            warnings.warn(
                "[Variable] volatile has no effect: compute under tapegrad.no_grad()", stacklevel=2
            )
        if not isinstance(data, Tensor):
            raise TypeError(
                f"[Variable] data must be a Tensor, got {type(data).__name__}: tapegrad.tensor() "
                "makes one"
            )
        return data.detach().requires_grad_(requires_grad)
