"""The part of the stand-in for CuPy (see strict_cupy.py) that is cupy.RawModule: what NVRTC would
compile is compiled for the emulated device, and launched there. Arguments are refused as CuPy
refuses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad import _build
from tapegrad.core import kernels
from tapegrad.units import unit


class CompileException(Exception):
    pass


class CUDADriverError(RuntimeError):
    pass


class RawModule:
    def __init__(
        self,
        *,
        code: str,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        name_expressions: Sequence[str] | None = None,
    ):
        assert backend == "nvrtc"
        assert all(isinstance(option, str) for option in options)
        self.code, self.folder, self.names = code, options[-1][2:], name_expressions or ()

    def get_function(self, name: str) -> RawKernel:
        assert name in self.names
        word = name.partition("<")[0]
        try:
            path = unit.compiled(self.code, word, "emulated", self.folder, False)
        except _build.CompilerError as error:
            raise CompileException(error.output) from None
        (launch,) = kernels.library("emulated").load(str(path)).values()
        return RawKernel(launch)


class RawKernel:
    max_dynamic_shared_size_bytes = 48 * 1024

    def __init__(self, launch: Any):
        self.launch = launch

    def __call__(self, grid: tuple, block: tuple, args: tuple, *, shared_mem: int = 0) -> None:
        for argument in args:
            if not isinstance(argument, np.generic) and not hasattr(argument, "data"):
                raise TypeError(f"Unsupported type {type(argument)}")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        given = [a.item() if isinstance(a, np.generic) else a for a in args]
        given = [None if type(a) is np.uintp else g for a, g in zip(args, given, strict=True)]
        try:
            self.launch(*given, *grid, *block, shared_mem, 0)
        except kernels.KernelError as error:
            raise CUDADriverError(str(error)) from None
