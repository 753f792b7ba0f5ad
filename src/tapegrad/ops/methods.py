"""What a Tensor can do: every operator and method, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..autograd.backward import register_hook, retain_grad, tensor_backward
from ..tensor import Tensor
from . import (
    activation,
    arithmetic,
    convert,
    create,
    elementwise,
    index,
    inplace,
    linalg,
    random,
    reduce,
    shape,
    softmax,
)


def _comparable(f: Callable) -> Callable:
    """Comparison with what is no number (None, a string) is left to Python."""

    def compare(self: Tensor, other: Any) -> Any:
        if other is None or isinstance(other, (str, list, tuple, dict)):
            return NotImplemented
        return f(self, other)

    return compare


def _iterate(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(index.unbind(self))


def _contains(self: Tensor, value: Any) -> bool:
    return bool(elementwise.equal(self.detach(), value)._array.any())


def _invert(self: Tensor) -> Tensor:
    return (
        elementwise.logical_not(self) if self.dtype.kind == "b" else elementwise.bitwise_not(self)
    )


def _new(function: Callable) -> Callable:
    def new(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return function(*args, **{"dtype": self.dtype, "device": self.device, **options})

    new.__doc__ = f"{function.__name__} with this tensor's dtype and device."
    return new


OPERATORS: dict[str, Callable] = {
    "__add__": elementwise.add,
    "__radd__": lambda self, other: elementwise.add(other, self),
    "__sub__": elementwise.subtract,
    "__rsub__": arithmetic.rsub,
    "__mul__": elementwise.multiply,
    "__rmul__": lambda self, other: elementwise.multiply(other, self),
    "__truediv__": elementwise.divide,
    "__rtruediv__": arithmetic.rdiv,
    "__floordiv__": elementwise.floor_divide,
    "__rfloordiv__": lambda self, other: elementwise.floor_divide(other, self),
    "__mod__": elementwise.remainder,
    "__rmod__": lambda self, other: elementwise.remainder(other, self),
    "__pow__": arithmetic.pow,
    "__rpow__": arithmetic.rpow,
    "__matmul__": linalg.matmul,
    "__rmatmul__": lambda self, other: linalg.matmul(create.as_tensor(other), self),
    "__neg__": elementwise.negative,
    "__pos__": lambda self: self,
    "__abs__": elementwise.absolute,
    "__invert__": _invert,
    "__and__": elementwise.bitwise_and,
    "__rand__": elementwise.bitwise_and,
    "__or__": elementwise.bitwise_or,
    "__ror__": elementwise.bitwise_or,
    "__xor__": elementwise.bitwise_xor,
    "__rxor__": elementwise.bitwise_xor,
    "__eq__": _comparable(elementwise.equal),
    "__ne__": _comparable(elementwise.not_equal),
    "__lt__": elementwise.less,
    "__le__": elementwise.less_equal,
    "__gt__": elementwise.greater,
    "__ge__": elementwise.greater_equal,
    "__getitem__": index.take,
    "__setitem__": inplace.setitem,
    "__iter__": _iterate,
    "__contains__": _contains,
}

# Functions that are methods under the same name: f(x, ...) is x.f(...).
METHODS: dict[str, Callable] = {
    # arithmetic and functions of one number
    "add": arithmetic.add, "sub": arithmetic.sub, "mul": elementwise.multiply,
    "div": arithmetic.div, "pow": arithmetic.pow, "neg": elementwise.negative,
    "abs": elementwise.absolute, "sign": elementwise.sign, "floor": elementwise.floor,
    "ceil": elementwise.ceil, "trunc": elementwise.trunc, "round": arithmetic.round,
    "exp": elementwise.exp, "expm1": elementwise.expm1, "log": elementwise.log,
    "log1p": elementwise.log1p, "sqrt": elementwise.sqrt, "rsqrt": elementwise.rsqrt,
    "reciprocal": elementwise.reciprocal, "square": elementwise.square, "sin": elementwise.sin,
    "cos": elementwise.cos, "tanh": activation.tanh, "sigmoid": activation.sigmoid,
    "relu": activation.relu, "erf": elementwise.erf, "clamp": arithmetic.clamp,
    "maximum": elementwise.maximum, "minimum": elementwise.minimum,
    "remainder": elementwise.remainder, "floor_divide": elementwise.floor_divide,
    # comparison and logic
    "eq": elementwise.equal, "ne": elementwise.not_equal, "lt": elementwise.less,
    "le": elementwise.less_equal, "gt": elementwise.greater, "ge": elementwise.greater_equal,
    "logical_and": elementwise.logical_and, "logical_or": elementwise.logical_or,
    "logical_xor": elementwise.logical_xor, "logical_not": elementwise.logical_not,
    "bitwise_and": elementwise.bitwise_and, "bitwise_or": elementwise.bitwise_or,
    "bitwise_xor": elementwise.bitwise_xor,
    "isnan": elementwise.isnan, "isinf": elementwise.isinf, "isfinite": elementwise.isfinite,
    "equal": arithmetic.equal, "isclose": arithmetic.isclose, "allclose": arithmetic.allclose,
    # reductions
    "sum": reduce.sum, "mean": reduce.mean, "var": reduce.var, "std": reduce.std,
    "max": reduce.max, "min": reduce.min, "amax": reduce.amax, "amin": reduce.amin,
    "prod": reduce.prod, "argmax": reduce.argmax, "argmin": reduce.argmin,
    "logsumexp": reduce.logsumexp, "any": reduce.any, "all": reduce.all,
    "softmax": softmax.softmax, "log_softmax": softmax.log_softmax,
    # shape
    "reshape": shape.reshape, "flatten": shape.flatten, "permute": shape.permute,
    "transpose": shape.transpose, "movedim": shape.movedim, "t": shape.t,
    "squeeze": shape.squeeze, "unsqueeze": shape.unsqueeze, "broadcast_to": shape.broadcast_to,
    "split": index.split, "chunk": index.chunk, "unbind": index.unbind, "flip": shape.flip,
    "roll": shape.roll, "clone": shape.clone,
    # indexing
    "narrow": index.narrow, "gather": index.gather, "scatter": index.scatter,
    "scatter_add": index.scatter_add, "index_select": index.index_select,
    "take_along_dim": index.take_along_dim, "masked_fill": index.masked_fill,
    "nonzero": index.nonzero,
    # products
    "matmul": linalg.matmul, "mm": linalg.mm, "bmm": linalg.bmm, "mv": linalg.mv,
    "dot": linalg.dot, "outer": linalg.outer,
}  # fmt: skip

# Methods that are no functions of the same name.
ONLY_METHODS: dict[str, Callable] = {
    "view": shape.view, "expand": shape.expand, "repeat": shape.repeat,
    "contiguous": shape.contiguous_tensor,
    "view_as": lambda self, other: shape.view(self, tuple(other.shape)),
    "reshape_as": lambda self, other: shape.reshape(self, tuple(other.shape)),
    "expand_as": lambda self, other: shape.expand(self, tuple(other.shape)),
    "where": lambda self, condition, other: index.select_where(condition, self, other),
    "to": convert.to, "cpu": convert.cpu, "cuda": convert.cuda, "type_as": convert.type_as,
    **convert.CASTS,
    "new_zeros": _new(create.zeros), "new_ones": _new(create.ones),
    "new_empty": _new(create.empty), "new_full": _new(create.full),
    "new_tensor": _new(create.tensor),
    "backward": tensor_backward, "register_hook": register_hook,
    "retain_grad": retain_grad,
    "zero_": inplace.zero_, "fill_": inplace.fill_, "copy_": inplace.copy_,
    "uniform_": random.uniform_, "normal_": random.normal_,
}  # fmt: skip

# Methods with an in-place twin: x.add_(y) is x = x + y into x's memory.
INPLACE = (
    "add", "sub", "mul", "div", "pow", "neg", "abs", "sign", "floor", "ceil", "trunc", "round",
    "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "reciprocal", "square", "sin", "cos", "tanh",
    "sigmoid", "relu", "erf", "clamp", "remainder", "floor_divide", "masked_fill", "scatter",
    "scatter_add", "bitwise_and", "bitwise_or", "bitwise_xor",
)  # fmt: skip

INPLACE_OPERATORS = {
    "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
    "__ipow__": "pow_", "__imod__": "remainder_", "__ifloordiv__": "floor_divide_",
    "__iand__": "bitwise_and_", "__ior__": "bitwise_or_", "__ixor__": "bitwise_xor_",
}  # fmt: skip


PROPERTIES: dict[str, Callable] = {
    "T": shape.t,
    "mT": lambda self: shape.transpose(self, -2, -1),
}


def _attach() -> None:
    for table in (OPERATORS, METHODS, ONLY_METHODS):
        for name, function in table.items():
            setattr(Tensor, name, function)
    for name in INPLACE:
        setattr(Tensor, name + "_", inplace.inplace(METHODS[name], name + "_"))
    for operator, name in INPLACE_OPERATORS.items():
        setattr(Tensor, operator, getattr(Tensor, name))
    for name, function in PROPERTIES.items():
        setattr(Tensor, name, property(function))


_attach()
