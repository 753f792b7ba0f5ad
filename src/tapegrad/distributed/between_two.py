"""What one rank sends to another, of which the others of the group know nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tapegrad.core.tensor import Tensor

from .collectives import Work, _check_writable, _root, _Run, _words
from .groups import group_of
from .pending import Pending
from .watching import Call


class P2POp(NamedTuple):
    """One of what ``batch_isend_irecv`` begins together: ``op`` is isend or irecv."""

    op: Callable[..., Work | None]
    tensor: Tensor
    peer: int | None = None
    group: Any = None
    tag: int = 0
    group_peer: int | None = None


def isend(
    tensor: Tensor,
    dst: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> Work | None:
    """Begin to send the tensor to rank ``dst``; it must not change before the Work is done."""
    return _begin([P2POp(isend, tensor, dst, group, tag, group_dst)])


def irecv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> Work | None:
    """Begin to fill the tensor with what rank ``src`` sends with the same tag."""
    return _begin([P2POp(irecv, tensor, src, group, tag, group_src)])


def send(
    tensor: Tensor,
    dst: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> None:
    """Send the tensor to rank ``dst``."""
    work = isend(tensor, dst, group, tag, group_dst)
    if work is not None:
        work.wait()


def recv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> int:
    """Fill the tensor with what rank ``src`` sends with the same tag; returns that rank, or -1
    where this one is not in the group. (A rank must be said: there is no "from anyone".)"""
    work = irecv(tensor, src, group, tag, group_src)
    if work is None:
        return -1
    work.wait()
    return group_of(group).ranks[_root("recv", group, src, group_src)]  # type: ignore[union-attr]


def batch_isend_irecv(p2p_op_list: Sequence[P2POp]) -> list[Work]:
    """Begin all of them, in any order that others begin theirs in; one Work for those of one group
    and tag, which NCCL gets together. Raises ValueError for other functions than isend and irecv.
    """
    alike: dict[Any, list[P2POp]] = {}
    for each in p2p_op_list:
        if each.op not in (isend, irecv):
            raise ValueError("[batch_isend_irecv] op must be distributed.isend or irecv")
        alike.setdefault((each.group, each.tag, each.tensor._device), []).append(each)
    begun = [_begin(listed) for listed in alike.values()]
    return [work for work in begun if work is not None]


def _begin(listed: list[P2POp]) -> Work | None:
    """Begin those of one group, tag and device."""
    first = listed[0]
    own = group_of(first.group)
    if own is None:
        return None
    peers, words = [], []
    for each in listed:
        op, tensor = each.op.__name__, each.tensor
        peer = _root(op, own, each.peer, each.group_peer)
        if peer == own.rank():
            raise ValueError(f"[{op}] rank {own.ranks[peer]} is this rank itself")
        if not 0 <= each.tag < 2**14:
            raise ValueError(f"[{op}] tag must be between 0 and {2**14 - 1}, not {each.tag}")
        if each.op is irecv:
            _check_writable(op, tensor)
            tensor._bump(f"distributed.{op}")
        peers.append(peer)
        way = "from" if each.op is irecv else "to"
        words.append(f"{way} rank {own.ranks[peer]} {_words(tensor)} (tag {each.tag})")
    run = _Run(own, first.tensor, 0)

    def steps() -> Iterator[Pending]:
        flats = [run.flat(each.tensor) for each in listed]
        ways: dict[Any, list[Any]] = {isend: [], irecv: []}
        for each, flat, peer in zip(listed, flats, peers, strict=True):
            ways[each.op].append((flat, peer))
        yield run.backend.exchange(ways[isend], ways[irecv], 2 * first.tag)
        for each, flat in zip(listed, flats, strict=True):
            if each.op is irecv:
                run.store(each.tensor, flat)

    call = Call(own.number, -1, first.op.__name__, ", ".join(words))
    return Work(call, own, run.backend.run(steps()))
