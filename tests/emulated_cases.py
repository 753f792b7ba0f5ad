"""Files of small kernels (tests/kernels), compiled with the emulator in either of its builds."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tapegrad import _build

SCHEDULES = {"random": 0, "ascending": 1, "descending": 2}


class Emulator:
    """The compiled cases; ``name(...)`` returns the kind of error and its message, or None."""

    def __init__(self, path: Path, checked: bool):
        self.library, self.checked = ctypes.CDLL(str(path)), checked
        if checked:
            self.library.watch.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p]

    def __call__(self, name, *arguments):
        if self.checked:
            self.library.forget_arrays()
        converted = []
        for index, given in enumerate(arguments):
            if isinstance(given, np.ndarray):
                if self.checked:
                    self.library.watch(given.ctypes.data, given.nbytes, f"array {index}".encode())
                given = ctypes.c_void_p(given.ctypes.data)
            converted.append(given)
        function = self.library[name]
        function.restype = ctypes.c_char_p
        message = function(*converted)
        return message if message is None else message.decode()

    def schedule(self, name, seed=0):
        self.library.set_schedule(SCHEDULES[name], ctypes.c_uint64(seed))


def build(cases: Path, folder: Path, checked: bool) -> Emulator:
    cxx = _build.find_cxx()
    if cxx is None:
        pytest.skip("the emulator needs a C++ compiler")
    plan = _build.plan_emulated(cxx, _build.source_root(), {}, checked)
    units = tuple(u for u in plan.units if "emulate" in u.source.parts)
    flags = _build.checked_flags(cxx) if checked else ("-Wall", "-Wextra", "-Werror")
    command = (*cxx.command, *_build.CXX_FLAGS, *flags, "-Wno-unknown-pragmas", "-x", "c++")
    units += (_build.Unit(cases, command, "cases"),)
    return Emulator(_build.build(replace(plan, units=units), folder / "cases.so", folder), checked)


def builds(cases: Path) -> tuple:
    """Fixtures of a module: the cases in the fast build, and in the checked one."""

    @pytest.fixture(scope="module")
    def fast(tmp_path_factory):
        return build(cases, tmp_path_factory.mktemp("fast"), False)

    @pytest.fixture(scope="module")
    def checked(tmp_path_factory):
        return build(cases, tmp_path_factory.mktemp("checked"), True)

    return fast, checked


def aligned(*shape, dtype="float32"):
    """Zeros at an address that is a multiple of 16."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + 16, "uint8")
    start = -memory.ctypes.data % 16
    return memory[start : start + size].view(dtype).reshape(shape)


def lines_of(cases: Path, name: str) -> list[int]:
    """Those with this name behind them."""
    text = cases.read_text().splitlines()
    return [number for number, line in enumerate(text, 1) if line.endswith(f"// {name}")]
