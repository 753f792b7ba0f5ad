"""The memory behind tensors, under PyTorch's names: what of it can be asked here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.core.devices import to_numpy
from tapegrad.core.held import hold_for
from tapegrad.core.memory import address, owner, stretch, within
from tapegrad.core.tape import is_recording
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import require_tensor

from .tensor_types import type_name

if TYPE_CHECKING:
    from typing_extensions import Self


class UntypedStorage:
    """All the memory that a tensor is in, as bytes: where it begins, how long it is, and what is in
    it. What is written to it counts as a change in place, as through ``x.data``."""

    def __init__(self, memory: Tensor):
        require_tensor(type(self).__name__, memory)
        self._tensor, self._array, self.device = memory, memory._array, memory._device

    @property
    def is_cuda(self) -> bool:
        """Whether it is on a GPU."""
        return self.device.type == "cuda"

    def data_ptr(self) -> int:
        """The address of its first byte, equal for all tensors that share it."""
        return address(self._array)

    def nbytes(self) -> int:
        """Its length in bytes."""
        return int(self._array.nbytes)

    def element_size(self) -> int:
        """Bytes of one element: 1."""
        return 1

    def size(self) -> int:
        """The number of its elements."""
        return self.nbytes() // self.element_size()

    __len__ = size

    def _values(self) -> Any:
        return to_numpy(self._array).view(np.uint8)

    def tolist(self) -> list:
        """Its elements as Python's numbers."""
        return self._values().tolist()

    def __getitem__(self, index: Any) -> Any:
        return self._values()[index].tolist()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._tensor[index] = value._tensor if isinstance(value, UntypedStorage) else value

    def __iter__(self) -> Iterator:
        return iter(self.tolist())

    def fill_(self, value: Any) -> Self:
        """Set all elements to a number."""
        self[:] = value
        return self

    def copy_(self, source: UntypedStorage, non_blocking: bool | None = None) -> Self:
        """Take the elements of another storage, of any dtype and device. Raises RuntimeError where
        it has another number of them."""
        if len(source) != len(self):
            raise RuntimeError(
                f"[storage.copy_] this storage has {len(self)} elements, the other {len(source)}"
            )
        self._tensor.copy_(source._tensor)  # type: ignore[attr-defined]
        return self

    def is_pinned(self, device: Any = None) -> bool:
        """False: no memory of the host is pinned."""
        return False

    def is_shared(self) -> bool:
        """Whether other processes see it: on a GPU only."""
        return self.is_cuda

    def resize_(self, size: int) -> None:
        """Raises NotImplementedError: memory is returned with the last tensor that is in it."""
        raise NotImplementedError(
            "[storage.resize_] a storage keeps its size: to free memory, drop its tensors or give "
            "them other memory with x.data = tapegrad.empty(0); to change a tensor's size, use "
            "x.resize_()"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.nbytes()} bytes on {self.device}>"


class TypedStorage(UntypedStorage):
    """The same, counted in the elements of the tensor's dtype."""

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the elements."""
        return self._array.dtype

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._array.itemsize

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage(_bytes(self._tensor))

    def type(self) -> str:
        """Its name in PyTorch, "torch.FloatStorage"."""
        return type_name(self.dtype.name, self.is_cuda).replace("Tensor", "Storage")

    def _values(self) -> Any:
        host = to_numpy(self._array)
        return host.astype(np.float32) if host.dtype.kind == "V" else host


def storage(self: Tensor) -> TypedStorage:
    """The whole memory that this tensor is in, with its views and whatever it is a view of, in
    elements of its dtype. What is asked of it does not change it."""
    require_tensor("storage", self)
    return TypedStorage(_memory(self))


def untyped_storage(self: Tensor) -> UntypedStorage:
    """The whole memory that this tensor is in, in bytes."""
    require_tensor("untyped_storage", self)
    return UntypedStorage(_bytes(_memory(self)))


def _memory(x: Tensor) -> Tensor:
    whole = stretch(owner(x._array))
    return x._alias(whole if whole.dtype == x.dtype else whole.view(x.dtype))


def _bytes(memory: Tensor) -> Tensor:
    return memory._alias(memory._array.view(np.uint8))


def set_(
    self: Tensor,
    source: Tensor | UntypedStorage | None = None,
    storage_offset: int = 0,
    size: Any = None,
    stride: Any = None,
) -> Tensor:
    """Let this tensor be another's memory, or a part of a storage: ``size`` elements, by default
    all, from the one numbered ``storage_offset`` on, in steps of ``stride`` (by default row by
    row). Without a source it is empty. Off the tape; raises RuntimeError for another dtype, for
    elements beyond the storage, and where the tensor requires grad and the tape records.
    """
    require_tensor("set_", self)
    if is_recording(self):
        raise RuntimeError(
            "[set_] a tensor that requires grad gets other memory under tapegrad.no_grad() only"
        )
    if source is None:
        self.data = wrap(self._device.ops["empty"]((0,), self.dtype), self._device)
        return self
    if not isinstance(source, (Tensor, UntypedStorage)):
        raise TypeError(f"[set_] takes a Tensor or a storage, got {type(source).__name__}")
    held = getattr(source, "dtype", self.dtype)
    if held != self.dtype:
        raise RuntimeError(
            f"[set_] this tensor is {self.dtype.name} and cannot be memory of {held.name}"
        )
    if isinstance(source, Tensor) and size is None and not storage_offset:
        self.data = source
        return self
    memory = source._tensor if isinstance(source, UntypedStorage) else _memory(source)
    raw, each = _bytes(memory)._array, self.dtype.itemsize
    shape = arguments.shape("set_", (raw.size // each - storage_offset,) if size is None else size)
    steps: list[int] = (
        [math.prod(shape[i + 1 :]) for i in range(len(shape))] if stride is None else stride
    )
    last = storage_offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    if storage_offset < 0 or (0 not in shape and (last + 1) * each > raw.size):
        raise RuntimeError(
            f"[set_] a storage of {raw.size // each} elements has no tensor of shape {shape} from "
            f"element {storage_offset} on"
        )
    array = within(raw, self.dtype, shape, tuple(s * each for s in steps), storage_offset * each)
    self.data = memory._alias(array)
    return self


def storage_type(self: Tensor) -> type:
    """The class of ``storage()``."""
    return TypedStorage


def is_storage(obj: Any) -> bool:
    """Whether ``obj`` is what ``storage()`` or ``untyped_storage()`` returned."""
    return isinstance(obj, UntypedStorage)


# ---------------------------------------------------------------------- where memory may be put


def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: a copy to a GPU is complete when the call returns, from any memory. Raises
    RuntimeError for a tensor on a GPU."""
    require_tensor("pin_memory", self)
    if self.is_cuda:
        raise RuntimeError(
            "[pin_memory] only tensors in the host's memory are pinned, this one is on "
            f"{self.device}"
        )
    return self


def is_pinned(self: Tensor, device: Any = None) -> bool:
    """False: no memory of the host is pinned."""
    return False


def is_shared(self: Tensor) -> bool:
    """Whether other processes may see this memory: on a GPU only."""
    return self.is_cuda


def share_memory_(self: Tensor) -> Tensor:
    """On a GPU, the tensor. Raises NotImplementedError elsewhere."""
    require_tensor("share_memory_", self)
    if self.is_cuda:
        return self
    raise NotImplementedError(
        "[share_memory_] processes do not share tensors here: send them, which copies, or make "
        "one over multiprocessing.shared_memory with tapegrad.from_numpy(np.ndarray(shape, dtype, "
        "memory.buf))"
    )


def record_stream(self: Tensor, stream: Any) -> None:
    """Let this memory not be used again before the work is done that was sent to ``stream``, a
    ``tapegrad.cuda.Stream``, by the time when the tensor and its views are gone. The pool knows
    only of the stream on which memory was allocated: call this for a tensor that is used on
    another. Raises TypeError for anything but a Stream; does nothing elsewhere than on a GPU."""
    require_tensor("record_stream", self)
    if not self.is_cuda:
        return
    if not hasattr(stream, "stream"):
        raise TypeError(f"[record_stream] stream must be a Stream, got {type(stream).__name__}")
    hold_for(self._device, self._array, stream.stream)


# ---------------------------------------------------------------------- functions of Python's


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a function of Python's makes of it, off the tape and slowly; in
    the host's memory only. Raises TypeError for a tensor on a GPU, RuntimeError for one that
    requires grad."""
    return _each("apply_", callable, self)


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace each element by what a function of Python's makes of it and the element of
    ``tensor``, which broadcasts; as ``apply_``."""
    require_tensor("map_", tensor)
    return _each("map_", callable, self, tensor)


def _each(op: str, function: Callable, x: Tensor, *others: Tensor) -> Tensor:
    require_tensor(op, x)
    if x.is_cuda:
        raise TypeError(f"[{op}] calls a function of Python's for tensors on the CPU: use .cpu()")
    if x.requires_grad:
        raise RuntimeError(f"[{op}] the tape does not see what the function does: use detach()")
    operands = [x._array]
    for other in others:
        try:
            operands.append(np.broadcast_to(other.numpy(force=True), x.shape))
        except ValueError:
            raise RuntimeError(
                f"[{op}] a tensor of shape {tuple(other.shape)} does not broadcast to "
                f"{tuple(x.shape)}"
            ) from None
    values = [
        function(*row) for row in zip(*[a.reshape(-1).tolist() for a in operands], strict=True)
    ]
    made = np.array(values, dtype=x.dtype).reshape(x.shape)
    return x.copy_(wrap(made, x.device))  # type: ignore[attr-defined]
