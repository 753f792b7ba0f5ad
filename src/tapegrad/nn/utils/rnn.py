"""Sequences of different lengths: padded into one tensor, or packed so that no step is wasted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.hints import unknown_names
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import as_tensor, full
from tapegrad.ops.movement.cat import cat

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]

P = TypeVar("P", bound="PackedSequence")


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """The steps of sequences of different lengths, one step below the other, as recurrent layers
    take them: made by ``pack_sequence`` and ``pack_padded_sequence``.

    data: (rows, ...), the first elements of all sequences, the longest first, then the second ones
    of those that have one, and so on. batch_sizes: int64 (length of the longest,), how many rows
    each step has; always on the CPU. sorted_indices: which sequence each place is, None where they
    were sorted; unsorted_indices: the way back. Two arguments alone may be one pair.

    Raises ValueError for batch_sizes on another device, TypeError for anything but Tensors.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if batch_sizes is None:
            if not isinstance(data, (tuple, list)) or len(data) != 2:
                raise TypeError(
                    "PackedSequence: expected data and batch_sizes, got a "
                    f"{type(data).__name__} alone; pack_sequence() makes one of sequences"
                )
            data, batch_sizes = data
        require_tensor("PackedSequence", batch_sizes)
        if batch_sizes.device.type != "cpu":
            raise ValueError(
                f"PackedSequence: batch_sizes must be on the CPU, not on {batch_sizes.device}: "
                "pack_sequence() and pack_padded_sequence() leave them there"
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self: P, data: Tensor) -> P:
        """Other data, and the indices where that is."""
        if data is self.data:
            return self
        moved = [None if t is None else t.to(data.device) for t in self[2:]]
        return type(self)(data, self.batch_sizes, *moved)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Another dtype or device of the data, as ``Tensor.to``; itself where nothing changes."""
        return self._with(self.data.to(*args, **kwargs))

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        return self._with(self.data.cuda(*args, **kwargs))

    def cpu(self) -> Self:
        return self._with(self.data.cpu())

    def double(self) -> Self:
        return self.to(dtype=dtypes.float64)

    def float(self) -> Self:
        return self.to(dtype=dtypes.float32)

    def half(self) -> Self:
        return self.to(dtype=dtypes.float16)

    def long(self) -> Self:
        return self.to(dtype=dtypes.int64)

    def int(self) -> Self:
        return self.to(dtype=dtypes.int32)

    def short(self) -> Self:
        return self.to(dtype=dtypes.int16)

    def char(self) -> Self:
        return self.to(dtype=dtypes.int8)

    def byte(self) -> Self:
        return self.to(dtype=dtypes.uint8)

    def pin_memory(self) -> Self:
        """Itself: transfers from the CPU's memory wait for it, pinned or not."""
        return self

    def is_pinned(self) -> bool:
        return False

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda


@overload
def invert_permutation(permutation: None) -> None: ...
@overload
def invert_permutation(permutation: Tensor) -> Tensor: ...
def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation, int64 (n,), that undoes one; None of None."""
    if permutation is None:
        return None
    require_tensor("invert_permutation", permutation)
    return permutation.argsort()


# ---------------------------------------------------------------------- packing


@retelling
def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Sequences below each other in a padded tensor, packed: (length, batch, ...), or (batch,
    length, ...) with batch_first.

    lengths: of each sequence, (batch,), on the CPU. enforce_sorted: they must not rise; otherwise
    they are sorted, and ``sorted_indices`` says how. Raises RuntimeError for lengths that rise, are
    not positive, are longer than the input, or not one for each sequence; IndexError for an input
    without two dimensions.
    """
    op = "pack_padded_sequence"
    require_tensor(op, input)
    if input.ndim < 2:
        raise IndexError(
            f"[{op}] the input must have a length and a batch, got shape {tuple(input.shape)}"
        )
    steps, batch = input.shape[:2][:: -1 if batch_first else 1]
    sizes = _checked_lengths(op, lengths, batch)
    shape = tuple(input.shape)
    if not input.numel():
        raise RuntimeError(f"[{op}] there is nothing to pack in an input of shape {shape}")
    if max(sizes) > steps:
        raise RuntimeError(
            f"[{op}] a length of {max(sizes)} is more than the {steps} steps of an input of shape "
            f"{shape}, batch_first={batch_first}"
        )
    order = None
    if not enforce_sorted:
        order = np.argsort(-sizes, kind="stable")
        sizes = sizes[order]
    elif (sizes[1:] > sizes[:-1]).any():
        raise RuntimeError(
            f"[{op}] the lengths {_listed(sizes)} must not rise: sort the sequences, the longest "
            "first, or give enforce_sorted=False"
        )
    step, sequence, batch_sizes = _places(sizes)
    if order is not None:
        sequence = order[sequence]
    at = sequence * steps + step if batch_first else step * batch + sequence
    data = input.reshape(steps * batch, *shape[2:]).index_select(0, _index(input, at))
    sorted_indices = None if order is None else _index(input, order)
    return PackedSequence(data, as_tensor(batch_sizes, device="cpu"), sorted_indices, None)


@retelling
def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The way back: (length, batch, ...), or (batch, length, ...) with batch_first, in the order
    before packing, with ``padding_value`` behind the ends; and the lengths, int64 on the CPU.

    total_length: how many steps the result has, by default those of the longest. Raises ValueError
    where that is not enough, TypeError for anything but a PackedSequence, RuntimeError for one
    whose sizes do not fit its data.
    """
    op = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"[{op}] expects a PackedSequence, got a {type(sequence).__name__}")
    data, batch_sizes, order, _ = sequence
    counts = np.asarray(batch_sizes.tolist(), np.int64)
    if not len(counts) or counts.min() < 1 or (counts[1:] > counts[:-1]).any():
        raise RuntimeError(
            f"[{op}] batch_sizes must be positive, and not rise, got {_listed(counts)}"
        )
    if counts.sum() != len(data):
        raise RuntimeError(
            f"[{op}] batch_sizes {_listed(counts)} want {counts.sum()} rows, the data has shape "
            f"{tuple(data.shape)}"
        )
    steps, batch = len(counts), int(counts[0])
    if total_length is not None and total_length < steps:
        raise ValueError(
            f"[{op}] total_length={total_length} is less than the longest sequence's {steps} steps"
        )
    steps = steps if total_length is None else total_length
    lengths: Any = np.sum(np.arange(batch)[:, None] < counts, axis=1, dtype=np.int64)
    step, place, _ = _places(lengths)
    if order is not None:
        back = np.asarray(order.tolist(), np.int64)
        place = back[place]
        lengths = lengths[np.argsort(back)]
    at = place * steps + step if batch_first else step * batch + place
    lead = (batch, steps) if batch_first else (steps, batch)
    return _scattered(data, at, lead, padding_value), as_tensor(lengths, device="cpu")


@retelling
def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, ...), packed; their lengths must not rise, unless ``enforce_sorted`` is
    False. Raises as ``pad_sequence`` and ``pack_padded_sequence`` do."""
    padded = pad_sequence(sequences)
    return pack_padded_sequence(padded, [len(s) for s in sequences], False, enforce_sorted)


@retelling
def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed, (length, ...) each, in their order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


# ---------------------------------------------------------------------- padding


@retelling
def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (length, ...) below each other: (longest, batch, ...), or (batch, longest, ...)
    with batch_first, filled with ``padding_value`` behind the ends, or before the beginnings with
    ``padding_side="left"``. Of the first sequence's dtype.

    Raises RuntimeError where there is no sequence, for sequences without a length or with different
    sizes behind it, and for another side; TypeError for anything but Tensors.
    """
    op = "pad_sequence"
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"[{op}] expects a list of Tensors, got a {type(sequences).__name__}")
    given = list(sequences)
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"[{op}] padding_side must be 'left' or 'right', not {padding_side!r}")
    if not given:
        raise RuntimeError(f"[{op}] there is no sequence")
    for s in given:
        require_tensor(op, s)
        if not s.ndim or s.shape[1:] != given[0].shape[1:]:
            raise RuntimeError(
                f"[{op}] expects sequences of one size behind the length, (length, ...), got "
                f"{tuple(given[0].shape)} and {tuple(s.shape)}"
            )
    lengths = np.array([len(s) for s in given])
    batch, steps = len(given), int(lengths.max())
    step = np.concatenate([np.arange(n) for n in lengths])
    if padding_side == "left":
        step += np.repeat(steps - lengths, lengths)
    place = np.repeat(np.arange(batch), lengths)
    at = place * steps + step if batch_first else step * batch + place
    data = cat([s.to(given[0].dtype) for s in given])
    return _scattered(data, at, (batch, steps) if batch_first else (steps, batch), padding_value)


@retelling
def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """Copies of the first ``lengths[i]`` steps of each sequence i of (length, batch, ...), or
    (batch, length, ...) with batch_first. Raises ValueError where there is not one length for each.
    """
    op = "unpad_sequence"
    require_tensor(op, padded_sequences)
    if padded_sequences.ndim < 2:
        raise IndexError(
            f"[{op}] the sequences must have a length and a batch, got shape "
            f"{tuple(padded_sequences.shape)}"
        )
    padded = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    counts = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    if len(counts) != len(padded):
        raise ValueError(
            f"[{op}] {len(counts)} lengths for {len(padded)} sequences, in a tensor of shape "
            f"{tuple(padded_sequences.shape)}"
        )
    return [row[: max(int(n), 0)].clone() for row, n in zip(padded, counts, strict=True)]


# ---------------------------------------------------------------------- where rows are


def _checked_lengths(op: str, lengths: Any, batch: int) -> np.ndarray:
    on_cpu = not isinstance(lengths, Tensor) or lengths.device.type == "cpu"
    sizes = np.asarray(lengths.tolist() if isinstance(lengths, Tensor) else lengths)
    if sizes.ndim != 1 or not on_cpu:
        where = "" if on_cpu else f" on {lengths.device}"
        raise RuntimeError(
            f"[{op}] lengths must be a list of ints, or a 1-d tensor on the CPU, got shape "
            f"{sizes.shape}{where}"
        )
    sizes = sizes.astype(np.int64)
    if len(sizes) != batch:
        raise RuntimeError(f"[{op}] got {len(sizes)} lengths for a batch of {batch}")
    if (sizes < 1).any():
        raise RuntimeError(f"[{op}] all lengths must be positive, got {_listed(sizes)}")
    return sizes


def _places(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of packed rows the step and the sequence, and how many rows each step has."""
    there = np.arange(lengths.max())[:, None] < lengths
    step, sequence = np.nonzero(there)
    counts: Any = np.sum(there, axis=1, dtype=np.int64)
    return step, sequence, counts


def _scattered(data: Tensor, at: np.ndarray, lead: tuple[int, int], value: float) -> Tensor:
    """A tensor (*lead, ...) of one value, but with the rows of data at these places."""
    rest = tuple(data.shape[1:])
    filled = full((lead[0] * lead[1], *rest), value, dtype=data.dtype, device=data.device)
    return filled.index_copy(0, _index(data, at), data).reshape(*lead, *rest)


def _index(x: Tensor, at: np.ndarray) -> Tensor:
    return wrap(x._device.asarray(np.ascontiguousarray(at, np.int64)), x._device)


def _listed(numbers: np.ndarray) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return f"[{shown}{', ...' if len(numbers) > 10 else ''}]"


if not TYPE_CHECKING:
    __getattr__ = unknown_names(__name__)
