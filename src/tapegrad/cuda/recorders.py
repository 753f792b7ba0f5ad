"""How each device records and replays: a GPU by CuPy's stream capture, the emulated one by the
calls that its arrays note."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from tapegrad.core.capture import Capture, refuse
from tapegrad.core.devices import Device, compute_with
from tapegrad.core.kernels import set_instead
from tapegrad.core.tensor import Tensor

from .recorded import CONVERTING, Library, Recorded, Recording, computing


class OnEmulated:
    """The emulated device's launches and NumPy's calls, one after the other."""

    def __init__(self, device: Device, pool: Any) -> None:
        self.device, self.pool = device, pool or object()
        self.recording = Recording()
        self._was: dict[int, tuple[Tensor, np.ndarray, Recorded]] = {}

    def begin(self) -> Capture:
        steps = self.recording.steps
        capture = Capture(self.device, Recorded, _empty, _fill, steps.append)
        for tensor in _tensors(self.device):
            array = tensor._array
            tensor._array = array.view(Recorded)
            self._was[id(tensor)] = tensor, array, tensor._array
        self.recording.begin(array for _, array, _ in self._was.values())
        compute_with(self.device, Library(self.recording))
        self._before = set_instead(self._launch)
        computing.append(self.recording)
        return capture

    def _launch(self, device: Device, launcher: Any, arguments: tuple) -> Any:
        if device is not self.device:
            return launcher(*arguments)
        return self.recording.launch(launcher, arguments)

    def end(self) -> None:
        computing.remove(self.recording)
        set_instead(self._before)
        compute_with(self.device)
        self.recording.end()
        for tensor, array, recorded in self._was.values():
            if tensor._array is recorded:
                tensor._array = array
        self._was.clear()
        for tensor in _tensors(self.device):
            if isinstance(tensor._array, Recorded):
                tensor._array = tensor._array.view(np.ndarray)

    def replay(self) -> None:
        self.recording.replay()


def _empty(shape: tuple[int, ...], dtype: Any) -> Recorded:
    return np.empty(shape, dtype).view(Recorded)


def _fill(array: Recorded, values: np.ndarray) -> None:
    np.copyto(array.view(np.ndarray), values)  # and no call that is noted


def _tensors(device: Device) -> list[Tensor]:
    """All that live there."""
    found = (x for x in gc.get_objects() if issubclass(type(x), Tensor))
    return [t for t in found if t._device is device and isinstance(t._array, np.ndarray)]


class OnGpu:
    """A CUDA graph, and the pool in which its memory stays."""

    def __init__(self, device: Device, pool: Any) -> None:
        self.device, library = device, device.library
        self.pool = pool or library.cuda.MemoryPool()
        with library.cuda.Device(device.index):
            self.stream = library.cuda.Stream(non_blocking=True)
        self._graph: Any = None
        self._entered = ExitStack()

    def begin(self) -> Capture:
        library = self.device.library
        cuda = library.cuda
        gc.collect()  # not in the midst
        before = cuda.Event()
        before.record(cuda.get_current_stream())
        self.stream.wait_event(before)
        with ExitStack() as entered:
            entered.enter_context(cuda.Device(self.device.index))
            entered.enter_context(self.stream)
            entered.enter_context(cuda.using_allocator(self.pool.malloc))
            entered.callback(set_instead, set_instead(None))  # nothing may wait for a launch
            entered.callback(compute_with, self.device)
            compute_with(self.device, _Guarded(library))
            self.stream.begin_capture()
            self._entered = entered.pop_all()
        return Capture(self.device, library.ndarray, library.empty, _write)

    def end(self) -> None:
        try:
            self._graph = self.stream.end_capture()
        finally:
            self._entered.close()

    def replay(self) -> None:
        self._graph.launch()


def _write(array: Any, values: np.ndarray) -> None:
    """On the current stream, and without waiting for it: the host's memory is not pinned, so CUDA
    has copied it when the call returns."""
    import cupy

    array.set(values, cupy.cuda.get_current_stream())


class _Guarded:
    """CuPy, which makes no array of what the host has but of numbers: a copy would be repeated by
    every replay, from memory that has other numbers by then."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._library, name)
        if name in CONVERTING:
            found = partial(self._convert, found)
        setattr(self, name, found)
        return found

    def _convert(self, function: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, self._library.ndarray):
            return function(value, *args, **kwargs)
        host = np.asarray(value)
        if host.ndim:
            refuse(
                f"{host.dtype} {host.shape} of the host would be the same in every replay: make "
                "the tensor before, and copy what changes into it"
            )
        dtype = (args[0] if args else kwargs.get("dtype")) or host.dtype
        return self._library.full((), host[()], dtype)
