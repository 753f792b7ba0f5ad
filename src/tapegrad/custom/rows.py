"""What is computed of each row by itself, in C++ with the words of ``kernels/row.cuh``: the same
text is compiled as a kernel, and as a loop over the rows for ``cpu`` (csrc/fused/row.h)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import FrameType
from typing import Any

import numpy as np

from tapegrad import _build
from tapegrad.core import native
from tapegrad.core.signature import Item, Signature
from tapegrad.fusion.compiled import address_of
from tapegrad.fusion.functions import TYPES
from tapegrad.units import CompileError, Source, read
from tapegrad.units.source import blank_comments

from .declared import Kernel, keyword_numbers, name_of
from .launch import Grid

_RESERVED = {"columns", "row", "start", "stream", "A", "T", "Own", "OneNumber"}
_KEPT = 128  # bytes of its rows that a thread keeps in registers
_KINDS = {bool: "bool", int: "int64_t"}


def rows(
    text: str,
    signature: str,
    frame: FrameType,
    called: str | None,
    gradient: str | Callable | None,
    draws: Mapping[str, Callable] | None,
) -> Callable[[Callable], Kernel]:
    """See ``elements.row``."""
    declared = Signature(signature)

    def declare(body: Callable) -> Kernel:
        name = name_of(body, called)
        if not name.isidentifier():
            raise ValueError(f"[row] name={name!r} is no name that a function in C++ could have")
        written = RowText(name, declared, keyword_numbers(body, declared, name))
        own = read(gradient, name, frame) if isinstance(gradient, str) else None
        source = written.source(read(text, name, frame), own)
        return Kernel(
            body,
            source,
            declared,
            name=name,
            gradient=gradient if own is None else f"{name}_backward",
            grid=Grid(),
            draws=draws,
            loops=RowLoops(source) if loops_compile() else None,
        )

    return declare


@cache
def loops_compile() -> bool:
    """Whether there is a compiler of loops for ``cpu``, and what runs them."""
    return native.compiled is not None and _build.find_cxx() is not None


# What a row has one number of: only that one can be written, not a row from there on.
_ONE_NUMBER = (
    "template <class T> struct OneNumber { T* at; "
    "__device__ T& operator*() const { return *at; } }; "
)


class RowText:
    """A source of functions that each compute all rows of their arrays, written around bodies of
    one row. Raises ValueError for a signature without rows, or words that the text needs itself.

    numbers: with their defaults, whose types are theirs (double, if there is none).
    """

    def __init__(self, name: str, signature: Signature, numbers: Mapping[str, Any]):
        self.name, self.signature = name, signature
        self.kinds = {n: _KINDS.get(type(v), "double") for n, v in numbers.items()}
        sizes = signature.inputs[0].sizes if signature.inputs else ()
        self.rows, self.cols = sizes if sizes and len(sizes) == 2 else ("", "")
        items = (*signature.inputs, *signature.results)
        if self.cols.startswith("*") or any(self._lies(item) is None for item in items):
            raise ValueError(
                f"[{name}] arrays of rows are of sizes like [*rows, cols], [*rows] or [cols], and "
                f"the first input has both, got {signature.text!r}"
            )
        shared = [str(item) for item in signature.results if self._lies(item) == "row"]
        if shared:
            raise ValueError(
                f"[{name}] every row would write {', '.join(shared)}: a result has rows"
            )
        if self.rows.lstrip("*") == self.cols:
            raise ValueError(f"[{name}] rows and columns need two names, got {signature.text!r}")
        taken = _RESERVED & {*(item.name for item in items), *self.kinds, *signature.sizes}
        if taken:
            raise ValueError(f"[{name}] {sorted(taken)} mean something else in the body of a row")
        if signature.scratch:
            raise ValueError(f"[{name}] a body of rows has no memory to work in")

    def _lies(self, item: Item) -> str | None:
        """How an array's rows lie: as a matrix, one row for all, or one number each."""
        places = {(self.rows, self.cols): "matrix", (self.cols,): "row", (self.rows,): "number"}
        return places.get(item.sizes or ())

    def function(
        self, name: str, inputs: Sequence[Item], results: Sequence[Item], body: str
    ) -> str:
        """The text of one function, which begins on the line that the body begins on."""
        rows, kinds = self.rows.lstrip("*"), self.kinds
        pointers = {
            **{item.name: f"T* {item.name}" for item in results},
            **{item.name: f"const T* {item.name}" for item in inputs},
        }
        numbers = {n: f"{kind} {n}" for n, kind in kinds.items()}
        begins = {"matrix": " + start", "number": " + row", "row": ""}
        own = [f"using A = acc_t<T>; [[maybe_unused]] const int64_t {self.cols} = columns.cols;"]
        for item in results:
            kind = "OneNumber<T>" if self._lies(item) == "number" else "T* const"
            own.append(f"{kind} {item.name}{{{item.name}_{begins[self._lies(item) or '']}}};")
        for item in inputs:
            at = f"{item.name}_{begins[self._lies(item) or '']}"
            one = self._lies(item) == "number"
            kind, value = ("A", f"= to_acc(*({at}))") if one else ("Row<Own>", f"(columns, {at})")
            own.append(f"[[maybe_unused]] const {kind} {item.name} {value};")
        for n, kind in kinds.items():
            kind = "A" if kind == "double" else kind
            own.append(f"[[maybe_unused]] const {kind} {n} = {kind}({n}_);")
        matrices = [i for i in (*results, *inputs) if self._lies(i) != "number"]
        kept = _KEPT // max(1, sum(self._lies(i) == "matrix" for i in inputs))
        given = ", ".join([*pointers, *numbers])
        declared = ", ".join([*pointers.values(), f"int64_t {rows}, int64_t {self.cols}"])
        members = "; ".join(f"{text}_" for text in (*pointers.values(), *numbers.values()))
        walked = ", ".join([rows, self.cols, "stream", f"{name}_of_row<T>{{{given}}}"])
        return (
            f"template <class T> struct {name}_of_row {{ {members}; "
            "template <class Own> __device__ void operator()(const Own& columns, "
            "[[maybe_unused]] int64_t row, [[maybe_unused]] int64_t start) const { "
            f"{' '.join(own)} {{{body}\n}} }} }};\n"
            f"template <class T>\nvoid {name}("
            f"{', '.join([declared, *numbers.values()])}, cudaStream_t stream) {{\n"
            f'    for_each_row<T, {kept}>("{name}", {walked}, '
            f"{', '.join(i.name for i in matrices)});\n}}\n"
        )

    def _check_text(self, text: str, results: Sequence[str]) -> None:
        """Raise ValueError where a body ends what stands around it, or leaves out a result."""
        plain, depth = blank_comments(text), 0
        for brace in re.findall(r"[{}]", plain):
            depth += 1 if brace == "{" else -1
            if depth < 0:
                break
        if depth:
            which = "a '}' is missing" if depth > 0 else "there is a '}' too many"
            raise ValueError(f"[{self.name}] {which} in the body of a row: {text.strip()!r}")
        missing = [name for name in results if not re.search(rf"\b{name}\b", plain)]
        if missing:
            raise ValueError(f"[{self.name}] nothing writes {missing} in the body {text.strip()!r}")

    def source(self, body: Source, gradient: Source | None) -> Source:
        """The whole text, with the gradient's function ``<name>_backward``, if it has one."""
        inputs, results = self.signature.inputs, self.signature.results
        self._check_text(body.text, [item.name for item in results])
        text = _ONE_NUMBER + self.function(self.name, inputs, results, body.text)
        if gradient is not None:
            if any(self._lies(item) == "row" for item in inputs):
                raise ValueError(
                    f"[{self.name}] the gradient of what is one row for all is a sum over rows, "
                    "which no body of one row computes: let gradient= be a function, or None"
                )
            made = [Item(f"d{i.name}", i.sizes) for i in inputs]
            self._check_text(gradient.text, [item.name for item in made])
            given = [*(Item(f"d{i.name}", i.sizes) for i in results), *inputs, *results]
            if os.path.isfile(gradient.file):
                text += f'#line {gradient.line} "{gradient.file}"\n'
            text += self.function(f"{self.name}_backward", given, made, gradient.text)
        return replace(body, text=text)


class RowLoops:
    """(function, dtype) -> what a launcher would be, on the CPU: a call of the loop that is
    compiled of the same source when it is first needed."""

    def __init__(self, source: Source):
        self._source = source
        self._known: dict[tuple[str, str | None], Callable] = {}

    def __getitem__(self, key: tuple[str, str | None]) -> Callable:
        if key not in self._known:
            self._known[key] = self._compiled(*key)
        return self._known[key]

    def _compiled(self, name: str, dtype: str | None) -> Callable:
        parameters = self._source.function(name).parameters[:-1]
        element = TYPES[dtype or "float32"]
        pointers = [p for p in parameters if p.pointer]
        whole = [p.name for p in parameters if not p.pointer and p.type != "double"]
        floats = [p.name for p in parameters if p.type == "double"]
        given = [f"static_cast<{element}*>(arrays[{i}])" for i in range(1, len(pointers) + 1)]
        for p in parameters[len(pointers) :]:
            is_float = p.name in floats
            given.append(
                f"numbers[{floats.index(p.name)}]" if is_float else f"whole[{whole.index(p.name)}]"
            )
        text = "\n".join(
            [
                "" if dtype == "float64" else "#define OF_FLOATS",
                '#include "csrc/fused/row.h"',
                "namespace loop::rows {",
                f'#line {self._source.line} "{self._source.file}"',
                self._source.text,
                '#line 1 "<the loop>"',
                "FUSED void fused(void* const* arrays, const double* numbers, int64_t begin,",
                "                 int64_t end) {",
                "    const int64_t* const whole = static_cast<const int64_t*>(arrays[0]);",
                f"    {name}<{element}>({', '.join(given)}, {{begin, end}});",
                "}",
                "}  // namespace loop::rows",
                "",
            ]
        )
        try:
            address = address_of(text)
        except _build.CompilerError as error:
            raise CompileError(f"[{name}] does not compile for cpu\n{error.output}") from None
        places = [parameters.index(p) for p in parameters if p.name in whole]
        of_floats = [parameters.index(p) for p in parameters if p.name in floats]

        def launch(*arguments: Any) -> None:
            told = np.array([arguments[i] for i in places], np.int64)
            numbers = np.array([arguments[i] for i in of_floats], np.float64)
            arrays = (told, *arguments[: len(pointers)])
            rows, cols = int(told[0]), int(told[1])
            native.compiled.run_loop(address, arrays, numbers, rows, max(1, cols))

        return launch
