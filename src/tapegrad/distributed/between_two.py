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
    return _begin("isend", tensor, dst, group, tag, group_dst)


def irecv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> Work | None:
    """Begin to fill the tensor with what rank ``src`` sends with the same tag."""
    return _begin("irecv", tensor, src, group, tag, group_src)


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
    """Begin all of them, in any order that others begin theirs in."""
    begun = [
        each.op(each.tensor, each.peer, each.group, each.tag, each.group_peer)
        for each in p2p_op_list
    ]
    return [work for work in begun if work is not None]


def _begin(
    op: str, tensor: Tensor, rank: int | None, group: Any, tag: int, group_rank: int | None
) -> Work | None:
    own = group_of(group)
    if own is None:
        return None
    peer = _root(op, group, rank, group_rank)
    if peer == own.rank():
        raise ValueError(f"[{op}] rank {rank} is this rank itself")
    if not 0 <= tag < 2**14:
        raise ValueError(f"[{op}] tag must be between 0 and {2**14 - 1}, not {tag}")
    run = _Run(own, tensor, 0)
    sends = op == "isend"
    if not sends:
        _check_writable(op, tensor)
        tensor._bump(f"distributed.{op}")

    def steps() -> Iterator[Pending]:
        flat = run.flat(tensor)
        ways = ([(flat, peer)], []) if sends else ([], [(flat, peer)])
        yield run.backend.exchange(*ways, 2 * tag)
        if not sends:
            run.store(tensor, flat)

    to = "to" if sends else "from"
    call = Call(own.number, -1, op, f"{to} rank {own.ranks[peer]} {_words(tensor)} (tag {tag})")
    return Work(call, own, steps())
