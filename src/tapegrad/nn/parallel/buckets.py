"""Gradients in buckets: copied in as they become complete, averaged over the ranks while the walk
back goes on, and put into ``.grad`` when it is over.

All ranks send their buckets in the same order, that of the numbers; what a rank adds up does not
depend on which bucket an element is in, nor on when it comes (see distributed.reductions).
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from tapegrad.autograd.completed import on_complete
from tapegrad.core.memory import shares
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.distributed.collectives import Work, all_reduce
from tapegrad.distributed.reductions import ReduceOp
from tapegrad.distributed.watching import progress

_FIRST = 2**20  # bytes of the first bucket: small, so that sending begins early


class Bucket:
    """Gradients of one dtype and device, side by side."""

    def __init__(self, parameters: Sequence[Tensor], numbers: Sequence[int]):
        self.numbers = numbers
        first = parameters[numbers[0]]
        count = sum(parameters[number].numel() for number in numbers)
        array = first._device.ops["zeros"]((count,), dtype=first.grad_dtype)
        self.whole = wrap(array, first._device)
        self.views: dict[int, Any] = {}
        start = 0
        for number in numbers:
            p = parameters[number]
            self.views[number] = array[start : start + p.numel()].reshape(tuple(p.shape))
            start += p.numel()
        self.missing = {*numbers}
        self.work: Work | None = None


def divide(parameters: Sequence[Tensor], most: int) -> list[list[int]]:
    """The numbers of the parameters of each bucket of at most so many bytes (one parameter may be
    larger), the last parameters, which are complete first, before the others."""
    groups: list[list[int]] = []
    open_groups: dict[tuple[Any, Any], int] = {}
    filled: list[int] = []
    for number in reversed(range(len(parameters))):
        p = parameters[number]
        kind = (p._device, p.grad_dtype)
        size = p.numel() * p.grad_dtype.itemsize
        at = open_groups.get(kind)
        limit = most if at else min(_FIRST, most)
        if at is None or filled[at] + size > limit:
            at = open_groups[kind] = len(groups)
            groups.append([])
            filled.append(0)
        groups[at].append(number)
        filled[at] += size
    return groups


class Reducer:
    """Averages the gradients of ``parameters`` over the ranks of ``group``, in each ``backward``
    while ``enabled``. ``names`` are for messages.

    ``optional``: some may have no gradient: ranks without one add zeros, and where no rank has one,
    ``.grad`` stays None. ``static``: which ones is found out once. ``as_views``: ``.grad`` is the
    memory of the bucket.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        names: Sequence[str],
        group: Any,
        bucket_bytes: int,
        *,
        optional: bool,
        static: bool,
        as_views: bool,
    ):
        self.parameters, self.names, self.group = parameters, names, group
        self.optional, self.static, self.as_views = optional, static, as_views
        self.enabled = True
        self._used: Any = None  # with ``static``: which parameters have a gradient on some rank
        self.buckets = [Bucket(parameters, numbers) for numbers in divide(parameters, bucket_bytes)]
        self._of = {number: bucket for bucket in self.buckets for number in bucket.numbers}
        self._next = 0  # the bucket that is to be sent next
        self._is_open = False  # whether a walk back has begun that has not been ended
        handles = [_attach(weakref.ref(self), number, p) for number, p in enumerate(parameters)]
        weakref.finalize(self, _detach, handles)

    def begin(self) -> None:
        """What a forward pass calls: forget a walk back that an error has ended."""
        for bucket in self.buckets[: self._next]:
            if bucket.work is not None:
                bucket.work.wait()
        self._reset()

    def _reset(self) -> None:
        self._next, self._is_open = 0, True
        for bucket in self.buckets:
            bucket.missing, bucket.work = {*bucket.numbers}, None

    def _complete(self, number: int, array: Any) -> None:
        """Copy a gradient into its bucket while the walk goes on, with what ``.grad`` has."""
        if not self.enabled or not self._is_open:
            return
        bucket, have = self._of[number], self.parameters[number]._grad
        view = bucket.views[number]
        if have is None:
            view[...] = array
        elif shares(have._array, view):
            return  # the walk's end adds to it
        else:
            view[...] = have._array + array.astype(view.dtype, copy=False)
        bucket.missing.discard(number)
        self._send()
        progress()

    def _send(self) -> None:
        while self._next < len(self.buckets) and not self.buckets[self._next].missing:
            bucket = self.buckets[self._next]
            bucket.work = all_reduce(bucket.whole, ReduceOp.AVG, self.group, async_op=True)
            self._next += 1

    def _end(self) -> None:
        """At the first hook behind the walk's end, when every ``.grad`` has been added to: send
        what is left, and put the averages there."""
        if not self.enabled or not self._is_open:
            return
        unused = [i for i, p in enumerate(self.parameters) if p._grad is None]
        if unused and not (self.optional or self.static):
            raise RuntimeError(
                "[DistributedDataParallel] no gradient has reached "
                f"{', '.join(self.names[i] for i in unused)}: say find_unused_parameters=True, or "
                "leave them out by requires_grad_(False) before"
            )
        for bucket in self.buckets:
            for number in bucket.missing:
                grad, view = self.parameters[number]._grad, bucket.views[number]
                if grad is None:
                    view[...] = 0
                elif not shares(grad._array, view):
                    view[...] = grad._array
            bucket.missing = set()
        self._send()
        used = self._find_used(unused)
        for bucket in self.buckets:
            assert bucket.work is not None
            bucket.work.wait()
            for number, view in bucket.views.items():
                if used is None or used[number]:
                    self._put(self.parameters[number], view)
        self._is_open = False

    def _find_used(self, unused: list[int]) -> Any:
        """Which parameters have a gradient on some rank; None: all."""
        if not (self.optional or self.static):
            return None
        if self._used is not None:
            return self._used
        device = self.parameters[0]._device
        array = device.ops["ones"]((len(self.parameters),), dtype="uint8")
        array[unused] = 0
        flags = wrap(array, device)
        all_reduce(flags, ReduceOp.MAX, self.group)
        used = flags.tolist()
        if self.static:
            self._used = used
        return used

    def _put(self, p: Tensor, view: Any) -> None:
        if self.as_views:
            if p._grad is None or not shares(p._grad._array, view):
                p._grad = wrap(view, p._device)
        elif p._grad is None:
            p._grad = wrap(view.copy(), p._device)
        else:
            p._grad._array[...] = view


def _attach(reducer: weakref.ref[Reducer], number: int, p: Tensor) -> list[Any]:
    """Let a parameter's gradient call the reducer, which it must not keep alive."""

    def complete(array: Any) -> None:
        if (it := reducer()) is not None:
            it._complete(number, array)

    def end(p: Tensor) -> None:
        if (it := reducer()) is not None:
            it._end()

    return [on_complete(p, complete), p.register_post_accumulate_grad_hook(end)]


def _detach(handles: list[list[Any]]) -> None:
    for pair in handles:
        for handle in pair:
            handle.remove()
