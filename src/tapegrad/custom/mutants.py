"""Kernels broken on purpose, one barrier, shuffle or bound at a time: a check that does not notice
is not worth much. Every ``__syncthreads()``, ``__syncwarp()``, shuffle, and commit of or wait for
asynchronous copies is deleted in turn, every atomic made a plain change, and every comparison in a
condition decided beforehand, the way that lets pass what it would have held back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Kernels are written with spaces or without: what stands around a comparison, and which < and >
# are one (those of templates, of shifts and of -> are not).
BEFORE_COMPARISON = re.compile(r"(?:(?:\(|&&|\|\||=|\?|,|;|\breturn) *\S|(?<!:): *[^\s:])$")
AFTER_COMPARISON = re.compile(r" *(?:\)|&&|\|\||\?|;|,|(?<!:):(?!:))")
OPERATOR = re.compile(r" (<|<=|>|>=) |(?<=[\w)\]])(<=|>=|<|>)(?=[\w(*&~+-])")
TEMPLATE = re.compile(r"\w<(?:[^<>(){};&|]|&(?!&)|\([^()]*\)|<[^<>(){};&|]*>)*>")

_OF_NVCC = ("__CUDACC__", "__CUDACC_RTC__")  # macros that the emulated device does not have

# What an atomic operation is when nothing makes it whole, in terms of its address and value.
_PLAIN = {"Add": "*({0}) += {1}", "Max": "*({0}) = max(*({0}), {1})"}
_PLAIN |= {"Min": "*({0}) = min(*({0}), {1})", "Exch": "*({0}) = {1}"}


@dataclass(frozen=True)
class Mutant:
    """A text with one place replaced. kind: "barrier", "shuffle", "bound" or "atomic"."""

    original: str
    start: int
    end: int
    replacement: str
    kind: str

    def source(self) -> str:
        return self.original[: self.start] + self.replacement + self.original[self.end :]

    @property
    def line(self) -> int:
        return self.original.count("\n", 0, self.start) + 1

    def __str__(self) -> str:
        removed = " ".join(self.original[self.start : self.end].split())
        return f"{self.line}: {removed} -> {self.replacement}"


def mutants(original: str) -> Iterator[Mutant]:
    """All mutants of a source text."""
    text = blank_comments(original)
    waits = r"\b(__sync(threads|warp)|wait_for_copies<[^;()]*>|commit_copies)\s*\(\s*\)\s*;"
    for barrier in re.finditer(waits, text):
        yield Mutant(original, barrier.start(), barrier.end(), ";", "barrier")
    for shuffle in re.finditer(r"\b__shfl\w*_sync\([~\w]+,\s*([^,]+),\s*[^)]*\)", text):
        yield Mutant(original, shuffle.start(), shuffle.end(), shuffle[1], "shuffle")
    for atomic in re.finditer(r"\batomic(Add|Max|Min|Exch)\(([^,;]+),\s*([^;]+)\);", text):
        plain = _PLAIN[atomic[1]].format(atomic[2], atomic[3])
        yield Mutant(original, atomic.start(), atomic.end(), f"{plain};", "atomic")
    templates = [template.span() for template in TEMPLATE.finditer(text)]
    for operator in OPERATOR.finditer(text):
        if operator[2] and any(start < operator.start() < end for start, end in templates):
            continue
        start, end = comparison_around(text, operator.start(), operator.end())
        if is_check(text, start, end):
            # What is too large or negative is what a check holds back.
            sign, comparison = operator[1] or operator[2], text[start:end]
            is_large = sign == ">=" and not re.search(r">=\s*0$", comparison)
            outside = is_large or bool(re.search(r"<\s*0$", comparison))
            yield Mutant(original, start, end, "false" if outside else "true", "bound")


def blank_comments(text: str) -> str:
    """The same text with spaces for what is not compiled on the emulated device, or not code, so
    that positions stay."""
    lines, hidden = [], []  # hidden: of each #if around a line whether it hides it; None: unknown
    for line in _blanked(r"//[^\n]*|/\*.*?\*/", text).splitlines(keepends=True):
        word = re.match(r"# *(if|ifdef|ifndef|else|endif)\b *(\w*)", line)
        if word and word[1].startswith("if"):
            hidden.append(word[1] == "ifdef" if word[2] in _OF_NVCC else None)
        elif word and word[1] == "else" and hidden and hidden[-1] is not None:
            hidden[-1] = not hidden[-1]
        elif word and word[1] == "endif" and hidden:
            hidden.pop()
        lines.append(_blanked(".", line) if True in hidden else line)
    return _blanked(r"^#[^\n]*|static_assert\([^;]*;", "".join(lines))


def _blanked(pattern: str, text: str) -> str:
    return re.sub(
        pattern, lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.MULTILINE | re.DOTALL
    )


def comparison_around(text: str, left: int, right: int) -> tuple[int, int]:
    """The comparison whose operator is at [left, right): up to brackets and weaker operators."""
    start, depth = left, 0
    while start > 0:
        if depth == 0 and BEFORE_COMPARISON.search(text[max(0, start - 80) : start + 1]):
            break
        start -= 1
        depth -= _bracket(text, start)
    end, depth = right, 0
    while end < len(text):
        if depth == 0 and AFTER_COMPARISON.match(text, end):
            break
        depth += _bracket(text, end)
        end += 1
    while text[start].isspace():
        start += 1
    return start, end


def _bracket(text: str, at: int) -> int:
    """1 where a bracket opens, -1 where one closes, else 0. Those of templates have no space before
    them, as comparisons and shifts have."""
    before, character = text[:at].rstrip(">")[-1:], text[at]
    opens = character in "([" or (character == "<" and (before.isalnum() or before == "_"))
    closes = character in ")]" or (character == ">" and before not in (" ", "-"))
    return opens - closes


def is_check(text: str, start: int, end: int) -> bool:
    """Whether the comparison decides an if, a ?:, a value, or a loop over a thread's share of the
    work. Loops that every thread runs from 0 to the end are not checks, nor are constants."""
    line = text[text.rfind("\n", 0, start) + 1 : end]
    loop = re.match(r"\s*(?:for|while)\s*\((.*)", line)
    if "constexpr" in line or text[:start].endswith("<("):  # an argument of a template
        return False
    return loop is None or bool(re.search(r"=\s*(team|global_thread|blockIdx|threadIdx)", loop[1]))
