"""Operations that change their tensor: computed like the others, then written over it.

``x.add_(y)`` is ``x = x + y`` into the same memory. The tape keeps the order straight: the tensor
goes on as the result's successor, what it was before stays on the tape under its old node, and
anything that saved the overwritten values raises at backward. Where ``x`` is a view, or has views,
all that share the changed memory go on too: the tensor viewed as one of which a region has been
replaced, its other views as parts of that (see ``strided``).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from tapegrad.core.devices import CPU
from tapegrad.core.dtypes import float64
from tapegrad.core.modes import enable_grad
from tapegrad.core.quiet import noisy
from tapegrad.core.tape import array_function, is_recording
from tapegrad.core.tensor import Leaf, Storage, Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.in_c import in_c
from tapegrad.ops.common.scalars import fit_number
from tapegrad.ops.common.writable import check_writable, has_history
from tapegrad.ops.movement import strided
from tapegrad.ops.pointwise.elementwise import where
from tapegrad.ops.pointwise.lerp import float_power

from .subscript import plain_index, setitem_copy, storable, write
from .where import fill


def snapshot(x: Tensor, copy: bool = False) -> Tensor:
    """The tensor as it is now, to be read by the operation that overwrites it; as a copy if the
    tape may keep it."""
    if x._storage is None:
        x._storage = Storage()
    before = wrap(x._array.copy() if copy else x._array, x._device)
    if not copy:
        before._storage = x._storage
    before._node = x._node
    base = x._base
    if before._node is None and base is not None and is_recording(base):
        # a view from under no_grad()
        before._node = strided.record_region_read(snapshot(base), x)._node
    return before


def write_result(x: Tensor, result: Tensor, op: str) -> Tensor:
    """Write ``result`` into ``x``'s memory and let ``x``, and all that share its memory, continue
    from there.

    Raises RuntimeError for a leaf that requires grad (or a view of one) while the tape records, a
    result that does not fit, and an expanded tensor.
    """
    check_writable(x, op, result)
    if result._device is not x._device:
        raise RuntimeError(
            f"[{op}] all tensors must be on one device: the result is on {result._device}, the "
            f"tensor that it must replace on {x._device}"
        )
    if result.shape != x.shape:
        raise RuntimeError(
            f"[{op}] the result has shape {tuple(result.shape)} and does not fit the tensor of "
            f"shape {tuple(x.shape)} that it must replace"
        )
    loses_fraction = result.is_floating_point() and not x.is_floating_point()
    if loses_fraction or (x.dtype.kind == "b" and result.dtype.kind != "b"):
        raise RuntimeError(
            f"[{op}] the result is {result.dtype.name} and cannot be stored as {x.dtype.name}"
        )
    if result.requires_grad and result.dtype != x.dtype:
        result = result.to(x.dtype)
    if has_history(x, result):
        rebase_history(x, result)
    x._array[...] = result._array
    x._bump(op)
    return x


def rebase_history(x: Tensor, result: Tensor) -> None:
    """Let ``x`` be ``result`` from now on. If it is a view, that is a replaced region of its base,
    from which it, and what else shows the region, is read anew."""
    if not result.requires_grad:  # what x was has gradient 0 from here on
        never = wrap(x._device.asarray(False), x._device)
        result = where(never, snapshot(x), result.to(x.dtype))
    base = x if x._base is None else x._base
    if base is x:
        _take_node(x, result._node)
    else:
        _take_node(base, strided.record_region_write(snapshot(base), x, result)._node)
        _take_node(x, strided.record_region_read(snapshot(base), x)._node)
    for view in [] if x._storage is None else x._storage.to_renew(base, x):
        if type(view._node) is not Leaf:
            _take_node(view, strided.record_region_read(snapshot(base), view)._node)


def _take_node(x: Tensor, node: Any) -> None:
    """Let ``x`` be the result of ``node`` from now on; retain_grad() stays with the tensor."""
    if x._retains_grad and x._node is not None:
        x._node.retained_by = None
        node.retained_by, node.watched = weakref.ref(x), True
    x._node = node


# What computes straight into memory, without a result that is copied there.
_ARITHMETIC = {"add_": "add", "sub_": "subtract", "mul_": "multiply", "div_": "divide"}


def _change_at_once(x: Tensor, op: str, args: tuple, alpha: Any = 1, **options: Any) -> bool:
    """Make ``x`` what arithmetic makes of it, or do nothing: this is for floats on the CPU, no
    narrower than float32, with numbers or tensors like them, off the tape."""
    array, other = x._array, args[0] if len(args) == 1 else None
    if x._device is not CPU or array.dtype.kind != "f" or array.dtype.itemsize < 4 or options:
        return False
    if isinstance(other, Tensor):
        value, numbers = other._array, [alpha]
        alike = other._device is CPU and value.dtype is array.dtype
        if not alike or (value.shape != array.shape and value.ndim):
            return False
    else:
        value, numbers = other, [other, alpha]
    scales = op in ("add_", "sub_") and value is not other
    if not all(n.__class__ in (int, float) and abs(n) < 1e30 for n in numbers):
        return False  # or it may not fit
    if (alpha != 1 and not scales) or has_history(x, other) or noisy():
        return False
    check_writable(x, op)
    if alpha == 1:
        CPU.ops[_ARITHMETIC[op]](array, value, out=array)
    else:
        CPU.ops["add_scaled"](array, value, alpha if op == "add_" else -alpha, out=array)
    x._bump(op)
    return True


@array_function
def add_scaled(xp: Any, x: Any, other: Any, factor: float, *, out: Any) -> Any:
    """x + factor * other, written into ``out``."""
    return xp.library.add(x, xp.library.multiply(other, factor), out=out)


def inplace(function: Callable, name: str | None = None, reads_values: bool = True) -> Callable:
    """The in-place form of a function whose first argument is the tensor; ``reads_values``: its
    gradient may need the values that are written over."""
    op = name or f"{function.__name__}_"

    at_once = op in _ARITHMETIC

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        require_tensor(op, self)
        if at_once and _change_at_once(self, op, args, **kwargs):
            return self
        before = snapshot(self, copy=reads_values and is_recording(self, *args, *kwargs.values()))
        # x.mul_(x): the node of the new x must not refer to x
        args = tuple([before if arg is self else arg for arg in args])
        return write_result(self, function(before, *args, **kwargs), op)

    method.__name__ = method.__qualname__ = op
    method.__doc__ = (
        f"In-place version of ``{op.rstrip('_')}``: returns the tensor. Raises RuntimeError where "
        "the result has another shape or a dtype that does not fit, and as ``zero_`` does."
    )
    method.__wrapped__ = function  # type: ignore[attr-defined]  # so help() shows its arguments
    any_function = "in_place" if reads_values else "in_place.linear"
    return in_c(method, function, None, f"in_place.{op}", any_function)


def overwrite(x: Tensor, op: str, fill: Callable[[Any], None]) -> Tensor:
    """Change the values to some that depend on no tensor."""
    require_tensor(op, x)
    check_writable(x, op)
    if has_history(x):
        result = wrap(x._array.copy(), x._device)
        fill(result._array)
        return write_result(x, result, op)
    fill(x._array)
    x._bump(op)
    return x


def zero_(self: Tensor) -> Tensor:
    """Set every element to 0 and return the tensor. Raises RuntimeError for a leaf that requires
    grad while the tape records, and for an expanded tensor, as all that changes in place does."""
    return overwrite(self, "zero_", lambda a: a.fill(0))


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to ``value``, a number or a 0-d tensor; returns and raises what ``zero_``
    does."""
    require_tensor("fill_", self)
    if is_recording(value):
        return write_result(self, fill(snapshot(self), value), "fill_")
    number = fit_number("fill_", value, self.dtype)
    return overwrite(self, "fill_", lambda a: a.fill(number))


def copy_(self: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """Copy ``source`` (broadcast, converted, from any device) into this tensor; returns and raises
    what ``zero_`` does."""
    if not isinstance(source, Tensor):
        raise TypeError(f"[copy_] expects a Tensor, got {type(source).__name__}")
    source = source.to(device=self.device, dtype=self.dtype)
    return write_result(self, source.expand(tuple(self.shape)), "copy_")


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """``x[index] = value``, a number, tensor, array or list that broadcasts to ``x[index]``. Raises
    IndexError as ``x[index]`` does, RuntimeError for other shapes and as ``zero_`` does, and for a
    tensor on another device (but for a 0-d one on the CPU), TypeError for anything but numbers."""
    check_writable(self, "setitem", value)
    if has_history(self, value):
        write_result(self, setitem_copy(snapshot(self), index, value), "setitem")
        return
    steps = plain_index("setitem", self, index)
    value = storable(value, self)
    write(self._device.xp, self._array, steps, value._array if isinstance(value, Tensor) else value)
    self._bump("setitem")


def restride(function: Callable, name: str) -> Callable:
    """The in-place form of a view: the tensor itself gets the view's shape and strides; its memory
    stays as it is."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        require_tensor(name, self)
        if has_history(self) and self.is_leaf:
            raise RuntimeError(
                f"[{name}] a leaf tensor that requires grad cannot be changed in place while the "
                "tape records: do it under tapegrad.no_grad()"
            )
        with enable_grad():  # or the history of what it was would be that of another shape
            view = function(snapshot(self), *args, **kwargs)
        if not self.is_leaf:
            _take_node(self, view._node)
        self._array = view._array
        self._renew_leaf()
        self._bump(name, values=False)  # who saved this tensor saved one of another shape
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = (
        f"In-place version of ``{name.rstrip('_')}``: only shape and strides change. Raises "
        "RuntimeError for a leaf that requires grad while the tape records."
    )
    return method


def float_power_(self: Tensor, exponent: Any) -> Tensor:
    """``float_power``, written over a float64 tensor. Raises RuntimeError for others."""
    if self.dtype != float64:
        raise RuntimeError(
            f"[float_power_] the result is float64 and cannot be stored as {self.dtype.name}: "
            "use float_power(), or pow_()"
        )
    return inplace(float_power, "float_power_")(self, exponent)
