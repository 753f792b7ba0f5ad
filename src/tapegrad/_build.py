"""Compiles the kernels: by nvcc into ``_cuda``, by a C++ compiler into ``_emulated``, and as loops
for the CPU into ``_native``; and the tape into ``_tape``.

Imports only the standard library (and asks pybind11 where its headers are), because setup.py loads
this file by its path, before tapegrad exists. At run time ``tapegrad.core.kernels`` calls it when
the emulated extension is missing or older than the sources. By hand::

    python -m tapegrad._build emulated    # compile into the cache
    python -m tapegrad._build emulated_checked
    python -m tapegrad._build cuda
    python -m tapegrad._build tape        # compile into the package
    python -m tapegrad._build native
    python -m tapegrad._build resources   # registers, shared memory and spills of every kernel

Environment: ``CXX`` and ``CXXFLAGS``; ``CUDA_HOME`` or ``CUDA_PATH``; ``TAPEGRAD_CUDA`` (on, off,
or auto: on where there is a driver or the next is set); ``TAPEGRAD_CUDA_ARCHS`` (such as
"80 90a 120+PTX"); ``TAPEGRAD_CACHE`` (a folder);
``TAPEGRAD_PYBIND11_INCLUDE`` (the folder of pybind11's headers, where it is not installed).
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DEVICES = ("emulated", "cuda")
CHECKED = "emulated_checked"  # compiled on demand only: looks at every access that a kernel makes
IN_PACKAGE = ("tape", "native")  # compiled into the package, never into the cache
EXTENSIONS = (*DEVICES, *IN_PACKAGE)
EXTENSION_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
CACHE_DAYS = 30  # what nobody used for so long is deleted


class BuildError(RuntimeError):
    """An extension cannot be built; the message says why and what would help."""


class CompilerError(BuildError):
    """A compiler refused; ``output`` is what it said."""

    def __init__(self, message: str, output: str):
        super().__init__(message)
        self.output = output


# ---- sources ----


def source_root() -> Path:
    """The folder with kernels/ and csrc/: the checkout, or the copy in the installed package."""
    here = Path(__file__).resolve().parent
    for root in (here.parents[1], here / "_sources"):
        if (root / "kernels" / "device.cuh").is_file() and (root / "csrc").is_dir():
            return root
    raise BuildError(
        f"the kernel sources are neither beside {here} nor in it; install tapegrad again"
    )


def source_files(root: Path) -> list[Path]:
    """Every file that an extension is made of, headers included."""
    suffixes = {".cu", ".cuh", ".h", ".cpp"}
    files = (*root.glob("kernels/**/*"), *root.glob("csrc/**/*"))
    return sorted(file for file in files if file.suffix in suffixes)


def tape_files(root: Path) -> list[Path]:
    return sorted(file for file in root.glob("csrc/tape/*") if file.suffix in {".h", ".cpp"})


def native_files(root: Path) -> list[Path]:
    """What ``_native`` is made of besides the kernels' headers that know nothing of CUDA."""
    return sorted(file for file in root.glob("csrc/native/**/*") if file.suffix in {".h", ".cpp"})


def kernel_files(root: Path) -> list[Path]:
    """What the extensions with kernels are made of."""
    others = {*tape_files(root), *native_files(root)}
    return [file for file in source_files(root) if file not in others]


def source_hash(root: Path) -> str:
    """Of what the extensions with kernels are made of."""
    return _hash_files(root, kernel_files(root))


def headers_hash(root: Path) -> str:
    """Of what kernels may include."""
    return _hash_files(root, (f for f in kernel_files(root) if f.suffix in (".h", ".cuh")))


def _hash_files(root: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


# ---- compilers ----


@dataclass(frozen=True)
class Compiler:
    """A compiler, by the words its command line starts with."""

    command: tuple[str, ...]
    version: str

    def __str__(self) -> str:
        return f"{self.command[0]} ({self.version})"


def find_cxx(environ: Mapping[str, str] = os.environ) -> Compiler | None:
    """The C++ compiler: ``CXX`` if it is set, else g++, clang++ or c++ from the path."""
    chosen = environ.get("CXX")
    candidates = [shlex.split(chosen)] if chosen else [["g++"], ["clang++"], ["c++"]]
    for command in candidates:
        path = shutil.which(command[0], path=environ.get("PATH"))
        if path:
            version = output_of([path, "--version"]).partition("\n")[0].strip()
            return Compiler((path, *command[1:]), version)
    return None


def find_nvcc(environ: Mapping[str, str] = os.environ) -> Compiler | None:
    """nvcc: from ``CUDA_HOME`` or ``CUDA_PATH``, the path, NVIDIA's wheels, or /usr/local/cuda."""
    candidates = [
        Path(environ[name]) / "bin" for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)
    ]
    candidates += [Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    # An isolated build hides site-packages from sys.path, but sysconfig still knows where it is.
    sites = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path])
    for site in filter(None, sites):
        candidates += sorted(Path(site).glob("nvidia/cu*/bin"), reverse=True)
    candidates.append(Path("/usr/local/cuda/bin"))
    for folder in candidates:
        path = shutil.which("nvcc", path=str(folder))
        if path:
            version = re.search(r"V([\d.]+)", output_of([path, "--version"]))
            return Compiler((path,), f"nvcc {version[1] if version else 'of unknown version'}")
    return None


def toolkit(nvcc: Compiler) -> Path:
    """The folder that nvcc's toolkit lies in. nvcc says it itself: the command on the path may be a
    link, or a script that calls it elsewhere."""
    said = output_of([*nvcc.command, "--dryrun", "-E", "-x", "cu", os.devnull], "stderr")
    here = re.search(r"^#\$ _HERE_=(.+)$", said, re.MULTILINE)
    return Path(here[1] if here else Path(nvcc.command[0]).resolve().parent).parent


def output_of(command: Sequence[str], stream: str = "stdout") -> str:
    """What a command says, "" where it fails or takes more than a minute."""
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=True, timeout=60
        )
        return str(getattr(run, stream))
    except (OSError, subprocess.SubprocessError):
        return ""


# ---- GPU architectures ----


@dataclass(frozen=True)
class Architectures:
    """What nvcc generates: machine code for the GPUs in ``real``, and PTX, which the driver of any
    later GPU can compile, for those in ``ptx``. Names as in sm_90a, without the sm_."""

    real: tuple[str, ...]
    ptx: tuple[str, ...]

    def flags(self) -> list[str]:
        flags = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in self.real]
        return flags + [f"-gencode=arch=compute_{a},code=compute_{a}" for a in self.ptx]

    def __str__(self) -> str:
        return " ".join([*self.real, *(f"{a}+PTX" for a in self.ptx)])


def parse_architectures(text: str) -> Architectures:
    """Reads ``TAPEGRAD_CUDA_ARCHS``: names such as 80, 8.0, sm_80 or 90a with spaces, commas or
    semicolons between them; "+PTX" behind a name adds PTX for it."""
    real: dict[str, None] = {}
    ptx: dict[str, None] = {}
    for word in re.split(r"[\s,;]+", text.strip()):
        match = re.fullmatch(r"(?:sm_|compute_)?(\d+)\.?(\d[af]?)(\+ptx)?", word.lower())
        if not match:
            raise BuildError(
                f"TAPEGRAD_CUDA_ARCHS: {word!r} is not an architecture; write for example "
                "'80 90a 120+PTX'"
            )
        name = match[1] + match[2]
        real[name] = None
        if match[3]:
            ptx[name] = None
    return Architectures(tuple(real), tuple(ptx))


def choose_architectures(nvcc: Compiler, environ: Mapping[str, str] = os.environ) -> Architectures:
    """``TAPEGRAD_CUDA_ARCHS``, else the GPUs of this machine, else 80 and 90a, with PTX of 90.

    PTX runs on every later GPU than its own, so that of 90 serves them all; that of the compiler's
    newest architecture would leave out those in between (and 90a's runs on 90 alone).
    """
    if environ.get("TAPEGRAD_CUDA_ARCHS"):
        return parse_architectures(environ["TAPEGRAD_CUDA_ARCHS"])
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    found = sorted(set(re.findall(r"^(\d+\.\d)$", output_of(query), re.MULTILINE)))
    if found:
        names = [cap.replace(".", "") for cap in found]
        return Architectures(tuple("90a" if a == "90" else a for a in names), ())
    if "compute_90" not in output_of([*nvcc.command, "--list-gpu-arch"]):
        return Architectures(("80",), ("80",))
    return Architectures(("80", "90a"), ("90",))


# ---- commands ----


@dataclass(frozen=True)
class Unit:
    """One source file and how to compile it; input and output are appended to the command."""

    source: Path
    command: tuple[str, ...]
    key: str


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
        return _hash_text(*(unit.key for unit in self.units), *self.link)


CXX_FLAGS = (
    "-std=c++17",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",  # the same bits on machines with and without fused multiply-add
    "-fno-strict-aliasing",  # kernels look at one buffer through several types, as CUDA allows
)
# The compiler notes lines, for errors. (In DWARF 5, g++ 12 gives them the wrong file after #line.)
LINES = ("-g1", "-gdwarf-4")
# No frame is so large that it passes over the page below a stack (kernels/emulate/fiber.cpp).
PROBES_STACK = "-fstack-clash-protection"
# The checks of the emulated device (kernels/emulate/checked) are what the compiler's
# instrumentation calls; its own runtimes are not linked. With -O1 it copies no calls, so that a
# barrier is at one address.
CHECKED_FLAGS = (
    *("-O1", *LINES, "-fno-thread-jumps", "-fno-optimize-sibling-calls"),
    "-DTAPEGRAD_CHECKED",
)
INSTRUMENTED = {
    "gcc": (
        *("-fsanitize=thread", "-fsanitize=alignment"),
        *("--param=tsan-distinguish-volatile=1", "--param=tsan-instrument-func-entry-exit=0"),
    ),
    "clang": (
        *("-fsanitize=thread", "-fsanitize=alignment"),
        *("-mllvm", "-tsan-distinguish-volatile"),
        *("-mllvm", "-tsan-instrument-func-entry-exit=0"),
    ),
}
# Of a program's arrays, the indices: what lies behind one array of the device may be the next one.
INDICES = {"gcc": "-fsanitize=bounds", "clang": "-fsanitize=array-bounds"}
CHECKED_LINK = ("-Wl,--wrap=memcpy", "-Wl,--wrap=memmove", "-Wl,--wrap=memset", "-ldl")
NVCC_FLAGS = ("-std=c++17", "-O3", "--expt-relaxed-constexpr")


def plan_emulated(
    cxx: Compiler | None, root: Path, environ: Mapping[str, str] = os.environ, checked: bool = False
) -> Plan:
    of_kernels, emulator, link = _for_emulated(cxx, root, environ, checked)
    kernels = [(file, of_kernels) for file in sorted(root.glob("kernels/*.cu"))]
    assert cxx is not None
    flags = emulator[0][1]
    name = CHECKED if checked else "emulated"
    return _plan(name, cxx, "host", root, [*kernels, *emulator], flags, link)


def plan_cuda(
    nvcc: Compiler | None, cxx: Compiler | None, root: Path, environ: Mapping[str, str] = os.environ
) -> Plan:
    flags, architectures, link = _for_cuda(nvcc, cxx, environ)
    kernels = [(file, flags) for file in sorted(root.glob("kernels/*.cu"))]
    assert cxx is not None
    assert nvcc is not None
    cxx_flags = (*cxx.command, *CXX_FLAGS, *shlex.split(environ.get("CXXFLAGS", "")))
    return _plan("cuda", nvcc, architectures, root, kernels, cxx_flags, link)


def plan_unit(
    device: str,
    source: Path,
    folder: str,
    environ: Mapping[str, str] = os.environ,
    checked: bool = False,
) -> Plan:
    """A file of kernels by itself, which the extension of ``device`` loads (kernels/unit.h).
    ``folder``: where its own includes are."""
    root, cxx = source_root(), find_cxx(environ)
    include = (f"-I{root / 'kernels'}", f"-I{folder}")
    if device == "emulated":
        flags, commands, link = _for_emulated(cxx, root, environ, checked)
        # Of what is changed and run again, compiling takes longer than running.
        quick = tuple("-O1" if flag == "-O2" else flag for flag in flags)
        commands = [(source, (*quick, *LINES, *include)), *commands]
        compiler, architectures = cxx, "host"
    else:
        compiler = find_nvcc(environ)
        flags, architectures, link = _for_cuda(compiler, cxx, environ)
        commands = [(source, (*flags, *include))]
    assert compiler is not None
    headers = headers_hash(root)
    units = _units(commands, headers, compiler)
    return Plan(f"{device}_unit", compiler, architectures, headers, units, link)


def plan_program(
    source: Path,
    options: Sequence[str],
    environ: Mapping[str, str] = os.environ,
    checked: bool = True,
) -> Plan:
    """A CUDA program by itself, rewritten to C++ (tapegrad/emulating), with the emulator and the
    emulated runtime API (kernels/emulate/cuda): a plan for an executable."""
    root, cxx = source_root(), find_cxx(environ)
    flags, commands, _ = _for_emulated(cxx, root, environ, checked)
    assert cxx is not None
    folder = root / "kernels" / "emulate" / "cuda"
    include = folder / "include"
    quick = tuple("-O1" if flag == "-O2" else flag for flag in flags)
    of_program = (*quick, *LINES, "-w", "-fno-builtin-printf", *options, f"-I{include}")
    of_program += ("-include", str(include / "cuda_runtime.h"))
    of_program += (INDICES[_family(cxx)],) if checked else ()
    of_api = commands[0][1]  # as the emulator
    program = [(source, of_program), *commands]
    program += [(file, of_api) for file in sorted(folder.glob("*.cpp"))]
    wrapped = tuple(f"-Wl,--wrap={name}" for name in ("printf", "__assert_fail"))
    link = (*cxx.command, *shlex.split(environ.get("CXXFLAGS", "")), "-pie", "-pthread", *wrapped)
    link += CHECKED_LINK if checked else ()
    files = [*root.glob("kernels/emulate/**/*.h"), root / "kernels" / "launch.h"]
    headers = _hash_files(root, sorted(files))
    units = _units(program, headers, cxx)
    return Plan("program", cxx, "host", headers, units, link)


Commands = list[tuple[Path, tuple[str, ...]]]


def _for_emulated(
    cxx: Compiler | None, root: Path, environ: Mapping[str, str], checked: bool
) -> tuple[tuple[str, ...], Commands, tuple[str, ...]]:
    """What compiles kernels for the emulated device, the files of the emulator itself, and what
    links them."""
    if cxx is None:
        raise BuildError(
            "the emulated device needs a C++ compiler: install g++ (for example "
            "'apt install g++'), or name yours in the environment variable CXX"
        )
    flags = (*cxx.command, *CXX_FLAGS, *shlex.split(environ.get("CXXFLAGS", "")))
    emulator = sorted(root.glob("kernels/emulate/*.cpp"))
    link = (*flags, "-shared", "-pthread")
    of_kernels, of_emulator = (*flags, PROBES_STACK), flags
    if checked:
        of_kernels = (*of_kernels, *checked_flags(cxx))
        of_emulator = (*flags, "-DTAPEGRAD_CHECKED")
        emulator += sorted(root.glob("kernels/emulate/checked/*.cpp"))
        link = (*link, *CHECKED_LINK)
    return (*of_kernels, "-x", "c++"), [(file, of_emulator) for file in emulator], link


def checked_flags(cxx: Compiler) -> tuple[str, ...]:
    """What kernels are compiled with, after all other flags, for the checked build."""
    return (*CHECKED_FLAGS, *INSTRUMENTED[_family(cxx)])


def _family(cxx: Compiler) -> str:
    return "clang" if "clang" in cxx.version else "gcc"


def _for_cuda(
    nvcc: Compiler | None, cxx: Compiler | None, environ: Mapping[str, str]
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """What compiles kernels for GPUs, for which GPUs, and what links them."""
    if nvcc is None:
        raise BuildError(
            "no CUDA compiler: nvcc is not on the path, CUDA_HOME and CUDA_PATH do not lead to it, "
            "and NVIDIA's wheels are not installed (pip install nvidia-cuda-nvcc nvidia-nvvm "
            "nvidia-cuda-crt nvidia-cuda-runtime nvidia-cuda-cccl)"
        )
    if cxx is None:
        raise BuildError("nvcc needs a C++ compiler beside it: install g++, or set CXX")
    architectures = choose_architectures(nvcc, environ)
    flags = (*nvcc.command, *NVCC_FLAGS, "-Xcompiler=-fPIC,-fvisibility=hidden")
    # The runtime is linked statically, so that the module can be imported without a driver.
    link = (*nvcc.command, "-shared", "-cudart", "static", *_wheel_libraries(nvcc))
    return (*flags, *architectures.flags()), str(architectures), link


def _wheel_libraries(nvcc: Compiler) -> list[str]:
    """NVIDIA's wheels keep the runtime in lib/, where nvcc does not look."""
    folder = toolkit(nvcc) / "lib"
    return [f"-L{folder}"] if (folder / "libcudart_static.a").is_file() else []


def _plan(
    device: str,
    compiler: Compiler,
    architectures: str,
    root: Path,
    kernels: list[tuple[Path, tuple[str, ...]]],
    cxx_flags: tuple[str, ...],
    link: tuple[str, ...],
) -> Plan:
    sources = source_hash(root)
    description = {
        "COMPILER": compiler.version,
        "ARCHITECTURES": architectures,
        "SOURCE_HASH": sources,
    }
    binding = [*cxx_flags, *(f"-I{folder}" for folder in _python_includes())]
    binding += [f'-DTAPEGRAD_{name}="{value}"' for name, value in description.items()]
    binding += ["-DTAPEGRAD_EMULATED"] if device in ("emulated", CHECKED) else []
    commands = [*kernels, *((file, tuple(binding)) for file in sorted(root.glob("csrc/*.cpp")))]

    headers = headers_hash(root)
    units = _units(commands, headers, compiler)
    return Plan(device, compiler, architectures, sources, units, link)


def _units(
    commands: list[tuple[Path, tuple[str, ...]]], headers: str, compiler: Compiler
) -> tuple[Unit, ...]:
    common = [headers, compiler.version, sys.implementation.cache_tag or "", EXTENSION_SUFFIX]
    return tuple(
        Unit(source, command, _hash_text(*common, *command, str(source.read_bytes())))
        for source, command in commands
    )


def plan_tape(cxx: Compiler | None, root: Path, environ: Mapping[str, str] = os.environ) -> Plan:
    flags = _numpy_flags("the tape in C", cxx, environ)
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
FEW_FLAGS = ("-fno-tree-loop-distribute-patterns",)
FEW = ("reduce.cpp",)
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
    flags = _numpy_flags("the CPU's native loops", cxx, environ)
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
            own += FEW_FLAGS if file.name in FEW else ()
            commands.append((file, (*flags, *of_level, *own)))
    headers = [f for f in (*native_files(root), *root.glob("kernels/*.h")) if f.suffix == ".h"]
    link = (*flags, "-shared", "-pthread")
    return _plan_in_package("native", cxx, " ".join(levels), root, sorted(commands), headers, link)


def build_loop(text: str, name: str, level: str) -> Path:
    """A loop for the CPU by itself, in the cache, compiled if it is not there yet. Raises
    BuildError."""
    cxx, root = find_cxx(), source_root()
    if cxx is None:
        raise BuildError("a loop for the CPU needs a C++ compiler: install g++, or set CXX")
    source = objects_folder() / f"{name}.cpp"
    if not is_ours(source) or source.read_text(encoding="utf-8") != text:
        with replacing(source) as temporary:
            temporary.write_text(text, encoding="utf-8")
    flags = (*cxx.command, *CXX_FLAGS, *LOOP_FLAGS, *level_flags(level), "-ffp-contract=fast")
    folders = ("csrc/fused", "csrc/native/loops", "kernels")
    headers = [header for folder in folders for header in root.glob(f"{folder}/*.h")]
    units = _units([(source, (*flags, f"-I{root}"))], _hash_files(root, headers), cxx)
    link = (*flags, "-shared")
    return built(Plan("loop", cxx, level, units[0].key, units, link))


def level_flags(level: str) -> tuple[str, ...]:
    """What compiles a loop for a level of instructions."""
    if level not in LEVELS:
        return ()
    wide = ("-mprefer-vector-width=512",) if level == "v4" else ()
    return (f"-march=x86-64-{level}", *wide, *(QUICK_FLAGS if level == "v2" else ()))


def _numpy_flags(what: str, cxx: Compiler | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What compiles a file that uses the C interfaces of Python and NumPy."""
    if cxx is None:
        raise BuildError(f"{what} needs a C++ compiler: install g++, or set CXX")
    try:
        import numpy
    except ImportError as error:
        raise BuildError(f"building {what} needs numpy: pip install numpy") from error
    version = re.search(r'"(\d.*)"', Path(__file__).with_name("_version.py").read_text())
    return (
        *cxx.command,
        *CXX_FLAGS,
        *shlex.split(environ.get("CXXFLAGS", "")),
        f'-DTAPEGRAD_VERSION="{version[1] if version else ""}"',
        f"-I{sysconfig.get_path('include')}",
        f"-I{numpy.get_include()}",
    )


def _plan_in_package(
    name: str,
    cxx: Compiler | None,
    architectures: str,
    root: Path,
    commands: list[tuple[Path, tuple[str, ...]]],
    headers: list[Path],
    link: tuple[str, ...],
) -> Plan:
    assert cxx is not None
    units = _units(commands, _hash_files(root, headers), cxx)
    files = sorted({file for file, _ in commands}.union(headers))
    return Plan(name, cxx, architectures, _hash_files(root, files), units, link)


def _hash_text(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _python_includes() -> list[str]:
    python, folder = sysconfig.get_path("include"), os.environ.get("TAPEGRAD_PYBIND11_INCLUDE")
    if folder:
        if not Path(folder, "pybind11", "pybind11.h").is_file():
            raise BuildError(f"TAPEGRAD_PYBIND11_INCLUDE={folder} has no pybind11/pybind11.h in it")
        return [python, str(Path(folder).resolve())]
    try:
        import pybind11
    except ImportError as error:
        raise BuildError(
            "building the kernels needs pybind11: pip install pybind11, or name a folder with its "
            "headers in TAPEGRAD_PYBIND11_INCLUDE"
        ) from error
    return [python, pybind11.get_include()]


# ---- building ----


def build(plan: Plan, output: Path, objects: Path) -> Path:
    """Compiles what is not yet in the folder ``objects`` and links it into ``output``.

    Several processes may do so at once: every file is written under a temporary name and then
    renamed, which replaces it in one step.
    """
    objects.mkdir(parents=True, exist_ok=True)
    if output.parent.parent == cache_folder():
        own_folder(output.parent)
    output.parent.mkdir(parents=True, exist_ok=True)
    paths = [objects / f"{unit.source.stem}-{unit.key}.o" for unit in plan.units]
    # What takes longest goes first: the bindings, with pybind11's templates, then by size.
    jobs = sorted(
        zip(plan.units, paths, strict=True),
        key=lambda job: (job[0].source.suffix == ".cu", -job[0].source.stat().st_size),
    )
    with ThreadPoolExecutor(cores()) as executor:
        for result in [executor.submit(_compile, unit, path) for unit, path in jobs]:
            result.result()
    with replacing(output) as temporary:
        _run([*plan.link, "-o", str(temporary), *map(str, paths)], f"linking {output.name}")
    return output


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _compile(unit: Unit, path: Path) -> None:
    if is_ours(path):
        os.utime(path)  # still in use
        return
    with replacing(path) as temporary:
        _run(
            [*unit.command, "-c", str(unit.source), "-o", str(temporary)],
            f"compiling {unit.source.name}",
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of a file to be written, which replaces ``path`` at the end in one step: it is in
    the same folder, as only within one file system a rename is atomic. The new file has the rights
    of the old one. What a killed build left behind a day ago is removed."""
    for leftover in path.parent.glob(f".{path.name}.????????{path.suffix}"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > 86_400:
                leftover.unlink()
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{path.suffix}")
    try:
        yield temporary
        rights = (path if path.exists() else temporary).stat().st_mode
        temporary.chmod(stat.S_IMODE(rights) & ~_OTHERS_WRITE)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _run(command: Sequence[str], subject: str) -> str:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise BuildError(f"{subject} failed: cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()
        raise CompilerError(f"{subject} failed\n{shlex.join(command)}\n{output}", output)
    return done.stdout + done.stderr


# ---- the cache ----


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    if environ.get("TAPEGRAD_CACHE"):
        return Path(environ["TAPEGRAD_CACHE"]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tapegrad"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "tapegrad"


def plan_for(device: str) -> Plan:
    root = source_root()
    if device in ("emulated", CHECKED):
        return plan_emulated(find_cxx(), root, checked=device == CHECKED)
    return plan_cuda(find_nvcc(), find_cxx(), root)


def cached_path(plan: Plan) -> Path:
    return cache_folder() / plan.key / f"_{plan.device}{EXTENSION_SUFFIX}"


def cached(plan: Plan) -> Path | None:
    """The extension in the cache, if it is there. Raises BuildError for another user's."""
    path = cached_path(plan)
    if not os.path.lexists(path):
        return None
    for place in (path.parent, path):
        _refuse_foreign(place)
    return path if is_ours(path) else None


def built(plan: Plan) -> Path:
    """What is planned, from the cache, or compiled into it. Raises BuildError."""
    return cached(plan) or build(plan, cached_path(plan), objects_folder())


def build_into_cache(device: str) -> Path:
    """The extension for the sources as they are now, compiled if it is not in the cache yet."""
    plan = plan_for(device)
    path = cached(plan)
    if path is not None:
        os.utime(path)
        return path
    path = cached_path(plan)
    build(plan, path, objects_folder())
    _forget_unused(cache_folder())
    return path


def build_into_package(name: str) -> Path:
    """Compile "tape" or "native" into the package, as an editable installation does."""
    output = Path(__file__).resolve().with_name(f"_{name}{EXTENSION_SUFFIX}")
    plan = {"tape": plan_tape, "native": plan_native}[name]
    return build(plan(find_cxx(), source_root()), output, objects_folder())


def objects_folder() -> Path:
    """Where the cache keeps what is compiled, which nobody else may change."""
    folder = cache_folder() / "objects"
    own_folder(folder)
    return folder


def own_folder(folder: Path) -> None:
    """Make a folder into which nobody else may write. Raises BuildError for another user's."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    _refuse_foreign(folder)
    if hasattr(os, "getuid") and folder.stat().st_mode & _OTHERS_WRITE:
        folder.chmod(0o700)


# What is in the cache is executed, and TAPEGRAD_CACHE may be a folder that all may write into.
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_ours(path: Path) -> bool:
    """Whether it is a file that no other user has made or may change."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True
    return found.st_uid in (os.getuid(), 0) and not found.st_mode & _OTHERS_WRITE


def _refuse_foreign(path: Path) -> None:
    """Raise BuildError for what belongs to another user."""
    found = path.lstat()
    if hasattr(os, "getuid") and found.st_uid not in (os.getuid(), 0):
        raise BuildError(
            f"{path} belongs to another user (number {found.st_uid}) and is not used: remove it, "
            "or name a folder of your own in TAPEGRAD_CACHE"
        )


def _forget_unused(folder: Path) -> None:
    oldest = time.time() - CACHE_DAYS * 24 * 3600
    for file in (*folder.glob("objects/*"), *folder.glob(f"*/*{EXTENSION_SUFFIX}")):
        try:
            if file.stat().st_mtime < oldest:
                file.unlink()
        except OSError:
            pass  # another process was faster, or the file is not ours to delete


# ---- what an installation builds ----


def has_driver() -> bool:
    """Whether NVIDIA's driver is installed."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Choice:
    """Plans to carry out, and for each extension left out the reason."""

    plans: tuple[Plan, ...]
    left_out: dict[str, str]
    cuda_required: bool


def choose_extensions(
    cxx: Compiler | None, nvcc: Compiler | None, root: Path, environ: Mapping[str, str] = os.environ
) -> Choice:
    """What to build here. Raises BuildError where ``TAPEGRAD_CUDA=on`` cannot be met."""
    setting = environ.get("TAPEGRAD_CUDA", "auto").lower()
    if setting not in ("auto", "on", "off"):
        raise BuildError(f"TAPEGRAD_CUDA must be auto, on or off, not {setting!r}")
    plans: list[Plan] = []
    left_out: dict[str, str] = {}
    of_host = (("emulated", plan_emulated), ("tape", plan_tape), ("native", plan_native))
    for name, plan in of_host:
        try:
            plans.append(plan(cxx, root, environ))
        except BuildError as error:
            left_out[name] = str(error)
    if setting == "off":
        left_out["cuda"] = "TAPEGRAD_CUDA=off"
    elif setting == "auto" and nvcc and not environ.get("TAPEGRAD_CUDA_ARCHS") and not has_driver():
        left_out["cuda"] = (
            "there is nvcc, but no driver of a GPU: to compile for others, which takes minutes, "
            "install with TAPEGRAD_CUDA=on"
        )
    else:
        try:
            plans.append(plan_cuda(nvcc, cxx, root, environ))
        except BuildError as error:
            if setting == "on":
                raise BuildError(f"TAPEGRAD_CUDA=on, but {error}") from error
            left_out["cuda"] = str(error)
    return Choice(tuple(plans), left_out, setting == "on")


# ---- resources ----


@dataclass(frozen=True)
class Resources:
    """What one kernel needs on one architecture, as ptxas reports it."""

    kernel: str
    architecture: str
    registers: int
    shared: int
    stack: int
    spill_stores: int
    spill_loads: int


def parse_resources(report: str) -> list[Resources]:
    """Reads the output of ``nvcc -Xptxas -v``."""
    found = []
    header = r"Compiling entry function '(.+?)' for 'sm_(\w+)'"
    parts = re.split(header, report)
    for name, architecture, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=False):
        # Functions that the kernel calls report their stack too; the kernel's own comes first.
        numbers = {
            key: int(match[1]) if (match := re.search(pattern, body)) else 0
            for key, pattern in {
                "registers": r"Used (\d+) registers",
                "shared": r"(\d+) bytes smem",
                "stack": r"(\d+) bytes stack frame",
                "spill_stores": r"(\d+) bytes spill stores",
                "spill_loads": r"(\d+) bytes spill loads",
            }.items()
        }
        found.append(Resources(_shorten(name), architecture, **numbers))
    return found


def measure_resources(files: Sequence[Path], architectures: Architectures) -> list[Resources]:
    nvcc = find_nvcc()
    if nvcc is None:
        raise BuildError("the resource report needs nvcc")
    real = Architectures(architectures.real, ())

    def measure(file: Path) -> list[Resources]:
        with tempfile.TemporaryDirectory() as folder:
            command = [*nvcc.command, *NVCC_FLAGS, *real.flags(), "-Xptxas", "-v", "-c", str(file)]
            report = _run(
                [*command, "-o", str(Path(folder) / "object.o")], f"compiling {file.name}"
            )
        return parse_resources(_demangled(report))

    with ThreadPoolExecutor(cores()) as executor:
        return [entry for entries in executor.map(measure, files) for entry in entries]


def _demangled(text: str) -> str:
    """Names as C++ has them, where there is a tool that knows."""
    if not shutil.which("c++filt"):
        return text
    done = subprocess.run(["c++filt"], input=text, capture_output=True, text=True, errors="replace")
    return done.stdout


def _shorten(name: str) -> str:
    """Drops from a demangled kernel its result type, namespaces and parameters."""
    name = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    return re.sub(r"\((?:int|bool)\)", "", name).partition("(")[0]


def print_resources(found: Sequence[Resources]) -> None:
    print(f"{'arch':>5} {'regs':>5} {'shared':>7} {'stack':>6} {'spills':>7}  kernel")
    for entry in found:
        spills = entry.spill_stores + entry.spill_loads
        print(
            f"{entry.architecture:>5} {entry.registers:>5} {entry.shared:>7} {entry.stack:>6} "
            f"{spills:>7}  {entry.kernel}"
        )
    spilling = sum(entry.spill_stores + entry.spill_loads > 0 for entry in found)
    print(f"{len(found)} kernels, {spilling} with spills")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tapegrad._build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=[*EXTENSIONS, CHECKED, "resources"])
    parser.add_argument("kernels", nargs="*", help="resources: only these, such as matmul")
    parser.add_argument("--archs", default="80 90a", help="resources: for these architectures")
    options = parser.parse_args(arguments)
    try:
        if options.what == "resources":
            folder = source_root() / "kernels"
            files = [folder / f"{name}.cu" for name in options.kernels]
            files = files or sorted(folder.glob("*.cu"))
            print_resources(measure_resources(files, parse_architectures(options.archs)))
        else:
            start = time.perf_counter()
            inside = options.what in IN_PACKAGE
            path = (build_into_package if inside else build_into_cache)(options.what)
            print(f"{path} ({time.perf_counter() - start:.1f} s)")
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
