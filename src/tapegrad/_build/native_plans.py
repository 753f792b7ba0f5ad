"""Plans for what the CPU runs: the tape, the loops at each level of instructions, and a loop by
itself."""

from __future__ import annotations

import os
import platform
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .compilers import Compiler, find_cxx
from .plans import CXX_FLAGS, Commands, HeadersOf, Plan, compiling, header_of, units_of
from .sources import BuildError, hash_files, native_files, source_root, tape_files


def plan_tape(cxx: Compiler | None, root: Path, environ: Mapping[str, str] = os.environ) -> Plan:
    flags = numpy_flags("the tape in C", cxx, environ)
    files = tape_files(root)
    commands = [(file, (*flags, *LOOP_FLAGS)) for file in files if file.suffix == ".cpp"]
    headers = [file for file in files if file.suffix == ".h"]
    headers += root.glob("csrc/native/elementwise.h")
    return _plan_in_package("tape", cxx, "host", root, commands, headers, (*flags, "-shared"))


# Instructions of x86-64 processors: SSE4.2; AVX2 (from 2013 on); AVX-512.
LEVELS = ("v2", "v3", "v4")
LOOP_FLAGS = (
    "-O3",
    # Neither changes a result: nobody reads errno or the flags of exceptions, and without them
    # roots and choices become vectors.
    "-fno-math-errno",
    "-fno-trapping-math",
)
# Choices of bounds stay choices: else g++ computes what comes behind one for its constants, too,
# and chooses at the end. (On 512-bit vectors exp takes a quarter less time, mish and sigmoid a
# fifth; on 256-bit ones a clamp takes half, and normal numbers a twelfth. But running extremes down
# columns would take twice as long.)
BOUNDED_FLAGS = ("-fno-thread-jumps", "-fno-tree-pre")
BOUNDED = ("activation.cpp", "arithmetic.cpp", "random.cpp")
# Loops over a few numbers stay loops, else g++ zeroes them byte by byte (a sum of 512 numbers took
# twice as long).
SUM_FLAGS = ("-fno-tree-loop-distribute-patterns",)
SUMS = ("reduce.cpp",)
# For processors of before 2013: compiled faster, and somewhat slower. (Of v3 these flags took 30%
# off the time that compiling takes, and made loops a tenth slower.)
QUICK_FLAGS = ("-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic")
# Loops with as few roundings as the processor can; the others have the same bits on all.
FUSED = (
    *("activation.cpp", "attention.cpp", "convolution.cpp", "convolution_weight.cpp"),
    *("product.cpp", "recurrence.cpp", "reduce.cpp", "rows.cpp", "winograd.cpp"),
)


def plan_native(cxx: Compiler | None, root: Path, environ: Mapping[str, str] = os.environ) -> Plan:
    """The loops (csrc/native/loops) once for every level of instructions, or once where processors
    are not x86-64; and the module that chooses among them."""
    flags = numpy_flags("the CPU's native loops", cxx, environ)
    assert cxx is not None
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    levels = LEVELS if x86 else ("host",)
    known = "-DTAPEGRAD_LEVELS=" + " ".join(f"LEVEL({level})" for level in levels)
    files = [*root.glob("csrc/native/*.cpp"), *root.glob("csrc/native/doors/*.cpp")]
    commands = [(file, (*flags, known, "-pthread")) for file in files]
    for level in levels:
        of_level = [*LOOP_FLAGS, "-fno-exceptions", f"-DTAPEGRAD_LEVEL={level}", f"-I{root}"]
        of_level += level_flags(level)
        for file in root.glob("csrc/native/loops/*.cpp"):
            own = ["-ffp-contract=fast"] if file.name in FUSED else []
            own += BOUNDED_FLAGS if file.name in BOUNDED else ()
            own += SUM_FLAGS if file.name in SUMS else ()
            commands.append((file, (*compiling(cxx, environ), *of_level, *own)))
    headers = [f for f in (*native_files(root), *root.glob("kernels/*.h")) if f.suffix == ".h"]
    link = (*flags, "-shared", "-pthread")
    return _plan_in_package("native", cxx, " ".join(levels), root, sorted(commands), headers, link)


def plan_loop(source: Path, level: str) -> Plan:
    """A loop for the CPU by itself (csrc/fused). Raises BuildError where there is no compiler."""
    cxx, root = find_cxx(), source_root()
    if cxx is None:
        raise BuildError("a loop for the CPU needs a C++ compiler: install g++, or set CXX")
    flags = (*cxx.command, *CXX_FLAGS, *LOOP_FLAGS, *level_flags(level), "-ffp-contract=fast")
    folders = ("csrc/fused", "csrc/native/loops", "kernels")
    headers = [header for folder in folders for header in root.glob(f"{folder}/*.h")]
    state, command = hash_files(root, headers), (*flags, f"-I{root}")
    (unit,) = units_of([(source, command)], state, cxx, root)
    header = header_of(root / "csrc" / "fused" / "loop.h", command, state, cxx, root)
    unit = replace(unit, header=header)
    return Plan("loop", cxx, level, unit.key, (unit,), (*flags, "-shared"))


def level_flags(level: str) -> tuple[str, ...]:
    """What compiles a loop for a level of instructions."""
    if level not in LEVELS:
        return ()
    wide = ("-mprefer-vector-width=512",) if level == "v4" else ()
    return (f"-march=x86-64-{level}", *wide, *(QUICK_FLAGS if level == "v2" else ()))


def numpy_flags(what: str, cxx: Compiler | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What compiles a file that uses the C interfaces of Python and NumPy."""
    if cxx is None:
        raise BuildError(f"{what} needs a C++ compiler: install g++, or set CXX")
    try:
        import numpy
    except ImportError as error:
        raise BuildError(f"building {what} needs numpy: pip install numpy") from error
    version_file = Path(__file__).resolve().parents[1] / "_version.py"
    version = re.search(r'"(\d.*)"', version_file.read_text())
    return (
        *compiling(cxx, environ),
        f'-DTAPEGRAD_VERSION="{version[1] if version else ""}"',
        f"-I{sysconfig.get_path('include')}",
        HeadersOf(numpy),
    )


def _plan_in_package(
    name: str,
    cxx: Compiler | None,
    architectures: str,
    root: Path,
    commands: Commands,
    headers: list[Path],
    link: tuple[str, ...],
) -> Plan:
    assert cxx is not None
    units = units_of(commands, hash_files(root, headers), cxx, root)
    files = sorted({file for file, _ in commands}.union(headers))
    return Plan(name, cxx, architectures, hash_files(root, files), units, link)
