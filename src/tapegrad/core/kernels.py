"""The hand-written kernels: loads the compiled extensions and launches from them.

The only file that calls ``tapegrad._cuda`` (compiled by nvcc) and ``tapegrad._emulated`` (the same
kernels compiled by a C++ compiler). Both are loaded when first needed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .devices import Device, KernelsMissing, current_stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class KernelError(RuntimeError):
    """A kernel launch was refused or failed; the message names the kernel and its launch shape."""


_loaded: dict[str, ModuleType] = {}


def library(device_type: str) -> ModuleType:
    """The extension with the kernels for "cuda" or "emulated".

    Raises KernelsMissing, a RuntimeError, with what is missing and how to get it.
    """
    module = _loaded.get(device_type)
    if module is None:
        module = _load_emulated() if device_type == "emulated" else _load_cuda()
        module.KernelError = KernelError  # type: ignore[attr-defined]
        _loaded[device_type] = module
    return module


def launch(device: Device, name: str, dtype: Any, *arguments: Any) -> Any:
    """Call launcher ``name`` for ``dtype`` (None: it has no dtype) on the device's current stream.

    Arrays become their addresses, None becomes 0; numbers stay. Nothing is checked here: the caller
    answers for shapes, dtypes, devices and strides.
    """
    kernels = _loaded.get(device.type) or library(device.type)
    function = getattr(kernels, name if dtype is None else f"{name}_{dtype}")
    return function(*map(_raw, arguments), current_stream(device))


def ask(device: Device, name: str, *sizes: int) -> int:
    """What the extension's host function ``name`` answers: how much scratch memory a launcher
    needs for these sizes, for example."""
    return int(getattr(library(device.type), name)(*sizes))


def _raw(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        return argument.__array_interface__["data"][0]
    if argument is None:
        return 0
    if isinstance(argument, np.generic):  # taken for a pointer it would be read as one
        raise TypeError(f"a kernel takes arrays and Python numbers, got {type(argument).__name__}")
    if isinstance(argument, (int, float)):
        return argument
    if hasattr(argument, "__cuda_array_interface__"):
        return argument.data.ptr
    return argument


@contextmanager
def schedule(order: str, seed: int = 0) -> Iterator[None]:
    """Within it, the emulated device runs threads and blocks in this order: "random" (with a seed),
    "ascending" or "descending"."""
    emulated = library("emulated")
    before = emulated.schedule()
    emulated.set_schedule(order, seed)
    try:
        yield
    finally:
        emulated.set_schedule(*before)


# _build is imported where it is needed: it would double the time of ``import tapegrad``.


def _load_emulated() -> ModuleType:
    from tapegrad import _build

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
        path = _build.cached_path(_build.plan_for(device_type))
    except _build.BuildError:
        return None
    return path if path.is_file() else None


def _load_from(device_type: str, path: Path) -> ModuleType:
    name = f"tapegrad._{device_type}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module
