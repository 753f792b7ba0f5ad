"""Kernels for GPUs without nvcc: compiled by NVRTC, which CuPy brings, and launched by CuPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad import _build
from tapegrad.core.kernels import KernelError

from .source import DTYPES, INTEGERS, Function, Parameter


class Refused(Exception):
    """What NVRTC said of a text that does not compile."""


def options(folder: str) -> tuple[str, ...]:
    """What NVRTC is told. Functions without a word about where they run are for the GPU, too."""
    kernels = _build.source_root() / "kernels"
    return ("-std=c++17", "-default-device", f"-I{kernels}", f"-I{folder}")


def launcher(text: str, function: Function, element: str, folder: str) -> Callable:
    """What launches a kernel of a text (``unit_text``): it takes the kernel's arguments, then grid,
    block and bytes of shared memory, then a stream, for which CuPy's current one stands.

    element: of the template, such as "<float>". Raises Refused, and KernelError for a function that
    is no kernel but launches some, which takes code for the host.
    """
    import cupy

    if not function.is_kernel:
        raise KernelError(
            f"[{function.name}] launches kernels itself, which takes nvcc: install a CUDA "
            "compiler, or declare the __global__ kernel with blocks= and threads="
        )
    name = function.name + element
    module = cupy.RawModule(
        code=text, options=options(folder), backend="nvrtc", name_expressions=(name,)
    )
    try:
        kernel = module.get_function(name)
    except cupy.cuda.compiler.CompileException as error:
        raise Refused(str(error)) from None
    convert = [_converter(p) for p in function.parameters]
    count = len(convert)

    def launch(*arguments: Any) -> None:
        given, shape, shared = arguments[:count], arguments[count:-2], arguments[-2]
        if shared > kernel.max_dynamic_shared_size_bytes:
            kernel.max_dynamic_shared_size_bytes = shared
        converted = tuple(c(a) for c, a in zip(convert, given, strict=True))
        try:
            kernel(tuple(shape[:3]), tuple(shape[3:]), converted, shared_mem=shared)
        except cupy.cuda.driver.CUDADriverError as error:
            raise KernelError(
                f"{function.name} [grid {shape[:3]}, block {shape[3:]}, {shared} bytes of dynamic "
                f"shared memory]: {error}"
            ) from None

    return launch


def _converter(p: Parameter) -> Callable[[Any], Any]:
    """An argument as CuPy takes it: numbers as wide as the parameter, None as a null pointer."""
    if p.pointer:
        return lambda array: np.uintp(0) if array is None else array
    return np.dtype((INTEGERS | DTYPES)[p.type]).type
