"""Devices, and the array functions each one computes with; CuPy is found and imported here.

Bodies and gradient rules are written once, against a *namespace* ``xp``. On a device, ``xp.name``
is, in this order: a hand-written kernel registered for that device (see ``override``), the plain
body of the primitive of that name, or the function of the array library (NumPy or CuPy).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from .capture import capturing, refuse

TYPES = ("cpu", "cuda", "emulated")

# Plain bodies by primitive name: body(xp, *arrays, **parameters).
bodies: dict[str, Callable] = {}
# Overrides by primitive name: (device types, override(device, *arrays, **parameters)).
overrides: dict[str, list[tuple[tuple[str, ...], Callable]]] = {}


def load_primitive(name: str) -> None:
    """Load the module that declares a primitive, if it is not loaded yet: the catalogue of
    operations, which is above this room, puts its own function here."""


class Operations(dict):
    """name -> implementation on one device, resolved at the first use of each name."""

    def __init__(self, device: Device):
        self.device = device

    @property
    def library(self) -> ModuleType:
        return self.device.library

    @property
    def on_host(self) -> bool:
        """Whether a body may look at values: not on a GPU, nor where one is emulated."""
        return self.device.type == "cpu"

    def __missing__(self, name: str) -> Callable:
        self[name] = implementation = self.device._resolve(name)
        return implementation


class PlainOperations(dict):
    """name -> plain body on the arrays of NumPy or CuPy, with no kernel anywhere below it.

    In float64 it is what kernels are compared with, in their tests and before they are timed. The
    bodies themselves are compared with PyTorch, in tests/cases: one formula needs no second one.
    """

    def __init__(self, library: ModuleType = np):
        self.library = library
        self.on_host = library is np
        self.xp = Namespace(self)

    def __missing__(self, name: str) -> Callable:
        load_primitive(name)
        body = bodies.get(name)
        self[name] = plain = partial(body, self.xp) if body else getattr(self.library, name)
        return plain


class Namespace:
    """Attribute access to a device's operations: ``xp.exp`` is ``device.ops["exp"]``,
    ``xp.library`` the array library itself, for a body that bears a library function's name, and
    ``xp.on_host`` whether it may look at values."""

    def __init__(self, operations: Operations | PlainOperations):
        self._operations = operations

    def __getattr__(self, name: str) -> Any:
        operations = self._operations
        own = name in ("library", "on_host")
        value = getattr(operations, name) if own else operations[name]
        setattr(self, name, value)
        return value


class Device:
    """Where a tensor lives: ``cpu``, ``cuda:N`` or ``emulated``. There is one object for each, so
    devices compare by identity. Naming a device costs nothing; using a missing one raises
    RuntimeError, and an unknown name ValueError. ``with device:`` makes it the default device.

    Of several GPUs, the one used last is CuPy's current one: CuPy computes nowhere else."""

    index: int | None
    ops: Operations
    xp: Any
    _ops: Operations
    _xp: Any
    array_type: type
    type: str
    _library: Any = None  # what computes instead of the array library, while work is recorded
    _known: ClassVar[dict[tuple[str, int | None], Device]] = {}

    def __new__(cls, spec: Any = "cpu", index: int | None = None) -> Device:
        if isinstance(spec, Device):
            return spec
        kind, index = _parse(spec, index)
        known = cls._known.get((kind, index))
        if known is None:
            known = super().__new__(cls)
            known.type, known.index = kind, index
            known._ops = Operations(known)
            known._xp = Namespace(known._ops)
            if kind != "cuda":
                known.ops, known.xp, known.array_type = known._ops, known._xp, np.ndarray
            cls._known[kind, index] = known
        return known

    def __getattr__(self, name: str) -> Any:
        if name == "array_type":  # cuda: known once CuPy is loaded
            self.array_type = self.library.ndarray
            return self.array_type
        if name in ("ops", "xp"):
            found = self._ops if name == "ops" else self._xp
            if device_count() == 1:
                setattr(self, name, found)
            make_current(self)
            return found
        raise AttributeError(f"'Device' object has no attribute {name!r}")

    @property
    def library(self) -> ModuleType:
        """The array library: NumPy, or CuPy for cuda (imported and checked on first use).

        Raises RuntimeError, with what to do, without CuPy, a driver or that GPU, and in a process
        forked after CUDA was used.
        """
        if self._library is not None:
            return self._library
        return _cupy(self.index) if self.type == "cuda" else np

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        """``value`` as an array of this device, copied only where it must be."""
        return self.ops["asarray"](value, dtype=dtype)

    def receive(self, array: Any) -> Any:
        """A copy on this device of an array that lives on another."""
        if self.type != "cuda":
            array = to_numpy(array)
        return self.ops["array"](array)

    def _resolve(self, name: str) -> Callable:
        load_primitive(name)
        body, library = bodies.get(name), self.library
        plain = partial(body, self.xp) if body else getattr(library, name)
        if self.type == "cpu":
            from .native import with_loops  # here: not every program that imports tapegrad computes

            plain = with_loops(name, plain)
        tried = [f for types, f in overrides.get(name, ()) if self.type in types]
        implementation = _first_that_accepts(self, tried, plain) if tried else plain
        if self.type == "cuda" and callable(implementation) and device_count() > 1:
            return _on_gpu(self, implementation)
        return implementation

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple:
        return Device, (str(self),)

    def __enter__(self) -> Device:
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(self, *exception: Any) -> None:
        _entered.set(_entered.get()[:-1])


# The default device, thread by thread: that of the innermost ``with device:``, else that of
# set_default_device. Without either, tensors are made where their data is, or on the CPU.
_entered: ContextVar[tuple[Device, ...]] = ContextVar("entered", default=())
_default: ContextVar[Device | None] = ContextVar("default device", default=None)


# Which GPU "cuda" means, thread by thread.
_current_gpu: ContextVar[int] = ContextVar("current GPU", default=0)


def current_gpu() -> int:
    """The number of the GPU that "cuda" means."""
    return _current_gpu.get()


def set_current_gpu(index: int) -> None:
    """Let "cuda" mean this GPU in this thread."""
    _current_gpu.set(index)


def set_default_device(device: Any) -> None:
    """Make new tensors of this thread on ``device`` unless told otherwise; None: as at first."""
    _default.set(None if device is None else Device(device))


def default_device() -> Device | None:
    """The device that was set for new tensors, if one was."""
    entered = _entered.get()
    return entered[-1] if entered else _default.get()


def get_default_device() -> Device:
    """The device of tensors that are made without ``device=``."""
    return default_device() or CPU


def chosen_device(device: Any) -> Device:
    """The Device that an argument ``device=`` means; None: the default one."""
    return get_default_device() if device is None else Device(device)


def override(name: str, *types: str) -> Callable[[Callable], Callable]:
    """Register ``f(device, *arrays, **parameters)`` as an implementation of primitive ``name`` on
    devices of the given types. It runs before the plain body; returning NotImplemented declines.
    """

    def register(f: Callable) -> Callable:
        overrides.setdefault(name, []).append((types, f))
        return f

    return register


class KernelsMissing(RuntimeError):
    """The hand-written kernels for a device are not compiled; the message says how to get them."""


def _first_that_accepts(device: Device, tried: list[Callable], plain: Callable) -> Callable:
    def implementation(*arrays: Any, **parameters: Any) -> Any:
        # Of 0-d arrays NumPy's arithmetic makes scalars, which have no memory for a kernel.
        arrays = tuple([np.asarray(a) if isinstance(a, np.generic) else a for a in arrays])
        try:
            for f in tried:
                result = f(device, *arrays, **parameters)
                if result is not NotImplemented:
                    return result
        except KernelsMissing as error:
            if device.type != "cuda":  # the emulated device is there to run kernels
                raise
            warnings.warn(f"using CuPy's functions instead: {error}", stacklevel=3)
            tried.clear()
        return plain(*arrays, **parameters)

    return implementation


def _on_gpu(device: Device, implementation: Callable) -> Callable:
    def switched(*arrays: Any, **parameters: Any) -> Any:
        make_current(device)
        return implementation(*arrays, **parameters)

    return switched


def make_current(device: Device) -> None:
    """Of several GPUs, let CuPy compute on this one from now on. (Rules and functions compute with
    arrays between two operations, so it is not put back after each.)"""
    if device.type == "cuda" and (device.index or 0) < device_count() > 1:
        import cupy

        cupy.cuda.Device(device.index).use()


# PyTorch's devices that are none here.
_OTHERS = {
    "meta": "tensors without data are not here; ",
    "mps": "Apple's GPUs are not used; ",
    "xpu": "Intel's GPUs are not used; ",
    "xla": "TPUs are not used; ",
    "hip": "AMD's GPUs are not used; ",
}


def _parse(spec: Any, index: int | None) -> tuple[str, int | None]:
    if isinstance(spec, int) and not isinstance(spec, bool) and index is None:
        spec, index = "cuda", spec  # as PyTorch does
    kind, _, number = str(spec).partition(":")
    wrong = not isinstance(spec, str) or kind not in TYPES or (number and index is not None)
    if number and not wrong:
        wrong = not (number.isascii() and number.isdigit()) or len(number) > 9
        index = None if wrong else int(number)
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        raise TypeError(f"[device] the index must be an int, got {type(index).__name__}")
    if wrong or (index is not None and index < 0):
        why = _OTHERS.get(kind, "") if isinstance(spec, str) else ""
        raise ValueError(f"unknown device {spec!r}: {why}use 'cpu', 'cuda', 'cuda:N' or 'emulated'")
    if kind == "cuda":
        return kind, _current_gpu.get() if index is None else index
    if index:
        raise ValueError(f"there is only one {kind!r} device, asked for {kind}:{index}")
    return kind, None


def _cupy(index: int | None) -> ModuleType:
    if _is_fork:
        raise RuntimeError(_FORKED)
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            f"device 'cuda' needs CuPy, which cannot be imported ({error}): "
            "pip install 'tapegrad[cuda13]' (or 'tapegrad[cuda12]' for a CUDA 12 driver), "
            "then run 'tapegrad doctor'"
        ) from error
    count = device_count()
    if count == 0:
        raise RuntimeError(
            "device 'cuda': no usable NVIDIA GPU or driver was found; use device='cpu', or "
            "device='emulated' to run the CUDA kernels on the CPU. 'tapegrad doctor' says more"
        )
    if index is not None and index >= count:
        raise RuntimeError(f"device 'cuda:{index}' does not exist: this machine has {count} GPUs")
    return cupy


def device_count() -> int:
    """The number of usable GPUs; 0 without CuPy, driver or GPU. Imports CuPy."""
    if _is_fork:
        return 0
    try:
        import cupy

        count = int(cupy.cuda.runtime.getDeviceCount())
    except Exception:  # CuPy's import and runtime errors differ between versions
        return 0
    if count:
        _watch_for_forks()
    return count


# CUDA does not survive a fork: in the child every call fails with "initialization error". So that
# the child gets a clear error instead, operations resolved before the fork are forgotten.
_is_fork = False
_watching = False
_FORKED = (
    "device 'cuda': CUDA was used before this process was forked and cannot be used in it; start "
    "processes by multiprocessing.get_context('spawn') or use CUDA in one process only"
)


_implementations: dict[int, dict[Device, Callable]] = {}  # by their ids


def implementations() -> dict[Device, Callable]:
    """A dictionary for what runs one operation on each device, once it was looked up."""
    known: dict[Device, Callable] = {}
    _implementations[id(known)] = known
    return known


def forget(known: dict[Device, Callable], *names: str) -> None:
    """Forget primitives that nothing can call any longer, and what ``implementations`` gave for
    them."""
    _implementations.pop(id(known), None)
    for name in names:
        bodies.pop(name, None)
        overrides.pop(name, None)
        for device in tuple(Device._known.values()):
            device._ops.pop(name, None)
            vars(device._xp).pop(name, None)


def forget_implementations() -> None:
    """Let all operations look up anew what runs them."""
    for known in tuple(_implementations.values()):
        known.clear()


def _watch_for_forks() -> None:
    global _watching
    if not _watching and hasattr(os, "register_at_fork"):
        _watching = True
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    global _is_fork
    _is_fork = True
    forget_implementations()
    for device in Device._known.values():
        if device.type == "cuda":
            device._ops.clear()
            device._xp = Namespace(device._ops)
            device.__dict__.pop("xp", None)


def compute_with(device: Device, library: Any = None) -> None:
    """Let a device's operations, looked up anew, compute with this library instead of its own; with
    its own again for None."""
    device._library = library
    device._ops = Operations(device)
    device._xp = Namespace(device._ops)
    for name in ("ops", "xp"):
        vars(device).pop(name, None)
    if device.type != "cuda":
        device.ops, device.xp = device._ops, device._xp
    forget_implementations()


def failures_raise(library: Any) -> Any:
    """Within this, a factorisation that fails raises the library's LinAlgError; CuPy's would
    return arbitrary numbers otherwise."""
    if library is np:
        return nullcontext()
    from cupyx import errstate

    return errstate(linalg="raise")


def special_functions(library: Any, op: str) -> Any:
    """SciPy's special functions for the arrays of NumPy or CuPy, imported when ``op`` needs them.

    Raises ImportError, with what to install, where SciPy is missing.
    """
    try:
        if library is np:
            import scipy.special as functions
        else:
            import cupyx.scipy.special as functions
    except ImportError as error:
        raise ImportError(f"[{op}] needs SciPy: pip install 'tapegrad[special]'") from error
    return functions


def current_stream(device: Device) -> int:
    """The CUDA stream (as an integer) that CuPy uses now; 0 on the CPU devices."""
    if device.type != "cuda":
        return 0
    import cupy

    return int(cupy.cuda.get_current_stream(device.index).ptr)


# Called wherever the program has waited for a GPU: raises what kernels found wrong (deferred.py).
after_waiting: list[Callable[[], None]] = []


def synchronize(device: Device) -> None:
    """Wait until all work on the device is done."""
    if device.type == "cuda":
        wait(device)
        has_waited()


def wait(device: Device) -> None:
    """``synchronize`` for a GPU, without a look at what its kernels found."""
    with device.library.cuda.Device(device.index):
        device.library.cuda.runtime.deviceSynchronize()


def has_waited() -> None:
    """Raise what kernels found wrong, now that the program has waited for them."""
    for raise_found in after_waiting:
        raise_found()


def pinned_zeros(count: int) -> np.ndarray:
    """int64 zeros in memory of the host that GPUs can write, too."""
    from cupyx import zeros_pinned

    return zeros_pinned(count, np.int64)


def before_reading(array: Any) -> None:
    """Raise CaptureError if the values of an array, which the host wants, are not there yet, as its
    device's work is being recorded."""
    recording = capturing()
    if recording is not None and recording.holds(array):
        refuse("needs values of the device on the host, which would have to wait for them")


def to_numpy(array: Any) -> np.ndarray:
    """The array itself if it is NumPy's, else a copy on the host, after waiting for the GPU.

    Raises RuntimeError in a process forked after CUDA was used, and CaptureError while the
    device's work is recorded.
    """
    before_reading(array)
    if isinstance(array, (np.ndarray, np.generic)):
        return np.asarray(array)
    if _is_fork:
        raise RuntimeError(_FORKED)
    host = array.get()
    has_waited()
    return host


CPU = Device("cpu")
EMULATED = Device("emulated")
