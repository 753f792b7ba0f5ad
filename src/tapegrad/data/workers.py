"""The worker processes of a DataLoader, and what becomes of them.

The main process writes tasks to each worker's channel and reads batches from it; there is no thread
in it, and nothing that two workers share. A worker ends when its channel is closed, which the
system does when the main process is gone, however it went. One that is in the user's code then is
ended by a thread that watches the main process. A worker that is gone closes its channel just so,
and the main process, which waits for all of them at once, learns of it in that moment.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from tapegrad.core.native import use_threads

from .fetch import Items, Stream
from .shared_memory import Channel
from .worker_info import WorkerInfo, become, draw_for_batch

_PATIENCE = 2.0  # seconds for a worker to finish the batch it is at, once nobody wants it
_TICK = 1.0  # seconds between two looks at what no closed channel tells
_KEPT = 60 << 20  # bytes that a worker keeps when it has freed them: half of it is below 32 MiB

# Main ends of channels: a forked process must not hold them, or a worker would not see them closed.
_main_ends: weakref.WeakSet[Any] = weakref.WeakSet()


def _close_inherited() -> None:
    for connection in list(_main_ends):
        connection.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


# ---------------------------------------------------------------------- in the worker


@dataclass
class Failure:
    """An error in a worker, on its way to the main process."""

    kind: type[Exception]
    where: str
    trace: str

    @classmethod
    def of(cls, error: Exception, where: str) -> Failure:
        """The error that is being handled; ``where`` tells what was done."""
        try:
            pickle.loads(pickle.dumps(type(error)))
            kind = type(error)
        except Exception:  # a class that only the worker knows
            kind = RuntimeError
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return cls(kind, where, trace)

    def error(self) -> Exception:
        """As an error of the same class, if one can be made of a text."""
        text = _Text(f"{self.where}\n\n{self.trace}")
        try:
            error = self.kind(text)
        except Exception:
            return RuntimeError(text)
        told = text in str(error) and not issubclass(self.kind, (StopIteration, StopAsyncIteration))
        return error if told else RuntimeError(text)


class _Text(str):
    """Text that a KeyError shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def work(
    connection: Any,
    info: WorkerInfo,
    fetcher: Items | Stream,
    init_fn: Callable[[int], None] | None,
) -> None:
    """What a worker does until the main process closes its channel."""
    # CTRL-C reaches all processes of a terminal. The main one decides what becomes of the workers.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the program may have a handler, to save what is
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    channel = Channel(connection)
    me = f"DataLoader: worker {info.id} (pid {os.getpid()})"
    become(info)
    use_threads(1)  # there are as many workers as the user wants to have processors at work
    _keep_freed_memory()
    failed: Failure | None = None
    try:
        if init_fn is not None:
            init_fn(info.id)
    except Exception as error:
        failed = Failure.of(error, f"{me} failed in worker_init_fn")
    broken = failed
    current, seed = 0, 0
    try:
        while True:
            what, *rest = channel.receive()
            if what == "begin":
                current, seed, source = rest
                broken = failed or _begun(fetcher, seed, source, me)
                continue
            number, task = rest
            answer: Any = broken
            state = None
            if answer is None:
                try:
                    draw_for_batch(seed, number)
                    answer = fetcher.fetch(number, task)
                    state = fetcher.state()
                except Exception as error:
                    where = f"{me} failed at {fetcher.sample(error, task)}, for batch {number}"
                    answer = Failure.of(error, where)
            try:
                channel.send((current, answer, state))
            except ConnectionError:
                raise
            except Exception as error:
                where = f"{me} could not send batch {number} to the main process"
                channel.send((current, Failure.of(error, where), None))
            answer = state = None
    except (EOFError, ConnectionError):
        pass


def _keep_freed_memory() -> None:
    """Let what a batch has taken serve the next one. The GNU C library keeps free memory up to
    twice the largest block that was freed; what is above goes back to the system, which maps and
    clears it anew for every batch: a quarter of the time of a worker that reads small photographs.
    (Other libraries have rules of their own. The block is never written, so it costs nothing.)"""
    np.empty(_KEPT // 2, np.uint8)


def _begun(fetcher: Items | Stream, seed: int, source: Any, me: str) -> Failure | None:
    try:
        fetcher.begin(seed, source)
    except Exception as error:
        return Failure.of(error, f"{me} failed to begin a pass over the dataset")
    return None


def _end_with_parent(parent_pid: int) -> None:
    parent = multiprocessing.parent_process()
    sentinel = [] if parent is None else [parent.sentinel]
    while os.getppid() == parent_pid:
        if wait(sentinel, _TICK):  # also where the parent is not who started this one
            break
        if not sentinel:
            time.sleep(_TICK)
    os._exit(1)


# ---------------------------------------------------------------------- in the main process


class Workers:
    """The workers of one pass, or of one DataLoader. They are gone when this is."""

    def __init__(
        self,
        count: int,
        context: Any,
        fetcher: Items | Stream,
        seed: int,
        init_fn: Callable[[int], None] | None,
        timeout: float,
    ):
        if multiprocessing.current_process().daemon:
            raise RuntimeError(
                "DataLoader: a worker cannot start workers of its own: this loader, which is used "
                "in another one's worker, needs num_workers=0"
            )
        self.count, self.timeout, self.current = count, timeout, 0
        self.channels: list[Channel] = []
        self.processes: list[Any] = []
        self.asked: list[deque[tuple[int, int]]] = [deque() for _ in range(count)]
        self.close = weakref.finalize(self, _close, self.channels, self.processes, os.getpid())
        with _no_interrupts():
            for number in range(count):
                info = WorkerInfo(number, count, seed + number, fetcher.dataset)
                self._start(context, info, fetcher, init_fn)

    def _start(self, context: Any, info: WorkerInfo, fetcher: Any, init_fn: Any) -> None:
        mine, theirs = context.Pipe(duplex=True)
        _main_ends.add(mine)
        self.channels.append(Channel(mine))
        arguments = theirs, info, fetcher, init_fn
        process = context.Process(
            target=work, args=arguments, name=f"tapegrad-worker-{info.id}", daemon=True
        )
        try:
            process.start()
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            self.close()
            raise _unpicklable(context, fetcher, init_fn, error) from error
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()
        self.processes.append(process)

    def begin(self, seeds: list[int], sources: list[Any]) -> None:
        """Begin a pass; what is still on its way belongs to an earlier one."""
        self.current += 1
        for worker, (seed, source) in enumerate(zip(seeds, sources, strict=True)):
            self._send(worker, ("begin", self.current, seed, source))

    def ask(self, worker: int, number: int, task: Any) -> None:
        """Give a worker the task of making one batch."""
        self.asked[worker].append((self.current, number))
        self._send(worker, ("fetch", number, task))

    def _send(self, worker: int, message: Any) -> None:
        try:
            self.channels[worker].send(message)
        except OSError:
            raise self._gone(worker) from None

    def answer(self, worker: int | None) -> tuple[int, int, Any, Any]:
        """The next batch of one worker, or of any: (worker, number, batch, state). Raises
        RuntimeError, and ends all workers, when one is gone, or none came in time."""
        wanted = range(self.count) if worker is None else [worker]
        deadline = time.monotonic() + self.timeout if self.timeout > 0 else None
        while True:
            which = self._readable(wanted, deadline)
            try:
                current, answer, state = self.channels[which].receive()
            except (EOFError, OSError):
                raise self._gone(which) from None
            _, number = self.asked[which].popleft()
            if current == self.current:
                return which, number, answer, state

    def _readable(self, wanted: Any, deadline: float | None) -> int:
        """The first of the wanted workers whose channel has something to read."""
        connections = [channel.connection for channel in self.channels]
        while True:
            rest = _TICK if deadline is None else min(_TICK, deadline - time.monotonic())
            for worker, closed in _events(connections, wanted, max(rest, 0)):
                if closed:
                    raise self._gone(worker)
                return worker
            for worker, process in enumerate(self.processes):
                if process.exitcode is not None:
                    raise self._gone(worker)
            if deadline is not None and time.monotonic() >= deadline:
                raise self._late(wanted)

    def _late(self, wanted: Any) -> RuntimeError:
        late = ", ".join(
            f"worker {worker} (pid {self.processes[worker].pid}) has not made batch "
            f"{self.asked[worker][0][1]}"
            for worker in wanted
            if self.asked[worker]
        )
        self.close()
        return RuntimeError(f"DataLoader: {late} within the timeout of {self.timeout} seconds")

    def _gone(self, worker: int) -> RuntimeError:
        process = self.processes[worker]
        process.join(_TICK)
        pid, code = process.pid, process.exitcode
        batch = f"batch {self.asked[worker][0][1]}" if self.asked[worker] else "no batch"
        self.close()
        if code is None:
            how, why = "has closed its channel", ""
        elif code < 0:
            how, why = f"was killed by {_signal_name(-code)}", _REASONS.get(-code, "")
        else:
            how = f"ended with exit code {code}"
            why = (
                ": what it printed tells why (a script whose workers are not forked starts with "
                "if __name__ == '__main__':)"
            )
        return RuntimeError(f"DataLoader: worker {worker} (pid {pid}) {how} at {batch}{why}")


_REASONS = {9: ": by somebody, or by the system where it is short of memory"}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _events(connections: list[Any], wanted: Any, seconds: float) -> Iterator[tuple[int, bool]]:
    """Which of the wanted connections can be read, and which of all are closed: (place, closed)."""
    if sys.platform == "win32":
        for connection in wait([connections[place] for place in wanted], seconds):
            yield connections.index(connection), False
        return
    import select

    poller = select.poll()
    places = {}
    for place, connection in enumerate(connections):
        places[connection.fileno()] = place
        poller.register(connection, select.POLLIN if place in wanted else 0)
    events = poller.poll(seconds * 1000)
    readable = [places[file] for file, event in events if event & select.POLLIN]
    closed = [places[file] for file, event in events if not event & select.POLLIN]
    yield from ((place, True) for place in closed)
    yield from ((place, False) for place in readable)


def _unpicklable(context: Any, fetcher: Any, init_fn: Any, error: Exception) -> TypeError:
    named = {
        f"the dataset, a {type(fetcher.dataset).__name__},": fetcher.dataset,
        "collate_fn": fetcher.collate_fn,
        "worker_init_fn": init_fn,
    }
    culprit = "what they are given"
    for name, value in named.items():
        try:
            context.reducer.ForkingPickler.dumps(value)
        except Exception:
            culprit = name
            break
    method = context.get_start_method()
    return TypeError(
        f"DataLoader: workers are started by {method!r}, for which {culprit} must be picklable: "
        f"{error}. Use functions and classes of a module, not lambdas or local ones, or "
        "multiprocessing_context='fork'"
    )


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Within this, an interrupt waits: no worker is started that nobody knows of, and none is
    interrupted before it can say what should happen then."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close(channels: list[Channel], processes: list[Any], owner: int) -> None:
    for channel in channels:
        channel.connection.close()
    if os.getpid() != owner:  # in a fork
        return
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0))
    for process in processes:
        if process.exitcode is None:
            process.terminate()
            process.join(_TICK)
        if process.exitcode is None:
            process.kill()
            process.join()
