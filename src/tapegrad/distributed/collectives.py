"""What all ranks of a group do together, with PyTorch's names: on tensors, in place, off the tape.
(distributed.nn.functional has what gradients flow through.)

Each is an iterator over what is to be waited for, with what is computed in between: ``wait`` lets
it run to its end, and so does anything that asks whether it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from tapegrad.core.devices import to_numpy
from tapegrad.core.memory import Array, shares
from tapegrad.core.tensor import Tensor

from . import environment, reductions, watching
from .backend import Backend
from .errors import DistError
from .groups import ProcessGroup, get_group_rank, group_of, tag_of
from .pending import Named, Pending
from .reductions import ReduceOp
from .watching import Call


class Work:
    """A collective on its way: ``wait()`` before its tensors are read, or changed."""

    def __init__(self, call: Call, group: ProcessGroup, pending: Pending):
        self._call, self._group = call, group
        self._pending = Named(pending, f"[{call.op}] rank {group.ranks[group.rank()]}")
        watching.keep_going(self._pending)

    def is_completed(self) -> bool:
        """Whether it is done; asking lets it go on meanwhile."""
        watching.progress()
        return self._pending.done()

    def wait(self, timeout: timedelta | float | None = None) -> bool:
        """Wait until it is done; returns True. Raises DistTimeoutError, naming the ranks that are
        missing and where they are, DistError where one has ended, and DistBackendError, each time,
        where it has failed."""
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        limit = self._group.timeout if seconds is None else seconds
        watching.wait(self._pending, self._call, self._group.ranks, limit)
        return True

    def __repr__(self) -> str:
        return f"<Work: {self._call}, {'done' if self.is_completed() else 'on its way'}>"


class _Run:
    """One call of a collective: where its arrays go, and under which tag."""

    def __init__(self, group: ProcessGroup, like: Tensor | None, sequence: int):
        self.backend = group.host if like is None else group.backend_for(like._device)
        on_gpu = self.backend.device_type == "cuda"
        self.library: Any = like._device.library if on_gpu and like is not None else np
        self.tag = tag_of(sequence)

    def flat(self, tensor: Tensor) -> Array:
        """The tensor's elements where the backend takes them: its own memory, if that is
        possible."""
        array = tensor._array
        if self.library is np:
            array = to_numpy(array)
        return self.library.ascontiguousarray(array).reshape(-1)

    def store(self, tensor: Tensor, flat: Array) -> None:
        """Put there what ``flat`` has got, if it was a copy."""
        array = tensor._array
        if not shares(flat, array):
            array[...] = tensor._device.asarray(flat).reshape(array.shape)

    def empty(self, like: Tensor, *lead: int) -> Array:
        """An array for so many like the tensor."""
        return self.library.empty((*lead, like._array.size), like._array.dtype)


def start(
    op: str,
    group: Any,
    like: Tensor | None,
    steps: Callable[[_Run], Iterator[Pending]],
    async_op: bool,
    detail: str = "",
    changes: Sequence[Tensor] = (),
) -> Work | None:
    """Begin a collective, and wait for it unless ``async_op``: then the Work. ``like`` is a tensor
    of it, which says where it takes place; ``changes`` are written to. None on ranks that are not
    in the group. In debug mode, raises DistError where ranks do not agree on what it is."""
    own = group_of(group)
    if own is None:
        return None
    for tensor in changes:
        _check_writable(op, tensor)
    sequence = own.next_call()
    call = Call(own.number, sequence, op, detail)
    run = _Run(own, like, sequence)
    if environment.debugging() and own.size() > 1:
        _compare(own, call, run)
    for tensor in changes:
        tensor._bump(f"distributed.{op}")
    work = Work(call, own, run.backend.run(steps(run)))
    if async_op:
        return work
    work.wait()
    return None


def _check_writable(op: str, tensor: Any) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"[{op}] expects Tensors, got {type(tensor).__name__}")
    if not getattr(tensor._array.flags, "writeable", True):
        raise RuntimeError(
            f"[{op}] the tensor of shape {tuple(tensor.shape)} is in read-only memory: clone() it"
        )


def _compare(group: ProcessGroup, call: Call, run: _Run) -> None:
    """Raise DistError unless all ranks are about to do the same."""
    text = f"{call.op} {call.detail} (call {call.sequence})".encode()[:256].ljust(256)
    own = np.frombuffer(text, np.uint8)
    parts = np.empty((group.size(), 256), np.uint8)
    gathered = group.host.all_gather(own, parts, run.tag)
    watching.wait(gathered, call, group.ranks, group.timeout)
    said = [part.tobytes().decode(errors="replace").strip() for part in parts]
    if len({*said}) > 1:
        listed = ", ".join(f"rank {r}: {what}" for r, what in zip(group.ranks, said, strict=True))
        raise DistError(f"[{call.op}] the ranks of group {group.number} disagree: {listed}")


def _words(tensor: Tensor) -> str:
    return f"{tensor.dtype.name} {tuple(tensor.shape)}"


def _root(op: str, group: Any, rank: int | None, group_rank: int | None) -> int:
    """A rank in the group, said as one of all ranks or of the group's."""
    own = group_of(group)
    if own is None:
        return 0
    if (rank is None) == (group_rank is None):
        raise ValueError(f"[{op}] say one rank: of all ranks, or of the group")
    if group_rank is None:
        return get_group_rank(own, rank)  # type: ignore[arg-type]
    if not 0 <= group_rank < own.size():
        raise ValueError(f"[{op}] {own!r} has no rank {group_rank}")
    return group_rank


def _check_list(op: str, what: str, tensors: Any, count: int, like: Tensor) -> None:
    alike = isinstance(tensors, (list, tuple)) and all(
        isinstance(t, Tensor) and t.dtype == like.dtype and t.numel() == like.numel()
        for t in tensors
    )
    if not alike or len(tensors) != count:
        got = [_words(t) if isinstance(t, Tensor) else type(t).__name__ for t in tensors or ()]
        raise ValueError(
            f"[{op}] {what} must be {count} tensors like {_words(like)}, one for each rank, "
            f"got {', '.join(got) or tensors!r}"
        )


def _check_sizes(op: str, whole: Tensor, part: Tensor, size: int) -> None:
    if whole.numel() != size * part.numel() or whole.dtype != part.dtype:
        raise ValueError(
            f"[{op}] of {size} ranks, one tensor must have {size} times the elements of the other, "
            f"and its dtype: got {_words(whole)} and {_words(part)}"
        )


# ---------------------------------------------------------------------- from all to all


def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Replace the tensor, on all ranks, by what theirs reduce to. Raises TypeError where ``op`` is
    nothing for its dtype."""
    _check_writable("all_reduce", tensor)
    op.check("all_reduce", tensor._array.dtype)

    def steps(run: _Run) -> Iterator[Pending]:
        flat = run.flat(tensor)
        yield from run.backend.all_reduce(run.library, flat, op, run.tag)
        run.store(tensor, flat)

    words = f"{op.name} {_words(tensor)}"
    return start("all_reduce", group, tensor, steps, async_op, words, [tensor])


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Fill ``output_tensor`` with the ``input_tensor`` of all ranks, in their order along the first
    dimension: of shape (ranks * n, ...) or (ranks, n, ...). Raises ValueError for another size or
    dtype."""
    own = group_of(group)
    if own is not None:
        _check_sizes("all_gather_into_tensor", output_tensor, input_tensor, own.size())

    def steps(run: _Run) -> Iterator[Pending]:
        out = run.flat(output_tensor)
        parts = out.reshape(run.backend.size, -1)
        yield run.backend.all_gather(run.flat(input_tensor), parts, run.tag)
        run.store(output_tensor, out)

    words = _words(input_tensor)
    return start(
        "all_gather_into_tensor", group, input_tensor, steps, async_op, words, [output_tensor]
    )


def all_gather(
    tensor_list: Sequence[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Fill ``tensor_list`` with the tensors of all ranks, in their order. Raises ValueError for
    another number of tensors, and for those of another size or dtype."""
    own = group_of(group)
    if own is not None:
        _check_list("all_gather", "tensor_list", tensor_list, own.size(), tensor)

    def steps(run: _Run) -> Iterator[Pending]:
        parts = run.empty(tensor, run.backend.size)
        yield run.backend.all_gather(run.flat(tensor), parts, run.tag)
        for target, part in zip(tensor_list, parts, strict=True):
            _fill(run, target, part)

    return start("all_gather", group, tensor, steps, async_op, _words(tensor), tensor_list)


def _fill(run: _Run, target: Tensor, flat: Array) -> None:
    target._array[...] = target._device.asarray(flat).reshape(target._array.shape)


def reduce_scatter_tensor(
    output: Tensor,
    input: Tensor,
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Reduce the ``input`` of all ranks, of shape (ranks * n, ...), and keep in ``output`` this
    rank's part of it. Raises ValueError for another size or dtype, TypeError where ``op`` is
    nothing for the dtype."""
    own = group_of(group)
    op.check("reduce_scatter_tensor", input._array.dtype)
    if own is not None:
        _check_sizes("reduce_scatter_tensor", input, output, own.size())

    def steps(run: _Run) -> Iterator[Pending]:
        pieces, out = run.flat(input).reshape(run.backend.size, -1), run.flat(output)
        yield from run.backend.reduce_scatter(run.library, list(pieces), out, op, run.tag)
        run.store(output, out)

    words = f"{op.name} {_words(input)}"
    return start("reduce_scatter_tensor", group, input, steps, async_op, words, [output])


def reduce_scatter(
    output: Tensor,
    input_list: Sequence[Tensor],
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Reduce what all ranks have for this one, ``input_list[rank]``, to ``output``. Raises
    ValueError for another number of tensors, and for those of another size or dtype."""
    own = group_of(group)
    op.check("reduce_scatter", output._array.dtype)
    if own is not None:
        _check_list("reduce_scatter", "input_list", input_list, own.size(), output)

    def steps(run: _Run) -> Iterator[Pending]:
        out = run.flat(output)
        pieces = [run.flat(t) for t in input_list]
        yield from run.backend.reduce_scatter(run.library, pieces, out, op, run.tag)
        run.store(output, out)

    words = f"{op.name} {_words(output)}"
    return start("reduce_scatter", group, output, steps, async_op, words, [output])


def all_to_all(
    output_tensor_list: Sequence[Tensor],
    input_tensor_list: Sequence[Tensor],
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Send ``input_tensor_list[i]`` to rank i, and fill ``output_tensor_list[i]`` from it. Sizes
    may differ; what one sends, the other must expect."""
    own = group_of(group)
    if own is not None and not len(output_tensor_list) == len(input_tensor_list) == own.size():
        raise ValueError(
            f"[all_to_all] of {own.size()} ranks, each gives and gets as many tensors, "
            f"got {len(input_tensor_list)} and {len(output_tensor_list)}"
        )

    def steps(run: _Run) -> Iterator[Pending]:
        ins = [run.flat(t) for t in input_tensor_list]
        outs = [run.flat(t) for t in output_tensor_list]
        yield _swap(run.backend, ins, outs, run.tag)
        for target, flat in zip(output_tensor_list, outs, strict=True):
            run.store(target, flat)

    like, words = input_tensor_list[0], input_tensor_list[0].dtype.name
    return start("all_to_all", group, like, steps, async_op, words, output_tensor_list)


def _swap(backend: Backend, ins: Sequence[Array], outs: Sequence[Array], tag: int) -> Pending:
    outs[backend.rank][...] = ins[backend.rank]
    others = backend.others()
    return backend.exchange([(ins[r], r) for r in others], [(outs[r], r) for r in others], tag)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Cut ``input`` along its first dimension, in equal parts or in ``input_split_sizes``, send the
    i-th to rank i, and fill ``output`` with what comes, in the order of the ranks. Raises
    ValueError for sizes that do not add up."""
    own = group_of(group)
    if own is None:
        return None
    size = own.size()

    def cut(flat: Array, tensor: Tensor, sizes: Sequence[int] | None) -> list[Array]:
        row = flat.size // max(tensor.shape[0], 1)
        ends = np.cumsum([0, *(sizes or [tensor.shape[0] // size] * size)]) * row
        return [flat[a:b] for a, b in pairwise(ends)]

    for tensor, sizes in ((output, output_split_sizes), (input, input_split_sizes)):
        if (sum(sizes) if sizes else tensor.shape[0] // size * size) != tensor.shape[0] or (
            sizes and len(sizes) != size
        ):
            raise ValueError(
                f"[all_to_all_single] a tensor of shape {tuple(tensor.shape)} is cut into {size} "
                f"parts along its first dimension, not into {sizes or 'equal ones'}"
            )

    def steps(run: _Run) -> Iterator[Pending]:
        out = run.flat(output)
        ins = cut(run.flat(input), input, input_split_sizes)
        yield _swap(run.backend, ins, cut(out, output, output_split_sizes), run.tag)
        run.store(output, out)

    words = input.dtype.name
    return start("all_to_all_single", group, input, steps, async_op, words, [output])


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait until all ranks have come here."""

    def steps(run: _Run) -> Iterator[Pending]:
        here = np.zeros((run.backend.size, 1), np.uint8)
        yield run.backend.all_gather(here[0].copy(), here, run.tag)

    return start("barrier", group, None, steps, async_op)


def monitored_barrier(
    group: Any = None, timeout: timedelta | float | None = None, wait_all_ranks: bool = False
) -> None:
    """``barrier``, in this time. All ranks that are missing are named, as by every collective."""
    work = barrier(group, async_op=True)
    if work is not None:
        work.wait(timeout)


# ---------------------------------------------------------------------- from or to one


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Replace the tensor, on all ranks, by that of rank ``src``."""
    root = _root("broadcast", group, src, group_src)

    def steps(run: _Run) -> Iterator[Pending]:
        flat = run.flat(tensor)
        yield run.backend.broadcast(flat, root, run.tag)
        run.store(tensor, flat)

    words = f"from {root} {_words(tensor)}"
    return start("broadcast", group, tensor, steps, async_op, words, [tensor])


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Replace the tensor of rank ``dst`` by what those of all ranks reduce to; those of the others
    stay as they are. Raises TypeError where ``op`` is nothing for its dtype."""
    root = _root("reduce", group, dst, group_dst)
    op.check("reduce", tensor._array.dtype)

    def steps(run: _Run) -> Iterator[Pending]:
        flat, backend = run.flat(tensor), run.backend
        bounds = reductions.bounds(flat.size, backend.size)
        reduced = flat.copy()
        own = reduced[bounds[backend.rank]]
        pieces = [flat[part] for part in bounds]
        yield from backend.reduce_scatter(run.library, pieces, own, op, run.tag)
        if backend.rank == root:
            others = backend.others()
            yield backend.exchange([], [(reduced[bounds[r]], r) for r in others], run.tag)
            flat[...] = reduced
            run.store(tensor, flat)
        else:
            yield backend.exchange([(own, root)], [], run.tag)

    own = group_of(group)
    changes = [tensor] if own is not None and own.rank() == root else []
    words = f"{op.name} to {root} {_words(tensor)}"
    return start("reduce", group, tensor, steps, async_op, words, changes)


def gather(
    tensor: Tensor,
    gather_list: Sequence[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Fill ``gather_list`` of rank ``dst`` (0 if none is said) with the tensors of all ranks.
    Raises ValueError where it has another number of tensors, or those of another size or dtype."""
    root = _root("gather", group, 0 if dst is group_dst is None else dst, group_dst)
    own = group_of(group)
    is_root = own is not None and own.rank() == root
    if own is not None and is_root:
        _check_list("gather", "gather_list", gather_list, own.size(), tensor)

    def steps(run: _Run) -> Iterator[Pending]:
        flat, backend = run.flat(tensor), run.backend
        if not is_root:
            yield backend.exchange([(flat, root)], [], run.tag)
            return
        parts = run.empty(tensor, backend.size)
        parts[root] = flat
        yield backend.exchange([], [(parts[r], r) for r in backend.others()], run.tag)
        for target, part in zip(gather_list, parts, strict=True):  # type: ignore[arg-type]
            _fill(run, target, part)

    changes = [*gather_list] if is_root and gather_list else []
    words = f"to {root} {_words(tensor)}"
    return start("gather", group, tensor, steps, async_op, words, changes)


def scatter(
    tensor: Tensor,
    scatter_list: Sequence[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Fill the tensor of rank i with ``scatter_list[i]`` of rank ``src`` (0 if none is said).
    Raises ValueError where that has another number of tensors, or those of another size or
    dtype."""
    root = _root("scatter", group, 0 if src is group_src is None else src, group_src)
    own = group_of(group)
    is_root = own is not None and own.rank() == root
    if own is not None and is_root:
        _check_list("scatter", "scatter_list", scatter_list, own.size(), tensor)

    def steps(run: _Run) -> Iterator[Pending]:
        flat, backend = run.flat(tensor), run.backend
        if is_root:
            pieces = [run.flat(t) for t in scatter_list]  # type: ignore[union-attr]
            flat[...] = pieces[root]
            yield backend.exchange([(pieces[r], r) for r in backend.others()], [], run.tag)
        else:
            yield backend.exchange([], [(flat, root)], run.tag)
        run.store(tensor, flat)

    words = f"from {root} {_words(tensor)}"
    return start("scatter", group, tensor, steps, async_op, words, [tensor])
