"""What a kernel takes and makes, in one line: ``"x[*rows, cols], weight[cols] -> y[*rows, cols]"``.

Left of the arrow are the inputs, right of it the results, and behind a semicolon what the kernel
only works in: ``"x[rows, cols] -> y[cols]; partial[parts, cols]"``. In brackets are sizes: a name
stands for one dimension, with a star before it for any number of them, and as a number for how many
elements these have together; a whole number stands for itself; ``x[]`` has no dimensions. A name
means the same size wherever it stands; one that no input has is a number that the kernel is told,
or computed of others. ``= 0`` behind a result: it is filled with zeros before the launch. ``?``
behind one: where nobody needs it the kernel gets a null pointer. dtypes are not said: the kernel's
parameters have them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

Sizes = dict[str, "int | tuple[int, ...]"]  # of a name with a star: its dimensions

_ITEM = re.compile(
    r"\s*(?P<name>\w+)\s*(?:\[(?P<sizes>[^\]]*)\])?\s*(?P<optional>\?)?\s*(?P<zero>=\s*0)?\s*"
)
_EXAMPLE = "write it like 'x[*rows, cols], weight[cols] -> y[*rows, cols]'"


@dataclass(frozen=True)
class Item:
    """One array: its name; its sizes (names, ``*names``, digits; None: not said); its dtype, once
    the kernel is known ("T": the inputs' common one, "acc": what that is added up in)."""

    name: str
    sizes: tuple[str, ...] | None
    dtype: str = ""
    zero: bool = False
    optional: bool = False

    @property
    def star(self) -> int | None:
        """Where among the sizes the one with a star is."""
        return next((i for i, size in enumerate(self.sizes or ()) if size[0] == "*"), None)

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(self.sizes or ())}]"


class Signature:
    """The inputs and results of a kernel, and its scratch memory. Raises TypeError for what is no
    string, ValueError for what cannot be one, with what to write instead."""

    def __init__(self, text: str):
        if not isinstance(text, str):
            raise TypeError(
                f"[kernel] the signature must be a string, got {type(text).__name__}: {_EXAMPLE}"
            )
        left, arrow, right = text.partition("->")
        if not arrow:
            raise ValueError(f"[kernel] signature {text!r} has no '->': {_EXAMPLE}")
        right, _, scratch = right.partition(";")
        self.inputs, self.results = read_items(left), read_items(right)
        self.scratch = read_items(scratch)
        self.text = text
        arrays = (*self.inputs, *self.results, *self.scratch)
        for item in arrays:
            if item.sizes is None:
                raise ValueError(f"[kernel] {item.name} has no sizes in {text!r}: {_EXAMPLE}")
        names = [item.name for item in arrays]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(
                f"[kernel] {sorted(twice)} stand twice in {text!r}: every array has its own"
            )
        if any(item.zero or item.optional for item in self.inputs):
            raise ValueError(f"[kernel] '= 0' is for results, as is '?', not for inputs: {text!r}")

    def check_known(self, more: Sequence[str], results: Sequence[Item]) -> None:
        """Raise ValueError where a result's sizes are those of no input, and not among ``more``."""
        for item in results:
            unknown = {s.lstrip("*") for s in item.sizes or () if not s.isdigit()}
            unknown -= {*self.sizes, *more}
            if unknown:
                raise ValueError(
                    f"[kernel] result {item} has sizes {sorted(unknown)} that no input has: "
                    f"the inputs know {sorted(self.sizes)}; others are numbers, or said by sizes="
                )

    @property
    def sizes(self) -> list[str]:
        """The names of the inputs' sizes, in order, without stars."""
        found = [s.lstrip("*") for item in self.inputs for s in item.sizes or ()]
        return list(dict.fromkeys(name for name in found if not name.isdigit()))

    @property
    def stars(self) -> set[str]:
        """The names of the sizes that stand with a star."""
        return {s[1:] for item in self.inputs for s in item.sizes or () if s[0] == "*"}

    def match(self, kernel: str, shapes: Sequence[Sequence[int]]) -> Sizes:
        """The sizes that the inputs' shapes have. Raises ValueError where they do not agree."""
        sizes: Sizes = {}
        seen: dict[str, str] = {}
        for item, shape in zip(self.inputs, shapes, strict=True):
            wanted, star = item.sizes or (), item.star
            few = len(wanted) - (star is not None)
            if len(shape) < few or (star is None and len(shape) > few):
                least = "" if star is None else "at least "
                raise ValueError(
                    f"[{kernel}] {item} has {least}{few} dimension{'s' * (few != 1)}, "
                    f"got shape {tuple(shape)}"
                )
            extra = len(shape) - few
            position = 0
            for size in wanted:
                value: int | tuple[int, ...]
                if size[0] == "*":
                    value = tuple(shape[position : position + extra])
                    position += extra
                else:
                    value = int(shape[position])
                    position += 1
                name = size.lstrip("*")
                known = int(name) if name.isdigit() else sizes.setdefault(name, value)
                if known != value and _count(known) == _count(value) and _is_mixed(known, value):
                    continue  # a size with a star here and without one there
                if known != value:
                    by = f"{seen[name]} says" if name in seen else "the signature says"
                    raise ValueError(
                        f"[{kernel}] {item} got shape {tuple(shape)}, where {name} is {value}, "
                        f"but {by} {known}"
                    )
                seen.setdefault(name, item.name)
        return sizes

    def shape(self, item: Item, sizes: Sizes) -> tuple[int, ...]:
        """The shape of a result."""
        shape: list[int] = []
        for size in item.sizes or ():
            value = int(size) if size.isdigit() else sizes[size.lstrip("*")]
            if size[0] == "*":
                shape += value if isinstance(value, tuple) else (value,)
            else:
                shape.append(_count(value))
        return tuple(shape)


def read_items(text: str) -> tuple[Item, ...]:
    """The arrays that one side of a signature names. Raises ValueError for what is none."""
    items = []
    for part in re.split(r",(?![^\[]*\])", text) if text.strip() else ():
        found = _ITEM.fullmatch(part)
        if not found or not found["name"].isidentifier():
            raise ValueError(f"{part.strip()!r} is not an array with its sizes: {_EXAMPLE}")
        sizes = None
        if found["sizes"] is not None:
            sizes = tuple(s.strip() for s in found["sizes"].split(",") if s.strip())
            for size in sizes:
                if not re.fullmatch(r"\*?[A-Za-z_]\w*|\d+", size):
                    raise ValueError(f"{size!r} in {part.strip()!r} is neither a name nor a number")
            if sum(size[0] == "*" for size in sizes) > 1:
                raise ValueError(f"{part.strip()!r} has two sizes with a star: which gets what?")
        zero, optional = bool(found["zero"]), bool(found["optional"])
        items.append(Item(found["name"], sizes, zero=zero, optional=optional))
    return tuple(items)


def counts(sizes: Sizes) -> dict[str, int]:
    """The sizes as kernels get them: of a name with a star, the product of its dimensions."""
    return {name: _count(value) for name, value in sizes.items()}


def _count(value: int | tuple[int, ...]) -> int:
    return math.prod(value) if isinstance(value, tuple) else value


def _is_mixed(a: int | tuple[int, ...], b: int | tuple[int, ...]) -> bool:
    return isinstance(a, tuple) != isinstance(b, tuple)
