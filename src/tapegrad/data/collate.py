"""Batches from samples: what a DataLoader does where it is given no ``collate_fn``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import check_nesting
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import as_tensor, tensor
from tapegrad.ops.movement.cat import stack

_ARRAYS = "biufV"  # the kinds of NumPy's dtypes that tensors have (V: bfloat16)


class SamplesDiffer(RuntimeError):
    """Samples that make no batch, and which of them (``_sample``) differs from the first."""

    def __init__(self, position: int, text: str):
        super().__init__(f"default_collate: sample {position} of the batch {text}")
        self._sample = position


@retelling
def default_convert(data: Any) -> Any:
    """One sample as tensors, where batches are not made by the DataLoader: arrays become tensors
    over their memory, also in lists, dicts, and tuples, which become lists; anything else is left
    as it is."""
    check_nesting("default_convert", data)
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind in _ARRAYS:
        return as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(value) for value in data])
    return data


@retelling
def default_collate(batch: list[Any]) -> Any:
    """One batch from a list of samples: tensors, arrays and numbers become one tensor with a
    leading batch dimension; tuples, which become lists, lists and dicts are collated entry by
    entry; text stays a list (of tuples' entries a tuple, as in PyTorch).

    Raises RuntimeError for samples that do not stack, naming the one that differs, and TypeError
    for what is none of these. ``default_collate_fn_map`` may be given functions for other types.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


@retelling
def collate(
    batch: list[Any],
    *,
    collate_fn_map: dict[type | tuple[type, ...], Callable[..., Any]] | None = None,
) -> Any:
    """A batch by a table of functions: of the first sample's type, else of the first type in the
    table that it is an instance of. Each is called with the list of samples, and the table as
    ``collate_fn_map``. Containers are collated entry by entry."""
    if not batch:
        raise ValueError("collate: there are no samples to make a batch of")
    check_nesting("collate", batch[0])
    return _collated(batch, collate_fn_map or {})


def _collated(batch: Sequence[Any], table: dict[Any, Callable[..., Any]]) -> Any:
    first = batch[0]
    function = table.get(type(first))
    if function is None:
        function = next((table[kind] for kind in table if isinstance(first, kind)), None)
    if function is not None:
        return function(batch, collate_fn_map=table)
    if isinstance(first, Mapping):
        _same_kind(batch, Mapping)
        entries = {key: _collated(_entries(batch, key), table) for key in first}
        return _like_mapping(first, entries)
    if isinstance(first, Sequence):
        _same_kind(batch, Sequence)
        for position, sample in enumerate(batch):
            if len(sample) != len(first):
                raise SamplesDiffer(
                    position,
                    f"has length {len(sample)}, sample 0 has {len(first)}: give DataLoader a "
                    "collate_fn that pads or packs them",
                )
        columns = zip(*batch, strict=True)
        return _like_sequence(first, [_collated(column, table) for column in columns])
    raise TypeError(
        "default_collate: batches are made of tensors, NumPy arrays, numbers, text, dicts, lists "
        f"and tuples; it cannot batch {type(first).__name__}; give DataLoader a collate_fn"
    )


def _entries(batch: Sequence[Any], key: Any) -> list[Any]:
    for position, sample in enumerate(batch):
        if key not in sample:
            raise SamplesDiffer(position, f"has no entry {key!r}, which sample 0 has")
    return [sample[key] for sample in batch]


def _like_mapping(model: Mapping, entries: dict) -> Any:
    """The entries in a mapping of the model's kind, or in a dict where that takes none."""
    if type(model) is dict:
        return entries
    try:
        if isinstance(model, MutableMapping):
            made = copy.copy(model)
            made.update(entries)
            return made
        return type(model)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries


def _like_sequence(model: Sequence, entries: list) -> Any:
    """The entries in a sequence of the model's kind, or in a list where that takes none; those of
    a plain tuple in a list, too, as users assign to them."""
    if hasattr(model, "_fields"):  # a named tuple
        return type(model)(*entries)
    if isinstance(model, (tuple, range)) or type(model) is list:
        return entries
    try:
        if isinstance(model, MutableSequence):
            made = copy.copy(model)
            for place, entry in enumerate(entries):
                made[place] = entry
            return made
        return type(model)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries


# ---------------------------------------------------------------------- by type


def _same_kind(batch: Sequence[Any], kind: Any) -> None:
    for position, sample in enumerate(batch):
        if not isinstance(sample, kind):
            raise TypeError(
                f"default_collate: sample {position} of the batch is of type "
                f"{type(sample).__name__}, sample 0 of type {type(batch[0]).__name__}"
            )


def _same_shape(batch: list[Any], kind: Any) -> None:
    _same_kind(batch, kind)
    shape = batch[0].shape
    for position, sample in enumerate(batch):
        if sample.shape != shape:
            raise SamplesDiffer(
                position,
                f"has shape {tuple(sample.shape)}, sample 0 has {tuple(shape)}: bring them to one "
                "shape, or give DataLoader a collate_fn that pads or packs them",
            )


def _of_tensors(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    _same_shape(batch, Tensor)
    return stack(batch)


def _of_arrays(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    if batch[0].dtype.kind not in _ARRAYS:
        raise TypeError(f"default_collate: cannot batch arrays of dtype {batch[0].dtype}")
    _same_shape(batch, (np.ndarray, np.generic))
    return as_tensor(np.stack(batch))


def _of_numbers(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    return tensor(batch)


def _of_floats(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    return tensor(batch, dtype=dtypes.float64)


def _of_text(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    return batch


default_collate_fn_map: dict[type | tuple[type, ...], Callable[..., Any]] = {
    Tensor: _of_tensors,
    np.ndarray: _of_arrays,
    (np.bool_, np.number): _of_arrays,
    float: _of_floats,
    int: _of_numbers,
    str: _of_text,
    bytes: _of_text,
}
