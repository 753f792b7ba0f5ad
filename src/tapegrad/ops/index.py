"""Indexing: reading, writing and adding at positions.

Everything is one of three primitives over NumPy's indexing: ``getitem`` reads, ``index_put``
writes, ``index_add`` adds. Gathering and scattering along a dimension build the index for them.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend import Device, override
from ..kernels import launch
from ..modes import recording
from ..tape import align, array_function, primitive
from ..tensor import Tensor, wrap
from .arguments import axis, require_tensor
from .create import tensor
from .elementwise import cast, where
from .shape import clone, stack

# ---------------------------------------------------------------------- primitives


@primitive(
    vjp=(lambda xp, g, index, input_shape: xp.getitem_backward(g, index=index, shape=input_shape),),
    into=lambda xp, g, index, buffer: xp.add_at(buffer, index, g),
    view=True,
)
def getitem(xp: Any, x: Any, *, index: Any) -> Any:
    part = x[index]
    # With an int for every dimension NumPy copies one element out; with "..." it is a view.
    return x[index + (...,)] if isinstance(part, np.generic) else part


@primitive(vjp=(lambda xp, g, index: xp.getitem(g, index=index),))
def getitem_backward(xp: Any, grad: Any, *, index: Any, shape: tuple[int, ...]) -> Any:
    result = xp.zeros(shape, dtype=grad.dtype)
    xp.add_at(result, index, grad)
    return result


@primitive(
    vjp=(
        lambda xp, g, index: xp.index_put(g, 0, index=index),
        lambda xp, g, index: xp.getitem(g, index=index),
    )
)
def index_put(xp: Any, x: Any, values: Any, *, index: Any) -> Any:
    result = x.copy()
    result[index] = values
    return result


@primitive(vjp=(lambda g: g, lambda xp, g, index: xp.getitem(g, index=index)))
def index_add_at(xp: Any, x: Any, values: Any, *, index: Any) -> Any:
    result = x.copy()
    xp.add_at(result, index, values)
    return result


@array_function
def add_at(xp: Any, target: Any, index: Any, values: Any) -> None:
    """target[index] += values, where an index that occurs n times adds n times."""
    if is_basic(index):
        target[index] += values
    else:
        xp.library.add.at(target, index, values)


@override("add_at", "cuda", "emulated")
def _add_at_in_order(device: Device, target: Any, index: Any, values: Any) -> Any:
    """Without atomics: number the targets, sort them, and let a kernel add up each one's values in
    the order they stand (kernels/embedding.cu, rows of one element)."""
    if is_basic(index) or target.dtype.kind not in "fV" or not target.size:
        return NotImplemented
    xp = device.xp
    places = xp.arange(target.size).reshape(target.shape)[index]
    values = xp.contiguous(xp.library.broadcast_to(values, places.shape))
    places = places.reshape(-1)
    order = xp.argsort(places, kind="stable")
    sums = xp.empty(target.shape, dtype=target.dtype)
    launch(device, "embedding_backward", target.dtype, sums, values.astype(target.dtype),
           order, places[order], places.size, target.size, 1)  # fmt: skip
    target += sums
    return None


def is_basic(index: Any) -> bool:
    """Ints, slices, None and Ellipsis: what NumPy answers with a view."""
    parts = index if isinstance(index, tuple) else (index,)
    return builtins.all(isinstance(p, (int, slice, type(None), type(...))) for p in parts)


# ---------------------------------------------------------------------- brackets


def subscript(x: Tensor, index: Any) -> Tensor:
    """``x[index]``: ints, slices, None, ..., and integer or bool tensors, lists and arrays."""
    ints, place = _index("getitem", x, index)
    try:
        part = x if ints is None else getitem(x, index=ints)
        return part if place is None else getitem(part, index=place)
    except IndexError as error:
        raise _indices_differ("getitem", place) from error


def put(x: Tensor, index: Any, values: Any) -> Tensor:
    """A copy of ``x`` with ``x[index] = values``."""
    ints, place = _index("setitem", x, index)
    check_values(values)
    if isinstance(values, Tensor):
        if values._device is not x._device:
            raise RuntimeError(
                f"[setitem] the tensor is on {x._device}, the values on {values._device}"
            )
        if values.dtype != x.dtype:
            values = cast(values, dtype=x.dtype)
    with explained("setitem", place, values):
        if ints is None:
            return index_put(x, values, index=place)
        if place is not None:
            values = index_put(getitem(x, index=ints), values, index=place)
        return index_put(x, values, index=ints)


def write(x: Any, index: tuple, values: Any) -> None:
    """``x[index] = values`` on arrays, for an index in the two steps that ``_index`` makes."""
    ints, place = index
    with explained("setitem", place, values):
        if ints is not None and place is not None:
            x[ints][place] = values
        else:
            x[place if ints is None else ints] = values


@contextmanager
def explained(op: str, place: Any, values: Any) -> Iterator[None]:
    """The library's errors in tapegrad's words."""
    try:
        yield
    except IndexError as error:
        raise _indices_differ(op, place) from error
    except ValueError as error:
        raise RuntimeError(
            f"[{op}] values of shape {tuple(getattr(values, 'shape', ()))} do not fit the indexed "
            f"part: {error}"
        ) from error


def check_values(values: Any) -> None:
    """Raise TypeError for what cannot be stored."""
    if not isinstance(values, Tensor) and np.asarray(values).dtype.kind not in "biufV":
        raise TypeError(f"[setitem] cannot store {type(values).__name__} in a tensor")


def _indices_differ(op: str, place: Any) -> IndexError:
    shapes = ", ".join(str(p.shape) for p in place or () if hasattr(p, "shape"))
    return IndexError(f"[{op}] index tensors of shapes {shapes} do not broadcast")


def _index(op: str, x: Tensor, index: Any) -> tuple[tuple | None, tuple | None]:
    """The index in plain arrays, checked: every device refuses what is out of range.

    In two steps, (basic, arrays), either of them None: PyTorch applies ints and slices before index
    arrays, while NumPy takes an int beside an array for an array and moves the dimensions.
    """
    parts = index if isinstance(index, tuple) else (index,)
    result: list[Any] = []
    position = 0
    used = builtins.sum(_consumes(p) for p in parts)
    if used > x.ndim:
        raise IndexError(f"[{op}] too many indices for shape {tuple(x.shape)}: {used}")
    if builtins.sum(p is Ellipsis for p in parts) > 1:
        raise IndexError(f"[{op}] only one ... is possible")
    for part in parts:
        if part is Ellipsis:
            result.append(part)
            position += x.ndim - used
            continue
        if part is None or isinstance(part, slice):
            if part is not None and part.step is not None and int(part.step) <= 0:
                raise ValueError(f"[{op}] the step of a slice must be positive, got {part.step}")
            result.append(part if part is None else _plain_slice(part))
            position += part is not None
            continue
        if isinstance(part, bool) or not isinstance(part, int):
            part = _array_index(op, x, part)
        n = 1
        if isinstance(part, int):
            size = x.shape[position]
            if not -size <= part < size:
                raise IndexError(
                    f"[{op}] index {part} is out of range for dim {position} of size {size}"
                )
        elif part.dtype.kind == "b":
            n = part.ndim
            have = tuple(x.shape[position : position + n])
            if have != part.shape:
                raise IndexError(
                    f"[{op}] a bool index of shape {part.shape} does not match the indexed "
                    f"dimensions of shape {have}"
                )
        elif part.size:
            _in_range(op, part, -x.shape[position], x.shape[position], position)
        result.append(part)
        position += n
    if not builtins.any(hasattr(p, "shape") for p in result):
        return tuple(result), None
    if not builtins.any(isinstance(p, int) for p in result):
        return None, tuple(result)
    basic: list[Any] = []
    arrays: list[Any] = []
    whole = slice(None)
    for p in result:
        if hasattr(p, "shape"):
            basic += [whole] * (p.ndim if p.dtype.kind == "b" else 1)
            arrays.append(p)
        else:
            basic.append(p)
            arrays += [] if isinstance(p, int) else [p if p is Ellipsis else whole]
    return tuple(basic), tuple(arrays)


def _plain_slice(s: slice) -> slice:
    """Slice ends may be 0-d tensors."""
    ends = [e if e is None else e.__index__() for e in (s.start, s.stop, s.step)]
    return slice(*ends)


def _consumes(part: Any) -> int:
    """How many dimensions one part of an index uses up."""
    if part is None or part is Ellipsis:
        return 0
    kind = getattr(getattr(part, "dtype", None), "kind", "")
    if kind == "b" or isinstance(part, bool):
        return getattr(part, "ndim", 0)
    if isinstance(part, list) and np.asarray(_listed(part)).dtype.kind == "b":
        return np.asarray(_listed(part)).ndim
    return 1


def _listed(part: Any) -> Any:
    return [p.item() if isinstance(p, Tensor) else p for p in part]


def _array_index(op: str, x: Tensor, part: Any) -> Any:
    if isinstance(part, Tensor) and part.ndim == 0 and part.dtype.kind in "iu":
        return int(part)
    if isinstance(part, Tensor):
        if part._device is not x._device and part.ndim:
            raise RuntimeError(
                f"[{op}] the tensor is on {x._device}, an index tensor on {part._device}"
            )
        part = part._array if part._device is x._device else part.item()
    elif isinstance(part, list):
        part = np.asarray(_listed(part), dtype=None if part else np.int64)
    if isinstance(part, np.generic) and part.dtype.kind in "iu":
        return int(part)
    array = _kept(x._device, part)
    if array.dtype.kind not in "biu":
        raise IndexError(
            f"[{op}] indices are ints, slices, None, ..., or integer or bool tensors; "
            f"got {array.dtype.name}"
        )
    return int(array) if array.ndim == 0 and array.dtype.kind != "b" else array


def _kept(device: Device, index: Any) -> Any:
    """An index as an array: a copy if the tape may keep it, for the caller may change theirs."""
    return device.ops["array" if recording.get() else "asarray"](index)


def _in_range(op: str, index: Any, low: int, high: int, dim: int) -> None:
    """Raise IndexError unless low <= index < high everywhere. An empty index is in range."""
    if not index.size:
        return
    least, most = int(index.min()), int(index.max())
    if least < low or most >= high:
        wrong = least if least < low else most
        raise IndexError(
            f"[{op}] index {wrong} is out of range for dim {dim} of size {high}: "
            f"expected {low} to {high - 1}"
        )


# ---------------------------------------------------------------------- along a dimension


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A view of ``length`` elements along ``dim``, from ``start``."""
    require_tensor("narrow", x)
    d = axis("narrow", dim, x.ndim)
    size = x.shape[d]
    start = int(start) + (size if start < 0 else 0)
    if length < 0 or not 0 <= start <= size - length:
        raise IndexError(
            f"[narrow] start {start} and length {length} exceed size {size} of dim {d}"
        )
    return getitem(x, index=(slice(None),) * d + (slice(start, start + length),))


def split(x: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive pieces along ``dim``: of one size (the last may be smaller), or of the
    sizes given."""
    require_tensor("split", x)
    d = axis("split", dim, x.ndim)
    if x.ndim == 0:
        raise RuntimeError("[split] a 0-d tensor cannot be split")
    n = x.shape[d]
    size = split_size_or_sections
    if isinstance(size, int):
        if size < 0 or (size == 0 and n):
            raise RuntimeError(f"[split] the split size must be positive, got {size}")
        sections = [builtins.min(size, n - i) for i in range(0, n, size)] if n else [0]
    else:
        sections = list(size)
        if builtins.sum(sections) != n or builtins.any(s < 0 for s in sections):
            raise RuntimeError(f"[split] sections {sections} do not add up to size {n} of dim {d}")
    starts = [builtins.sum(sections[:i]) for i in range(len(sections))]
    return tuple(narrow(x, d, i, s) for i, s in zip(starts, sections, strict=True))


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    if chunks < 1:
        raise RuntimeError(f"[chunk] the number of chunks must be positive, got {chunks}")
    n = x.shape[axis("chunk", dim, x.ndim)] if x.ndim else 1
    return split(x, builtins.max(-(-n // chunks), 1) if n else [0] * chunks, dim)


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all slices along ``dim``, without that dimension."""
    require_tensor("unbind", x)
    d = axis("unbind", dim, x.ndim)
    if x.ndim == 0:
        raise RuntimeError("[unbind] a 0-d tensor has no dimension to unbind")
    before = (slice(None),) * d
    return tuple(x[before + (i,)] for i in range(x.shape[d]))


def _check_index(op: str, x: Tensor, index: Any) -> None:
    if not isinstance(index, Tensor) or index.dtype.kind not in "iu":
        kind = index.dtype.name if isinstance(index, Tensor) else type(index).__name__
        raise TypeError(f"[{op}] the index must be an integer tensor, got {kind}")
    if index._device is not x._device:
        raise RuntimeError(f"[{op}] the tensor is on {x._device}, the index on {index._device}")


def _along(op: str, x: Tensor, dim: int, index: Tensor) -> tuple:
    """The index that picks, at each position of ``index``, its value along ``dim``."""
    require_tensor(op, x)
    d = axis(op, dim, x.ndim)
    _check_index(op, x, index)
    if index.ndim != x.ndim and index.numel():
        raise RuntimeError(
            f"[{op}] the index has {index.ndim} dimensions, the tensor {x.ndim}: "
            f"shapes {tuple(index.shape)} and {tuple(x.shape)}"
        )
    too_long = [i for i in range(x.ndim) if i != d and index.shape[i] > x.shape[i]]
    if too_long and index.numel():
        raise RuntimeError(
            f"[{op}] the index of shape {tuple(index.shape)} is longer than the tensor of shape "
            f"{tuple(x.shape)} in dim {too_long[0]}"
        )
    _in_range(op, index._array, 0, x.shape[d] if x.ndim else 1, d)
    if x.ndim == 0:
        return (x._device.ops["zeros"](index.shape, dtype=np.int64),) if index.ndim else ()
    xp = x._device.xp
    grids = []
    for i, n in enumerate(index.shape):
        grid = xp.arange(n).reshape((1,) * i + (n,) + (1,) * (index.ndim - i - 1))
        grids.append(_kept(x._device, index._array) if i == d else grid)
    return tuple(grids)


def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """result[i][j][k] = x[index[i][j][k]][j][k] for dim 0, and so on."""
    place = _along("gather", x, dim, index)
    if not index.numel():
        return subscript(x.flatten(), slice(0, 0)).reshape(tuple(index.shape))
    return getitem(x, index=place)


def scatter(x: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    """A copy of ``x`` with the values of ``src`` (a tensor at least as large as ``index``, or a
    number) written to the positions ``index`` along ``dim``; for an index that occurs twice, one
    of its values."""
    place = _along("scatter", x, dim, index)
    if index.ndim != x.ndim:  # an empty index of another shape
        return clone(x)
    return index_put(x, _source("scatter", x, index, src), index=place)


def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of ``x`` with the values of ``src`` added at the positions ``index`` along ``dim``,
    in a fixed order."""
    place = _along("scatter_add", x, dim, index)
    if index.ndim != x.ndim:  # an empty index of another shape
        return clone(x)
    return index_add_at(x, _source("scatter_add", x, index, src), index=place)


def _source(op: str, x: Tensor, index: Tensor, src: Any) -> Any:
    if not isinstance(src, Tensor):
        return src
    if src.dtype != x.dtype:
        raise RuntimeError(
            f"[{op}] the tensor is {x.dtype.name}, the source {src.dtype.name}: convert one"
        )
    if src.ndim != index.ndim or builtins.any(
        n > m for n, m in zip(index.shape, src.shape, strict=True)
    ):
        raise RuntimeError(
            f"[{op}] the index of shape {tuple(index.shape)} is larger than the source of shape "
            f"{tuple(src.shape)}"
        )
    if src.shape == index.shape:
        return src
    return getitem(src, index=tuple(slice(0, n) for n in index.shape))


def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of ``x`` along ``dim`` that the 1-d ``index`` names."""
    require_tensor("index_select", x)
    d = axis("index_select", dim, x.ndim)
    _check_index("index_select", x, index)
    if index.ndim > 1:
        raise IndexError(f"[index_select] the index must be 1-d, got {tuple(index.shape)}")
    _in_range("index_select", index._array, 0, x.shape[d] if x.ndim else 1, d)
    if x.ndim == 0:
        return clone(x)
    place = _kept(x._device, index._array).reshape(-1)
    return getitem(x, index=(slice(None),) * d + (place,))


def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with indices and tensor broadcast against each other outside ``dim``; over the
    flattened tensor if no ``dim`` is given."""
    require_tensor("take_along_dim", x)
    require_tensor("take_along_dim", indices)
    if dim is None:
        return gather(x.reshape(-1), 0, indices.reshape(-1))
    d = axis("take_along_dim", dim, x.ndim)
    if x.ndim != indices.ndim:
        raise RuntimeError(
            f"[take_along_dim] {x.ndim} and {indices.ndim} dimensions: they must be equal"
        )
    common = list(np.broadcast_shapes(*(
        tuple(1 if i == d else n for i, n in enumerate(s.shape)) for s in (x, indices)
    )))  # fmt: skip
    shapes = [
        tuple(s.shape[d] if i == d else n for i, n in enumerate(common)) for s in (x, indices)
    ]
    return gather(x.expand(shapes[0]), d, indices.expand(shapes[1]))


def masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``x`` with ``value`` where the (broadcast) bool ``mask`` is True."""
    if not isinstance(mask, Tensor) or mask.dtype.kind != "b":
        raise RuntimeError("[masked_fill] the mask must be a bool tensor")
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"[masked_fill] the value must be a number or 0-d, got {tuple(value.shape)}"
            )
        value = cast(value, dtype=x.dtype) if value.dtype != x.dtype else value
    else:
        value = x._device.asarray(value).astype(x.dtype)
    try:
        return where(mask, value, x)
    except ValueError as error:
        raise RuntimeError(
            f"[masked_fill] the mask of shape {tuple(mask.shape)} does not broadcast with the "
            f"tensor of shape {tuple(x.shape)}"
        ) from error


def select_where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition is True, ``other`` elsewhere, broadcast and promoted; with the
    condition alone, the indices where it is True, one tensor a dimension."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if not isinstance(condition, Tensor) or condition.dtype.kind != "b":
        raise RuntimeError("[where] the condition must be a bool tensor")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = tensor(input, device=condition.device)
    a, b = align("where", input, other)
    try:
        return where(condition, a, b)
    except ValueError as error:
        shapes = [tuple(getattr(v, "shape", ())) for v in (condition, a, b)]
        raise RuntimeError(f"[where] shapes {shapes} do not broadcast") from error


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor's elements where ``condition``, else those of ``other``."""
    return select_where(condition, self, other)


def nonzero(x: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the non-zero elements: one row each, or one tensor a dimension."""
    require_tensor("nonzero", x)
    if x.ndim == 0 and not as_tuple:
        n = int(bool(x))
        return wrap(x._device.ops["zeros"]((n, 0), dtype=np.int64), x._device)
    found = x._array.reshape(-1 if x.ndim == 0 else x.shape).nonzero()
    columns = tuple(wrap(a, x._device) for a in found)
    return columns if as_tuple else stack(columns, 1)
