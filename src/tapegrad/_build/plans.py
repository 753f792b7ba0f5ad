"""What building an extension takes: a command for each file, and one that links."""

from __future__ import annotations

import hashlib
import shlex
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .compilers import Compiler

DEVICES = ("emulated", "cuda")
CHECKED = "emulated_checked"  # compiled on demand only: looks at every access that a kernel makes
IN_PACKAGE = ("tape", "native")  # compiled into the package, never into the cache
EXTENSIONS = (*DEVICES, *IN_PACKAGE)
EXTENSION_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX") or ".so"


@dataclass(frozen=True)
class Unit:
    """One source file and how to compile it; input and output are appended to the command.
    header: what is included before it; a unit, where that is worth compiling beforehand."""

    source: Path
    command: tuple[str, ...]
    key: str
    header: Unit | Path | None = None


@dataclass(frozen=True)
class Plan:
    """All that building one extension takes."""

    device: str
    compiler: Compiler
    architectures: str
    source_hash: str
    units: tuple[Unit, ...]
    link: tuple[str, ...]

    @property
    def key(self) -> str:
        """Of all that decides about the result."""
        return hash_text(*(unit.key for unit in self.units), *self.link)


Command = tuple[Path, tuple[str, ...]]  # a source file, and what compiles it
Commands = list[Command]
CXX_FLAGS = (
    "-std=c++17",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",  # the same bits on machines with and without fused multiply-add
    "-fno-strict-aliasing",  # kernels look at one buffer through several types, as CUDA allows
)


def compiling(cxx: Compiler, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What every C++ file is compiled with."""
    return (*cxx.command, *CXX_FLAGS, *shlex.split(environ.get("CXXFLAGS", "")))


class HeadersOf(str):
    """The option that leads to a package's headers. In keys the package's version stands for its
    folder: pip compiles with packages in a folder that it deletes after each installation."""

    key: str

    def __new__(cls, package: ModuleType) -> HeadersOf:
        option = super().__new__(cls, f"-I{package.get_include()}")
        option.key = f"{package.__name__} {package.__version__}"
        return option


def units_of(commands: Commands, headers: str, compiler: Compiler, root: Path) -> tuple[Unit, ...]:
    """Units whose keys do not depend on where the sources are: what an installation has compiled
    serves the installed package."""
    common = [headers, compiler.version, sys.implementation.cache_tag or "", EXTENSION_SUFFIX]

    def key(source: Path, command: tuple[str, ...]) -> str:
        words = [getattr(word, "key", word).replace(str(root), "") for word in command]
        return hash_text(*common, *words, str(source.read_bytes()))

    return tuple(Unit(source, command, key(source, command)) for source, command in commands)


def header_of(
    source: Path, command: tuple[str, ...], headers: str, compiler: Compiler, root: Path
) -> Unit | Path:
    """A header that files begin with, compiled beforehand where the compiler is g++: reading it
    again takes half of the time that a small file takes. ``command``: the files', but for folders
    and files of their own."""
    if compiler.is_clang:
        return source
    # (g++ warns of `#pragma once` where the header is the file that it compiles.)
    (unit,) = units_of([(source, (*command, "-w", "-x", "c++-header"))], headers, compiler, root)
    return unit


def hash_text(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
