"""The libraries that tapegrad is compared with, each computing on the same arrays."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from tapegrad.core.devices import Device
from tapegrad.core.dtypes import bfloat16, is_low_precision

from .cases import Case, TorchGradient
from .check import BenchmarkError
from .ways import Way

MINE = "tapegrad"
PEERS = ("numpy", "body", "cupy", "torch", "torch.compile")
_DEFAULTS = {
    "cpu": ("numpy", "body", "torch"),
    "emulated": ("numpy",),
    "cuda": ("cupy", "torch", "torch.compile"),
}


def choose(device: Device, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The peers to compare with: those ``wanted``, which must be there, or the usual ones of the
    device that are.

    Raises BenchmarkError for a name that is not in PEERS, or that this machine does not have.
    """
    if wanted is None:
        return tuple(name for name in _DEFAULTS[device.type] if not absent(name, device))
    for name in wanted:
        if name not in PEERS:
            raise BenchmarkError(f"unknown peer {name!r}: choose from {', '.join(PEERS)}")
        if reason := absent(name, device):
            raise BenchmarkError(f"peer {name!r}: {reason}")
    return tuple(wanted)


def absent(name: str, device: Device) -> str:
    """Why this peer does not exist on this device, or ""."""
    if name in ("numpy", "body"):
        return "it computes on the CPU" if device.type == "cuda" else ""
    if name == "cupy":
        return "" if device.type == "cuda" else "it computes on GPUs"
    if find_spec("torch") is None:
        return "PyTorch is not installed"
    try:
        torch = _torch()
    except (ImportError, OSError) as error:
        return f"PyTorch is installed but cannot be imported: {' '.join(str(error).split())}"
    if device.type == "cuda" and not torch.cuda.is_available():
        return "this PyTorch finds no GPU"
    return ""


def way_of(name: str, case: Case, device: Device) -> Way | None:
    """How the case is computed by this contestant; None where it does not have it. NumPy's way is
    the plain body unless the case has another: then the body is a peer of its own."""
    if name in case.ways:
        return case.ways[name](device)
    if name == case.label:
        return Way(partial(case.mine, device.ops), counts=MINE)
    if name == "body":
        return Way(case.plain(np), counts=MINE) if case.arrays else None
    if name in ("numpy", "cupy"):
        given = case.arrays
        call = partial(given, device.library) if given else case.plain(device.library)
        return Way(call, counts=MINE)
    if name == "jax" or case.torch is None:
        return None
    torch, eager = _torch(), case.torch
    if name == "torch":
        return torch_way(lambda *tensors: eager(torch, *tensors), device)
    gradient = eager if isinstance(eager, TorchGradient) else None
    function = case.compiled or (gradient.forward if gradient else eager)
    compiled = torch_compiled(lambda *t: function(torch, *t))
    return torch_way(
        (lambda *t: gradient(torch, *t, wrapped=compiled)) if gradient else compiled, device
    )


def torch_way(call: Callable[..., Any], device: Device) -> Way:
    """A function of PyTorch's tensors, on the memory of the arrays."""

    def take(arrays: Sequence[Any]) -> list[Any]:
        return [to_torch(a) if hasattr(a, "dtype") else a for a in arrays]

    return Way(call, take, give=lambda result: from_torch(result, device), counts="torch")


def torch_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function by torch.compile."""
    torch = _torch()
    # Its caches are emptied, as after some recompilations it would silently run eagerly; a part
    # that it cannot compile is an error for the same reason.
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, dynamic=False)


def warm_compiler(device: Device) -> None:
    """Compile something: the first time takes many times as long as any other."""
    torch = _torch()
    with contextlib.suppress(Exception):  # the rows will show the error
        torch.compile(lambda x: x + 1)(to_torch(device.library.ones(8)))


def to_torch(array: Any) -> Any:
    """A tensor on the memory of a NumPy or CuPy array, bfloat16 included."""
    torch = _torch()
    wrap = torch.from_numpy if isinstance(array, np.ndarray) else torch.from_dlpack
    if is_low_precision(array.dtype):
        return wrap(array.view(np.int16)).view(getattr(torch, array.dtype.name))
    return wrap(array)


def from_torch(tensor: Any, device: Device) -> Any:
    """The array on a tensor's memory; anything but a tensor is returned as it is."""
    if not hasattr(tensor, "detach"):
        return tensor
    torch = _torch()
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return from_torch(tensor.view(torch.int16), device).view(bfloat16())
    return device.library.from_dlpack(tensor) if tensor.is_cuda else tensor.numpy()


def _torch() -> Any:
    # Its threads would spin for a while after each call, on the cores that the next contestant in
    # turn, NumPy's BLAS or tapegrad, computes on. It reads these when it is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    import torch

    return torch
