"""The language of pickles, as far as it describes plain values: an interpreter that makes numbers,
text, lists, tuples, dicts and sets, and asks its caller for everything that has a name.

A pickle is a program for a machine with a stack and a memory (the standard library's pickletools
has the list of instructions). Its danger is that it names any function and has it called. Here a
name stands for what the caller's table has for it, or for an error; nothing is imported, and
nothing but ``Known`` functions of that table is called, with values made here.
"""

from __future__ import annotations

import struct
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .budget import Budget
from .errors import CheckpointError

_LONGEST_NAME = 200
_LONGEST_NUMBER = 1024  # bytes of an integer
# Bytes of memory, at most: of a place on the stack and in a list, of one in a dict or set, and of
# what a function makes beside the parts that it was given.
_OF_A_PLACE, _OF_AN_ENTRY, _OF_A_RESULT = 16, 104, 256
LARGEST_KEY = 1 << 64  # of larger numbers, any amount can have one hash


@dataclass(frozen=True)
class Known:
    """What a name in a pickle stands for: ``make`` is given the arguments of its call."""

    name: str
    make: Callable[..., Any]


@dataclass(frozen=True)
class Refused:
    """What a name stands for that is known, and is no part of a checkpoint here."""

    why: str


class Machine:
    """Runs a pickle's program: ``Machine(data, known, storage).run()`` is the value it describes.

    ``known``: by module and name, what the program may name. ``storage`` is asked for what
    the program keeps outside of itself. Raises CheckpointError, which says at which byte, for a
    program that is none, names anything else, uses an instruction that makes other objects, or
    makes more than ``budget`` has memory for.
    """

    def __init__(
        self, data: bytes, known: Mapping[str, Any], storage: Callable[[Any], Any], budget: Budget
    ):
        self.data, self.known, self.storage = data, known, storage
        self.spend = budget.spend
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []  # how many values were on the stack
        self.memory: list[Any] = []

    def run(self) -> Any:
        while True:
            where = self.at
            try:
                code = self.take(1)
                if code == b".":
                    break
                instruction = _INSTRUCTIONS.get(code)
                if instruction is None:
                    what = _OTHERS.get(code, "is none that pickles of tensors need")
                    raise CheckpointError(f"the instruction {code!r} {what}")
                instruction(self)
            except (CheckpointError, IndexError, TypeError, ValueError, struct.error) as error:
                raise CheckpointError(f"at byte {where} of its pickle: {error}") from None
        if len(self.stack) != 1 or self.marks or self.at != len(self.data):
            raise CheckpointError("its pickle does not describe one value")
        return self.stack[0]

    # ---- what instructions are made of ----------------------------------------------------

    def take(self, count: int) -> bytes:
        """The next bytes of the program."""
        start, self.at = self.at, self.at + count
        if self.at > len(self.data):
            raise CheckpointError("it ends too early")
        return self.data[start : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + _LONGEST_NAME)
        if end < 0:
            raise CheckpointError("a name does not end")
        line = self.take(end - self.at).decode()
        self.take(1)
        return line

    def push(self, value: Any) -> None:
        """Put a new value on the stack."""
        self.spend(sys.getsizeof(value))
        self.put(value)

    def put(self, value: Any) -> None:
        """Put a value on the stack that there is already."""
        self.spend(_OF_A_PLACE)
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise CheckpointError("there is no value to be used")
        return self.stack.pop()

    def top(self, kinds: tuple[type, ...]) -> Any:
        """The value that the next instruction changes."""
        value = self.pop()
        if type(value) not in kinds:
            raise CheckpointError(f"a {type(value).__name__} cannot be added to")
        self.put(value)
        return value

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise CheckpointError("there is no mark")
        first = self.marks.pop()
        values = self.stack[first:]
        del self.stack[first:]
        return values

    # ---- instructions with more to them than one line ------------------------------------

    def tuple(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def text(self, length: int) -> None:
        content = self.take(length)
        if not content.isascii():  # one wide character makes all of them wide
            self.spend(4 * length)
        self.push(content.decode("utf-8", "surrogatepass"))

    def integer(self, length: int) -> None:
        if length > _LONGEST_NUMBER:
            raise CheckpointError(f"a number of {length} bytes")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def extend(self, values: list[Any]) -> None:
        self.top((list,)).extend(values)

    def set_items(self, items: list[Any]) -> None:
        target = self.top((dict, OrderedDict))
        if len(items) % 2:
            raise CheckpointError("a key without a value")
        self.spend(_OF_AN_ENTRY * len(items) // 2)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def add_items(self, items: list[Any]) -> None:
        self.spend(_OF_AN_ENTRY * len(items))
        self.top((set,)).update(map(checked_key, items))

    def remember(self, place: int) -> None:
        value = self.pop()
        self.put(value)
        if not 0 <= place <= len(self.memory):
            raise CheckpointError(f"memory {place} comes before memory {len(self.memory)}")
        self.memory[place : place + 1] = [value]

    def recall(self, place: int) -> None:
        if place >= len(self.memory):
            raise CheckpointError(f"there is nothing in memory {place}")
        self.put(self.memory[place])

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise CheckpointError("a name that is no text")
        full = f"{module}.{name}"
        found = self.known.get(full)
        if found is None or isinstance(found, Refused):
            why = "is nothing that a checkpoint holds" if found is None else found.why
            raise CheckpointError(
                f"{full[:_LONGEST_NAME]!r} {why}, and nothing is imported or called: save tensors, "
                "numbers, text, and dicts, lists and tuples of them, such as state_dicts"
            )
        self.push(found)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if type(function) is not Known or type(arguments) is not tuple:
            raise CheckpointError("something is called that is no function")
        self.spend(_OF_A_RESULT)
        try:
            self.push(function.make(*arguments))
        except TypeError:
            raise CheckpointError(f"{function.name} is given what it does not take") from None

    def set_state(self) -> None:
        """What PyTorch notes about a state_dict, which is the one thing with attributes."""
        state = self.pop()
        target = self.top((OrderedDict,))
        if type(state) is not dict or list(state) != ["_metadata"]:
            raise CheckpointError("the attributes of an object, which is no part of a checkpoint")
        target._metadata = state["_metadata"]


def checked_key(value: Any) -> Any:
    """A key of a dict or a value of a set. Raises CheckpointError for what could take long to be
    hashed."""
    for part in value if type(value) is tuple else (value,):
        if part is not None and type(part) not in (str, int, float, bool):
            raise CheckpointError(f"a {type(part).__name__} as the key of a dict or in a set")
        if type(part) is int and abs(part) >= LARGEST_KEY:
            raise CheckpointError("a very large number as the key of a dict or in a set")
    return value


_Instruction = Callable[[Machine], None]
_INSTRUCTIONS: dict[bytes, _Instruction] = {
    b"\x80": lambda m: _check_protocol(m.take(1)[0]),
    b"\x95": lambda m: _ignore(m.take(8)),  # how long the next part is
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"0": lambda m: _ignore(m.pop()),
    b"1": lambda m: _ignore(m.since_mark()),
    # numbers and text
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": lambda m: m.integer(m.number("<B")),
    b"\x8b": lambda m: m.integer(m.number("<I")),
    b"G": lambda m: m.push(m.number(">d")),
    b"\x8c": lambda m: m.text(m.number("<B")),
    b"X": lambda m: m.text(m.number("<I")),
    b"\x8d": lambda m: m.text(m.number("<Q")),
    # containers
    b")": lambda m: m.push(()),
    b"\x85": lambda m: m.tuple(1),
    b"\x86": lambda m: m.tuple(2),
    b"\x87": lambda m: m.tuple(3),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.since_mark()),
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.since_mark()),
    b"}": lambda m: m.push({}),
    b"s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.set_items(m.since_mark()),
    b"\x8f": lambda m: m.push(set()),
    b"\x90": lambda m: m.add_items(m.since_mark()),
    # memory
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memory)),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    # what has a name
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": lambda m: m.name(*[m.pop(), m.pop()][::-1]),
    b"R": lambda m: m.call(),
    b"b": lambda m: m.set_state(),
    b"Q": lambda m: m.push(m.storage(m.pop())),
}
# What the rest would do, for the message.
_OTHERS = {
    b"\x81": "makes an object of a class",
    b"\x92": "makes an object of a class",
    b"i": "imports and calls something",
    b"o": "calls something",
    b"\x82": "names something by a number",
    b"\x83": "names something by a number",
    b"\x84": "names something by a number",
    b"B": "makes bytes, which no checkpoint holds",
    b"C": "makes bytes, which no checkpoint holds",
    b"\x8e": "makes bytes, which no checkpoint holds",
    b"\x96": "makes bytes, which no checkpoint holds",
}


def _ignore(value: Any) -> None:
    """Nothing is done with it."""


def _check_protocol(version: int) -> None:
    if not 2 <= version <= 5:
        raise CheckpointError(f"protocol {version} of pickles")
