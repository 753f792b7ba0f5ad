"""What a Tensor can do: its operators, and the methods that ``surface`` lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from tapegrad.autograd.backward import (
    register_hook,
    register_post_accumulate_grad_hook,
    retain_grad,
    tensor_backward,
)
from tapegrad.core.tensor import Tensor

from . import catalog
from .catalog import Entry
from .common.arguments import require_tensor
from .common.out import takes_out
from .common.signatures import check_arguments
from .creation import create
from .indexing import inplace, subscript
from .linalg import matmul
from .pointwise import arithmetic, elementwise


def _comparable(f: Callable) -> Callable:
    """Comparison with what is no number (None, a string) is left to Python."""

    def compare(self: Tensor, other: Any) -> Any:
        if other is None or isinstance(other, (str, list, tuple, dict)):
            return NotImplemented
        return f(self, other)

    return compare


def _reflected(operator: str, f: Callable) -> Callable:
    """The operator with its operands exchanged: ``x.__radd__(y)`` is y + x."""

    def reflected(self: Tensor, other: Any) -> Tensor:
        require_tensor(operator, self)
        return f(other, self)

    return reflected


def _iterate(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind())


def _contains(self: Tensor, value: Any) -> bool:
    return bool(elementwise.equal(self.detach(), value)._array.any())


OPERATORS: dict[str, Callable] = {
    "__add__": elementwise.add,
    "__radd__": _reflected("__radd__", elementwise.add),
    "__sub__": elementwise.subtract,
    "__rsub__": _reflected("__rsub__", elementwise.subtract),
    "__mul__": elementwise.multiply,
    "__rmul__": _reflected("__rmul__", elementwise.multiply),
    "__truediv__": elementwise.divide,
    "__rtruediv__": _reflected("__rtruediv__", elementwise.divide),
    "__rdiv__": _reflected("__rdiv__", elementwise.divide),
    "__floordiv__": elementwise.floor_divide,
    "__rfloordiv__": _reflected("__rfloordiv__", elementwise.floor_divide),
    "__mod__": elementwise.remainder,
    "__rmod__": _reflected("__rmod__", elementwise.remainder),
    "__pow__": arithmetic.pow,
    "__rpow__": _reflected("__rpow__", elementwise.power),
    "__matmul__": matmul.matmul,
    "__rmatmul__": lambda self, other: matmul.matmul(create.as_tensor(other), self),
    "__neg__": elementwise.negative,
    "__pos__": lambda self: self,
    "__abs__": elementwise.absolute,
    "__invert__": elementwise.bitwise_not,
    "__and__": elementwise.bitwise_and,
    "__rand__": _reflected("__rand__", elementwise.bitwise_and),
    "__or__": elementwise.bitwise_or,
    "__ror__": _reflected("__ror__", elementwise.bitwise_or),
    "__xor__": elementwise.bitwise_xor,
    "__rxor__": _reflected("__rxor__", elementwise.bitwise_xor),
    "__eq__": _comparable(elementwise.equal),
    "__ne__": _comparable(elementwise.not_equal),
    "__lt__": elementwise.less,
    "__le__": elementwise.less_equal,
    "__gt__": elementwise.greater,
    "__ge__": elementwise.greater_equal,
    "__getitem__": subscript.subscript,
    "__setitem__": inplace.setitem,
    "__iter__": _iterate,
    "__contains__": _contains,
}

# The operators that write into their left operand, and the methods they are.
INPLACE_OPERATORS = {
    "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
    "__ipow__": "pow_", "__imod__": "remainder_", "__ifloordiv__": "floor_divide_",
    "__iand__": "bitwise_and_", "__ior__": "bitwise_or_", "__ixor__": "bitwise_xor_",
}  # fmt: skip

# The tape's own methods, which belong to no family of operations.
TAPE = {
    "backward": tensor_backward,
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
    "retain_grad": retain_grad,
}


class _Later:
    """A method or property of Tensor that is looked up, and takes this one's place, when first
    named: its module need not be loaded before."""

    def __init__(self, name: str, entry: Entry, kind: str):
        self.name, self.entry, self.kind = name, entry, kind

    def __get__(self, tensor: Tensor | None, owner: type) -> Any:
        function = load(self.entry, self.name)
        make = {"in place": inplace.inplace, "restrided": inplace.restride}.get(self.kind)
        if make:
            function = make(function, self.name)
        setattr(Tensor, self.name, property(function) if self.kind == "property" else function)
        return getattr(owner if tensor is None else tensor, self.name)


def load(entry: Entry, name: str | None = None) -> Any:
    """The function of an entry of the surface; ``name`` is what its errors call it."""
    return check_arguments(
        getattr(import_module(f"..{entry.module}", __name__), entry.function), name
    )


def public(name: str) -> Any:
    """What ``tapegrad.name`` is: the operation, with ``out=``."""
    function = load(catalog.functions[name], name)
    plain = getattr(function, "takes_out", False) or isinstance(function, type)
    return function if plain else takes_out(function, name)


def _attach() -> None:
    for name, function in (OPERATORS | TAPE).items():
        setattr(Tensor, name, function)
    for name, entry in catalog.methods.items():
        setattr(Tensor, name, _Later(name, entry, "method"))
        if entry.in_place:
            setattr(Tensor, name + "_", _Later(name + "_", entry, "in place"))
    for name in catalog.RESTRIDED.split():
        setattr(Tensor, name + "_", _Later(name + "_", catalog.methods[name], "restrided"))
    for name, entry in catalog.properties.items():
        setattr(Tensor, name, _Later(name, entry, "property"))
    for operator, name in INPLACE_OPERATORS.items():
        setattr(Tensor, operator, getattr(Tensor, name))


_attach()
