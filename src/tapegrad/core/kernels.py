"""The hand-written kernels: loads the compiled extensions and launches from them.

The only file that calls ``tapegrad._cuda`` (compiled by nvcc) and ``tapegrad._emulated`` (the same
kernels compiled by a C++ compiler). Both are loaded when first needed.

``TAPEGRAD_EMULATOR=checked``, or ``checked()`` for a while, takes instead of the second the checked
build (``tapegrad._emulated_checked``), which looks at every access that a kernel makes.
``TAPEGRAD_EMULATOR_SCHEDULE=random:7`` chooses the order of threads (``Schedule.parse``).
``TAPEGRAD_LAUNCH_BLOCKING=1`` waits for a GPU after each launch: an error, of which else a later
call would tell, names the kernel that made it. (For CuPy's kernels: ``CUDA_LAUNCH_BLOCKING=1``.)
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .capture import capturing
from .devices import Device, KernelsMissing, current_stream, override, wait
from .dtypes import DType, accumulator, is_floating
from .memory import Array, address, channels_moved_first, channels_moved_last, lies_channels_last
from .schedules import ALL, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class KernelError(RuntimeError):
    """A kernel launch was refused or failed; the message names the kernel and its launch shape."""


class RaceError(KernelError):
    """Threads of a kernel access the same memory, one of them writing, and nothing orders them: the
    message names both, and both lines of the kernel. Raised by the checked build only."""


class AccessError(KernelError):
    """A kernel accessed memory out of its arrays' bounds, at a misaligned address, or shared memory
    that nothing wrote. Only the checked build sees all of these."""


_loaded: dict[str, ModuleType] = {}


def library(device_type: str) -> ModuleType:
    """The extension with the kernels for "cuda" or "emulated".

    Raises KernelsMissing, a RuntimeError, with what is missing and how to get it.
    """
    module = _loaded.get(device_type)
    if module is None:
        module = _load_emulated() if device_type == "emulated" else _load_cuda()
        _loaded[device_type] = _with_our_errors(module)
    return module


def _with_our_errors(module: ModuleType) -> ModuleType:
    for error in (KernelError, RaceError, AccessError):
        setattr(module, error.__name__, error)
    chosen = chosen_schedule()
    if chosen is not None and hasattr(module, "set_schedule"):
        module.set_schedule(*chosen)
    return module


def chosen_schedule() -> Schedule | None:
    """What ``TAPEGRAD_EMULATOR_SCHEDULE`` says, if it is set. Raises KernelsMissing."""
    text = os.environ.get("TAPEGRAD_EMULATOR_SCHEDULE")
    try:
        return Schedule.parse(text) if text else None
    except ValueError as error:
        raise KernelsMissing(f"TAPEGRAD_EMULATOR_SCHEDULE: {error}") from None


class Launchers(dict):
    """(launcher, dtype) -> the extension's function, looked up at the first launch of each."""

    def __init__(self, device_type: str):
        self.device_type = device_type

    def __missing__(self, key: tuple[str, Any]) -> Callable:
        name, dtype = key
        found = library(self.device_type)
        function = getattr(found, name if dtype is None else f"{name}_{np.dtype(dtype)}", None)
        if function is None:
            start, wanted = f"{name}_", "" if dtype is None else f" for {np.dtype(dtype)}"
            others = [other[len(start) :] for other in dir(found) if other.startswith(start)]
            known = f", only {', '.join(start + other for other in others)}" if others else ""
            raise KernelError(f"[{name}] no such launcher{wanted} on {self.device_type}{known}")
        self[key] = function
        return function


# By device type. (A file of kernels of somebody's own has launchers of its own.)
Known = Mapping[str, Mapping[tuple[str, Any], Callable]]
launchers = {kind: Launchers(kind) for kind in ("cuda", "emulated")}


_last = "none"  # launched in the blocking mode, and ended well


def _launch_and_wait(device: Device, launcher: Callable, arguments: tuple) -> Any:
    global _last
    answer = launcher(*arguments)
    if device.type == "cuda":
        try:
            wait(device)
        except Exception as error:  # CuPy's, whatever its version calls it
            raise KernelError(
                f"[{launcher.__name__}] failed on the GPU: {error}. The last kernel that ended "
                f"well was {_last}; between the two only CuPy's ran"
            ) from error
    _last = launcher.__name__
    return answer


# What is called instead of each launcher, if anything: with the device, the launcher and what it
# takes. A recording notes launches so, and the blocking mode waits for them.
_instead: Callable | None = None
if os.environ.get("TAPEGRAD_LAUNCH_BLOCKING", "0") not in ("", "0"):
    _instead = _launch_and_wait


def set_instead(call: Callable | None) -> Callable | None:
    """Let launches run ``call(device, launcher, arguments)``; None: the launcher alone. Returns
    what was called before."""
    global _instead
    before, _instead = _instead, call
    return before


def launch(device: Device, name: str, dtype: Any, *arguments: Any, among: Known = launchers) -> Any:
    """Call launcher ``name`` for ``dtype`` (None: it has no dtype) on the device's current stream.

    Arguments are arrays (or None) where the launcher takes pointers, else Python's numbers: their
    kinds and their number are checked, in a TypeError. Nothing else is: the caller answers for
    shapes, dtypes, devices and strides. Raises KernelError if the launcher does not exist or the
    launch fails.
    """
    function = among[device.type][name, dtype]
    stream = current_stream(device) if device.type == "cuda" else 0
    if _instead is not None:
        return _instead(device, function, (*arguments, stream))
    return function(*arguments, stream)


def prepared_launch(
    device: Device, name: str, dtype: Any, *arguments: Any, reaches: Sequence[Array] = ()
) -> partial:
    """What ``launch`` would call, for changes that are made all at once (``core/commit.py``).
    ``reaches`` are arrays whose addresses the kernel finds in others."""
    stream = current_stream(device) if device.type == "cuda" else 0
    function = launchers[device.type][name, dtype]
    prepared = partial(function, *arguments, stream)
    if _instead is not None:
        prepared = partial(_instead, device, function, (*arguments, stream))
    # Elsewhere no line of Python stands between.
    if reaches and hasattr(library(device.type), "checks_accesses"):
        return partial(_call_watched, device, reaches, prepared)
    return prepared


def _call_watched(device: Device, arrays: Sequence[Array], call: partial) -> None:
    with watched(device, arrays):
        call()


def ask(device: Device, name: str, *sizes: int) -> int:
    """What the extension's host function ``name`` answers: how much scratch memory a launcher
    needs for these sizes, for example."""
    return int(launchers[device.type][name, None](*sizes))


def scratch(device: Device, name: str, dtype: DType, *sizes: int) -> Any:
    """Memory for as many sums over ``dtype`` as ``ask`` answers for these sizes and the bytes of an
    element; None for none."""
    count = ask(device, name, *sizes, dtype.itemsize)
    return device.ops["empty"]((count,), accumulator(dtype)) if count else None


# Of each stream of a device.
_counters: dict[tuple[str, Device, int], Array] = {}


def counters(device: Device, count: int) -> Array:
    """At least so many zeros (uint32), of which a kernel may count up what it sets back to 0. Each
    stream has its own, which are made once, and so has each recording."""
    if device.type != "cuda":
        return device.ops["zeros"]((count,), dtype=np.dtype(np.uint32))
    recording = capturing()
    kept: dict = _counters if recording is None else recording.shared
    key = "counters", device, current_stream(device)
    found = kept.get(key)
    if found is None or found.size < count:
        size = max(count, 4096)
        found = kept[key] = device.ops["zeros"]((size,), dtype=np.dtype(np.uint32))
    return found


@cache
def has_tensor_cores(device: Device) -> bool:
    """Whether kernels that are written in kernels/tensor.cuh run there: on GPUs of compute
    capability 8.0 and above, and on the emulated device."""
    if device.type != "cuda":
        return device.type == "emulated"
    properties = device.library.cuda.runtime.getDeviceProperties(device.index or 0)
    return bool(properties["major"] >= 8)


@cache
def runs_hopper(device: Device) -> bool:
    """Whether kernels that are written in kernels/hopper.cuh run there: on GPUs of compute
    capability 9.0, if they were compiled for it (``90a``), and on the emulated device if
    ``TAPEGRAD_EMULATOR_TENSOR_CORES`` is ``hopper``."""
    return has_tensor_cores(device) and bool(ask(device, "matmul_hopper_runs"))


def kernel(
    name: str,
    *,
    floats: str | None = None,
    contiguous: str | None = None,
    elementwise: bool = False,
    types: Sequence[str] = ("cuda", "emulated"),
) -> Callable:
    """Declare ``f(device, *arrays, **parameters)``, which launches a kernel, as the way primitive
    ``name`` is computed on devices of these types.

    It is called where the arrays ``floats`` (their names with spaces between; all by default) are
    floating-point and of one dtype; elsewhere the plain body runs, as it does when ``f`` returns
    NotImplemented. The arrays ``contiguous`` (all by default) come contiguous. None may stand for
    any array but the first. elementwise: images that all have their channels last in memory come as
    they lie, and so does the result.
    """

    def register(f: Callable) -> Callable:
        code = f.__code__
        inputs = code.co_varnames[1 : code.co_argcount]

        def positions(names: str | None) -> tuple[int, ...] | None:
            return None if names is None else tuple(inputs.index(n) for n in names.split())

        alike, packed = positions(floats), positions(contiguous)

        def checked(device: Device, *arrays: Array, **parameters: Any) -> Any:
            dtype = None
            for array in arrays if alike is None else [arrays[i] for i in alike]:
                if array is None:
                    continue
                if dtype is None:
                    dtype = array.dtype
                    if not is_floating(dtype):
                        return NotImplemented
                elif array.dtype != dtype:
                    return NotImplemented
            if elementwise and all(map(lies_channels_last, arrays)):
                return channels_moved_first(
                    f(device, *map(channels_moved_last, arrays), **parameters)
                )
            for i in range(len(arrays)) if packed is None else packed:
                array = arrays[i]
                if array is not None and not array.flags.c_contiguous:
                    arrays = (*arrays[:i], device.ops["contiguous"](array), *arrays[i + 1 :])
            return f(device, *arrays, **parameters)

        override(name, *types)(checked)
        return f

    return register


@contextmanager
def schedule(order: str, seed: int = 0, skipped: int = 0, taken: int = ALL) -> Iterator[None]:
    """Within it, the emulated device runs threads and blocks in this order: "random" (with a seed),
    "ascending" or "descending"; or only some decisions so (see ``Schedule``)."""
    emulated = library("emulated")
    before = emulated.schedule()
    emulated.set_schedule(order, seed, skipped, taken)
    try:
        yield
    finally:
        emulated.set_schedule(*before)


@contextmanager
def checked() -> Iterator[ModuleType]:
    """Within it, kernels of the emulated device run in the checked build, several times slower:
    races raise RaceError, accesses that CUDA leaves undefined AccessError. Gives the extension.

    Compiles it at first, a minute or two; raises KernelsMissing where that fails.
    """
    before = _loaded.get("emulated"), launchers["emulated"].copy()
    _loaded["emulated"] = module = _load_checked()
    launchers["emulated"].clear()
    try:
        yield module
    finally:
        _loaded.pop("emulated")
        launchers["emulated"].clear()
        if before[0] is not None:
            _loaded["emulated"] = before[0]
            launchers["emulated"].update(before[1])


@cache
def _load_checked() -> ModuleType:
    from tapegrad import _build

    try:
        path = _build.build_into_cache(_build.CHECKED)
    except _build.BuildError as error:
        raise KernelsMissing(f"device 'emulated', checked: {error}") from error
    return _with_our_errors(_load_from(_build.CHECKED, path))


@contextmanager
def watched(device: Device, arrays: Sequence[Array]) -> Iterator[None]:
    """Within it, the checks of accesses know of arrays that kernels reach by no argument."""
    module = library(device.type)
    if not hasattr(module, "watch"):
        yield
        return
    addresses = [address(array) for array in arrays]
    for start, array in zip(addresses, arrays, strict=True):
        module.watch(start, array.nbytes)
    try:
        yield
    finally:
        for start in addresses:
            module.forget(start)


# _build is imported where it is needed: it would double the time of ``import tapegrad``.


def _load_emulated() -> ModuleType:
    from tapegrad import _build

    chosen = os.environ.get("TAPEGRAD_EMULATOR", "fast")
    if chosen == "checked":
        return _load_checked()
    if chosen != "fast":
        raise KernelsMissing(f"TAPEGRAD_EMULATOR must be fast or checked, not {chosen!r}")
    installed = _import_installed("emulated")
    current = _current_source_hash()
    if installed is not None and current in (None, installed.build_info()["source_hash"]):
        return installed
    try:
        return _load_from("emulated", _build.build_into_cache("emulated"))
    except _build.BuildError as error:
        raise KernelsMissing(f"device 'emulated': {error}") from error


def _load_cuda() -> ModuleType:
    installed = _import_installed("cuda")
    current = _current_source_hash()
    if installed is not None and current in (None, installed.build_info()["source_hash"]):
        return installed
    cached = _find_cached("cuda")
    if cached is not None:
        return _load_from("cuda", cached)
    if installed is not None:
        warnings.warn(
            "tapegrad._cuda was compiled from other kernel sources than those here: run "
            "'python -m tapegrad._build cuda'",
            stacklevel=4,
        )
        return installed
    raise KernelsMissing(
        "the CUDA kernels of tapegrad are not compiled here: install a CUDA compiler (nvcc), then "
        "run 'python -m tapegrad._build cuda', or install tapegrad again with TAPEGRAD_CUDA=on; "
        "'tapegrad doctor' says more"
    )


def _import_installed(device_type: str) -> ModuleType | None:
    """The extension that the installation built, or None."""
    if importlib.util.find_spec(f"tapegrad._{device_type}") is None:
        return None
    try:
        return importlib.import_module(f"tapegrad._{device_type}")
    except ImportError as error:
        warnings.warn(f"tapegrad._{device_type} cannot be loaded: {error}", stacklevel=4)
        return None


def _current_source_hash() -> str | None:
    from tapegrad import _build

    try:
        return _build.source_hash(_build.source_root())
    except _build.BuildError:
        return None


def _find_cached(device_type: str) -> Path | None:
    from tapegrad import _build

    try:
        return _build.cached(_build.plan_for(device_type))
    except _build.BuildError:
        return None


def _load_from(device_type: str, path: Path) -> ModuleType:
    # Under another name than the installed one has: of one name pybind11 hands out the first again.
    name = f"tapegrad._compiled_later._{device_type}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[f"tapegrad._{device_type}"] = module
    return module
