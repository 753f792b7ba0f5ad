"""Devices, and which implementation of an operation runs on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import devices
from tapegrad.core.devices import Device, KernelsMissing


def test_one_object_per_device() -> None:
    assert Device("cpu") is Device("cpu") is tg.zeros(1).device
    assert Device("cuda") is Device("cuda:0") is Device("cuda", 0)
    assert Device("cuda:1") is not Device("cuda:0")
    assert (str(Device("cuda:1")), repr(Device("cpu"))) == ("cuda:1", "device('cpu')")


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:-1", "cuda:x", "", "emulated:2", -3, None])
def test_unknown_devices_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="device"):
        Device(name)


def test_the_first_override_that_accepts_runs() -> None:
    calls = []

    def declines(device: Device, x: int) -> Any:
        calls.append("declines")
        return NotImplemented

    def accepts(device: Device, x: int) -> int:
        return 2 * x

    chosen = devices._first_that_accepts(Device("cpu"), [declines, accepts], lambda x: x)
    assert (chosen(3), calls) == (6, ["declines"])
    assert devices._first_that_accepts(Device("cpu"), [declines], lambda x: x)(3) == 3


def kernel_not_compiled(device: Device, x: int) -> int:
    raise KernelsMissing("run this and that")


def test_without_compiled_kernels_cuda_uses_the_plain_body_and_says_so_once() -> None:
    chosen = devices._first_that_accepts(Device("cuda"), [kernel_not_compiled], lambda x: -x)
    with pytest.warns(UserWarning, match="run this and that"):
        assert chosen(3) == -3
    assert chosen(4) == -4


def test_what_tapegrad_warns_of_is_shown(tmp_path: Path) -> None:
    """Its filter of NumPy's RuntimeWarnings in tapegrad.* must not hide tapegrad's own."""
    (tmp_path / "_cuda.py").write_text("raise ImportError('no such runtime')")
    code = f"""
import tapegrad
from tapegrad.core import devices, kernels

def missing(device, x):
    raise devices.KernelsMissing("run this and that")

tapegrad.__path__.insert(0, {str(tmp_path)!r})
cuda = devices.Device("cuda")
inside = {{"__name__": "tapegrad.ops.inside"}}
exec("def outer(f, *args): return inner(f, *args)", inside)
exec("def inner(f, *args): return f(*args)", inside)
assert inside["outer"](devices._first_that_accepts(cuda, [missing], lambda x: -x), 3) == -3
try:
    inside["outer"](kernels.launch, cuda, "relu_forward", "float32")
except devices.KernelsMissing:
    pass
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "UserWarning: using CuPy's functions instead: run this and that" in ran.stderr
    assert "UserWarning: tapegrad._cuda cannot be loaded: no such runtime" in ran.stderr


def test_the_emulated_device_never_runs_anything_else_silently() -> None:
    chosen = devices._first_that_accepts(Device("emulated"), [kernel_not_compiled], lambda x: -x)
    with pytest.raises(KernelsMissing):
        chosen(3)


def test_overrides_belong_to_primitives() -> None:
    """Every override's name is that of a body, or of NumPy's function, whose result it must
    reproduce."""
    tg.nn, tg.optim  # noqa: B018  (imports them)
    assert all(name in devices.bodies or hasattr(np, name) for name in devices.overrides)
