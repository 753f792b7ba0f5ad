"""The libraries that tapegrad is compared with, each computing on the same arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from tapegrad.core.devices import Device

from .arrays import from_torch, import_torch, of_memories, to_torch
from .cases import Case, TorchGradient
from .cases.case import several
from .check import BenchmarkError
from .ways import Way

MINE = "tapegrad"
PEERS = ("numpy", "body", "cupy", "torch", "torch.compile", "jax")
_DEFAULTS = {
    "cpu": ("numpy", "body", "torch"),
    "emulated": ("numpy",),
    "cuda": ("cupy", "torch", "torch.compile"),
}


def choose(device: Device, wanted: Sequence[str] | None, own: bool = False) -> tuple[str, ...]:
    """The peers to compare with: those ``wanted``, which must be there, or the usual ones of the
    device that are. own: for functions of a user's, whose body is a peer on every device.

    Raises BenchmarkError for a name that is not in PEERS, or that this machine does not have.
    """
    if wanted is None:
        usual = _DEFAULTS[device.type]
        if own:
            usual = ("body", *(n for n in (*usual, "torch", "jax") if n not in ("body", "numpy")))
        return tuple(n for n in dict.fromkeys(usual) if not absent(n, device, own))
    for name in wanted:
        if name not in PEERS:
            raise BenchmarkError(f"unknown peer {name!r}: choose from {', '.join(PEERS)}")
        if reason := absent(name, device, own):
            raise BenchmarkError(f"peer {name!r}: {reason}")
    return tuple(wanted)


def absent(name: str, device: Device, own: bool = False) -> str:
    """Why this peer does not exist on this device, or ""."""
    if name == "body" and own:
        return ""
    if name in ("numpy", "body"):
        return "it computes on the CPU" if device.type == "cuda" else ""
    if name == "cupy":
        return "" if device.type == "cuda" else "it computes on GPUs"
    if name == "jax":
        return "" if find_spec("jax") else "JAX is not installed"
    if find_spec("torch") is None:
        return "PyTorch is not installed"
    try:
        torch = import_torch()
    except (ImportError, OSError) as error:
        return f"PyTorch is installed but cannot be imported: {' '.join(str(error).split())}"
    if device.type == "cuda" and not torch.cuda.is_available():
        return "this PyTorch finds no GPU"
    return ""


def way_of(name: str, case: Case, device: Device) -> Way | None:
    """How the case is computed by this contestant; None where it does not have it. NumPy's way is
    the plain body unless the case has another: then the body is a peer of its own."""
    if case.ways:
        return case.ways[name](device) if name in case.ways else None
    if name == MINE:
        return Way(partial(case.mine, device.ops), counts=MINE)
    if name == "body":
        return Way(case.plain(np), counts=MINE) if case.arrays else None
    if name in ("numpy", "cupy"):
        given = case.arrays
        call = partial(given, device.library) if given else case.plain(device.library)
        return Way(call, counts=MINE)
    if name == "jax" or case.torch is None:
        return None
    torch, eager = import_torch(), case.torch
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

    return Way(call, _torch_tensors, give=lambda result: from_torch(result, device), counts="torch")


def _torch_tensors(values: Sequence[Any]) -> list[Any]:
    return of_memories(to_torch, values)


def torch_gradient(function: Callable[..., Any], device: Device, count: int, compiled: bool) -> Way:
    """The gradients of a function of so many of PyTorch's tensors for the floats among them,
    without the forward pass; behind its inputs are the gradients of its results."""
    torch = import_torch()
    if compiled:
        # Else what it keeps for the way back is gone after the first time.
        torch._functorch.config.donated_buffer = False
        function = torch_compiled(function)

    def take(values: Sequence[Any]) -> list[Any]:
        tensors = _torch_tensors(values)
        given = [t.detach() if hasattr(t, "detach") else t for t in tensors[:count]]
        floats = [t for t in given if hasattr(t, "detach") and t.is_floating_point()]
        leaves = [t.requires_grad_() for t in floats]
        results = [y for y in several(function(*given)) if y.requires_grad]
        return [results, leaves, tensors[count:]]

    def call(results: list, leaves: list, seeds: list) -> Any:
        return torch.autograd.grad(
            results, leaves, seeds, retain_graph=True, materialize_grads=True
        )

    return Way(call, take, give=lambda result: from_torch(result, device), counts="torch")


def jax_way(function: Callable[..., Any]) -> Way:
    """A function of JAX's arrays, compiled by it, on copies: JAX's arrays never change. A call ends
    when its results are there."""
    import jax

    compiled = jax.jit(function)

    def take(values: Sequence[Any]) -> list[Any]:
        return of_memories(jax.numpy.array, values)

    return Way(lambda *arrays: jax.block_until_ready(compiled(*arrays)), take, give=np.asarray)


def torch_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function by torch.compile."""
    torch = import_torch()
    # Its caches are emptied, as after some recompilations it would silently run eagerly; a part
    # that it cannot compile is an error for the same reason.
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, dynamic=False)


def warm_compiler(device: Device) -> None:
    """Compile something: the first time takes many times as long as any other."""
    torch = import_torch()
    with contextlib.suppress(Exception):  # the rows will show the error
        torch.compile(lambda x: x + 1)(to_torch(device.library.ones(8)))
