"""Plans for kernels: of the package, of a user's file, of a whole program; for GPUs and for the
emulated device, by itself or with every access checked."""

from __future__ import annotations

import os
import shlex
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .architectures import choose_architectures
from .compilers import Compiler, find_cxx, find_nvcc, toolkit
from .plans import CHECKED, Command, Commands, HeadersOf, Plan, compiling, header_of, units_of
from .sources import BuildError, hash_files, headers_hash, source_hash, source_root

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
    flags = _emulator_flags(cxx, environ, checked)
    name = CHECKED if checked else "emulated"
    return _plan(name, cxx, "host", root, [*kernels, *emulator], flags, link)


def plan_cuda(
    nvcc: Compiler | None, cxx: Compiler | None, root: Path, environ: Mapping[str, str] = os.environ
) -> Plan:
    flags, architectures, link = _for_cuda(nvcc, cxx, environ)
    kernels = [(file, flags) for file in sorted(root.glob("kernels/*.cu"))]
    assert cxx is not None
    assert nvcc is not None
    return _plan("cuda", nvcc, architectures, root, kernels, compiling(cxx, environ), link)


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
    kernels, headers = root / "kernels", headers_hash(root)
    if device != "emulated":
        nvcc = find_nvcc(environ)
        flags, architectures, link = _for_cuda(nvcc, cxx, environ)
        assert nvcc is not None
        command = (*flags, f"-I{kernels}", f"-I{folder}")
        units = units_of([(source, command)], headers, nvcc, root)
        return Plan(f"{device}_unit", nvcc, architectures, headers, units, link)
    flags, emulator, link = _for_emulated(cxx, root, environ, checked)
    assert cxx is not None
    command = (*_quick(flags), f"-I{kernels}")
    first, *others = units_of([(source, (*command, f"-I{folder}")), *emulator], headers, cxx, root)
    first = replace(first, header=header_of(kernels / "row.cuh", command, headers, cxx, root))
    return Plan("emulated_unit", cxx, "host", headers, (first, *others), link)


def plan_program(
    source: Path,
    options: Sequence[str],
    environ: Mapping[str, str] = os.environ,
    checked: bool = True,
) -> Plan:
    """A CUDA program by itself, rewritten to C++ (tapegrad/emulating), with the emulator and the
    emulated runtime API (kernels/emulate/cuda): a plan for an executable."""
    root, cxx = source_root(), find_cxx(environ)
    flags, emulator, _ = _for_emulated(cxx, root, environ, checked)
    assert cxx is not None
    folder = root / "kernels" / "emulate" / "cuda"
    folders = tuple(option for option in options if option.startswith("-I"))
    command = (*_quick(flags), "-w", "-fno-builtin-printf", f"-I{folder / 'include'}")
    command += tuple(option for option in options if option not in folders)
    command += (INDICES[_family(cxx)],) if checked else ()
    api = _joined(folder, _emulator_flags(cxx, environ, checked))
    link = (*cxx.command, *shlex.split(environ.get("CXXFLAGS", "")), "-pie", "-pthread")
    link += ("-Wl,--wrap=printf", *(CHECKED_LINK if checked else ()))
    files = [f for f in root.glob("kernels/emulate/**/*") if f.suffix in (".h", ".cpp")]
    headers = hash_files(root, sorted([*files, root / "kernels" / "launch.h"]))
    header = folder / "include" / "cuda_runtime.h"
    defines = any(option.startswith("-D") for option in options)  # each would take 40 MB
    first, *others = units_of([(source, (*command, *folders)), *emulator, api], headers, cxx, root)
    first = replace(
        first, header=header if defines else header_of(header, command, headers, cxx, root)
    )
    return Plan("program", cxx, "host", headers, (first, *others), link)


def _quick(flags: tuple[str, ...]) -> tuple[str, ...]:
    """Of what is changed and run again, compiling takes longer than running."""
    return (*("-O1" if flag == "-O2" else flag for flag in flags), *LINES)


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
    flags = compiling(cxx, environ)
    of_emulator = _emulator_flags(cxx, environ, checked)
    folder = root / "kernels" / "emulate"
    folders = [folder, folder / "checked"] if checked else [folder]
    link = (*flags, "-shared", "-pthread", *(CHECKED_LINK if checked else ()))
    of_kernels = (*flags, PROBES_STACK, *(checked_flags(cxx) if checked else ()), "-x", "c++")
    return of_kernels, [_joined(each, of_emulator) for each in folders], link


def _emulator_flags(cxx: Compiler, environ: Mapping[str, str], checked: bool) -> tuple[str, ...]:
    return (*compiling(cxx, environ), *(["-DTAPEGRAD_CHECKED"] if checked else []))


def _joined(folder: Path, flags: tuple[str, ...]) -> Command:
    """All C++ files of a folder as one: by themselves, each would read the same headers again,
    which took three quarters of the time."""
    *others, last = sorted(folder.glob("*.cpp"))
    return last, (*flags, *(word for file in others for word in ("-include", str(file))))


def checked_flags(cxx: Compiler) -> tuple[str, ...]:
    """What kernels are compiled with, after all other flags, for the checked build."""
    return (*CHECKED_FLAGS, *INSTRUMENTED[_family(cxx)])


def _family(cxx: Compiler) -> str:
    return "clang" if cxx.is_clang else "gcc"


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
    kernels: Commands,
    cxx_flags: tuple[str, ...],
    link: tuple[str, ...],
) -> Plan:
    sources = source_hash(root)
    description = {
        "COMPILER": compiler.version,
        "ARCHITECTURES": architectures,
        "SOURCE_HASH": sources,
    }
    binding = [*cxx_flags, *_python_includes()]
    binding += [f'-DTAPEGRAD_{name}="{value}"' for name, value in description.items()]
    binding += ["-DTAPEGRAD_EMULATED"] if device in ("emulated", CHECKED) else []
    commands = [*kernels, *((file, tuple(binding)) for file in sorted(root.glob("csrc/*.cpp")))]

    headers = headers_hash(root)
    units = units_of(commands, headers, compiler, root)
    return Plan(device, compiler, architectures, sources, units, link)


def _python_includes() -> list[str]:
    python = f"-I{sysconfig.get_path('include')}"
    folder = os.environ.get("TAPEGRAD_PYBIND11_INCLUDE")
    if folder:
        if not Path(folder, "pybind11", "pybind11.h").is_file():
            raise BuildError(f"TAPEGRAD_PYBIND11_INCLUDE={folder} has no pybind11/pybind11.h in it")
        return [python, f"-I{Path(folder).resolve()}"]
    try:
        import pybind11
    except ImportError as error:
        raise BuildError(
            "building the kernels needs pybind11: pip install pybind11, or name a folder with its "
            "headers in TAPEGRAD_PYBIND11_INCLUDE"
        ) from error
    return [python, HeadersOf(pybind11)]
