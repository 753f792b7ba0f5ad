"""Arrays without numbers: they write down what a body computes.

A body is written against any array library, so it runs on these, too: on ``Traced``, of which each
is a step of the computation and knows only its dtype and its axes. Gradient rules are bodies as
well, and the walk back over the tape adds ``Traced`` up as it would arrays. So one pass forward and
one back over them yields all that a fused kernel has to compute, by the rules that there are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_floating, is_low_precision

from .axes import NUMBER, VIEW, Axis, Dimension, Step, Unfusable, parts_of, size_of, unite
from .described import Described
from .functions import FUNCTIONS, REDUCTIONS
from .open_numbers import is_open, value_of


class Traced(Described):
    """An array that writes down what is computed of it; a change in place makes another step."""

    __array_priority__ = 1000.0

    def __init__(self, op: str, inputs: tuple[Any, ...], dtype: Any, axes: Sequence[Dimension]):
        given = tuple(t.step if isinstance(t, Traced) else t for t in inputs)
        super().__init__(Step(op, given, dtype, axes))

    def copy(self) -> Traced:
        copied = Traced.__new__(Traced)
        Described.__init__(copied, self.step)
        return copied

    def astype(self, dtype: Any, copy: bool = True) -> Traced:
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self.copy() if copy else self
        return Traced("cast", (self,), dtype, self.axes)

    def fill(self, value: Any) -> None:
        self.change(full((), value, self.dtype))

    def change(self, value: Any) -> Traced:
        """Let the array be ``value`` from now on, in its own shape and dtype. Raises Unfusable
        where others that are in use would have to change with it."""
        if self.base is not None:
            raise Unfusable("a change in place of a tensor with views, or of a view")
        value = constant(value)
        if value.shape != self.shape:
            value = broadcast(value, self.shape)
        self.step = value.astype(self.dtype).step
        return self

    def reshape(self, *shape: Any) -> Traced:
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return reshaped(self, tuple(wanted))

    def squeeze(self, axis: Any = None) -> Traced:
        if axis is None:
            gone = [i for i, a in enumerate(self.axes) if not a]
        else:
            gone = [i % self.ndim for i in ((axis,) if isinstance(axis, int) else axis)]
        return seen(self, tuple(a for i, a in enumerate(self.axes) if i not in gone))

    def transpose(self, *order: Any) -> Traced:
        wanted = order[0] if len(order) == 1 and not isinstance(order[0], int) else order
        return seen(self, tuple(self.axes[i] for i in wanted or range(self.ndim)[::-1]))

    T = property(transpose)

    def __getitem__(self, index: Any) -> Traced:
        """Dimensions of size 1 between the others: all that a kernel knows of indexing."""
        given = index if isinstance(index, tuple) else (index,)
        if Ellipsis not in given:
            given = (*given, Ellipsis)
        rest = list(self.axes)
        behind = sum(i == slice(None) for i in given[given.index(Ellipsis) + 1 :])
        axes: list[Dimension] = []
        for i in given:
            if i is None:
                axes.append(())
            elif i is Ellipsis:
                axes += rest[: len(rest) - behind]
                rest = rest[len(rest) - behind :]
            elif i == slice(None) and rest:
                axes.append(rest.pop(0))
            elif i in (0, -1) and rest and not rest[0]:
                rest.pop(0)
            else:
                raise Unfusable("indexing")
        return seen(self, tuple(axes))

    def __setitem__(self, index: Any, value: Any) -> None:
        if index is not Ellipsis:
            raise Unfusable("writing to a part of a tensor")
        self.change(value)

    def sum(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False
    ) -> Any:
        return reduced("sum", self, axis, keepdims)

    def max(self, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
        return reduced("max", self, axis, keepdims)

    def min(self, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
        return reduced("min", self, axis, keepdims)

    def mean(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False
    ) -> Any:
        total = reduced("sum", self, axis, keepdims)
        return total / (self.size // max(total.size, 1))

    # ---- NumPy's functions

    def __array_ufunc__(
        self, ufunc: Any, method: str, *given: Any, out: Any = None, **rest: Any
    ) -> Any:
        if method == "reduce" and ufunc.__name__ in _UFUNC_REDUCTIONS:
            name = _UFUNC_REDUCTIONS[ufunc.__name__]
            return reduced(name, given[0], rest.get("axis", 0), rest.get("keepdims", False))
        if method != "__call__":
            raise Unfusable(f"numpy.{ufunc.__name__}.{method}")
        if rest.keys() - {"dtype", "casting"}:
            raise Unfusable(f"numpy.{ufunc.__name__} with {', '.join(rest)}")
        result = applied(ufunc.__name__, *given)
        if rest.get("dtype") is not None:
            result = result.astype(rest["dtype"])
        return result if out is None else out[0].change(result)

    def __array_function__(self, function: Any, types: Any, given: Any, options: Any) -> Any:
        known = _ARRAY_FUNCTIONS.get(function.__name__)
        if known is None:
            raise Unfusable(f"numpy.{function.__name__}")
        return known(*given, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("item", "tolist", "get"):
            raise Unfusable("the value of a tensor")
        raise Unfusable(f"the array's .{name}")

    def __bool__(self) -> bool:
        raise Unfusable("a decision by the values of a tensor")

    __int__ = __float__ = __index__ = __iter__ = __bool__  # type: ignore[assignment]

    def __hash__(self) -> int:
        return id(self)


_UFUNC_REDUCTIONS = {"add": "sum", "maximum": "max", "minimum": "min"}

_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "pow": "power",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}


def _operators() -> None:
    for word, function in _OPERATORS.items():
        setattr(Traced, f"__{word}__", lambda a, b, f=function: applied(f, a, b))
        if word not in ("lt", "le", "gt", "ge", "eq", "ne"):
            setattr(Traced, f"__r{word}__", lambda a, b, f=function: applied(f, b, a))
            setattr(Traced, f"__i{word}__", lambda a, b, f=function: a.change(applied(f, a, b)))
    for word, function in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
        setattr(Traced, f"__{word}__", lambda a, f=function: applied(f, a))


_operators()


def constant(value: Any) -> Any:
    """A number, of which arrays of one element are some."""
    if isinstance(value, np.ndarray) and value.size == 1:
        shaped = value.reshape(())[()]
        return Traced(NUMBER, (shaped.item(),), shaped.dtype, ((),) * value.ndim)
    if isinstance(value, np.generic):
        return Traced(NUMBER, (value.item(),), value.dtype, ())
    if isinstance(value, (bool, int, float, Traced)):
        return value
    raise Unfusable(f"an array of shape {np.shape(value)} that is no argument")


def _merged(operands: Sequence[Any]) -> list[Dimension]:
    """The dimensions of what is made element by element of operands, which are broadcast."""
    shapes = [v.axes for v in operands if isinstance(v, Traced)]
    merged: list[Dimension] = [()] * max(map(len, shapes), default=0)
    for axes in shapes:
        for i in range(1, len(axes) + 1):
            one, two = merged[-i], axes[-i]
            if not one:
                merged[-i] = two
            elif two:
                if size_of(one) != size_of(two):
                    found = " ".join(str(v.shape) for v in operands if isinstance(v, Traced))
                    raise ValueError(
                        f"operands could not be broadcast together with shapes {found}"
                    )
                unite(one, two)
    return merged


def applied(name: str, *given: Any) -> Traced:
    """The function of this name (NumPy's names), element by element."""
    name = "absolute" if name == "abs" else name
    function = FUNCTIONS.get(name)
    if function is None:
        raise Unfusable(name)
    operands = tuple(map(constant, given))
    kinds = [v.dtype if isinstance(v, Traced) else value_of(v) for v in operands]
    dtype = function.dtype(*kinds)
    product = _PRODUCTS.get(given[1]) if name == "power" and _is_fixed(given[1]) else None
    if product is not None:
        return constant(product(operands[0])).astype(dtype)
    if not function.long:
        return Traced(name, operands, dtype, _merged(operands))
    kind = np.dtype(np.float32) if is_low_precision(dtype) else dtype  # of one dtype, all of them
    same = tuple(v.astype(kind) if isinstance(v, Traced) else v for v in operands)
    return Traced(name, same, kind, _merged(same)).astype(dtype)


def _is_fixed(given: Any) -> bool:
    return isinstance(given, (int, float)) and not is_open(given)


# Powers that are products: by their exponents.
_PRODUCTS: dict[float, Callable] = {
    -1: partial(applied, "reciprocal"),
    0.5: partial(applied, "sqrt"),
    1: partial(applied, "positive"),
    2: partial(applied, "square"),
    3: lambda x: x * x * x,
}


def reduced(name: str, x: Any, axis: Any, keepdims: bool) -> Any:
    """The sum, or the largest or smallest, over some dimensions."""
    x = constant(x)
    if is_low_precision(x.dtype):
        return reduced(name, x.astype(np.float32), axis, keepdims).astype(x.dtype)
    if name != "sum" and x.itemsize < 4:  # threads exchange words of four bytes
        return reduced(name, x.astype(np.int32), axis, keepdims).astype(x.dtype)
    if axis is None:
        axis = tuple(range(x.ndim))
    gone = {i % x.ndim for i in ((axis,) if isinstance(axis, int) else axis)} if x.ndim else set()
    over = tuple(axis for i, a in enumerate(x.axes) if i in gone for axis in a)
    kept = tuple(() if i in gone else a for i, a in enumerate(x.axes))
    if over:
        x = Traced(name, (x, over), REDUCTIONS[name](x.dtype), kept)
    elif name == "sum":
        x = x.astype(REDUCTIONS[name](x.dtype))
    return x if keepdims else seen(x, tuple(a for i, a in enumerate(kept) if i not in gone))


def seen(x: Traced, axes: Sequence[Dimension]) -> Traced:
    """The same numbers, their dimensions in another order, or others of size 1 among them."""
    if tuple(axes) == x.axes:
        return x
    view = Traced(VIEW, (x,), x.dtype, axes)
    view.lie_with(x)
    return view


def reshaped(x: Traced, shape: tuple[int, ...]) -> Traced:
    if -1 in shape:
        known = -math.prod(shape)
        shape = tuple(x.size // known if n == -1 and known else n for n in shape)
    rest = parts_of(x.axes)[::-1]
    axes = []
    for n in shape:
        dimension: list[Axis] = []
        missing = n
        while missing > 1 and rest:
            part = rest.pop()
            if missing % part.size:
                if part.size % missing:
                    raise Unfusable(f"a reshape of {x.shape} to {shape}")
                inner = Axis(part.size // missing)
                outer = Axis(missing)
                part.become(outer, inner)
                rest.append(inner)
                part = outer
            dimension.append(part)
            missing //= part.size
        axes.append(tuple(dimension))
    return seen(x, axes)


def broadcast(x: Any, shape: Any) -> Any:
    shape = tuple(shape) if not isinstance(shape, int) else (shape,)
    own = ((),) * (len(shape) - x.ndim) + x.axes
    return seen(x, [(Axis(n),) if not a and n != 1 else a for a, n in zip(own, shape, strict=True)])


def clipped(x: Any, low: Any = None, high: Any = None) -> Any:
    if low is not None:
        x = applied("maximum", x, low)
    return x if high is None else applied("minimum", x, high)


def full(shape: Any, value: Any, dtype: Any = np.float64, **options: Any) -> Any:
    kind = np.dtype(dtype)
    if not (is_open(value) and is_floating(kind)):
        value = kind.type(value).item()
    return broadcast(Traced(NUMBER, (value,), kind, ()), shape)


def _full_like(x: Traced, value: Any, dtype: Any = None, **options: Any) -> Any:
    return full(x.shape, value, dtype or x.dtype)


_ARRAY_FUNCTIONS: dict[str, Callable] = {
    "where": partial(applied, "where"),
    "clip": lambda x, a_min=None, a_max=None, **_: clipped(x, a_min, a_max),
    "sum": lambda x, axis=None, keepdims=False, **_: reduced("sum", x, axis, keepdims),
    "max": lambda x, axis=None, keepdims=False, **_: reduced("max", x, axis, keepdims),
    "amax": lambda x, axis=None, keepdims=False, **_: reduced("max", x, axis, keepdims),
    "min": lambda x, axis=None, keepdims=False, **_: reduced("min", x, axis, keepdims),
    "amin": lambda x, axis=None, keepdims=False, **_: reduced("min", x, axis, keepdims),
    "reshape": lambda x, shape, **_: reshaped(x, shape),
    "broadcast_to": lambda x, shape, **_: broadcast(x, shape),
    "expand_dims": lambda x, axis: x[(slice(None),) * (axis % (x.ndim + 1)) + (None,)],
    "squeeze": Traced.squeeze,
    "transpose": lambda x, axes=None: x.transpose(axes or ()),
    "zeros_like": lambda x, dtype=None, **_: _full_like(x, 0, dtype),
    "ones_like": lambda x, dtype=None, **_: _full_like(x, 1, dtype),
    "full_like": _full_like,
    "copy": lambda x, **_: x.copy(),
    "copyto": lambda to, x, **_: to.change(x),
    "shape": operator.attrgetter("shape"),
    "ndim": operator.attrgetter("ndim"),
}
