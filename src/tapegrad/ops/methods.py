"""What a Tensor can do: the operators, methods and properties that the catalogue lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tapegrad.core.tensor import Tensor

from .catalog import Operation, doors
from .common.arguments import require_tensor


def _comparable(operation: Operation) -> Callable:
    """Comparison with anything but numbers and tensors (None, a string) is left to Python."""
    f = operation.declared()

    def compare(self: Tensor, other: Any) -> Any:
        if other is None or isinstance(other, (str, list, tuple, dict)):
            return NotImplemented
        return f(self, other)

    return compare


def _reflected(operator: str, operation: Operation) -> Callable:
    """The operator with its operands exchanged: ``x.__radd__(y)`` is y + x."""
    f = operation.declared()

    def reflected(self: Tensor, other: Any) -> Tensor:
        require_tensor(operator, self)
        return f(other, self)

    return reflected


def _reflected_product(self: Tensor, other: Any) -> Tensor:
    return doors["tg"]["as_tensor"].load()(other) @ self


def _iterate(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind())  # type: ignore[attr-defined]


def _contains(self: Tensor, value: Any) -> bool:
    return bool((self.detach() == value)._array.any())


# Methods that are not operations of a family.
OWN: dict[str, Callable] = {
    "__contains__": _contains,
    "__iter__": _iterate,
    "__pos__": lambda self: self,
    "__rmatmul__": _reflected_product,
}

# The operators that write into their left operand, and the methods they are.
INPLACE_OPERATORS = {
    "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
    "__ipow__": "pow_", "__imod__": "remainder_", "__ifloordiv__": "floor_divide_",
    "__iand__": "bitwise_and_", "__ior__": "bitwise_or_", "__ixor__": "bitwise_xor_",
    "__ilshift__": "bitwise_left_shift_", "__irshift__": "bitwise_right_shift_",
}  # fmt: skip


class _Later:
    """A method or property of Tensor that is looked up, and takes this one's place, when first
    named: its module need not be loaded before."""

    def __init__(self, name: str, make: Callable[[], Any]):
        self.name, self.make = name, make

    def __get__(self, tensor: Tensor | None, owner: type) -> Any:
        setattr(Tensor, self.name, self.make())
        return getattr(owner if tensor is None else tensor, self.name)


def _in_place(name: str, operation: Operation, reads_values: bool = True) -> Callable:
    from .indexing.inplace import inplace

    return _of_tensor(name, inplace(operation.load(), name, reads_values))


def _restrided(name: str, operation: Operation) -> Callable:
    from .indexing.inplace import restride

    return _of_tensor(name, restride(operation.load(), name))


def _of_tensor(name: str, method: Callable) -> Callable:
    """Told where it is, so that it can be pickled."""
    method.__module__, method.__qualname__ = Tensor.__module__, f"Tensor.{name}"
    return method


def _constructor() -> Any:
    from .movement.tensor_types import constructed

    return staticmethod(constructed)


def _attach() -> None:
    def attach(name: str, make: Callable, *arguments: Any) -> None:
        setattr(Tensor, name, _Later(name, partial(make, *arguments)))

    for name, function in OWN.items():
        setattr(Tensor, name, function)
    for name, operation in doors["operator"].items():
        attach(name, operation.operator)
    for name in ("eq", "ne"):
        attach(f"__{name}__", _comparable, doors["tg"][name])
    for name, operation in doors["reflected"].items():
        attach(name, _reflected, name, operation)
    for name, operation in doors["x"].items():
        attach(name, operation.load)
    for name, operation in doors["x_"].items():
        attach(f"{name}_", _in_place, f"{name}_", operation)
    for name, operation in doors["x_linear"].items():
        attach(f"{name}_", _in_place, f"{name}_", operation, False)
    for name, operation in doors["x_view"].items():
        attach(f"{name}_", _restrided, f"{name}_", operation)
    for name, operation in doors["property"].items():
        attach(name, lambda operation: property(operation.operator()), operation)
    for operator, name in INPLACE_OPERATORS.items():
        attach(operator, getattr, Tensor, name)
    attach("_constructed", _constructor)


_attach()
