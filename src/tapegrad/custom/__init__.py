"""Kernels of your own, with their gradients: ``tg.kernel``.

    @tg.kernel("swiglu.cu", "a[*n], b[*n] -> y[*n]", gradient="swiglu_backward")
    def swiglu(a, b):
        return a * b * a.sigmoid()

declares that the kernel ``swiglu`` of a file in the package's CUDA vocabulary computes what the
function below does with tensors. That function is the *plain body*: what the kernel is compared
with, the path on ``cpu``, and where second gradients come from. ``swiglu(a, b)`` is then a function
of tensors, on the tape like any other.

How it is made, from the outside in:

``signature``  (core/signature.py) what goes in and out: names, and which sizes they share. Names
               join everything: a parameter ``b`` of the CUDA function is the input ``b``, ``n`` the
               size, ``eps`` the body's keyword argument, ``dy`` the gradient of ``y`` and ``db``
               that of ``b``. dtypes are not declared again: the CUDA parameters have them.
``launch``     one function of the source: its arguments in order, its grid.
``units``      (a room of its own) reads the source as text, so that what is declared wrongly is
               refused at once, and compiles it when it is needed: together with a launcher that was
               written for it, for one dtype at a time. The extension of the device loads it
               (kernels/unit.h). The launcher stands in the same list as the package's own, and is
               called by the same ``core.kernels.launch``.
``declared``   the primitive: its body, its rule, and by ``core.kernels.kernel`` the override that
               launches. Nothing here is done in another way than the package's operations do it.
``rows``       the source of a kernel out of what is done with one row, and the same as a loop for
               the CPU.
``elements``   an expression of elements or rows as a function of tensors (``expression``), which is
               fused.
``checkable``  what a check asks of both.
``checking``   the proof that a kernel is right: calls (``samples``, ``trial``, ``gradients``) in
               guarded memory (``guarded``) and in processes of their own (``runs``, ``child``), of
               which ``patience`` ends those that do not; mutants (``mutants``, ``mutating``);
               and what is wrong with less (``shrinking``), in a ``report``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from tapegrad.core.signature import Signature
from tapegrad.units import CompileError, read

from .checking import check
from .declared import Kernel, name_of
from .elements import elementwise, row
from .launch import Grid
from .samples import Draws

__all__ = ["CompileError", "Kernel", "kernel"]


class _Declare:
    """Declare a CUDA kernel of your own: a decorator of the function that says what it computes.

    source: a path to a ``.cu`` file (beside the file that names it, or from the current folder), or
    the text itself, in CUDA C++ with the words of ``kernels/device.cuh`` and ``row.cuh``.
    signature: the arrays, like ``"x[*rows, cols], weight[cols] -> y[*rows, cols]"``; a size with a
    star is any number of dimensions, ``= 0`` behind a result fills it with zeros first, and behind
    a semicolon stands what the kernel only works in: ``"... -> y[cols]; partial[parts, cols]"``.
    name: the function in the source, by default named like the body: a ``__global__`` kernel, or
    one that launches kernels and takes ``cudaStream_t stream`` last. As a template of one class it
    is compiled for float32, float64, float16 and bfloat16.
    gradient: the name of a second function in the source, whose parameters ``dy`` and ``da`` are
    the gradients of ``y`` and ``a`` (``"f -> da? = 0"``: it adds to zeros, and gets a null pointer
    where nobody needs this one); or a function of tensors ``rule(dy, a, b, eps=...)`` that returns
    a gradient or None for each input; or None: the body's own.
    blocks, threads: how many, as ints, tuples of up to three, or functions of sizes and numbers,
    like ``lambda rows: rows``; by default, threads of 256 and one for each element of the first
    result. shared: the bytes of dynamic shared memory. sizes: those that no input has, by name, as
    such functions, ``{"parts": lambda rows: min(rows, 64)}``; a whole number among the keyword
    arguments may be a size as it is.
    inputs: for ``check``, how to draw inputs that may not be just any: functions of the sizes and a
    ``numpy.random.Generator``, like ``{"index": lambda sizes, random: random.integers(0,
    sizes["rows"], sizes["n"])}``.

    Raises ValueError, TypeError or FileNotFoundError for a declaration that cannot be right.
    """

    elementwise = staticmethod(elementwise)
    row = staticmethod(row)
    check = staticmethod(check)

    def __call__(
        self,
        source: Any,
        signature: str,
        *,
        gradient: str | Callable | None = None,
        blocks: Any = None,
        threads: Any = 256,
        shared: Any = 0,
        sizes: Mapping[str, Callable] | None = None,
        name: str | None = None,
        inputs: Draws | None = None,
    ) -> Callable[[Callable], Kernel]:
        frame = sys._getframe(1)
        declared = Signature(signature)

        def declare(body: Callable) -> Kernel:
            own = name_of(body, name)
            text = read(source, own, frame)
            grid = Grid(blocks, threads, shared, sizes or {})
            return Kernel(
                body, text, declared, name=own, gradient=gradient, grid=grid, draws=inputs
            )

        return declare

    __call__.__qualname__ = "kernel"  # what errors of its arguments call it

    def __reduce__(self) -> str:
        return "kernel"  # by name, as functions are


kernel = _Declare()
