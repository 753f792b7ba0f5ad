"""Arrays and tensors of every library: their memory, copies, and the way from one to another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU, Device, to_numpy
from tapegrad.core.dtypes import bfloat16, is_low_precision
from tapegrad.core.tensor import Tensor


def memory(value: Any) -> Any:
    """What a value's numbers can be read from and written to: an array of NumPy or CuPy, a tensor
    of PyTorch without history. None for all that is no such thing."""
    if isinstance(value, Tensor):
        return value._array
    if is_torch(value):
        return value.detach()
    is_array = isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__")
    return value if is_array and not hasattr(value, "block_until_ready") else None


def of_memories(make: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """What is made of the memory of each value; what has none is left as it is."""
    return [v if (m := memory(v)) is None else make(m) for v in values]


def copied(value: Any) -> Any:
    """The same in other memory; what has no memory is returned as it is."""
    if isinstance(value, Tensor) or is_torch(value):
        return value.detach().clone().requires_grad_(value.requires_grad)
    return value if memory(value) is None else value.copy(order="K")


def on_host(value: Any) -> np.ndarray | None:
    """The numbers as a NumPy array; None for what is no array."""
    array = memory(value)
    if array is None:
        return np.asarray(value) if hasattr(value, "block_until_ready") else None
    return np.asarray(from_torch(array.cpu(), CPU)) if is_torch(array) else to_numpy(array)


def same_bits(a: Any, b: Any) -> bool:
    """Whether two values hold the same numbers, not-a-numbers included; what is no array does."""
    a, b = memory(a), memory(b)
    if a is None or b is None:
        return True
    if is_torch(a) or is_torch(b):
        a, b = on_host(a), on_host(b)
    return bool((a.reshape(-1).view(np.uint8) == b.reshape(-1).view(np.uint8)).all())


def is_torch(value: Any) -> bool:
    return hasattr(value, "detach") and not isinstance(value, Tensor)


def to_torch(array: Any) -> Any:
    """A tensor on the memory of a NumPy or CuPy array, bfloat16 included."""
    torch = import_torch()
    wrap = torch.from_numpy if isinstance(array, np.ndarray) else torch.from_dlpack
    if is_low_precision(array.dtype):
        return wrap(array.view(np.int16)).view(getattr(torch, array.dtype.name))
    return wrap(array)


def from_torch(tensor: Any, device: Device) -> Any:
    """The array on a tensor's memory; anything but a tensor is returned as it is."""
    if not hasattr(tensor, "detach"):
        return tensor
    torch = import_torch()
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return from_torch(tensor.view(torch.int16), device).view(bfloat16())
    return device.library.from_dlpack(tensor) if tensor.is_cuda else tensor.numpy()


def import_torch() -> Any:
    # Its threads would spin for a while after each call, on the cores that the next contestant in
    # turn, NumPy's BLAS or tapegrad, computes on. It reads these when it is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    import torch

    return torch
