"""A file or string of CUDA, and what its functions take: read as text, before anything compiles."""

from __future__ import annotations

import linecache
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

# The element types of pointers, by how C++ and CUDA spell them.
DTYPES = {
    **{"float": "float32", "double": "float64", "half": "float16", "__half": "float16"},
    **{"bfloat16": "bfloat16", "__nv_bfloat16": "bfloat16", "bool": "bool"},
    **{"int64_t": "int64", "long long": "int64", "int": "int32", "int32_t": "int32"},
    **{"int16_t": "int16", "short": "int16", "int8_t": "int8", "signed char": "int8"},
    **{"uint8_t": "uint8", "unsigned char": "uint8"},
}
# The number types of parameters.
INTEGERS = {"int": "int32", "int32_t": "int32", "unsigned": "uint32", "uint32_t": "uint32"}
INTEGERS |= {"int64_t": "int64", "long long": "int64", "long": "int64", "size_t": "uint64"}
NUMBERS = ("float", "double")
# What C++ lets nobody call a function or a parameter.
_KEYWORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class
compl const const_cast constexpr continue decltype default delete do double dynamic_cast else enum
explicit export extern false float for friend goto if inline int long main mutable namespace new
noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
return short signed sizeof static static_assert static_cast struct switch template this
thread_local throw true try typedef typeid typename union unsigned using virtual void volatile
wchar_t while xor xor_eq
"""
KEYWORDS = frozenset(_KEYWORDS.split())

_FUNCTION = r"""
    (?:template\s*<(?P<template>[^<>]*)>\s*)?
    (?P<qualifiers>(?:__global__|static|inline|__launch_bounds__\s*\([^)]*\)|\s)*)
    \bvoid\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?
    %s\s*\((?P<parameters>[^)]*(?:\([^)]*\)[^)]*)*)\)\s*\{
"""
_DEFINED = re.compile(r"\bvoid\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function in CUDA."""

    name: str
    type: str  # of what a pointer points to, without const
    pointer: bool
    const: bool

    def dtype(self, template: str) -> str:
        """The dtype of the array that a pointer leads to: "T" for the template's element type,
        "acc" for what that is added up in. Raises ValueError for a type that no array has."""
        if template and self.type == template:
            return "T"
        if template and self.type.replace(" ", "") == f"acc_t<{template}>":
            return "acc"
        if self.type not in DTYPES:
            wanted = ", ".join(["T (with template <class T>)", *DTYPES])
            raise ValueError(
                f"parameter {self.name}: no array is of {self.type!r}, but of {wanted}"
            )
        return DTYPES[self.type]


@dataclass(frozen=True)
class Function:
    """A function that a source defines: a kernel (``__global__``), or one that launches kernels."""

    name: str
    template: str  # its element type, such as "T"; "" if it has none
    is_kernel: bool
    parameters: tuple[Parameter, ...]
    declaration: str  # of the parameters, as they stand there


@dataclass(frozen=True)
class Source:
    """CUDA source text, the file that the compiler's messages name, and the line it begins at."""

    text: str
    file: str
    line: int
    folder: str  # where its own includes are looked for

    def function(self, name: str) -> Function:
        """The function of this name. Raises ValueError, with what there is, if there is none."""
        text = blank_comments(self.text)
        found = re.search(_FUNCTION % re.escape(name), text, re.VERBOSE)
        if not found:
            others = self.functions()
            known = f"there are {', '.join(others)}" if others else "there is no function at all"
            raise ValueError(
                f"{self.file} has no function '{name}' that returns void: {known}; name the one to "
                "launch by name=, or call the Python function like it"
            )
        declaration = " ".join(found["parameters"].split())
        parameters = [_parameter(p, name) for p in _split(declaration)]
        is_kernel = "__global__" in found["qualifiers"]
        template = _element_type(found["template"], name)
        _refuse_keyword(name, "the name of the function", name)
        return Function(name, template, is_kernel, tuple(parameters), declaration)

    def functions(self, end: int | None = None) -> list[str]:
        """The names of the kernels and the functions beside them that return nothing; only of those
        before the position ``end`` of the text, if there is one."""
        return _DEFINED.findall(blank_comments(self.text)[:end])


def blank_comments(text: str) -> str:
    """The same text with spaces for comments, so that positions stay."""
    return re.sub(
        r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL
    )


def _split(declaration: str) -> list[str]:
    """The parameters between commas that are not within brackets."""
    return [p.strip() for p in re.split(r",(?![^<(]*[>)])", declaration) if p.strip()]


def _element_type(template: str | None, function: str) -> str:
    """The name of the type that a function is a template of; "" if it is none."""
    if template is None:
        return ""
    found = re.fullmatch(r"\s*(?:class|typename)\s+(\w+)\s*", template)
    if not found:
        raise ValueError(
            f"{function} is a template <{template.strip()}>, but only one of its element type can "
            "be launched: template <class T>"
        )
    return found[1]


def _refuse_keyword(word: str, what: str, function: str) -> None:
    if word in KEYWORDS:
        raise ValueError(f"{function}: {what} is {word!r}, a word of C++: give it another name")


def _parameter(text: str, function: str) -> Parameter:
    if "=" in text:
        raise ValueError(
            f"{function}: parameter {text!r} has a default, which nothing would use: defaults are "
            "those of the body's keyword arguments"
        )
    plain = re.sub(r"\b(__restrict__|__restrict|volatile)\b|(?<=\*)\s*const\b", " ", text)
    found = re.fullmatch(r"(.*?)([&*]*)\s*(\w+)", plain.strip(), re.DOTALL)
    if not found or found[2] not in ("", "*") or not found[1].strip():
        raise ValueError(
            f"{function}: parameter {text!r} is neither a pointer to elements nor a number"
        )
    _refuse_keyword(found[3], f"the name in parameter {text!r}", function)
    words = [word for word in found[1].split() if word != "const"]
    return Parameter(found[3], " ".join(words), found[2] == "*", "const" in found[1].split())


def read(source: object, name: str, frame: FrameType) -> Source:
    """The source that a declaration in ``frame`` names: a path to a file (beside the file that
    names it, or from the current folder), or the text itself.

    Raises FileNotFoundError where there is no such file, TypeError for anything else.
    """
    caller = frame.f_code.co_filename
    if isinstance(source, os.PathLike) or (
        isinstance(source, str) and "\n" not in source and source.strip().endswith((".cu", ".cuh"))
    ):
        path = Path(os.fspath(source).strip())  # type: ignore[arg-type]
        beside = Path(caller).parent / path
        found = beside if beside.is_file() else path
        if not found.is_file():
            raise FileNotFoundError(
                f"[{name}] no file {str(path)!r}, neither beside {caller} nor in {os.getcwd()}"
            )
        found = found.resolve()
        # (What is no UTF-8 stands in comments.)
        text = found.read_text(encoding="utf-8", errors="replace")
        return Source(text, str(found), 1, str(found.parent))
    if not isinstance(source, str):
        raise TypeError(
            f"[{name}] the source is a path to a .cu file or a string of CUDA, "
            f"got {type(source).__name__}"
        )
    folder = str(Path(caller).resolve().parent) if os.path.isfile(caller) else os.getcwd()
    whole = "".join(linecache.getlines(caller, frame.f_globals))
    start = whole.find(source) if source.strip() else -1
    if start < 0:
        return Source(source, f"<kernel {name}>", 1, folder)
    return Source(source, caller, whole.count("\n", 0, start) + 1, folder)
