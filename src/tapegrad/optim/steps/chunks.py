"""How a step runs: whole or not at all, chunk by chunk; or on the tape, where it is differentiated.

A step is written once, as a generator of calls: functions of NumPy's, their operands and, last, the
array that takes the result (CuPy's arrays answer to them too). It makes a dozen passes over its
arrays, so it goes chunk by chunk: the passes over a chunk run in the L2 cache and only the first
and the last touch memory (measured on 8 million float32 parameters: Adam 26 ms in chunks, 42 ms
over the whole arrays). No scratch memory is larger than two chunks. 16-bit floats are computed in
float32 and rounded once, as the kernels do.

First everything is prepared that can fail: scratch memory, and every call with its operands. Then
one call in C makes all of these calls, over all chunks, and at last that of ``then``, which counts
the step. An optimizer prepares all of its parameters ``together``, and one call steps them all.
Where kernels do a step, what they need is prepared ``in_table``, a row for each parameter, and one
launch does a table.

While work is recorded (``core.capture``), operands made of numbers stand in the device's memory,
where each replay puts those of its own time.

What needs a sum over all elements before it can go on says ``yield AGAIN``: the calls that follow
are made over all chunks again. Those after ``yield ONCE`` are made once, on cells, arrays of one
element.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import cache, partial
from itertools import chain, repeat
from math import prod
from operator import setitem
from typing import Any

import numpy as np

from tapegrad.core.capture import capturing
from tapegrad.core.devices import bodies
from tapegrad.core.dtypes import accumulator, is_low_precision
from tapegrad.core.memory import address
from tapegrad.core.modes import holds
from tapegrad.core.primitive import signature
from tapegrad.core.tensor import Tensor

from .tape import on_tape

CHUNK_BYTES = 1 << 18  # 5 arrays of Adam in a 2 MB L2
_WHOLE_BYTES = 2 * CHUNK_BYTES  # up to which a second chunk costs more than it saves
_BLOCK = 64  # numbers that a replay copies to the device at once
_LINE = 64  # bytes of a cache line: NumPy's loops over arrays that begin at one are twice as fast

AGAIN: tuple = ()
ONCE: tuple = (None,)

Arrays = tuple[Any, ...]  # entries may be None: state that this optimizer does not keep
Calls = Iterator[tuple]  # functions and their operands: numbers, or an array's chunks


class Then:
    """What happens with a step: ``count`` puts into a state what is new in it. Where the step
    updates the float32 ``master`` of a 16-bit parameter, this is ``copy``, which takes its
    values."""

    def __init__(self, count: partial | None, master: Any = None, copy: Any = None) -> None:
        self.count, self.master, self.copy = count, master, copy

    def before(self) -> None:
        """Let the master follow the parameter where something else has changed that."""
        if self.copy is not None:
            wide, narrow = self.master.dtype, self.copy.dtype
            given = self.copy.astype(wide)
            changed = self.master.astype(narrow).astype(wide) != given
            np.copyto(self.master, given, where=changed)

    def rounding(self) -> list[partial]:
        """What writes the copy, behind the step."""
        return [] if self.copy is None else [partial(setitem, self.copy, ..., self.master)]

    def counting(self) -> list[partial]:
        """What comes last."""
        return [] if self.count is None else [self.count]


@cache
def options_of(name: str) -> list[str]:
    """The options that a step takes: the names of its body's keyword-only arguments."""
    return [name for name in signature(bodies[name])[1] if name != "then"]


class Prepared:
    """The calls of several steps, what counts them, the scratch memory that all of them use, one by
    one, the tables of those that launches do; and of the others, for recordings, where their arrays
    are, and the numbers among their operands, by dtype."""

    def __init__(self) -> None:
        self.calls: list[Iterable] = []
        self.counts: list[partial] = []
        self.memory: list[Any] = []
        self.tables: dict[Any, Any] = {}
        self.places: list[int] = []
        self.numbers: dict[Any, list[float]] = {}
        self.recording = capturing()
        # Of a recording, what was prepared for the latest replay. (Not itself at first: in a circle
        # it would stay, with its memory, until the garbage collector comes.)
        self.replayed: Prepared | None = None
        self._blocks: dict[tuple[Any, int], Any] = {}

    def slot(self, dtype: Any) -> Any:
        """Of the recording, an element that has in each replay what was prepared for that as
        the last number that there is now."""
        assert self.recording is not None
        block, place = divmod(len(self.numbers[dtype]) - 1, _BLOCK)
        if (dtype, block) not in self._blocks:
            later = partial(self._later, dtype, block * _BLOCK)
            self._blocks[dtype, block] = self.recording.live(np.ones(_BLOCK, dtype), later)
        return self._blocks[dtype, block][place]

    def _later(self, dtype: Any, start: int) -> np.ndarray:
        numbers = np.ones(_BLOCK, dtype)
        found = (self.replayed or self).numbers[dtype][start : start + _BLOCK]
        numbers[: len(found)] = found
        return numbers

    def like(self, other: Prepared) -> bool:
        """Whether its calls are those of the other one, with other numbers."""
        mine, others = (
            (each.places, {dtype: len(found) for dtype, found in each.numbers.items()})
            for each in (self, other)
        )
        tables = ({key: t.places for key, t in each.tables.items()} for each in (self, other))
        return mine == others and next(tables) == next(tables)

    def spare(self, number: int, size: int) -> Any:
        """The scratch memory of this number, of at least so many bytes."""
        if number == len(self.memory):
            self.memory.append(np.empty(size, np.uint8))
        elif self.memory[number].nbytes < size:
            self.memory[number] = np.empty(size, np.uint8)
        return self.memory[number]

    def make(self) -> None:
        """Make them, launches first: one that is refused leaves what it would do uncounted."""
        launches = [call for table in self.tables.values() for call in table.calls()]
        counts = map(partial.__call__, self.counts)
        deque(chain(map(partial.__call__, launches), chain.from_iterable(self.calls), counts), 0)

    def count(self) -> None:
        """Count the steps, and make none: a recording has done that."""
        deque(map(partial.__call__, self.counts), 0)


_together: ContextVar[Prepared | None] = ContextVar("steps that are prepared", default=None)


def together() -> holds[Prepared]:
    """Within it, steps are not made, but prepared, for ``make`` of what this gives."""
    return holds(_together, Prepared())


class Work:
    """What an update needs besides its arrays: scratch memory like ``like`` (for each chunk, of the
    lengths ``sizes``), cells, and operands made of numbers."""

    def __init__(self, like: Any, dtype: Any, sizes: list[int] | None = None) -> None:
        self._like, self._dtype, self._sizes = like, dtype, sizes
        self._prepared, self._taken = _together.get(), 0
        self._host = isinstance(like, np.ndarray)
        self.reduce: Callable = np.add.reduce if self._host else np.sum

    def number(self, x: float) -> Any:
        """An operand."""
        prepared = self._prepared
        if prepared is not None:
            prepared.numbers.setdefault(self._dtype, []).append(x)
            if prepared.recording is not None:
                return prepared.slot(self._dtype)
        # NumPy would make an array of a number in the midst of the calls.
        return np.array(x, self._dtype) if self._host else float(x)

    def scratch(self) -> Any:
        spare = self._spare(self._like)
        return spare if self._sizes is None else [spare[:size] for size in self._sizes]

    def widened(self, chunks: list[Any]) -> list[Any]:
        """Scratch memory for the chunks of an array."""
        spare = self._spare(chunks[0])
        return [spare[: len(chunk)] for chunk in chunks]

    def _spare(self, like: Any) -> Any:
        """Memory for an array like ``like``, from the beginning of a cache line on."""
        shared = self._prepared
        if capturing() is not None or not self._host or not like.flags.c_contiguous:
            return np.empty_like(like, dtype=self._dtype)
        count = like.size * np.dtype(self._dtype).itemsize
        size, number, self._taken = count + _LINE, self._taken, self._taken + 1
        memory = np.empty(size, np.uint8) if shared is None else shared.spare(number, size)
        start = -memory.__array_interface__["data"][0] % _LINE
        return memory[start : start + count].view(self._dtype).reshape(like.shape)

    def cell(self, number: float = 0.0) -> Any:
        return np.full_like(self._like, number, shape=(), dtype=self._dtype)


def directed(
    work: Any, t: Any, p: Any, g: Any, maximize: bool, weight_decay: float
) -> Generator[tuple, None, Any]:
    """The gradient, turned round to ``maximize``, plus ``weight_decay`` * p; ``t`` is scratch."""
    if not maximize and not weight_decay:
        return g
    s = work.scratch()
    if maximize:
        yield np.negative, g, s
        g = s
    if weight_decay:
        yield np.multiply, p, work.number(weight_decay), t
        yield np.add, g, t, s
    return s


def toward(work: Any, average: Any, x: Any, part: float, t: Any) -> tuple:
    """average = (1 - part) * average + part * x; ``t`` is scratch. (No call has three arrays: those
    take twice as long where not all of them begin at a cache line.)"""
    return (
        (np.multiply, x, work.number(part), t),
        (np.multiply, average, work.number(1 - part), average),
        (np.add, average, t, average),
    )


def mean_square(work: Any, average: Any, x: Any, kept: float, t: Any) -> tuple:
    """average = kept * average + (1 - kept) * x²; ``t`` is scratch."""
    return (
        (np.square, x, t),
        (np.multiply, t, work.number(1 - kept), t),
        (np.multiply, average, work.number(kept), average),
        (np.add, average, t, average),
    )


def add_square(work: Any, x: Any, total: Any, t: Any) -> tuple:
    """total += the sum of x² over all elements; ``total`` is a cell, ``t`` scratch."""
    part = work.cell()
    return ((np.square, x, t), (work.reduce, t, None, None, part), (np.add, total, part, total))


def in_chunks(update: Callable[..., Calls], arrays: Arrays, then: Then | None) -> None:
    """Make the calls of ``update(work, *arrays)``, on matching pieces of large arrays, and at last
    those of ``then``. They may change all arrays but the second, the gradient."""
    param = arrays[0]
    if isinstance(param, Tensor):
        on_tape(update, arrays, calls_of(then))
    elif any(is_low_precision(a.dtype) for a in arrays[:2]) or param.nbytes > _WHOLE_BYTES:
        in_passes(update, arrays, then)
    else:
        calls = [_prepared(*call) for call in update(Work(param, param.dtype), *arrays)]
        make(map(partial.__call__, calls), then, arrays)


def _prepared(function: Callable, *operands: Any) -> partial:
    """One call. (NumPy's maximum takes what is to hold the result by name only.)"""
    if function is np.maximum:
        return partial(function, *operands[:-1], out=operands[-1])
    return partial(function, *operands)


def in_passes(update: Callable[..., Calls], arrays: Arrays, then: Then | None) -> None:
    """The same for updates that say AGAIN or ONCE."""
    param = arrays[0]
    if isinstance(param, Tensor):
        on_tape(update, arrays, calls_of(then))
    else:
        make(by_chunk(update, _split(arrays)) if param.size else (), then, arrays)


def calls_of(then: Then | None) -> list[partial]:
    """What is to be called behind a step."""
    return [] if then is None else [*then.rounding(), *then.counting()]


def make(calls: Iterable, then: Then | None, arrays: Arrays) -> None:
    """Ask for the results of all calls, which are on these arrays, and then of those of ``then``:
    now, or together with others."""
    rounded, counts = ([], []) if then is None else (then.rounding(), then.counting())
    if then is not None:
        then.before()
    calls = chain(calls, map(partial.__call__, rounded))
    prepared = _together.get()
    if prepared is None:
        # in C: no interrupt comes between (see core/commit.py)
        deque(chain(calls, map(partial.__call__, counts)), 0)
    else:
        prepared.calls.append(calls)
        prepared.counts.extend(counts)
        prepared.places.extend(address(a) for a in arrays if a is not None)


def in_table(
    key: Any,
    new: Callable[[], Any],
    row: tuple,
    counts: Sequence[partial],
    rounded: Sequence[partial] = (),
) -> Any:
    """Add a row to the table of this key (made by ``new``, if it is the first), for one launch; and
    ask for the calls behind it: now, or together with others. NotImplemented where the table
    declines."""
    prepared = _together.get()
    where = Prepared() if prepared is None else prepared
    table = where.tables.get(key)
    if table is None:
        table = where.tables[key] = new()
    if table.add(*row) is NotImplemented:
        return NotImplemented
    where.counts.extend(counts)
    if rounded:
        where.calls.append(map(partial.__call__, rounded))
    if prepared is None:
        where.make()
    return None


def _split(arrays: Arrays) -> list[Any]:
    """Each array as the list of its chunks, along the first axis."""
    param = arrays[0]
    if param.ndim == 0 or all(a is None or a.flags.c_contiguous for a in arrays):
        arrays = tuple(None if a is None else a.reshape(-1) for a in arrays)
    length, row = arrays[0].shape[0], prod(arrays[0].shape[1:])
    rows = chunk_rows(param, length, row)
    return [
        None if a is None else [a[i : i + rows] for i in range(0, length, rows)] for a in arrays
    ]


def chunk_rows(param: Any, length: int, row: int) -> int:
    """How many rows of ``row`` elements make a chunk."""
    if not isinstance(param, np.ndarray):
        return length  # a GPU would only see more launches
    return max(1, CHUNK_BYTES // (max(4, param.itemsize) * row))  # 4: 16 bits are widened


def by_chunk(update: Callable[..., Calls], chunks: list[Any]) -> Iterator:
    """The results of all calls on the first chunk, on the second, ...: to ask for them makes the
    calls. In ``update`` each array is the list of its chunks."""
    like = chunks[0][0]
    work = Work(like, accumulator(like.dtype), [len(chunk) for chunk in chunks[0]])
    arrays = [
        work.widened(a) if a is not None and is_low_precision(a[0].dtype) else a for a in chunks
    ]
    pairs = [(a, b) for a, b in zip(chunks, arrays, strict=True) if a is not b]
    before = [(setitem, b, ..., a) for a, b in pairs]
    after = [(setitem, a, ..., b) for a, b in pairs if a is not chunks[1]]
    made, calls = [], list(before)
    once = False
    for call in chain(update(work, *arrays), [AGAIN]):
        if call is AGAIN or call is ONCE:
            made.append(_once(calls) if once else _each(calls + after, len(chunks[0])))
            once = call is ONCE
            calls = [] if once else list(before)
        else:
            calls.append(call)
    return chain.from_iterable(made)


def _once(calls: list[tuple]) -> Iterator:
    """The results of the calls."""
    return chain.from_iterable([map(f, *zip(operands)) for f, *operands in calls])


def _each(calls: list[tuple], count: int) -> Iterator:
    """The results of all calls on the first of ``count`` chunks, on the second, ..."""
    by_call = []
    for f, *operands in calls:
        columns = [x if isinstance(x, list) else repeat(x, count) for x in operands]
        if f is np.maximum:
            prepared = list(map(partial(_prepared, f), *columns))
            by_call.append(map(partial.__call__, prepared))
        else:
            by_call.append(map(f, *columns))
    return zip(*by_call, strict=True)
