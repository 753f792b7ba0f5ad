"""Nobody waits for ever: what ranks tell each other while they wait, and how long they do.

A rank that waits reads its messages. One whose time is up asks the others of the group where they
are; those that wait, too, answer with their call, and those that do not answer are missing: they
compute, hang or are gone. A rank that ends says so to all.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import DistError, DistTimeoutError
from .last_words import missing, tell, tell_error

if TYPE_CHECKING:
    from .backend import Backend
    from .pending import Pending

_LOOK = 0.05  # seconds between looks at the messages
_ANSWER = 1.0  # seconds for an answer; what was sent before a rank has ended has this time, too
_EAGER = 0.002  # seconds of waiting without sleep, which a rank that is about to come need not cost


class Call(NamedTuple):
    """What a rank waits in: of which group the how manieth collective, which, and of what."""

    group: int
    sequence: int
    op: str
    detail: str

    def __str__(self) -> str:
        return f"call {self.sequence} of group {self.group}, {self.op} {self.detail}".rstrip()


class _Watch:
    """What this rank knows of the others, by their ranks in the world."""

    def __init__(self, host: Backend):
        self.host = host
        self.timeout = math.inf  # seconds that a rank which ends waits for others
        self.call: Call | None = None
        self.ended: dict[int, float] = {}  # since when
        self.answers: dict[int, str] = {}

    def look(self) -> None:
        while (message := self.host.receive()) is not None:
            rank, data = message
            kind, text = json.loads(data)
            if kind == "ask":
                self.post(rank, "at", f"waits in {self.call}" if self.call else "is about to end")
            elif kind == "at":
                self.answers[rank] = text
            else:
                self.ended[rank] = time.monotonic()

    def post(self, rank: int, kind: str, text: str = "") -> None:
        self.host.post(rank, json.dumps([kind, text]).encode())

    def others(self) -> list[int]:
        return self.host.others()


_watch: _Watch | None = None


def begin(host: Backend, timeout: float) -> None:
    """Watch over the ranks of this backend until the process ends: it waits so many seconds for
    those that do not end, and for ever after ``release``."""
    global _watch
    if host.size == 1:
        return
    is_first = _watch is None
    if _watch is None:
        host.listen()
        _watch = _Watch(host)
    _watch.timeout = timeout
    if host.supervised or not is_first:
        return
    sys.excepthook = _abort_after
    atexit.register(_leave)


def release() -> None:
    """The ranks have nothing more to do with each other: let each take its time."""
    if _watch is not None:
        _watch.timeout = math.inf


def _abort_after(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Show the error of this rank, and end all."""
    assert _watch is not None
    tell_error(_watch.host.rank, kind, error, trace)
    atexit.unregister(_leave)
    _watch.host.abort(1)


def _leave() -> None:
    """Tell all that this rank ends, and let MPI end when all do: it would wait without sleep."""
    assert _watch is not None
    for rank in _watch.others():
        _watch.post(rank, "end")
    deadline = time.monotonic() + _watch.timeout
    while len(_watch.ended) < _watch.host.size - 1:
        _watch.look()
        if time.monotonic() > deadline:
            late = [rank for rank in _watch.others() if rank not in _watch.ended]
            waited = f"at its end, waited {_watch.timeout:g} s for {_ranks(late)}"
            tell(_watch.host.rank, [f"{waited}: all ranks end"])
            _watch.host.abort(1)
        time.sleep(0.001)


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


_under_way: list[Pending] = []
_calls = 0


def calls() -> int:
    """How many calls this rank has begun, of all groups."""
    return _calls


def waits() -> bool:
    """Whether this rank waits for others now."""
    return _watch is not None and _watch.call is not None


def keep_going(pending: Pending) -> None:
    """Let a call that has begun go on whenever this rank waits for anything, or asks whether
    anything is done."""
    global _calls
    _calls += 1
    if _is_under_way(pending):
        _under_way.append(pending)


def progress() -> None:
    """Let all that is on its way go on."""
    _under_way[:] = [each for each in _under_way if _is_under_way(each)]


def _is_under_way(pending: Pending) -> bool:
    try:
        return not pending.done()
    except Exception:  # who waits for it is told
        return False


def wait(pending: Pending, call: Call, ranks: Sequence[int], timeout: float) -> None:
    """Until it is done, letting others go on meanwhile. Raises DistTimeoutError where that takes
    more seconds than ``timeout``, and DistError where one of the ``ranks`` has ended without
    coming."""
    progress()
    if pending.done():
        return
    began = time.monotonic()
    next_look = began + _LOOK
    if _watch is not None:
        _watch.call = call
    try:
        while not pending.done():
            now = time.monotonic()
            progress()
            _pause(now - began)
            if now < next_look:
                continue
            next_look = now + _LOOK
            if _watch is None:
                if now - began > timeout:
                    words = f"[{call.op}] has waited {timeout:g} s for other ranks"
                    raise DistTimeoutError(f"{words}. {missing(len(ranks))}")
                continue
            _watch.look()
            gone = [
                rank for rank in ranks if now - max(began, _watch.ended.get(rank, now)) > _ANSWER
            ]
            if gone:
                raise DistError(
                    f"[{call.op}] rank {_watch.host.rank} waits in {call} for {_ranks(gone)}, "
                    f"which {'has' if len(gone) == 1 else 'have'} ended"
                )
            if now - began > timeout:
                raise DistTimeoutError(_who_is_missing(_watch, call, ranks, timeout))
    finally:
        if _watch is not None:
            _watch.call = None


def _pause(waited: float) -> None:
    """Leave the core to others: to one that is about to come for a moment, then for longer."""
    if waited < _EAGER:
        os.sched_yield() if hasattr(os, "sched_yield") else time.sleep(0)
    else:
        time.sleep(min(waited / 20, 0.001))


def _who_is_missing(watch: _Watch, call: Call, ranks: Sequence[int], limit: float) -> str:
    others = [rank for rank in ranks if rank != watch.host.rank]
    watch.answers.clear()
    for rank in others:
        watch.post(rank, "ask")
    deadline = time.monotonic() + _ANSWER
    while time.monotonic() < deadline and len(watch.answers) < len(others):
        watch.look()
        time.sleep(0.005)
    lines = []
    for rank in others:
        found = watch.answers.get(rank, "does not answer: it computes, hangs or is gone")
        if rank in watch.ended:
            found = "has ended"
        if found != f"waits in {call}":
            lines.append(f"rank {rank} {found}")
    missing = "; ".join(lines) or "nobody: all are there, and what they sent is not"
    return (
        f"[{call.op}] rank {watch.host.rank} has waited {limit:g} s in {call}. Missing: {missing}. "
        "(The time is timeout= of init_process_group, or TAPEGRAD_DISTRIBUTED_TIMEOUT.)"
    )
