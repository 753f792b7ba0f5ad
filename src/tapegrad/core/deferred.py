"""Indices that only a kernel sees to be out of range: the errors, and when they are raised.

A launch does not wait for its kernel, and asking after each whether an index was out of range would
make it wait. The kernel notes the index instead (``report_invalid`` in kernels/device.cuh), in host
memory that the GPU can write, and goes on without it. The error is raised where the program waits
for the GPU anyway (``item()``, ``cpu()``, ``tg.cuda.synchronize()`` ...), at the next call that
could note one, or at the end of the program; at once under ``detect_anomaly`` and on the emulated
device, which has nothing to wait for.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .capture import capturing
from .commit import fork_safe_lock
from .devices import Device, after_waiting, pinned_zeros, wait

at_once = False  # whether detect_anomaly wants errors where they arise, whatever the wait

# For each device, error and its further arguments what the kernels note: [1 if there is an index,
# the index]. One program uses few; memory that a kernel may still write must not be given back.
_notes: dict[tuple[Device, Callable[..., Exception], tuple], np.ndarray] = {}
_inherited: list[dict] = []  # of a parent process: not ours to read, nor to give back
_lock = fork_safe_lock()


class out_of_range:
    """``with out_of_range(device, error, *facts) as invalid: launch(...)``: what the launcher takes
    as ``invalid``. For an index noted there ``error(index, *facts)`` is raised, sooner or later."""

    def __init__(self, device: Device, error: Callable[..., Exception], *facts: Any):
        self.key = (device, error, facts)

    def __enter__(self) -> np.ndarray:
        if self.key[0].type != "cuda":
            if capturing() is None:
                self.note = np.zeros(2, np.int64)
                return self.note
            note = self.key[0].ops["zeros"](2, np.int64)
            self.note = note.view(np.ndarray)
            return note
        raise_found()
        note = _notes.get(self.key)
        return _new_note(self.key) if note is None else note

    def __exit__(self, kind: type[BaseException] | None, *exception: Any) -> None:
        device = self.key[0]
        if kind is not None:
            return
        if device.type != "cuda":
            self._raise_noted()
            recording = capturing()
            if recording is not None and recording.insert is not None:
                recording.insert(self._raise_noted)
        elif at_once:
            wait(device)
            raise_found()

    def _raise_noted(self) -> None:
        _, error, facts = self.key
        if self.note[0]:
            self.note[0], index = 0, int(self.note[1])
            self.note[1] = 0
            raise error(index, *facts)


def raise_found() -> None:
    """Raise the error of one index that was noted, if there is one, and forget it."""
    for (device, error, facts), note in tuple(_notes.items()):
        if note[0]:
            wait(device)  # until the kernel that noted it has ended
            with _lock:
                found, index = int(note[0]), int(note[1])
                note[:] = 0
            if found:  # no other thread was faster
                raise error(index, *facts)


def _new_note(key: tuple) -> np.ndarray:
    with _lock:
        if not after_waiting:
            after_waiting.append(raise_found)
            atexit.register(raise_found)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_leave_to_the_parent)
        return _notes.setdefault(key, pinned_zeros(2))


def _leave_to_the_parent() -> None:
    _inherited.append(_notes.copy())
    _notes.clear()
