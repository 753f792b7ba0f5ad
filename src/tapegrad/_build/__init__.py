"""Compiles the kernels: by nvcc into ``_cuda``, by a C++ compiler into ``_emulated``, and as loops
for the CPU into ``_native``; and the tape into ``_tape``.

Imports only the standard library (and asks pybind11 and NumPy where their headers are), because
setup.py loads this package by its path, before tapegrad exists. At run time
``tapegrad.core.kernels`` calls it when the emulated extension is missing or older than the sources.
By hand::

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

from .architectures import choose_architectures, parse_architectures
from .building import build
from .cache import (
    build_into_cache,
    build_loop,
    built,
    cache_folder,
    cached,
    cached_path,
    kept_text,
    objects_folder,
    plan_for,
)
from .compilers import Compiler, cores, find_cxx, find_nvcc, output_of, toolkit
from .files import is_ours, replacing
from .installing import choose_extensions
from .kernel_plans import checked_flags, plan_cuda, plan_emulated, plan_program, plan_unit
from .native_plans import plan_native, plan_tape
from .plans import CHECKED, CXX_FLAGS, EXTENSIONS, Unit
from .sources import BuildError, CompilerError, headers_hash, source_files, source_hash, source_root

__all__ = [
    "CHECKED", "CXX_FLAGS", "EXTENSIONS", "BuildError", "Compiler", "CompilerError", "Unit",
    "build", "build_into_cache", "build_loop", "built", "cache_folder", "cached", "cached_path",
    "checked_flags", "choose_architectures", "choose_extensions", "cores", "find_cxx", "find_nvcc",
    "headers_hash", "is_ours", "kept_text", "objects_folder", "output_of", "parse_architectures",
    "plan_cuda", "plan_emulated", "plan_for", "plan_native", "plan_program", "plan_tape",
    "plan_unit", "replacing", "source_files", "source_hash", "source_root", "toolkit",
]  # fmt: skip
