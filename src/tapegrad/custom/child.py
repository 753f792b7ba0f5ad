"""Runs a function in a process of its own: a kernel that writes where it must not, or never ends,
takes that one with it."""

from __future__ import annotations

import mmap
import os
import pickle
import select
import signal
import time
import warnings
from collections.abc import Callable
from typing import Any

_NOTE = 4096  # bytes


class Died(RuntimeError):
    """The process ended without an answer; the message says how, and what it was at."""


def in_child(work: Callable[[Callable[[str], None]], Any], seconds: float) -> Any:
    """What ``work(note)`` returns, computed in a forked process; ``note("...")`` says what
    it is at, ``note()`` that it still is.

    Raises what it raises (as RuntimeError with its text where that cannot be handed over), Died
    where the process is killed by a signal, or notes nothing for so many seconds.
    """
    board = mmap.mmap(-1, _NOTE + 1)  # and how often it was written, modulo 256
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        _answer(work, board, writing)
    os.close(writing)
    answer = None
    try:
        answer = _received(reading, board, seconds)
    finally:
        os.close(reading)
        if answer is None:  # it still runs
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    at = board[:_NOTE].rstrip(b"\0").decode(errors="replace")
    if answer is None:
        raise Died(f"it did not end within {seconds:.0f} s, at {at}")
    if not answer:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        why = "accessed memory out of bounds" if number in (11, 7) else f"died of signal {number}"
        raise Died(f"it {why}, at {at}")
    is_error, value = pickle.loads(answer)
    if is_error:
        raise value
    return value


def _answer(work: Callable, board: mmap.mmap, writing: int) -> None:
    """In the child: work, and write the answer to the pipe."""

    def note(text: str = "") -> None:
        if text:
            board[:_NOTE] = text.encode()[:_NOTE].ljust(_NOTE, b"\0")
        board[_NOTE] = (board[_NOTE] + 1) % 256

    status = 1
    try:
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        try:
            answer = pickle.dumps((False, work(note)))
        except Exception as error:
            try:
                answer = pickle.dumps((True, error))
                pickle.loads(answer)
            except Exception:
                answer = pickle.dumps((True, RuntimeError(f"{type(error).__name__}: {error}")))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        status = 0
    finally:
        os._exit(status)


def _received(reading: int, board: mmap.mmap, seconds: float) -> bytes | None:
    """All that comes; None where neither that nor a note does for so long."""
    parts: list[bytes] = []
    noted, since = board[_NOTE], time.monotonic()
    while time.monotonic() < since + seconds:
        if select.select([reading], [], [], min(1, seconds / 4))[0]:
            part = os.read(reading, 1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)
        elif board[_NOTE] == noted:
            continue
        noted, since = board[_NOTE], time.monotonic()
    return None
