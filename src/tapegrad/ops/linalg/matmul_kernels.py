"""Matrix products by the package's own kernels: by tensor cores, where the device has them
(kernels/matmul_tensor.cu; on Hopper kernels/matmul_hopper.cu), of 16-bit floats and of float32
where there is much to multiply; else by kernels/matmul.cu, which needs no alignment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.devices import Device
from tapegrad.core.dtypes import DType, accumulator
from tapegrad.core.kernels import (
    ask,
    counters,
    has_tensor_cores,
    kernel,
    launch,
    runs_hopper,
    scratch,
)
from tapegrad.core.memory import Array, address, joined_dimensions

PACK = 16  # bytes: what tensor cores' kernels copy at once
# Sizes from which a product of float32 is computed as three of tfloat32: where less is multiplied,
# it is the launch that takes the time, and where sums are short, rounded ones are more exact.
MANY, DEEP = 128, 64


class Finish(IntEnum):
    """What becomes of the sums where they are stored: as in kernels/epilogue.cuh."""

    NONE = 0  # but adding what is ``beside``
    GELU = 1
    GELU_TANH = 2
    GELU_BACKWARD = 3  # of what is ``beside``
    GELU_TANH_BACKWARD = 4


# ---------------------------------------------------------------------- without tensor cores


def _matrix(device: Device, x: Array) -> tuple[Any, int, int, bool]:
    """A stack of matrices as the kernel reads it: (array, row stride, batch stride, transposed),
    copied only if its last two dimensions are neither row- nor column-major. A single matrix, which
    may meet a stack, has batch stride 0."""
    (rows, columns), several = x.shape[-2:], x.ndim > 2 and x.shape[0] > 1
    for transposed in (False, True):
        m = x.swapaxes(-1, -2) if transposed else x
        size, (outer, inner) = m.itemsize, m.strides[-2:]
        tight = m.shape[-1] <= 1 or inner == size
        row_ok = m.shape[-2] <= 1 or (outer >= m.shape[-1] * size and outer % size == 0)
        if tight and row_ok and all(s >= 0 and s % size == 0 for s in m.strides):
            lead = m.shape[-1] if m.shape[-2] <= 1 else outer // size
            return m, max(lead, 1), m.strides[0] // size if several else 0, transposed
    step = rows * columns if several else 0
    return device.ops["contiguous"](x), max(columns, 1), step, False


def _by_scalars(
    device: Device, lead: Sequence[int], a: Array, b: Array, bias: Any, out: Any = None
) -> Any:
    batch = math.prod(lead)
    if len(lead) > 1:  # several leading dimensions become one
        a, b = (_one_stack(device, lead, x) for x in (a, b))
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    left, lda, a_step, a_transposed = _matrix(device, a)
    right, ldb, b_step, b_transposed = _matrix(device, b)
    c = device.ops["empty"]((*lead, m, n), a.dtype) if out is None else out
    sizes, strides = (batch, m, n, k), (a_step, b_step, lda, ldb)
    sums = scratch(device, "matmul_workspace", a.dtype, *sizes)
    arguments = (c, left, right, bias, sums, *sizes, *strides, a_transposed, b_transposed)
    launch(device, "matmul", a.dtype, *arguments)
    return c


def _one_stack(device: Device, lead: Sequence[int], x: Array) -> Any:
    if math.prod(x.shape[:-2]) == 1:
        return x.reshape(1, *x.shape[-2:])
    wide = device.library.broadcast_to(x, (*lead, *x.shape[-2:]))
    return wide.reshape(math.prod(lead), *x.shape[-2:])


# ---------------------------------------------------------------------- by tensor cores


class Factor(NamedTuple):
    """A stack of matrices as tensor cores' kernels read it: rows, or columns where it is
    transposed, of neighbouring elements, each of which begins at a multiple of 16 bytes."""

    array: Any
    transposed: bool

    @property
    def row_stride(self) -> int:
        """In elements, as those that follow."""
        x = self.array
        return x.strides[-2] // x.itemsize if x.shape[-2] > 1 else 0

    def steps(self, lead: Sequence[int]) -> list[int]:
        """From one matrix to the next, in each of the leading dimensions it is broadcast to."""
        x, own = self.array, self.array.ndim - 2
        pairs = zip(x.strides[:own], x.shape[:own], strict=True)
        found = [s // x.itemsize if n > 1 else 0 for s, n in pairs]
        return [0] * (len(lead) - own) + found


def _factor(device: Device, x: Array) -> Factor:
    """Copied, with gaps between the rows, only if it lies otherwise."""
    for transposed in (False, True):
        m = x.swapaxes(-1, -2) if transposed else x
        if lies_in_packs(m):
            return Factor(m, transposed)
    return Factor(with_gaps(device, x), False)


def lies_in_packs(x: Array) -> bool:
    """Whether rows are of neighbouring elements and begin at multiples of 16 bytes."""
    tight = x.shape[-1] <= 1 or x.strides[-1] == x.itemsize
    starts = [s for s, n in zip(x.strides[:-1], x.shape[:-1], strict=True) if n > 1]
    return tight and not any(start % PACK for start in (address(x), *starts))


def with_gaps(device: Device, x: Array) -> Array:
    """A copy whose rows begin at multiples of 16 bytes."""
    columns, pack = x.shape[-1], PACK // x.itemsize
    wide = device.ops["empty"]((*x.shape[:-1], -(-columns // pack) * pack), x.dtype)
    part = wide[..., :columns]
    device.ops["write"](part, x)
    return part


def _by_tensor_cores(
    device: Device,
    lead: Sequence[int],
    a: Array,
    b: Array,
    bias: Any,
    finish: Finish = Finish.NONE,
    beside: Any = None,
    kept: Any = None,
    out: Any = None,
) -> Any:
    """finish(a @ b + bias); ``kept`` gets what that is applied to. out: where the result goes; in
    float32, of 16-bit floats, a @ b alone."""
    left, right = _factor(device, a), _factor(device, b)
    batches = joined_dimensions(lead, [left.steps(lead), right.steps(lead)])
    if len(batches) > 2:  # the kernel has two strides
        left, right = (_factor(device, _one_stack(device, lead, x)) for x in (a, b))
        stack = (math.prod(lead),)
        batches = joined_dimensions(stack, [left.steps(stack), right.steps(stack)])
    (outer, outer_steps), (inner, inner_steps) = [(1, [0, 0])] * (2 - len(batches)) + batches
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    c = device.ops["empty"]((*lead, m, n), a.dtype) if out is None else out
    wide = c.dtype != a.dtype
    factors = (left.array, right.array)
    arrays = (c, *factors) if wide else (c, kept, *factors, bias, beside)
    steps = (outer_steps[0], inner_steps[0], outer_steps[1], inner_steps[1])
    lying = (*steps, left.row_stride, right.row_stride, left.transposed, right.transposed)
    sizes = (outer, inner, m, n, k)
    end, name = ((), "_wide") if wide else ((int(finish),), "")
    if suits_hopper(device, a.itemsize, outer * inner, m, n, k):
        launch(device, f"matmul_hopper{name}", a.dtype, *arrays, *sizes, *lying, *end)
        return c
    sums = scratch(device, "matmul_tensor_workspace", a.dtype, outer * inner, m, n, k)
    launch(device, f"matmul_tensor{name}", a.dtype, *arrays, sums, *sizes, *lying, *end)
    return c


def suits_hopper(device: Device, itemsize: int, batch: int, m: int, n: int, k: int) -> bool:
    """Whether kernels/matmul_hopper.cu runs there, and has tiles enough."""
    if itemsize != 2 or not runs_hopper(device):
        return False
    return bool(ask(device, "matmul_hopper_suits", batch, m, n, k))


# ---------------------------------------------------------------------- primitives


def _suits_tensor_cores(device: Device, a: Array, b: Array) -> bool:
    much = a.shape[-2] >= MANY and b.shape[-1] >= MANY and a.shape[-1] >= DEEP
    return (a.itemsize == 2 or (a.itemsize == 4 and much)) and has_tensor_cores(device)


def finished_product(
    device: Device, a: Array, b: Array, bias: Any, finish: Finish, beside: Any, kept: Any = None
) -> Any:
    """finish(a @ b + bias) of matrices, or of stacks of as many; NotImplemented where tensor cores
    are not used, whose kernel alone can do more with its sums than to store them."""
    if not _suits_tensor_cores(device, a, b):
        return NotImplemented
    return _by_tensor_cores(device, a.shape[:-2], a, b, bias, finish, beside, kept)


def finished_product_and_column_sums(
    device: Device, a: Array, b: Array, finish: Finish, beside: Any
) -> Any:
    """finish(a @ b) of two matrices, and the sums of its columns, which are added up where it is
    stored; NotImplemented where no kernel does so."""
    if not (_suits_tensor_cores(device, a, b) and lies_in_packs(a) and lies_in_packs(b)):
        return NotImplemented
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    which = "hopper" if suits_hopper(device, a.itemsize, 1, m, n, k) else "tensor"
    count = ask(device, f"matmul_{which}_column_lines", m, n, k, a.itemsize)
    if count == 0:
        return NotImplemented
    c = device.ops["empty"]((m, n), a.dtype)
    lines = device.ops["empty"]((count, n), accumulator(a.dtype))
    strides = (Factor(a, False).row_stride, Factor(b, False).row_stride)
    arguments = (c, lines, a, b, beside, m, n, k, *strides, int(finish))
    launch(device, f"matmul_{which}_columns", a.dtype, *arguments)
    return c, _column_sums(device, lines, a.dtype)


def _product(
    device: Device, lead: Sequence[int], a: Array, b: Array, bias: Any, out: Any = None
) -> Any:
    """a @ b + bias, for stacks that broadcast to the leading dimensions ``lead``: ``out`` or an
    array of its own, and no view of one, which would be copied to become a gradient."""
    if _suits_tensor_cores(device, a, b):
        return _by_tensor_cores(device, lead, a, b, bias, out=out)
    return _by_scalars(device, lead, a, b, bias, out)


def product_into(device: Device, out: Array, a: Array, b: Array, bias: Any = None) -> None:
    """Write a @ b + bias of two matrices of one floating dtype into ``out``, which is contiguous
    and shares no memory with them."""
    _product(device, (), a, b, bias, out)


@kernel("matmul", contiguous="")
def _matmul_kernel(device: Device, a: Array, b: Array) -> Array:
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return _product(device, lead, a, b, None)


@kernel("addmm", contiguous="x")
def _addmm_kernel(device: Device, x: Array, a: Array, b: Array) -> Any:
    if x.ndim == 1:
        return finished_product(device, a, b, x, Finish.NONE, None)
    return finished_product(device, a, b, None, Finish.NONE, x)


@kernel("matmul_wide", contiguous="")
def _matmul_wide_kernel(device: Device, a: Array, b: Array) -> Any:
    if a.itemsize != 2 or not has_tensor_cores(device):
        return NotImplemented
    c = device.ops["empty"]((a.shape[0], b.shape[1]), accumulator(a.dtype))
    return _by_tensor_cores(device, (), a, b, None, out=c)


@kernel("linear", contiguous="bias")
def _linear_kernel(device: Device, x: Array, weight: Array, bias: Array) -> Array:
    if x.ndim == 2:
        return _product(device, (), x, weight.T, bias)
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return _product(device, (), rows, weight.T, bias).reshape(*x.shape[:-1], weight.shape[0])


@kernel("column_sum")
def _column_sum_kernel(device: Device, x: Array) -> Array:
    return _column_sums(device, x, x.dtype)


def _column_sums(device: Device, x: Array, dtype: DType) -> Array:
    rows, cols = x.shape
    empty = device.ops["empty"]
    y = empty((cols,), dtype)
    parts = ask(device, "column_sum_partials", rows, cols)
    sums = empty((parts, cols), accumulator(x.dtype))
    count = counters(device, ask(device, "column_sum_tiles", cols))
    name = "column_sum" if dtype == x.dtype else "column_sum_rounded"
    launch(device, name, dtype, y, sums, count, x, rows, cols)
    return y
