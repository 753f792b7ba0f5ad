"""A stand-in for CuPy that computes with NumPy and refuses what CuPy refuses.

It finds code that would fail on a GPU where there is none: its arrays are no NumPy arrays and do
not become any without ``get()``; they do not mix with NumPy's; functions take the arguments that
CuPy's take (see cupy_surface.py) and give arrays where NumPy gives scalars; index arrays wrap
around instead of raising. Memory is counted in a pool with a limit, fresh memory is filled with
0xFF, and arrays belong to a device that must be the current one.

``pytest --cupy=strict -m gpu`` runs the tests for ``cuda`` on it, with the kernels that were
compiled for the CPU. It knows nothing of time, streams or races.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import sys
import types
import warnings
from typing import Any

import cupy_surface
import numpy as np
import strict_cuda
from strict_cuda import Device, Memory, current

SURFACE = cupy_surface.read()
# ---------------------------------------------------------------------- arrays


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
    return np.ndarray(shape, dtype, memory, place.ptr - lowest, strides)


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
    while isinstance(a.base, np.ndarray):
        a = a.base
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
        if method != "__call__" or not hasattr(module, ufunc.__name__):
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        for x in (*inputs, kwargs.get("out")):
            if x is not None and not isinstance(x, (ndarray, np.ndarray, np.generic, *NUMBERS)):
                return NotImplemented
        return getattr(module, ufunc.__name__)(*inputs, **kwargs)

    def __array_function__(self, func: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        ours = getattr(module, func.__name__, func)
        return NotImplemented if ours is func else ours(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        words = SURFACE.get(("method", name))
        if words is None:
            raise AttributeError(f"cupy.ndarray has no attribute {name!r}")
        return functools.partial(_method, self, name, tuple(words))

    # ------------------------------------------------------------------ reading and writing

    def __getitem__(self, index: Any) -> ndarray:
        parts, basic = _index(self, index)
        if basic:
            part = self._a[parts]
            return view_of(self, part if isinstance(part, np.ndarray) else self._a[(*parts, ...)])
        return own(np.asarray(self._a[parts]))

    def __setitem__(self, index: Any, value: Any) -> None:
        parts, basic = _index(self, index)
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
        return bool(self._a)

    def __int__(self) -> int:
        return int(self._a)

    def __float__(self) -> float:
        return float(self._a)

    def __repr__(self) -> str:
        return repr(self._a)

    __hash__ = None  # type: ignore[assignment]

    # ------------------------------------------------------------------ what differs from NumPy

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True):
        return np.array(self._a, order=order)

    def set(self, arr: Any, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise ValueError(f"{arr.dtype} {arr.shape} set to {self.dtype} {self.shape}")
        self._a[...] = arr

    def item(self) -> Any:
        return self._a.item()

    def tolist(self) -> Any:
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
        if not self.ndim:
            warnings.warn("calling nonzero on 0d arrays is deprecated", DeprecationWarning,
                          stacklevel=2)  # fmt: skip
        return tuple(own(a) for a in np.atleast_1d(self._a).nonzero())

    def argsort(self, axis: int = -1, kind: Any = None) -> ndarray:
        _sortable("argsort", self)
        if kind not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        return own(plain(self).argsort(axis, kind="stable"))

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        _sortable("sort", self)
        plain(self).sort(axis, kind="stable")


NUMBERS = (bool, int, float, complex)
# Functions that sort, which CuPy's Thrust does for NumPy's own dtypes.
SORTING = ("sort", "argsort", "lexsort", "partition", "argpartition", "unique", "median",
           "percentile", "quantile")  # fmt: skip


def _sortable(name: str, *arrays: ndarray) -> None:
    for array in arrays:
        if name in SORTING and array.dtype.kind == "V":
            raise NotImplementedError(f"Sorting arrays with dtype '{array.dtype}' is not supported")


def _index(array: ndarray, index: Any) -> tuple[tuple, bool]:
    """NumPy's index, with index arrays wrapped around, and whether it makes a view."""
    parts, basic = [], True
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, ndarray):
            part = plain(part)
        elif not (part is None or part is Ellipsis or isinstance(part, slice)) and (
            not np.isscalar(part) or isinstance(part, (bool, np.bool_))
        ):
            part = np.asarray(part)
            part = part if part.size else part.astype(np.int32)
        if isinstance(part, np.ndarray):
            basic = False
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


def _bind(name: str, words: tuple, args: tuple, kwargs: dict) -> None:
    try:
        _signature(words).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"cupy.{name}({' '.join(words)}): {error}") from None


def _apply(function: Any, args: tuple, kwargs: dict) -> Any:
    inputs = arrays_in((*args, *kwargs.values()))
    with np.errstate(all="ignore"):
        result = function(*plain(args), **{k: plain(v) for k, v in kwargs.items()})
    return wrapped(result, inputs)


def _method(array: ndarray, name: str, words: tuple, *args: Any, **kwargs: Any) -> Any:
    _bind(f"ndarray.{name}", words, args, kwargs)
    _sortable(name, array)
    if name == "sum" and array.dtype in (np.float16, np.float32):
        # CuPy adds in blocks, NumPy may add one by one.
        dtype = kwargs.pop("dtype", None) or array.dtype
        return array.astype(np.float64).sum(*args, **kwargs).astype(dtype)
    return _apply(getattr(np.ndarray, name), (array, *args), kwargs)


def _function(name: str, words: tuple) -> Any:
    original = cupy_surface._inside(np, name)
    original = getattr(original, name.rpartition(".")[2])

    def function(*args: Any, **kwargs: Any) -> Any:
        _bind(name, words, args, kwargs)
        if kwargs.get("kind") not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        _sortable(name, *arrays_in(args))
        return _apply(original, args, kwargs)

    function.__name__ = name
    return function


def _kind(argument: Any) -> Any:
    return argument.dtype if hasattr(argument, "dtype") else type(argument)


def _takes(code: str, argument: Any) -> bool:
    """Whether a loop's dtype takes an argument; Python's numbers are weak."""
    if hasattr(argument, "dtype"):
        return np.can_cast(argument.dtype, code)
    lowest = "?" if isinstance(argument, bool) else "b" if isinstance(argument, int) else "e"
    return np.can_cast(lowest, code, "same_kind")


class Ufunc:
    def __init__(self, name: str, methods: str, *loops: str):
        self.__name__, self.types = name, list(loops)
        self._methods = methods.split(",")
        self._ufunc = getattr(np, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _bind(self.__name__, ("*args", "out=", "casting=", "dtype="), args, kwargs)
        if any(a.dtype.name == "bfloat16" for a in arrays_in(args)):
            args, kwargs = self._with_bfloat16(args, kwargs)
        elif not kwargs and len(args) == self.types[0].index("-"):
            return self._first_loop(args)
        return _apply(self._ufunc, args, kwargs)

    def _first_loop(self, args: tuple) -> Any:
        """As in CuPy, the first loop of the list that takes the arguments computes, in its dtypes.
        NumPy's may differ: there a bool times a number is an int64 or float64, here an int8 or
        float16."""
        for loop in self.types:
            inputs, outputs = loop.split("->")
            if "E" not in loop and all(map(_takes, inputs, args)):
                cast = [np.asarray(plain(a)).astype(c) for a, c in zip(args, inputs, strict=True)]
                with np.errstate(all="ignore"):
                    found = self._ufunc(*cast)
                results = found if isinstance(found, tuple) else (found,)
                wrapped = [own(np.asarray(r).astype(c, copy=False))
                           for r, c in zip(results, outputs, strict=True)]  # fmt: skip
                return tuple(wrapped) if isinstance(found, tuple) else wrapped[0]
        raise TypeError(f"cupy_{self.__name__} takes no {', '.join(map(str, map(_kind, args)))}")

    def _with_bfloat16(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """CuPy's numbers are weak beside bfloat16, and what has no loop for it runs in float32."""
        own_loop = any("E" in loop for loop in self.types)
        kind = next(a.dtype for a in arrays_in(args) if a.dtype.name == "bfloat16")
        args = tuple(own(np.asarray(a, kind)) if isinstance(a, float) else a for a in args)
        if not own_loop:
            args = tuple(a.astype(np.float32) if a in arrays_in(a) else a for a in args)
        return args, kwargs

    def _call_method(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if method not in self._methods:
            raise NotImplementedError(f"`cupy_{self.__name__}.{method}` is not supported yet")
        return _apply(getattr(self._ufunc, method), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name not in cupy_surface.UFUNC_METHODS:
            raise AttributeError(name)
        return functools.partial(self._call_method, name)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        """With atomics, which there are for few dtypes."""
        supported = ("int32", "float16", "float32", "float64", "uint32", "uint64")
        if self.__name__ in ("add", "subtract") and a.dtype.name not in supported:
            raise TypeError(f"scatter_add only supports {', '.join(supported)}, not {a.dtype}")
        if "at" not in self._methods:
            raise NotImplementedError(f"`cupy_{self.__name__}.at` is not supported yet")
        with np.errstate(all="ignore"):
            self._ufunc.at(plain(a), _index(a, indices)[0], plain(b))


def _operator(name: str, ufunc: str, swapped: bool = False, inplace: bool = False) -> Any:
    def operate(self: ndarray, other: Any) -> Any:
        if not isinstance(other, (ndarray, np.ndarray, np.generic, *NUMBERS)):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        return getattr(module, ufunc)(*pair, **({"out": self} if inplace else {}))

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
    setattr(ndarray, f"__{_name}__", lambda self, f=_ufunc: getattr(module, f)(self))


# ---------------------------------------------------------------------- functions of their own


def array(obj: Any, dtype: Any = None, copy: Any = True, order: str = "K", subok: bool = False,
          ndmin: int = 0, *, blocking: bool = False) -> ndarray:  # fmt: skip
    if isinstance(obj, ndarray):
        if obj._memory.device != current.device:
            copied = np.array(obj._a, dtype, order=order)  # a copy between devices
            return own(copied)
        return obj.astype(obj.dtype if dtype is None else dtype, order=order, copy=copy)
    if hasattr(obj, "__cuda_array_interface__"):
        raise NotImplementedError("the stand-in does not share memory with other libraries")
    host = np.array([o.get() if isinstance(o, ndarray) else o for o in obj] if isinstance(
        obj, list) else obj, dtype, order=order)  # fmt: skip
    if host.dtype.kind not in "biufcV":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    return own(host)


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None,
            blocking: bool = False) -> ndarray:  # fmt: skip
    return array(a, dtype, bool(copy), order or "K")


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def empty_like(prototype: Any, dtype: Any = None, order: str = "K", subok: Any = None,
               shape: Any = None) -> ndarray:  # fmt: skip
    result = own(np.empty_like(plain(prototype), dtype, order, shape=shape))
    result._a.view(np.uint8 if result.size and result.ndim else None).fill(0xFF)
    return result


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *,
            blocking: bool = True) -> np.ndarray:  # fmt: skip
    return a.get(order=order) if isinstance(a, ndarray) else np.asarray(a)


def as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    shape, strides = (shape or x.shape), (strides or x.strides)
    return ndarray(shape, x.dtype, x.data, strides)


# ---------------------------------------------------------------------- the module


def _namespace(name: str, **values: Any) -> types.ModuleType:
    result = types.ModuleType(name)
    result.__dict__.update(values)
    return result


def _build() -> types.ModuleType:
    result = _namespace(
        "cupy", ndarray=ndarray, array=array, asarray=asarray, empty=empty, empty_like=empty_like,
        asnumpy=asnumpy, is_available=lambda: True,
        get_default_memory_pool=lambda: strict_cuda.pools[current.device],
    )  # fmt: skip
    for prefix in cupy_surface.MODULES[1:]:
        parent = result
        for part in prefix.split(".")[:-1]:
            if not hasattr(parent, part):
                setattr(parent, part, _namespace(f"{parent.__name__}.{part}"))
            parent = getattr(parent, part)
    for (kind, full), words in SURFACE.items():
        if kind == "version":
            result.__version__ = full  # type: ignore[attr-defined]
            continue
        place, name = cupy_surface._inside(result, full), full.rpartition(".")[2]
        if kind != "method" and not hasattr(place, name):
            value = (
                getattr(cupy_surface._inside(np, full), name) if kind == "same"
                else Ufunc(name, *words) if kind == "ufunc" else _function(full, tuple(words))
            )  # fmt: skip
            setattr(place, name, value)
    result.lib.stride_tricks.as_strided = as_strided  # type: ignore[attr-defined]
    runtime = _namespace(
        "cupy.cuda.runtime", getDeviceCount=strict_cuda.device_count, runtimeGetVersion=lambda: 0,
        deviceSynchronize=lambda: None, getDevice=lambda: current.device,
        driverGetVersion=lambda: 0, getDeviceProperties=strict_cuda.properties,
    )  # fmt: skip
    memory = _namespace("cupy.cuda.memory", OutOfMemoryError=strict_cuda.OutOfMemoryError)
    names = ("Device", "Event", "MemoryPool", "Stream", "get_current_stream", "get_elapsed_time",
             "set_allocator")  # fmt: skip
    result.cuda = _namespace(  # type: ignore[attr-defined]
        "cupy.cuda", runtime=runtime, memory=memory, is_available=lambda: True,
        **{name: getattr(strict_cuda, name) for name in names},
    )  # fmt: skip
    return result


module = _build()


def install() -> None:
    """From now on ``import cupy`` gives the stand-in, and ``cuda`` runs the kernels that were
    compiled for the CPU."""
    from tapegrad import kernels

    sys.modules["cupy"] = module
    # NumPy's factorisations raise as it is.
    sys.modules["cupyx"] = _namespace("cupyx", errstate=lambda **_: contextlib.nullcontext())
    kernels._loaded["cuda"] = kernels.library("emulated")
