"""A stand-in for CuPy that computes with NumPy and refuses what CuPy refuses.

It finds code that would fail on a GPU where there is none: its arrays are no NumPy arrays and do
not become any without ``get()``; they do not mix with NumPy's; functions take the arguments that
CuPy's take (see cupy_surface.py) and give arrays where NumPy gives scalars; index arrays wrap
around instead of raising. Memory is counted in a pool with a limit, fresh memory is filled with
0xFF, and arrays belong to a device that must be the current one.

``pytest --cupy=strict -m gpu`` runs the tests for ``cuda`` on it, with the kernels that were
compiled for the CPU. It knows nothing of time or races, and of streams that one may be captured:
then it refuses whatever waits, and memory outside the graph's pool.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from typing import Any

import cupy_surface
import numpy as np
import strict_cuda
import strict_nvrtc
from strict_cuda import current, refuse_in_capture
from strict_ndarray import (
    FUNCTIONS,
    SURFACE,
    apply,
    arrays_in,
    bind,
    index_of,
    ndarray,
    own,
    plain,
    sortable,
)

# ---------------------------------------------------------------------- functions


def _function(name: str, words: tuple) -> Any:
    original = cupy_surface._inside(np, name)
    original = getattr(original, name.rpartition(".")[2])

    def function(*args: Any, **kwargs: Any) -> Any:
        bind(name, words, args, kwargs)
        if kwargs.get("kind") not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        sortable(name, *arrays_in(args))
        if name == "lexsort" and not isinstance(args[0], ndarray):
            raise AttributeError(f"'{type(args[0]).__name__}' object has no attribute 'ndim'")
        return apply(original, args, kwargs)

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
    def __init__(self, name: str, methods: str, *loops: str, library: Any = np):
        self.__name__, self.types = name, list(loops)
        self._methods = methods.split(",")
        self._ufunc = getattr(library, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bind(self.__name__, ("*args", "out=", "casting=", "dtype="), args, kwargs)
        if any(a.dtype.name == "bfloat16" for a in arrays_in(args)):
            args, kwargs = self._with_bfloat16(args, kwargs)
        elif not kwargs and len(args) == self.types[0].index("-"):
            return self._first_loop(args)
        return apply(self._ufunc, args, kwargs)

    def _first_loop(self, args: tuple) -> Any:
        """As in CuPy, the first loop of the list that takes the arguments computes, in its dtypes.
        NumPy's may differ: there a bool times a number is an int64 or float64, here an int8 or
        float16."""
        for loop in self.types:
            inputs, outputs = loop.split("->")
            if "E" not in loop and all(map(_takes, inputs, args)):
                cast = [
                    np.asanyarray(plain(a)).astype(c) for a, c in zip(args, inputs, strict=True)
                ]
                with np.errstate(all="ignore"):
                    found = self._ufunc(*cast)
                results = found if isinstance(found, tuple) else (found,)
                wrapped = [own(np.asanyarray(r).astype(c, copy=False))
                           for r, c in zip(results, outputs, strict=True)]  # fmt: skip
                return tuple(wrapped) if isinstance(found, tuple) else wrapped[0]
        kinds = ", ".join(map(str, map(_kind, args)))
        raise TypeError(f"Wrong type ({kinds}) of arguments for cupy_{self.__name__}")

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
        return apply(getattr(self._ufunc, method), args, kwargs)

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
            self._ufunc.at(plain(a), index_of(a, indices)[0], plain(b))


WHERE = Ufunc("where", "-", *(f"?{c}{c}->{c}" for c in "?bBhHiIlLqQefdFD"))


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """A ufunc, too, and one without a loop for bfloat16."""
    if x is None and y is None:
        return condition.nonzero()
    return WHERE(condition.astype("?"), x, y)


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
    if not isinstance(obj, (bool, int, float, np.generic)):
        refuse_in_capture("a copy from the host")
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
    memory = result._a.ravel(order="K")  # a view, in whatever order its dimensions lie
    memory.view(np.uint8 if result.size else result.dtype).fill(0xFF)
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
        asnumpy=asnumpy, where=where, is_available=lambda: True,
        get_default_memory_pool=lambda: strict_cuda.pools[current.device],
        RawModule=strict_nvrtc.RawModule,
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
        if kind not in ("method", "special") and not hasattr(place, name):
            value = (
                getattr(cupy_surface._inside(np, full), name) if kind == "same"
                else Ufunc(name, *words) if kind == "ufunc" else _function(full, tuple(words))
            )  # fmt: skip
            setattr(place, name, value)
    result.lib.stride_tricks.as_strided = as_strided  # type: ignore[attr-defined]
    runtime = _namespace(
        "cupy.cuda.runtime", getDeviceCount=strict_cuda.device_count, runtimeGetVersion=lambda: 0,
        deviceSynchronize=strict_cuda.synchronize, getDevice=lambda: current.device,
        driverGetVersion=lambda: 0, getDeviceProperties=strict_cuda.properties,
    )  # fmt: skip
    memory = _namespace("cupy.cuda.memory", OutOfMemoryError=strict_cuda.OutOfMemoryError)
    names = ("Device", "Event", "MemoryHook", "MemoryPool", "Stream", "get_current_stream",
             "get_elapsed_time", "set_allocator", "using_allocator")  # fmt: skip
    result.cuda = _namespace(  # type: ignore[attr-defined]
        "cupy.cuda", runtime=runtime, memory=memory, is_available=lambda: True,
        compiler=_namespace("cupy.cuda.compiler", CompileException=strict_nvrtc.CompileException),
        driver=_namespace("cupy.cuda.driver", CUDADriverError=strict_nvrtc.CUDADriverError),
        **{name: getattr(strict_cuda, name) for name in names},
    )  # fmt: skip
    return result


def _special() -> types.ModuleType:
    """``cupyx.scipy.special``, computed by SciPy."""
    from scipy import special

    ufuncs = {
        name: Ufunc(name, "-", *loops, library=special)
        for (kind, name), loops in SURFACE.items()
        if kind == "special" and hasattr(special, name)
    }
    return _namespace("cupyx.scipy.special", **ufuncs)


module = _build()
FUNCTIONS.update(vars(module))


def install() -> None:
    """From now on ``import cupy`` gives the stand-in, and ``cuda`` runs the kernels that were
    compiled for the CPU."""
    from tapegrad.core import kernels

    sys.modules["cupy"] = module
    # NumPy's factorisations raise as it is.
    cupyx = _namespace(
        "cupyx", errstate=lambda **_: contextlib.nullcontext(), zeros_pinned=np.zeros
    )
    sys.modules["cupyx"] = cupyx
    with contextlib.suppress(ImportError):  # without SciPy, neither
        cupyx.scipy = _namespace("cupyx.scipy", special=_special())  # type: ignore[attr-defined]
        sys.modules["cupyx.scipy"] = cupyx.scipy
        sys.modules["cupyx.scipy.special"] = cupyx.scipy.special
    kernels._loaded["cuda"] = kernels.library("emulated")
