"""The array of the stand-in for CuPy (see strict_cupy.py): NumPy's behind a door."""

from __future__ import annotations

import ctypes
import functools
import gc
import math
import warnings
from typing import Any

import cupy_surface
import numpy as np
from strict_cuda import Capture, Device, Memory, current, refuse_in_capture

from tapegrad.cuda.recorded import WAITING, Recorded, computing

SURFACE = cupy_surface.read()
FUNCTIONS: dict[str, Any] = {}  # by name, of the module: operators call them


class Flags:
    def __init__(self, a: np.ndarray, owns: bool):
        self.c_contiguous, self.f_contiguous = a.flags.c_contiguous, a.flags.f_contiguous
        self.owndata = owns


class Pointer:
    """Where an array begins, and what keeps its memory."""

    def __init__(self, array: ndarray, offset: int = 0):
        self.array, self.ptr, self.mem = array, array._a.ctypes.data + offset, array._memory
        self.device_id = array._memory.device

    def __add__(self, offset: int) -> Pointer:
        return Pointer(self.array, self.ptr + offset - self.array._a.ctypes.data)


def elsewhere(place: Pointer, shape: Any, dtype: np.dtype, strides: Any) -> np.ndarray:
    """NumPy's array over the memory there, whatever its owner's layout."""
    owner = root(place.array._a)
    lowest, highest = np.lib.array_utils.byte_bounds(owner)
    memory = (ctypes.c_char * (highest - lowest)).from_address(lowest)
    memory.owner = owner  # kept alive with it
    return noted(np.ndarray(shape, dtype, memory, place.ptr - lowest, strides))


def noted(a: np.ndarray) -> np.ndarray:
    """Of a stream that is captured, the array through which calls are noted."""
    return a.view(Recorded) if computing else a


def own(a: Any) -> ndarray:
    """An array with memory of its own."""
    result = ndarray.__new__(ndarray)
    result._a, result.base, result._memory = a, None, Memory(a.nbytes)
    return result


def view_of(owner: ndarray, a: np.ndarray) -> ndarray:
    result = ndarray.__new__(ndarray)
    result._a, result._memory = a, owner._memory
    result.base = owner if owner.base is None else owner.base
    return result


def root(a: Any) -> Any:
    """The array that owns the memory, also behind ``elsewhere``."""
    while isinstance(base := getattr(a.base, "owner", a.base), np.ndarray):
        a = base
    return a


class ndarray:
    """The array. ``_a`` is NumPy's, which nobody else should touch."""

    __slots__ = ("__weakref__", "_a", "_memory", "base")
    __array_priority__ = 100

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None,
                 order: str = "C"):  # fmt: skip
        if memptr is None:
            sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
            self._memory = Memory(math.prod(sizes) * np.dtype(dtype).itemsize)
            self._a = np.empty(shape, dtype, order)
            self._a.reshape(-1, order=order).view(np.uint8).fill(0xFF)
            self._a = noted(self._a)
        else:
            self._a = elsewhere(memptr, shape, np.dtype(dtype), strides)
            self._memory = memptr.mem
        self.base = None  # also where it is a view

    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    itemsize = property(lambda self: self._a.itemsize)
    nbytes = property(lambda self: self._a.nbytes)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: Flags(self._a, self.base is None))
    data = property(lambda self: Pointer(self))
    device = property(lambda self: Device(self._memory.device))
    T = property(lambda self: self if self.ndim < 2 else view_of(self, self._a.T))
    mT = property(lambda self: view_of(self, self._a.mT))

    @property
    def shape(self) -> tuple:
        return self._a.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        probe = self._a.view()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            probe.shape = shape
        self._a = probe

    @property
    def __cuda_array_interface__(self) -> dict:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "strides": None if self._a.flags.c_contiguous else self.strides,
            "data": (self.data.ptr if self.size else 0, False),
            "version": 3,
            "stream": 1,
        }

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use .get()")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or ufunc.__name__ not in FUNCTIONS:
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        for x in (*inputs, kwargs.get("out")):
            if x is not None and not isinstance(x, (ndarray, np.ndarray, np.generic, *NUMBERS)):
                return NotImplemented
        return FUNCTIONS[ufunc.__name__](*inputs, **kwargs)

    def __array_function__(self, func: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        ours = FUNCTIONS.get(func.__name__, func)
        return NotImplemented if ours is func else ours(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        words = SURFACE.get(("method", name))
        if words is None:
            raise AttributeError(f"cupy.ndarray has no attribute {name!r}")
        return functools.partial(_method, self, name, tuple(words))

    # ------------------------------------------------------------------ reading and writing

    def __getitem__(self, index: Any) -> ndarray:
        parts, basic = index_of(self, index)
        if basic:
            part = self._a[parts]
            return view_of(self, part if isinstance(part, np.ndarray) else self._a[(*parts, ...)])
        return own(np.asarray(self._a[parts]))

    def __setitem__(self, index: Any, value: Any) -> None:
        parts, basic = index_of(self, index, writes=True)
        if basic and not isinstance(value, (ndarray, np.generic, *NUMBERS)) and np.ndim(value):
            raise ValueError(f"{type(value).__name__} cannot be written by a basic index")
        self._a[parts] = plain(value) if isinstance(value, ndarray) else value

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        return len(self._a)

    def __bool__(self) -> bool:
        refuse_in_capture("bool(array)")
        return bool(self._a)

    def __int__(self) -> int:
        refuse_in_capture("int(array)")
        return int(self._a)

    def __float__(self) -> float:
        refuse_in_capture("float(array)")
        return float(self._a)

    def __repr__(self) -> str:
        return repr(self._a)

    __hash__ = None  # type: ignore[assignment]

    # ------------------------------------------------------------------ what differs from NumPy

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True):
        refuse_in_capture("get()")
        return np.array(self._a, order=order)

    def set(self, arr: Any, stream: Any = None) -> None:
        refuse_in_capture("set()")
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise ValueError(f"{arr.dtype} {arr.shape} set to {self.dtype} {self.shape}")
        self._a[...] = arr

    def item(self) -> Any:
        refuse_in_capture("item()")
        return self._a.item()

    def tolist(self) -> Any:
        refuse_in_capture("tolist()")
        return self._a.tolist()

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None,
               copy: bool = True):  # fmt: skip
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        if not copy and self.dtype == np.dtype(dtype) and order == "K":
            return self
        with np.errstate(all="ignore"):
            return own(plain(self).astype(dtype, order))

    def fill(self, value: Any) -> None:
        self[...] = value

    def view(self, dtype: Any = None, type: Any = None) -> ndarray:
        return view_of(self, self._a.view() if dtype is None else self._a.view(dtype))

    def nonzero(self) -> tuple:
        refuse_in_capture("nonzero()")
        if not self.ndim:
            warnings.warn("calling nonzero on 0d arrays is deprecated", DeprecationWarning,
                          stacklevel=2)  # fmt: skip
        return tuple(own(a) for a in np.atleast_1d(self._a).nonzero())

    def argsort(self, axis: int = -1, kind: Any = None) -> ndarray:
        sortable("argsort", self)
        if kind not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        return own(plain(self).argsort(axis, kind="stable"))

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        sortable("sort", self)
        plain(self).sort(axis, kind="stable")


def _all_arrays() -> list[ndarray]:
    return [x for x in gc.get_objects() if type(x) is ndarray and hasattr(x, "_a")]


Capture.arrays = staticmethod(_all_arrays)  # type: ignore[method-assign]

NUMBERS = (bool, int, float, complex)
# Functions that sort, which CuPy's Thrust does for NumPy's own dtypes.
SORTING = ("sort", "argsort", "lexsort", "partition", "argpartition", "unique", "median",
           "percentile", "quantile")  # fmt: skip


def sortable(name: str, *arrays: ndarray) -> None:
    if name in WAITING or name in SORTING:
        refuse_in_capture(name)
    for array in arrays:
        if name in SORTING and array.dtype.kind == "V":
            raise NotImplementedError(f"Sorting arrays with dtype '{array.dtype}' is not supported")


def index_of(array: ndarray, index: Any, writes: bool = False) -> tuple[tuple, bool]:
    """NumPy's index, with index arrays wrapped around, and whether it makes a view."""
    parts, basic = [], True
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, ndarray):
            part = plain(part)
        elif not (part is None or part is Ellipsis or isinstance(part, slice)) and (
            not np.isscalar(part) or isinstance(part, (bool, np.bool_))
        ):
            refuse_in_capture("an index of the host's")
            part = np.asarray(part)
            part = part if part.size else part.astype(np.int32)
        if isinstance(part, np.ndarray):
            basic = False
            if part.dtype.kind == "b" and not writes:
                refuse_in_capture("x[mask]")
            if part.dtype.kind not in "biu":
                raise IndexError(f"{part.dtype} arrays are no indices")
        parts.append(part)
    taken = [p.ndim if isinstance(p, np.ndarray) and p.dtype.kind == "b" else
             int(p is not None and p is not Ellipsis) for p in parts]  # fmt: skip
    axis = 0
    for i, (part, count) in enumerate(zip(parts, taken, strict=True)):
        if part is Ellipsis:
            axis += array.ndim - sum(taken)
        elif isinstance(part, np.ndarray) and part.dtype.kind != "b" and array.shape[axis]:
            parts[i] = part % array.shape[axis]
        axis += count
    return tuple(parts), basic


# ---------------------------------------------------------------------- calling NumPy


def plain(value: Any) -> Any:
    """NumPy's array of an argument; NumPy's own arrays are refused."""
    if isinstance(value, ndarray):
        if value._memory.device != current.device:
            raise ValueError(
                f"Array device must be same as the current device: array device = "
                f"{value._memory.device} while current = {current.device}"
            )
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    return value


def arrays_in(value: Any) -> list[ndarray]:
    if isinstance(value, (list, tuple)):
        return [a for v in value for a in arrays_in(v)]
    return [value] if isinstance(value, ndarray) else []


def wrapped(result: Any, inputs: list[ndarray]) -> Any:
    """A result of NumPy's as an array: an input itself, a view of one, or one of its own."""
    if isinstance(result, list):
        return [wrapped(r, inputs) for r in result]
    if isinstance(result, tuple):  # also NumPy's named ones
        return tuple(wrapped(r, inputs) for r in result)
    if isinstance(result, np.generic):
        result = np.asarray(result)
    if not isinstance(result, np.ndarray):
        return result
    for a in inputs:
        if result is a._a:
            return a
    for a in inputs:
        if root(result) is root(a._a):
            return view_of(a, result)
    return own(result)


@functools.cache
def _signature(words: tuple) -> Any:
    return cupy_surface.signature(list(words))


def bind(name: str, words: tuple, args: tuple, kwargs: dict) -> None:
    try:
        _signature(words).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"cupy.{name}({' '.join(words)}): {error}") from None


def apply(function: Any, args: tuple, kwargs: dict) -> Any:
    inputs = arrays_in((*args, *kwargs.values()))
    if computing:
        refused = function.__name__ in WAITING or function.__name__ in SORTING
        if refused or (function is np.where and len(args) == 1):
            refuse_in_capture(function.__name__)
        given = {k: plain(v) for k, v in kwargs.items()}
        return wrapped(computing[-1].call(function, tuple(plain(args)), given), inputs)
    with np.errstate(all="ignore"):
        result = function(*plain(args), **{k: plain(v) for k, v in kwargs.items()})
    return wrapped(result, inputs)


def _method(array: ndarray, name: str, words: tuple, *args: Any, **kwargs: Any) -> Any:
    bind(f"ndarray.{name}", words, args, kwargs)
    sortable(name, array)
    if name == "sum" and array.dtype in (np.float16, np.float32):
        # CuPy adds in blocks, NumPy may add one by one.
        dtype = kwargs.pop("dtype", None) or array.dtype
        return array.astype(np.float64).sum(*args, **kwargs).astype(dtype)
    return apply(getattr(np.ndarray, name), (array, *args), kwargs)


# ---------------------------------------------------------------------- operators


def _operator(name: str, ufunc: str, swapped: bool = False, inplace: bool = False) -> Any:
    def operate(self: ndarray, other: Any) -> Any:
        if not isinstance(other, (ndarray, np.ndarray, np.generic, *NUMBERS)):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        return FUNCTIONS[ufunc](*pair, **({"out": self} if inplace else {}))

    operate.__name__ = name
    return operate


for _name, _ufunc in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "mod": "remainder", "floordiv": "floor_divide", "pow": "power", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
    "matmul": "matmul",
}.items():  # fmt: skip
    setattr(ndarray, f"__{_name}__", _operator(_name, _ufunc))
    setattr(ndarray, f"__r{_name}__", _operator(_name, _ufunc, swapped=True))
    if _name != "matmul":  # CuPy has none
        setattr(ndarray, f"__i{_name}__", _operator(_name, _ufunc, inplace=True))
for _name, _ufunc in {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
                      "eq": "equal", "ne": "not_equal"}.items():  # fmt: skip
    setattr(ndarray, f"__{_name}__", _operator(_name, _ufunc))
for _name, _ufunc in {"neg": "negative", "invert": "invert", "abs": "absolute"}.items():
    setattr(ndarray, f"__{_name}__", lambda self, f=_ufunc: FUNCTIONS[f](self))
