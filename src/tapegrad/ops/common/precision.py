"""What is computed in more digits than its dtype has: 16-bit floats, which are for storage, in
float32, and special functions in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float32, float64, is_low_precision
from tapegrad.core.memory import Array, has_values
from tapegrad.core.primitive import signature
from tapegrad.core.tensor import Tensor


def in_float32(body: Callable) -> Callable:
    """Run a body on float32 copies of its float16 and bfloat16 inputs, and store its result, or
    the tuple of its results, in their dtype again. Extras (means, norms) stay float32."""
    return _of_float32(body, body)


def in_float32_anew(body: Callable) -> Callable:
    """Likewise, but call the operation of the body's name again: for those of which a device has
    something faster than the body, for float32 only."""
    name = body.__name__

    def anew(xp: Any, *arrays: Array, **parameters: Any) -> Any:
        return getattr(xp, name)(*arrays, **parameters)

    return _of_float32(body, anew)


def _of_float32(body: Callable, run: Callable) -> Callable:
    @wraps(body)
    def widened(xp: Any, *arrays: Array, **parameters: Any) -> Any:
        narrow = [a.dtype for a in arrays if hasattr(a, "dtype") and is_low_precision(a.dtype)]
        if not narrow:
            return body(xp, *arrays, **parameters)
        result = run(xp, *[_wide(xp, a) for a in arrays], **parameters)
        if isinstance(result, tuple):
            return (_narrow(xp, result[0], narrow[0]), *result[1:])
        return _narrow(xp, result, narrow[0])

    return _by_size(body, widened)


_HAS_OPTIONS = 0x08  # the flag of a function that takes **options


def _by_size(body: Callable, widened: Callable) -> Callable:
    """``body`` where the numbers of its first array have more than two bytes, else ``widened``.
    Compiled with the body's own arguments: handing on all there are costs a quarter of a small
    operation."""
    positional, keywords, variadic = signature(body)
    first = positional[1] + ("[0]" if variadic and len(positional) == 2 else "")
    taken = [*positional[:-1], f"*{positional[-1]}"] if variadic else positional
    rest = ["**rest"] if body.__code__.co_flags & _HAS_OPTIONS else []
    declared = [*taken, *(["*"] if keywords and not variadic else []), *keywords, *rest]
    given = ", ".join([*taken, *(f"{name}={name}" for name in keywords), *rest])
    choose = _compiled(
        f"def make(_body, _widened):\n"
        f"    def choose({', '.join(declared)}):\n"
        f"        return (_body if {first}.itemsize > 2 else _widened)({given})\n"
        "    return choose\n"
    )(body, widened)
    choose.__defaults__, choose.__kwdefaults__ = body.__defaults__, body.__kwdefaults__  # type: ignore
    return wraps(body)(choose)


@cache
def _compiled(source: str) -> Callable:
    """The maker that a source defines: bodies of one shape share it."""
    namespace: dict[str, Any] = {}
    exec(compile(source, __file__, "exec"), namespace)
    return namespace["make"]


def to_float32(rule: Callable) -> Callable:
    """Let a gradient rule, ``rule(xp, g, ...)``, compute with float32 copies of its 16-bit floats.
    Its result stays float32: the engine sums it where its input was broadcast, adds what else
    arrives, and rounds it. (So do bodies whose results are still to be added up.)"""

    @wraps(rule)
    def widened(xp: Any, *given: Any, **parameters: Any) -> Any:
        return rule(xp, *[_wide(xp, value) for value in given], **parameters)

    return widened


def to_float64(rule: Callable) -> Callable:
    """The rule of a function that is computed ``in_float64``, likewise."""

    @wraps(rule)
    def widened(xp: Any, *given: Any) -> Any:
        return rule(xp, *[_wide(xp, value, float64) for value in given])

    return widened


def wide(xp: Any, *arrays: Array) -> list:
    """Float32 copies of arrays of 16-bit floats: for a rule that is told the result, which is
    rounded, or beyond the range, and computes it again."""
    return [_wide(xp, a) for a in arrays]


def _wide(xp: Any, value: Any, dtype: Any = float32) -> Any:
    given = getattr(value, "dtype", None)
    if given is None or given.kind not in "fV" or given.itemsize >= dtype.itemsize:
        return value
    return xp.cast(value, dtype=dtype)


# In a body, for a result on the way that nothing else needs. On arrays it is overwritten, which is
# faster by a fifth in layer norm; on Tensors it is kept, as their rules may need it.


def times(x: Any, factor: Any) -> Any:
    """x * factor, in x's place if that is an array."""
    if isinstance(x, Tensor):
        return x * factor
    x *= factor
    return x


def plus(x: Any, term: Any) -> Any:
    """x + term, likewise."""
    if isinstance(x, Tensor):
        return x + term
    x += term
    return x


# On the CPU so many elements at a time, that the many arrays on the way stay in its cache.
_BLOCK = 8192


def in_float64(body: Callable) -> Callable:
    """Run a body on float64 copies of its inputs, all of one dtype, and store its result in that
    dtype again: functions with poles and cancellations keep all digits of float32."""

    def widened(xp: Any, arrays: Sequence[Any], parameters: dict) -> Any:
        return body(xp, *[a.astype(float64, copy=False) for a in arrays], **parameters)

    @wraps(body)
    def whole(xp: Any, *arrays: Array, **parameters: Any) -> Any:
        dtype = arrays[0].dtype
        if not isinstance(arrays[0], np.ndarray) or max(a.size for a in arrays) <= _BLOCK:
            return widened(xp, arrays, parameters).astype(dtype, copy=False)
        arrays = np.broadcast_arrays(*arrays)  # type: ignore[assignment]
        result = np.empty_like(arrays[0], dtype, "C", shape=arrays[0].shape)
        flat, arrays = result.reshape(-1), [a.reshape(-1) for a in arrays]  # type: ignore
        for i in range(0, result.size, _BLOCK):
            flat[i : i + _BLOCK] = widened(xp, [a[i : i + _BLOCK] for a in arrays], parameters)
        return result

    return whole


_FEW = 128  # this many additions of float32 in a row lose little
_SMALL = 2048


def stable_sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum, in x's own dtype. (NumPy's method widens small integers, and warns of overflow from
    a module of NumPy's, past tapegrad's filter.)"""
    if not isinstance(x, np.ndarray):
        return x.sum(axis=axis, keepdims=keepdims, dtype=x.dtype)
    if x.size > _SMALL and x.dtype.kind == "f":
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        last = x.flags.c_contiguous and tuple(axes) == tuple(range(x.ndim - len(axes), x.ndim))
        if not last and math.prod([x.shape[i] for i in axes]) > _FEW:
            return _in_blocks(x, axes, keepdims)
    return np.add.reduce(x, axis=axis, keepdims=keepdims, dtype=x.dtype)  # type: ignore


def stable_mean(x: Any, axis: Any, keepdims: bool, count: Any) -> Any:
    """``stable_sum`` divided by a count; where that overflows, the sum of what is divided first. (A
    GPU, which nobody asks, adds up in float64.)"""
    if not isinstance(x, (np.ndarray, np.generic, Tensor)) and x.dtype == float32:
        return (x.sum(axis=axis, keepdims=keepdims, dtype=float64) / count).astype(float32)
    y = stable_sum(x, axis, keepdims) / count
    return y if not count or all_finite(y) else stable_sum(x / count, axis, keepdims)


def all_finite(y: Any) -> bool:
    """Whether all numbers, and their sum, are finite. (Nobody asks a GPU, as that would mean
    waiting for it.)"""
    y = y._array if isinstance(y, Tensor) else y
    if not has_values(y):
        return True
    return math.isfinite(y.item() if y.size == 1 else np.add.reduce(y, axis=None))


def _all_between(y: Any, low: float, high: float) -> bool:
    """Whether all numbers of an array of the CPU are."""
    if isinstance(y, np.generic) or (isinstance(y, np.ndarray) and y.size == 1):
        return low < y.item() < high
    return not y.size or bool(
        low < np.minimum.reduce(y, axis=None) and np.maximum.reduce(y, axis=None) < high
    )


def root_of_squares(xp: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """The square root of the sum of squares, which may leave the range: then x is divided by a
    power of two first."""
    squares = stable_sum(x * x, axis, keepdims)
    if keeps_digits(xp, squares):
        return xp.sqrt(squares)
    if not x.size:
        return squares
    scale = _power_of_two(xp, x, axis)
    x = x / scale
    root = xp.sqrt(stable_sum(x * x, axis, True)) * scale
    return root if keepdims else root.squeeze(axis)


def keeps_digits(xp: Any, squares: Any) -> bool:
    """Whether sums of squares have not overflowed, nor lost small terms that count. False on a GPU,
    which does not wait for the answer, and computes the longer way."""
    if isinstance(squares, Tensor):
        xp, squares = squares._device.xp, squares._array
    if not has_values(squares) or not xp.on_host:
        return False
    return _all_between(squares, *_digits_kept(squares.dtype))


@cache
def _digits_kept(dtype: Any) -> tuple[float, float]:
    limits = np.finfo(dtype)
    return float(limits.tiny / limits.eps**2), float(limits.max)


def _power_of_two(xp: Any, x: Array, axis: Any) -> Array:
    """Below the largest |x| along the dimensions, which are kept; 1 where that is 0, infinite or
    nan."""
    top = xp.library.abs(x).max(axis=axis, keepdims=True)
    exponent = xp.library.frexp(top)[1] - 1
    ordinary = xp.library.isfinite(top) & (top > 0)
    one = xp.library.ones_like(top)
    return xp.library.ldexp(one, xp.library.where(ordinary, exponent, 0).astype("int32"))


def largest(x: Any, axis: int) -> Any:
    """The maximum of floats along a dimension, which is kept; -inf for an empty one. (From -inf on,
    NumPy takes half the time that it takes from the first elements on.)"""
    if isinstance(x, np.ndarray):
        return np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    return x.max(axis=axis, keepdims=True)


def _in_blocks(x: Any, axes: Sequence[int], keepdims: bool) -> Any:
    """A sum over other dimensions than the last in memory. NumPy adds those up one by one (it sums
    pairwise only along contiguous memory), and millions of float32 additions in a row lose every
    digit. So a long dimension is folded into at most _FEW blocks, which are added, then the sum of
    the blocks likewise, until it is short."""
    for axis in sorted(axes, key=lambda i: -x.shape[i]):
        before = (slice(None),) * axis
        while (n := x.shape[axis]) > _FEW:
            block = -(-n // _FEW)
            end = n // block * block
            shape = (*x.shape[:axis], n // block, block, *x.shape[axis + 1 :])
            blocks = x[before + (slice(end),)].reshape(shape)
            sums = np.add.reduce(blocks, axis=axis)
            sums[before + (slice(n - end),)] += x[before + (slice(end, None),)]
            x = sums
        x = np.add.reduce(x, axis=axis, keepdims=True)
    return x if keepdims else x.squeeze(tuple(axes))


def _narrow(xp: Any, result: Any, dtype: Any) -> Any:
    """(None is the gradient of an input that needs none.)"""
    if isinstance(result, tuple):
        return tuple([_narrow(xp, part, dtype) for part in result])
    if result is None or result.dtype != float32:
        return result
    return xp.cast(result, dtype=dtype)


def divided(xp: Any, g: Array, count: int) -> Any:
    """A gradient by a number of elements, which 16 bits may not hold."""
    if not is_low_precision(g.dtype):
        return xp.divide(g, count)
    return xp.cast(xp.divide(xp.cast(g, dtype=float32), count), dtype=g.dtype)


def compute_in_float32(composition: Callable) -> Callable:
    """Let a composition of operations on 16-bit tensors compute in float32, so that nothing on the
    way is rounded or overflows. Tensors of several dtypes it gets as they are, and all if it is
    told a dtype."""

    @wraps(composition)
    def widened(*args: Any, **options: Any) -> Any:
        for value in args:  # the usual case is found out at once
            if isinstance(value, Tensor):
                if value._array.dtype.kind == "f" and value._array.dtype.itemsize > 2:
                    return composition(*args, **options)
                break
        tensors = [t for v in (*args, *options.values()) for t in _tensors(v)]
        floats = {t.dtype for t in tensors if t.is_floating_point()}
        dtype = floats.pop() if len(floats) == 1 else None
        if dtype is None or not is_low_precision(dtype) or options.get("dtype") is not None:
            return composition(*args, **options)
        wide = [_widened(a, dtype) for a in args]
        result = composition(*wide, **{name: _widened(v, dtype) for name, v in options.items()})
        if isinstance(result, tuple):
            return tuple([_narrowed(t, dtype) for t in result])
        return _narrowed(result, dtype)

    return widened


def _tensors(value: Any) -> list[Tensor]:
    values = value if isinstance(value, (list, tuple)) else (value,)
    return [v for v in values if isinstance(v, Tensor)]


def _widened(value: Any, dtype: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(float32) if value.dtype == dtype else value
    if isinstance(value, (list, tuple)) and _tensors(value):
        return [_widened(v, dtype) for v in value]
    return value


def _narrowed(result: Tensor, dtype: Any) -> Tensor:
    return result.to(dtype) if result.dtype == float32 else result
