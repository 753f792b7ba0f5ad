"""The table behind test_kernels.py: one row per launcher.

A row is a generator that yields calls of its launcher. A call is the list of the launcher's
arguments, in order and without the stream: ``In`` arrays, which must not change, ``Out`` arrays
with the float64 values they must get, ``Update`` arrays that are both, ``Scratch``, a ``Table`` of
tensors, numbers, and None for a null pointer. References are the plain bodies in float64
(``reference``), computed from the inputs as rounded to the dtype; matmul's, of whole numbers, are
exact, Philox's from its paper, and those of lookups and losses tell what the bodies refuse.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.core.devices import PlainOperations
from tapegrad.optim.steps.scalars import NUMBERS

FLOATS = ("float32", "float64", "float16", "bfloat16")


def numpy_dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


@dataclass
class In:
    array: np.ndarray
    alignment: int = 1  # bytes: what its address must be a multiple of


def place_of(argument: Any, wanted: int) -> int:
    """The place, in bytes from where memory is aligned, that suits the argument: the wanted one, or
    the nearest before it."""
    return wanted - wanted % getattr(argument, "alignment", 1)


@dataclass
class Out:
    expected: np.ndarray
    dtype: Any = None  # that of the launcher by default


@dataclass
class Update:
    array: np.ndarray
    expected: np.ndarray


@dataclass
class Scratch:
    size: int
    dtype: Any = None


@dataclass
class Tensor:
    """What a step works on: a parameter, its gradient, its states; and the step's numbers. With a
    master, which is behind the gradient, a flag says whether the gradient is as wide."""

    arrays: list[In | Update]
    numbers: Sequence[float]
    flags: Sequence[int] = ()

    @property
    def size(self) -> int:
        return self.arrays[0].array.size


@dataclass
class Table:
    """Where the arrays of many tensors are, as ``Row`` in kernels/steps.h tells a launcher."""

    tensors: list[Tensor]
    chunk: int
    on_host = False  # where the table itself is

    @property
    def arrays(self) -> list[In | Update]:
        return [array for tensor in self.tensors for array in tensor.arrays]

    @property
    def chunks(self) -> int:
        return sum(-(-tensor.size // self.chunk) for tensor in self.tensors)

    def told(self, addresses: Iterator[int]) -> In:
        """The table, for arrays at these addresses."""
        words, chunks = [], 0
        for tensor in self.tensors:
            words += [chunks, tensor.size, *(next(addresses) for _ in tensor.arrays), *tensor.flags]
            words += np.array(tensor.numbers, np.float64).view(np.int64).tolist()
            chunks += -(-tensor.size // self.chunk)
        return In(np.array(words, np.int64))


class Places(Table):
    """Of many tensors of one array each, the size and the place, in the host's memory."""

    on_host = True

    def __init__(self, arrays: Sequence[In | Update]):
        super().__init__([Tensor([array], ()) for array in arrays], 1)

    def told(self, addresses: Iterator[int]) -> In:
        words = [(tensor.size, next(addresses)) for tensor in self.tensors]
        return In(np.array(words, np.int64))


Call = list[Any]


@dataclass
class Row:
    launcher: str
    calls: Callable[..., Iterator[Call]]
    dtypes: Sequence[str | None] = FLOATS
    exact: bool = False  # to the bit
    slack: float = 1.0  # times the usual tolerance
    cancels: float = 0.0  # size of what cancels in sums: errors are relative to it, too
    what: str = ""  # of several rows of one launcher
    runs: str = ""  # what the extension is asked, on a GPU, whether it can be launched there


ROWS: list[Row] = []


def row(launcher: str, **settings: Any) -> Callable:
    def register(calls: Callable[..., Iterator[Call]]) -> Callable[..., Iterator[Call]]:
        ROWS.append(Row(launcher, calls, **settings))
        return calls

    return register


@dataclass
class Draw:
    """Random inputs of one dtype."""

    dtype: np.dtype
    library: Any  # the extension, which knows how much scratch a launcher needs
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def normal(self, *shape: int, mean: float = 0.0, scale: float = 1.0) -> np.ndarray:
        return (mean + scale * self.random.standard_normal(shape)).astype(self.dtype)

    def integers(self, *shape: int) -> np.ndarray:
        """Small enough that sums of products are exact in every dtype's accumulator."""
        return self.random.integers(-3, 4, shape).astype(self.dtype)

    @property
    def accumulator(self) -> np.dtype:
        return np.dtype("float64" if self.dtype == np.float64 else "float32")


def wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64)


PLAIN = PlainOperations()


def reference(name: str, *arrays: np.ndarray | None, **parameters: Any) -> Any:
    """What the plain body of a primitive makes of the arrays, the floats in float64 unless they are
    wider; of a step that changes them in place, the list of arrays.

    That the bodies are right themselves is not for here: tests/cases compares them with PyTorch.
    """
    given = [a if a is None else wide(a) if a.dtype.name in FLOATS else a.copy() for a in arrays]
    with np.errstate(invalid="ignore", divide="ignore"):
        result = PLAIN[name](*given, **parameters)
    return given if result is None else result


# Lengths around the sizes of packs, warps and blocks, and one that makes every block loop.
LENGTHS = (0, 1, 31, 33, 127, 129, 257, 1000, 20011)

# (rows, columns): teams of a warp with one pack a thread and with several, blocks, and rows that
# stay in memory; columns that divide into packs and that do not; more rows than teams.
SHAPES = (
    (0, 5), (1, 1), (45, 5), (3, 31), (40, 33), (35, 64), (5, 127), (4, 129), (37, 257), (3, 520),
    (4, 1000), (10, 1111), (9, 2104), (2, 3001), (9, 8808), (2, 9001),
)  # fmt: skip


def staged_shapes(draw: Draw, staged: int) -> tuple[tuple[int, int], ...]:
    """The same where ``staged`` rows at a time are copied to shared memory: the longest that fit
    there beside the 1024 bytes of reductions, and some that no block has room for, in packs and
    not (kernels/row.cuh: choose_plan)."""
    size = 16 // draw.dtype.itemsize
    if size == 2:  # float64 is never copied
        return SHAPES
    most = 227 * 1024 // (16 * staged)
    fit = most - 1024 // (16 * staged)
    return (*SHAPES, (1, (fit - 1) * size), (1, most * size), (1, most * size + 3))


# ---- activations ----

# name: (whether the result is what is saved for the gradient, parameters)
ACTIVATIONS: dict[str, tuple[bool, dict[str, float]]] = {
    "relu": (True, {}),
    "leaky_relu": (False, {"negative_slope": 0.125}),
    "elu": (False, {"alpha": 1.5}),
    "gelu": (False, {}),
    "gelu_tanh": (False, {}),
    "silu": (False, {}),
    "sigmoid": (True, {}),
    "tanh": (True, {}),
    "softplus": (False, {"beta": 2.0, "threshold": 5.0}),
}


def activation_rows(name: str) -> None:
    saves_result, parameters = ACTIVATIONS[name]

    @row(f"{name}_forward")
    def forward(draw: Draw) -> Iterator[Call]:
        for n in LENGTHS:
            x = draw.normal(n, scale=3)
            yield [Out(reference(name, x, **parameters)), In(x), n, *parameters.values()]

    @row(f"{name}_backward")
    def backward(draw: Draw) -> Iterator[Call]:
        for n in LENGTHS:
            saved, dy = draw.normal(n, scale=3), draw.normal(n)
            if saves_result:
                saved = reference(name, saved).astype(draw.dtype)
            dx = reference(f"{name}_backward", dy, saved, **parameters)
            yield [Out(dx), In(dy), In(saved), n, *parameters.values()]


for activation in ACTIVATIONS:
    activation_rows(activation)


def biased_rows(name: str, approximate: str) -> None:
    @row(f"bias_{name}_forward")
    def forward(draw: Draw) -> Iterator[Call]:
        for rows, cols in (*SHAPES, (3, 0)):
            x, bias = draw.normal(rows, cols, scale=2), draw.normal(cols)
            y = reference("bias_gelu", x, bias, approximate=approximate)
            yield [Out(y), In(x), In(bias), rows, cols]

    @row(f"bias_{name}_backward")
    def backward(draw: Draw) -> Iterator[Call]:
        for rows, cols in (*SHAPES, (3, 0)):
            dy, x, bias = draw.normal(rows, cols), draw.normal(rows, cols), draw.normal(cols)
            dx = reference("bias_gelu_backward", dy, x, bias, approximate=approximate)
            yield [Out(dx), In(dy), In(x), In(bias), rows, cols]


biased_rows("gelu", "none")
biased_rows("gelu_tanh", "tanh")


# ---- matmul ----


@row("matmul", exact=True)
def matmul(draw: Draw) -> Iterator[Call]:
    # (batch, m, n, k); the last two use large tiles, and more tiles than blocks
    sizes = [
        (0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (2, 3, 4, 0), (1, 1, 1, 1), (1, 31, 33, 129),
        (3, 127, 5, 17), (2, 64, 64, 32), (1, 65, 129, 257), (11, 9, 7, 5), (13, 65, 66, 19),
        (9, 68, 136, 40),
    ]  # fmt: skip
    for size, (transpose_a, transpose_b) in itertools.product(
        sizes, itertools.product((False, True), repeat=2)
    ):
        yield matmul_call(draw, size, transpose_a, transpose_b, bias=size[1] % 2 == 1)
    for broadcast_a, broadcast_b in itertools.product((False, True), repeat=2):
        yield matmul_call(
            draw, (3, 33, 20, 24), False, True, broadcast_a=broadcast_a, broadcast_b=broadcast_b
        )
    for gap in (1, 8):  # rows further apart than they are long
        yield matmul_call(draw, (2, 33, 40, 24), True, False, bias=True, gap=gap)
    # Several blocks share a tile: the last one has less along k, or hardly any; small and large
    # tiles, more of all than blocks, a batch, and one matrix for a batch.
    for transpose_a, transpose_b in itertools.product((False, True), repeat=2):
        yield matmul_call(draw, (1, 33, 20, 297), transpose_a, transpose_b, bias=True)
    for size in ((1, 1, 5, 257), (1, 128, 72, 300), (2, 65, 66, 700)):
        yield matmul_call(draw, size, False, True, bias=size[1] == 128)
    yield matmul_call(draw, (2, 7, 65, 300), True, False, bias=True, broadcast_b=True, gap=1)


def matmul_call(
    draw: Draw,
    size: tuple[int, int, int, int],
    transpose_a: bool,
    transpose_b: bool,
    *,
    bias: bool = False,
    broadcast_a: bool = False,
    broadcast_b: bool = False,
    gap: int = 0,
) -> Call:
    batch, m, n, k = size
    a = draw.integers(1 if broadcast_a else batch, *((k, m) if transpose_a else (m, k)))
    b = draw.integers(1 if broadcast_b else batch, *((n, k) if transpose_b else (k, n)))
    shift = draw.integers(n) if bias else None
    left = wide(a).swapaxes(1, 2) if transpose_a else wide(a)
    right = wide(b).swapaxes(1, 2) if transpose_b else wide(b)
    c = np.broadcast_to(left @ right + (0 if shift is None else wide(shift)), (batch, m, n))
    stored = [with_gap(a, gap), with_gap(b, gap)]
    return [
        Out(c), In(stored[0]), In(stored[1]), None if shift is None else In(shift),
        workspace(draw, "matmul_workspace", *size), *size,
        0 if broadcast_a else stored[0][0].size if batch else 0,
        0 if broadcast_b else stored[1][0].size if batch else 0,
        stored[0].shape[2], stored[1].shape[2], transpose_a, transpose_b,
    ]  # fmt: skip


def products(
    draw: Draw, size: Sequence[int], layout: Layout, scale: float = 1
) -> tuple[list[In], np.ndarray]:
    """a and b as stored, and op(a) op(b), exact: (outer, inner, m, n). scale: a power of two."""
    outer, inner, m, n, k = size
    stored, factors = [], []
    for transposed, steps, (rows, columns) in (
        (layout.transpose_a, layout.a_steps, (m, k)),
        (layout.transpose_b, layout.b_steps, (k, n)),
    ):
        lead = [count if step else 1 for count, step in zip((outer, inner), steps, strict=True)]
        matrices = draw.integers(*lead, *((columns, rows) if transposed else (rows, columns)))
        matrices = (wide(matrices) * scale).astype(draw.dtype)
        factors.append(wide(matrices).swapaxes(-1, -2) if transposed else wide(matrices))
        # Rows begin at multiples of 16 bytes; what lies between them is NaN.
        gap = -matrices.shape[-1] % (16 // matrices.itemsize) + layout.gap
        if layout.heads:  # of which every row has one of each, beside each other
            matrices = matrices.swapaxes(1, 2)
        stored.append(In(np.pad(matrices, ((0, 0),) * 3 + ((0, gap),), constant_values=np.nan), 16))
    return stored, np.broadcast_to(factors[0] @ factors[1], (outer, inner, m, n))


@dataclass(frozen=True)
class Layout:
    """How the factors of a product lie. steps: whether there are several along (outer, inner)."""

    transpose_a: bool = False
    transpose_b: bool = False
    a_steps: tuple[bool, bool] = (True, True)
    b_steps: tuple[bool, bool] = (True, True)
    gap: int = 0
    heads: bool = False

    def strides(self, a: In, b: In) -> list[int]:
        """(outer, inner) of a and of b, lda and ldb, in elements."""
        found, rows = [], []
        for stored, steps in ((a, self.a_steps), (b, self.b_steps)):
            array = stored.array
            elements = [s // array.itemsize for s in array.strides]
            inner, row = (elements[2], elements[1]) if self.heads else elements[1:3]
            found += [elements[0] if steps[0] else 0, inner if steps[1] else 0]
            rows.append(row)
        return found + rows


BY_TENSOR_CORES = ("float32", "float16", "bfloat16")
LAYOUTS = [Layout(*which) for which in itertools.product((False, True), repeat=2)]


@row("matmul_tensor", dtypes=BY_TENSOR_CORES, exact=True)
def matmul_tensor(draw: Draw) -> Iterator[Call]:
    # (outer, inner, m, n, k): ends of tiles, of fragments and of packs; more tiles than blocks.
    sizes = [
        (0, 1, 2, 3, 4), (1, 0, 2, 3, 4), (1, 1, 0, 3, 4), (1, 1, 2, 0, 4), (1, 2, 3, 4, 0),
        (1, 1, 1, 1, 1), (1, 1, 63, 65, 31), (1, 1, 64, 64, 32), (1, 1, 65, 63, 33),
        (1, 1, 17, 9, 129), (2, 3, 5, 7, 24), (9, 1, 65, 66, 19), (1, 1, 72, 8, 104),
    ]  # fmt: skip
    for size, layout in itertools.product(sizes, LAYOUTS):
        yield matmul_tensor_call(draw, size, layout, bias=size[2] % 2 == 1)
    for a_outer, a_inner, b_outer, b_inner in itertools.product((False, True), repeat=4):
        layout = Layout(False, True, (a_outer, a_inner), (b_outer, b_inner))
        yield matmul_tensor_call(draw, (2, 2, 9, 10, 16), layout)
    lying = [Layout(True, gap=8), Layout(False, True, gap=16)]
    lying += [Layout(False, True, heads=True), Layout(True, False, heads=True, gap=8)]
    for layout in lying:
        yield matmul_tensor_call(draw, (2, 3, 33, 20, 40), layout, bias=True)
    # Large tiles: of float32; of 16 bits of 192 rows, and of 128, which blocks share.
    is_float = draw.dtype.itemsize == 4
    for layout in LAYOUTS:
        size = (1, 1, 129, 257, 136) if is_float else (3, 1, 260, 129, 264)
        yield matmul_tensor_call(draw, size, layout)
    if not is_float:
        yield matmul_tensor_call(draw, (1, 1, 200, 257, 264), Layout(), bias=True)
    # Rows of tiles for more than one group.
    yield matmul_tensor_call(draw, (1, 1, 641, 65, 8), Layout())
    # Several blocks share a tile.
    for layout in LAYOUTS:
        yield matmul_tensor_call(draw, (1, 1, 33, 20, 297), layout, bias=True)
    yield matmul_tensor_call(draw, (1, 2, 7, 65, 300), Layout())


@row("matmul_tensor", dtypes=("float32",), what="not finite")
def matmul_tensor_not_finite(draw: Draw) -> Iterator[Call]:
    """What is infinite, NaN of whatever bits, or would round to infinity where it is split."""
    payloads = np.array([0x7FFFFFFF, 0x7F800001], "uint32").view("float32")
    special = [math.inf, -math.inf, *payloads, np.finfo("float32").max]
    for size in ((1, 1, 70, 130, 136), (1, 1, 9, 20, 297)):  # of which blocks share the second
        (a, b), _ = products(draw, size, Layout())
        b.array[:, :, 5] = 0.5
        for line, value in enumerate(special):
            a.array[0, 0, 1 + line, 5] = value
        with np.errstate(invalid="ignore"):
            c = wide(a.array[..., : size[4]]) @ wide(b.array[..., : size[3]])
        yield [
            Out(c), None, a, b, None, None, sums_of_product(draw, size),
            *size, *Layout().strides(a, b), False, False, NONE,
        ]  # fmt: skip


# What is done to the sums, by Finish in kernels/epilogue.cuh.
NONE, GELU, GELU_TANH, GELU_BACKWARD, GELU_TANH_BACKWARD = range(5)
ADD = 5  # none, and something beside


@row("matmul_tensor", dtypes=BY_TENSOR_CORES, what="finished")
def matmul_tensor_finished(draw: Draw) -> Iterator[Call]:
    layout = Layout(False, True)
    for finish in (GELU, GELU_TANH, GELU_BACKWARD, GELU_TANH_BACKWARD, ADD):
        for bias, kept in ((False, True), (True, False)):
            yield matmul_tensor_call(draw, (1, 1, 33, 20, 40), layout, bias, finish, kept)
        yield matmul_tensor_call(draw, (1, 1, 9, 72, 297), layout, True, finish, True)


@row("matmul_tensor_columns", dtypes=BY_TENSOR_CORES, exact=True)
def matmul_tensor_columns(draw: Draw) -> Iterator[Call]:
    # Ends of packs, of strips and of each size of tile; more tiles than blocks.
    sizes = [(0, 3, 4), (2, 0, 4), (3, 5, 0), (1, 1, 1), (17, 20, 40), (33, 130, 24), (145, 70, 9)]
    sizes += [(130, 257, 128)] if draw.dtype == np.float32 else [(130, 257, 256), (260, 129, 256)]
    for size in sizes:
        yield columns_call(draw, "matmul_tensor", size, NONE)


@row("matmul_tensor_columns", dtypes=BY_TENSOR_CORES, what="finished")
def matmul_tensor_columns_finished(draw: Draw) -> Iterator[Call]:
    for finish in (GELU_BACKWARD, GELU_TANH_BACKWARD):
        yield columns_call(draw, "matmul_tensor", (33, 20, 40), finish)


def columns_call(draw: Draw, kernel: str, size: tuple[int, int, int], finish: int) -> Call:
    """A line of sums of every 16 rows."""
    c, _, a, b, _, beside, *_ = matmul_tensor_call(draw, (1, 1, *size), Layout(), finish=finish)
    count = getattr(draw.library, f"{kernel}_column_lines")(*size, draw.dtype.itemsize)
    sums = [c.expected[0, 0, 16 * i : 16 * (i + 1)].sum(0) for i in range(count)]
    lines = Out(np.reshape(sums, (count, size[1])), draw.accumulator)
    lda, ldb = Layout().strides(a, b)[-2:]
    return [c, lines, a, b, beside, *size, lda, ldb, finish]


def matmul_tensor_call(
    draw: Draw,
    size: tuple[int, int, int, int, int],
    layout: Layout,
    bias: bool = False,
    finish: int = NONE,
    keeps: bool = False,
) -> Call:
    (a, b), c = products(draw, size, layout, 1 / 8 if finish else 1)
    shift = draw.integers(size[3]) if bias else None
    c = c if shift is None else c + wide(shift)
    kept = c.astype(draw.dtype)
    beside = draw.normal(*c.shape, scale=2) if finish >= GELU_BACKWARD else None
    if finish in (GELU, GELU_TANH):
        c = reference("gelu" if finish == GELU else "gelu_tanh", kept)
    elif finish in (GELU_BACKWARD, GELU_TANH_BACKWARD):
        name = "gelu_backward" if finish == GELU_BACKWARD else "gelu_tanh_backward"
        c = reference(name, c, beside)
    elif finish == ADD:
        c = c + wide(beside)
    shift, beside = (None if x is None else In(x) for x in (shift, beside))
    return [
        Out(c), Out(wide(kept)) if keeps else None, a, b, shift, beside,
        sums_of_product(draw, size),
        *size, *layout.strides(a, b), layout.transpose_a, layout.transpose_b,
        NONE if finish == ADD else finish,
    ]  # fmt: skip


def workspace(draw: Draw, function: str, *sizes: int) -> Scratch | None:
    """As many sums as the function says."""
    needed = getattr(draw.library, function)(*sizes, draw.dtype.itemsize)
    return Scratch(needed, draw.accumulator) if needed else None


def sums_of_product(draw: Draw, size: Sequence[int]) -> Scratch | None:
    outer, inner, m, n, k = size
    return workspace(draw, "matmul_tensor_workspace", outer * inner, m, n, k)


IN_16_BITS = ("float16", "bfloat16")


@row("matmul_hopper", dtypes=IN_16_BITS, exact=True, runs="matmul_hopper_runs")
def matmul_hopper(draw: Draw) -> Iterator[Call]:
    # Ends of tiles, of boxes and of stages; more tiles than blocks; a cluster of large tiles.
    sizes = [
        (0, 1, 2, 3, 4), (1, 0, 2, 3, 4), (1, 1, 0, 3, 4), (1, 1, 2, 0, 4), (1, 1, 1, 1, 1),
        (1, 1, 63, 65, 31), (1, 1, 129, 127, 65), (2, 3, 5, 7, 24), (1, 1, 9, 130, 449),
        (1, 2, 127, 257, 200), (1, 1, 129, 257, 65),
    ]  # fmt: skip
    for size, layout in itertools.product(sizes, LAYOUTS):
        yield matmul_hopper_call(draw, size, layout, bias=size[2] % 2 == 1)
    for which in (
        (True, False, False, True),
        (False, False, True, True),
        (False, True, True, False),
    ):
        yield matmul_hopper_call(draw, (2, 2, 9, 10, 16), Layout(False, True, which[:2], which[2:]))
    # More clusters than run at a time; tiles of one that are outside.
    for size in ((3, 1, 130, 257, 200), (1, 1, 385, 264, 72)):
        yield matmul_hopper_call(draw, size, LAYOUTS[1])
    for layout in (Layout(True, gap=8), Layout(False, True, heads=True)):
        yield matmul_hopper_call(draw, (2, 3, 33, 20, 40), layout, bias=True)


@row("matmul_hopper", dtypes=IN_16_BITS, what="finished", runs="matmul_hopper_runs")
def matmul_hopper_finished(draw: Draw) -> Iterator[Call]:
    for finish in (GELU, GELU_TANH, GELU_BACKWARD, GELU_TANH_BACKWARD, ADD):
        yield matmul_hopper_call(draw, (1, 1, 33, 20, 40), Layout(False, True), True, finish, True)


@row("matmul_hopper_columns", dtypes=IN_16_BITS, exact=True, runs="matmul_hopper_runs")
def matmul_hopper_columns(draw: Draw) -> Iterator[Call]:
    for size in ((0, 3, 4), (2, 0, 4), (1, 1, 1), (145, 70, 72), (385, 264, 72)):
        yield columns_call(draw, "matmul_hopper", size, NONE)


@row("matmul_hopper_columns", dtypes=IN_16_BITS, what="finished", runs="matmul_hopper_runs")
def matmul_hopper_columns_finished(draw: Draw) -> Iterator[Call]:
    for finish in (GELU_BACKWARD, GELU_TANH_BACKWARD):
        yield columns_call(draw, "matmul_hopper", (33, 20, 40), finish)


def matmul_hopper_call(draw: Draw, size: Any, *rest: Any, **named: Any) -> Call:
    """As matmul_tensor's, without a workspace."""
    call = matmul_tensor_call(draw, size, *rest, **named)
    return call[:6] + call[7:]


@row("matmul_tensor_wide", dtypes=IN_16_BITS, exact=True)
def matmul_tensor_wide(draw: Draw) -> Iterator[Call]:
    for size in ((0, 1, 2, 3, 4), (1, 2, 3, 5, 0), (2, 1, 65, 63, 40), (1, 1, 9, 36, 297)):
        for layout in LAYOUTS:
            (a, b), c = products(draw, size, layout)
            yield [
                Out(c, np.float32), a, b, sums_of_product(draw, size),
                *size, *layout.strides(a, b), layout.transpose_a, layout.transpose_b,
            ]  # fmt: skip
    size = (2, 1, 129, 257, 40)
    (a, b), c = products(draw, size, LAYOUTS[1])
    yield [Out(c, np.float32), a, b, None, *size, *LAYOUTS[1].strides(a, b), False, True]


@row("matmul_hopper_wide", dtypes=IN_16_BITS, exact=True, runs="matmul_hopper_runs")
def matmul_hopper_wide(draw: Draw) -> Iterator[Call]:
    sizes = [(0, 1, 2, 3, 4), (2, 1, 65, 63, 40), (1, 1, 129, 257, 8)]
    for size, layout in itertools.product(sizes, LAYOUTS[1:3]):
        (a, b), c = products(draw, size, layout)
        transposed = layout.transpose_a, layout.transpose_b
        yield [Out(c, np.float32), a, b, *size, *layout.strides(a, b), *transposed]


def with_gap(matrices: np.ndarray, gap: int) -> np.ndarray:
    return np.pad(matrices, ((0, 0), (0, 0), (0, gap)), constant_values=np.nan)


# ---- attention ----


@dataclass
class Heads:
    """Matrices of heads as they are stored: rows begin at multiples of 16 bytes, with NaN between
    them; ``beside``: a row of each head beside each other."""

    beside: bool = False

    def order(self, array: np.ndarray) -> np.ndarray:
        return array.swapaxes(1, 2) if self.beside else array

    def stored(self, array: np.ndarray) -> In:
        gap = -array.shape[-1] % (16 // array.itemsize)
        return In(
            np.pad(self.order(array), ((0, 0),) * 3 + ((0, gap),), constant_values=np.nan), 16
        )

    def strides(self, array: np.ndarray) -> list[int]:
        """Of batch, head and row, in elements, of what was stored."""
        own = [s // array.itemsize for s in np.ascontiguousarray(array).strides[:3]]
        return [own[0], own[2], own[1]] if self.beside else own


def attention_mask(draw: Draw, kind: str, scores: tuple[int, ...]) -> np.ndarray | None:
    if not kind:
        return None
    if kind == "numbers":
        mask = draw.normal(*scores)
        mask[:1, :1, :1] = -np.inf  # a query that looks at nothing
        return mask
    if kind == "a row":
        return np.where(draw.random.random(scores[-1]) < 0.7, 0, -np.inf).astype(draw.dtype)
    seen = draw.random.random((scores[1], *scores[2:])) < 0.7
    seen[0, :1] = False  # a query that looks at nothing
    return seen


def mask_strides(mask: np.ndarray | None) -> list[int]:
    if mask is None:
        return [0] * 4
    own = [
        s // mask.itemsize if n > 1 else 0 for s, n in zip(mask.strides, mask.shape, strict=True)
    ]
    return [0] * (4 - mask.ndim) + own


def attention_ends(q: np.ndarray, k: np.ndarray, mask: Any, scale: float, causal: bool) -> Any:
    """Of each row the largest score, times log2(e), and 1 / the sum of exp(score - that); zeros
    where it looks at nothing."""
    scores = wide(q) @ np.repeat(wide(k), q.shape[1] // max(k.shape[1], 1), 1).swapaxes(2, 3)
    scores *= scale
    if causal:
        mask = np.tri(*scores.shape[2:], dtype=bool)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + wide(mask)
    largest = scores.max(axis=3, keepdims=True, initial=-np.inf)
    largest[largest == -np.inf] = 0
    totals = np.exp(scores - largest).sum(axis=3)
    inverses = np.divide(1, totals, out=np.zeros_like(totals), where=totals > 0)
    return np.stack([largest[..., 0] / math.log(2), inverses], axis=-1)


@dataclass
class Attended:
    """(batch, heads, heads of k, rows, columns, dim), and how."""

    sizes: tuple[int, ...]
    causal: bool = False
    mask: str = ""
    p: float = 0.0
    beside: bool = False


ATTENDED = [
    # ends of tiles and of fragments, more than one of each, few heads and none
    *[
        Attended(sizes)
        for sizes in (
            (0, 1, 1, 3, 4, 8), (1, 0, 1, 3, 4, 8), (1, 1, 1, 0, 4, 8), (1, 1, 1, 1, 1, 1),
            (1, 1, 1, 63, 65, 64), (1, 1, 1, 129, 31, 17), (1, 2, 2, 16, 33, 65),
            (1, 1, 1, 65, 17, 128), (1, 1, 1, 5, 66, 129), (1, 1, 1, 34, 33, 256),
        )
    ],
    Attended((1, 1, 1, 66, 130, 16), causal=True),
    Attended((1, 1, 1, 130, 66, 16), causal=True),
    Attended((1, 2, 2, 33, 35, 72), causal=True, beside=True),
    Attended((2, 2, 2, 9, 10, 20), beside=True),
    Attended((2, 4, 2, 7, 33, 8)),
    Attended((1, 6, 2, 33, 17, 8), causal=True, beside=True),
    *[Attended((2, 2, 1, 17, 67, 8), mask=kind) for kind in ("seen", "a row", "numbers")],
    Attended((1, 2, 2, 9, 34, 130), mask="seen"),
    Attended((2, 2, 1, 17, 37, 8), p=0.3),
    Attended((1, 2, 2, 18, 34, 72), causal=True, p=0.3, beside=True),
    Attended((1, 1, 1, 9, 33, 8), mask="numbers", p=0.9),
]  # fmt: skip
SCALE = 0.3


def attended_arrays(draw: Draw, how: Attended) -> tuple[dict[str, Any], dict[str, Any]]:
    """q, k, v, mask, the gradient that arrives, and the numbers of the primitive."""
    batch, heads, kv_heads, rows, columns, dim = how.sizes
    mine, others = (batch, heads, rows, dim), (batch, kv_heads, columns, dim)
    arrays: dict[str, Any] = {
        name: draw.normal(*shape, scale=scale)
        for name, shape, scale in (
            ("q", mine, 8 / (8 + dim)), ("k", others, 1), ("v", others, 1), ("g", mine, 1)
        )
    }  # fmt: skip
    arrays["mask"] = attention_mask(draw, how.mask, (batch, heads, rows, columns))
    seed, offset = SEEDS[1]
    numbers = {"scale": SCALE, "causal": how.causal, "p": how.p, "seed": seed, "offset": offset}
    return arrays, numbers


def given_mask(mask: Any) -> list[In | None]:
    """As bools and as numbers, of which one at most is there."""
    if mask is None:
        return [None, None]
    return [In(mask.view(np.uint8)), None] if mask.dtype == bool else [None, In(mask)]


def begun(number: int, numbers: dict[str, Any]) -> tuple[In | None, list]:
    """Where a stream of random numbers begins, in every other call an array, and the numbers."""
    if number % 2 == 0:
        return None, [*numbers.values()]
    start = np.array([numbers["seed"], numbers["offset"]], np.uint64)
    return In(start), [*(numbers | {"seed": 3, "offset": 0}).values()]


@row("attention_forward", dtypes=BY_TENSOR_CORES, slack=2, cancels=1)
def attention_forward(draw: Draw) -> Iterator[Call]:
    for number, how in enumerate(ATTENDED):
        arrays, numbers = attended_arrays(draw, how)
        q, k, v, mask = (arrays[name] for name in ("q", "k", "v", "mask"))
        heads = Heads(how.beside)
        o = np.zeros(q.shape)
        if o.size:
            o, _ = reference("flash_attention", q, k, v, mask, **numbers)
        ends = attention_ends(q, k, mask, SCALE, how.causal)
        stored = [heads.stored(x) for x in (q, k, v)]
        start, given = begun(number, numbers)
        yield [
            Out(heads.order(o)), Out(ends, np.float32), *stored, *given_mask(mask), start,
            *how.sizes, *heads.strides(heads.order(o)),
            *(s for x in stored for s in heads.strides(x.array)), *mask_strides(mask), *given,
        ]  # fmt: skip


@row("attention_forward", dtypes=BY_TENSOR_CORES, exact=True, what="of one key each")
def attention_to_one_key(draw: Draw) -> Iterator[Call]:
    """Every query is a key, whose products with others are so much smaller that they count as 0."""
    for rows, columns, dim in ((130, 67, 24), (33, 129, 128), (17, 33, 200)):
        codes = (np.arange(columns)[:, None] >> np.arange(dim) % 8) % 2
        k = (16.0 - 32 * codes).astype(draw.dtype)[None, None]
        chosen = draw.random.integers(0, columns, rows)
        q, v = k[:, :, chosen], draw.integers(1, 1, columns, dim)
        ends = np.ones((rows, 2), np.float32)
        ends[:, 0] = np.float32(256 * dim) * np.float32(math.log2(math.e))
        stored = [Heads().stored(x) for x in (q, k, v)]
        yield [
            Out(wide(v[:, :, chosen])), Out(ends, np.float32), *stored, None, None, None,
            1, 1, 1, rows, columns, dim, 0, 0, dim,
            *(s for x in stored for s in (0, 0, x.array.shape[3])), 0, 0, 0, 0,
            1.0, False, 0.0, 0, 0,
        ]  # fmt: skip


@row("attention_forward", dtypes=BY_TENSOR_CORES, what="of no key")
def attention_to_no_key(draw: Draw) -> Iterator[Call]:
    """Of three queries one has products that are -infinity, one numbers that are: both look at
    nothing, whatever else is added."""
    q = np.array([-np.inf, 0, 1]).reshape(1, 1, 3, 1).astype(draw.dtype)
    k = v = np.ones((1, 1, 5, 1), draw.dtype)
    mask = np.array([[-1.0], [2.0], [-np.inf]]).repeat(5, 1).astype(draw.dtype)
    o, ends = np.array([[0], [1], [0]]), np.array([[0, 0], [2 * math.log2(math.e), 1 / 5], [0, 0]])
    stored = [Heads().stored(x) for x in (q, k, v)]
    yield [
        Out(o), Out(ends, np.float32), *stored, *given_mask(mask), None,
        1, 1, 1, 3, 5, 1, 0, 0, 1,
        *(s for x in stored for s in (0, 0, x.array.shape[3])), 0, 0, 5, 1,
        1.0, False, 0.0, 0, 0,
    ]  # fmt: skip


@row("attention_backward", dtypes=BY_TENSOR_CORES, slack=2, cancels=1)
def attention_backward(draw: Draw) -> Iterator[Call]:
    for number, how in enumerate(ATTENDED):
        arrays, numbers = attended_arrays(draw, how)
        q, k, v, mask, g = (arrays[name] for name in ("q", "k", "v", "mask", "g"))
        heads = Heads(how.beside)
        o, found = np.zeros(q.shape), [np.zeros(x.shape) for x in (q, k, v)]
        if o.size:
            o, _ = reference("flash_attention", q, k, v, mask, **numbers)
            needs = (True, True, True, False)
            given = (g, q, k, v, mask, o, None)
            *found, _ = reference("flash_attention_backward", *given, **numbers, needs=needs)
        o = o.astype(draw.dtype)
        ends = attention_ends(q, k, mask, SCALE, how.causal).astype(np.float32)
        made = [Out(heads.order(x)) for x in found]
        strides = [s for x in found for s in heads.strides(heads.order(x))]
        for i in range(3):  # sometimes nobody needs it
            if number % 4 == i + 1:
                made[i] = None
        stored = [heads.stored(x) for x in (g, o, q, k, v)]
        g_stored, o_stored, *others = stored
        start, options = begun(number, numbers)
        yield [
            *made, Scratch(ends.size // 2, np.float32), g_stored, o_stored, In(ends), *others,
            *given_mask(mask), start, *how.sizes, *strides,
            *(s for x in stored for s in heads.strides(x.array)), *mask_strides(mask), *options,
        ]  # fmt: skip


# ---- softmax and cross-entropy ----


def logits(draw: Draw, rows: int, cols: int) -> np.ndarray:
    """Among others large values, rows with some -inf, and one each of -inf only, +inf and NaN."""
    x = draw.normal(rows, cols, scale=4)
    for row_index, value in enumerate((-np.inf, np.inf, np.nan)):
        if rows > 6 and cols > 4:
            x[row_index, cols // 2] = value
    if rows > 6:
        x[4] = -np.inf
        x[5] *= 50
        x[6, ::2] = -np.inf
    return x


def softmax_rows(name: str) -> None:
    @row(f"{name}_forward")
    def forward(draw: Draw) -> Iterator[Call]:
        for rows, cols in staged_shapes(draw, 1):
            x = logits(draw, rows, cols)
            yield [Out(reference(name, x, axis=1)), In(x), rows, cols]

    @row(f"{name}_backward", slack=4)
    def backward(draw: Draw) -> Iterator[Call]:
        for rows, cols in staged_shapes(draw, 2):
            x, dy = draw.normal(rows, cols), draw.normal(rows, cols)
            if rows > 6:
                x[6, ::2] = -np.inf
            y = reference(name, x, axis=1).astype(draw.dtype)
            yield [Out(reference(f"{name}_backward", dy, y, axis=1)), In(dy), In(y), rows, cols]


softmax_rows("softmax")
softmax_rows("log_softmax")

IGNORED = -100


def class_targets(draw: Draw, rows: int, cols: int) -> np.ndarray:
    targets = draw.random.integers(0, cols, rows)
    targets[1::5] = IGNORED
    return targets.astype(np.int64)


@row("cross_entropy_forward", slack=4)
def cross_entropy_forward(draw: Draw) -> Iterator[Call]:
    for index, (rows, cols) in enumerate(staged_shapes(draw, 1)):
        x = draw.normal(rows, cols, scale=4)
        targets = class_targets(draw, rows, cols)
        for weight, smoothing in ((None, 0.0), (class_weights(draw, cols), 0.25)):
            yield cross_entropy_call(
                draw, x, targets, weight, smoothing, gradient=index % 4 < 3, mean=index % 2 == 0
            )
    for rows, cols in ((0, 5), (1000, 31), (5000, 2)):  # of what one block adds up the total
        x, targets = draw.normal(rows, cols), class_targets(draw, rows, cols)
        targets[2::7], targets[3::7] = cols, -1  # neither counted nor looked up
        for weight in (None, class_weights(draw, cols)):
            yield cross_entropy_call(draw, x, targets, weight, 0.0, gradient=False, mean=True)
    x, targets = draw.normal(9, 40), np.arange(9)
    weight = abs(draw.normal(40))
    weight[30] = np.inf  # of no target, and so of no consequence without smoothing
    yield cross_entropy_call(draw, x, targets, weight, 0.0, gradient=True, mean=False)
    x, targets = logits(draw, 12, 40), class_targets(draw, 12, 40)
    weight = class_weights(draw, 40)
    yield cross_entropy_call(draw, x, targets, None, 0.0, gradient=True, mean=True)
    for outside in (-1, 40, 2**62, -(2**62)):
        targets[7] = outside
        yield cross_entropy_call(draw, x, targets, weight, 0.5, gradient=True, mean=True)


def class_weights(draw: Draw, cols: int) -> np.ndarray:
    return (0.5 + abs(draw.random.standard_normal(cols))).astype(draw.dtype)


def cross_entropy_call(
    draw: Draw, x: np.ndarray, targets: np.ndarray, weight: np.ndarray | None,
    smoothing: float, *, gradient: bool, mean: bool,
) -> Call:  # fmt: skip
    rows, cols = x.shape
    w = np.ones(cols) if weight is None else wide(weight)
    valid = (targets >= 0) & (targets < cols)
    total = w[targets[valid]].sum(keepdims=True)
    loss, dlogits = np.zeros(rows), np.zeros((rows, cols))
    if valid.any():
        y, t = reference("log_softmax", x[valid], axis=1), targets[valid]
        chosen = np.arange(cols) == t[:, None]
        # the weight of each class's -log p in the loss of each row
        share = (1 - smoothing) * np.where(chosen, w[t][:, None], 0)
        share += smoothing / cols * w if smoothing else 0
        with np.errstate(invalid="ignore"):
            loss[valid] = -np.where(share > 0, share * y, 0).sum(axis=1)
            dlogits[valid] = share.sum(axis=1, keepdims=True) * np.exp(y) - share
    if mean and total:
        dlogits /= total
    return [
        Out(loss, draw.accumulator), Out(dlogits) if gradient else None,
        Out(total, draw.accumulator) if mean else None, In(x), In(targets),
        None if weight is None else In(weight), noted(targets[~valid & (targets != IGNORED)]),
        rows, cols, IGNORED, smoothing,
    ]  # fmt: skip


@row("target_weight")
def target_weight(draw: Draw) -> Iterator[Call]:
    for rows, cols in ((0, 5), (1, 1), (45, 5), (1025, 33), (2101, 7)):
        targets = class_targets(draw, rows, cols)
        for weight in (None, class_weights(draw, cols)):
            counts = targets[(targets >= 0) & (targets < cols) & (targets != IGNORED)]
            total = float(len(counts)) if weight is None else wide(weight)[counts].sum()
            given = None if weight is None else In(weight)
            yield [
                Out(np.array([total]), draw.accumulator), In(targets), given, rows, cols, IGNORED
            ]  # fmt: skip


@row("check_classes", dtypes=(None,), exact=True)
def check_classes(draw: Draw) -> Iterator[Call]:
    for n, classes in ((0, 3), (1, 1), (33, 7), (20011, 40), (3, 0)):
        for outside in ((), (-1,), (classes,), (2**62, IGNORED, -(2**62))):
            targets = draw.random.integers(0, max(classes, 1), n)
            targets[n // 2 :][: len(outside)] = outside[: n - n // 2]
            wrong = targets[((targets < 0) | (targets >= classes)) & (targets != IGNORED)]
            yield [In(targets), noted(wrong), n, classes, IGNORED]


@row("cross_entropy_backward", exact=True)
def cross_entropy_backward(draw: Draw) -> Iterator[Call]:
    for rows, cols in SHAPES:
        dlogits = draw.integers(rows, cols)
        for g in (draw.integers(rows), draw.integers(1)):
            yield [
                Out(wide(dlogits) * wide(g)[:, None]), In(dlogits),
                In(g.astype(draw.accumulator)), rows, cols, g.size,
            ]  # fmt: skip


# ---- norms ----


@row("layer_norm_forward", slack=2)
def layer_norm_forward(draw: Draw) -> Iterator[Call]:
    for index, (rows, cols) in enumerate(staged_shapes(draw, 1)):
        mean = 0.0 if index % 2 or draw.dtype.itemsize == 2 else 1e4
        x = draw.normal(rows, cols, mean=mean)
        weight = draw.normal(cols) if index % 3 else None
        bias = draw.normal(cols) if index % 4 else None
        y, m, rstd = reference("layer_norm", x.astype(np.longdouble), weight, bias, eps=EPS)
        yield [
            Out(y), Out(m, draw.accumulator), Out(rstd, draw.accumulator), In(x),
            None if weight is None else In(weight), None if bias is None else In(bias),
            rows, cols, EPS,
        ]  # fmt: skip


@row("rms_norm_forward", slack=2)
def rms_norm_forward(draw: Draw) -> Iterator[Call]:
    for index, (rows, cols) in enumerate(staged_shapes(draw, 1)):
        x = draw.normal(rows, cols)
        weight = draw.normal(cols) if index % 3 else None
        y, rstd = reference("rms_norm", x, weight, eps=EPS)
        yield [
            Out(y), Out(rstd, draw.accumulator), In(x), None if weight is None else In(weight),
            rows, cols, EPS,
        ]  # fmt: skip


EPS = 1e-5


def extreme_rows(draw: Draw, cols: int) -> np.ndarray:
    """Of squares that are too small or too large, by one number of either sign; zeros; infinity."""
    tiny, huge = (1e-160, 1e160) if draw.dtype.itemsize == 8 else (1e-22, 1e25)
    x = draw.normal(6, cols)
    x[0] *= tiny
    x[1] *= huge
    x[2:4, cols // 2] = huge, -huge
    x[4] = 0
    x[5, cols // 2] = np.inf
    return x


# The squares of float16 fit into float32.
WIDE_EXPONENTS = ("float32", "float64", "bfloat16")


@row("layer_norm_forward", dtypes=WIDE_EXPONENTS, slack=2, what="of extreme rows")
def layer_norm_of_extreme_rows(draw: Draw) -> Iterator[Call]:
    for cols in (33, 700):
        x = extreme_rows(draw, cols)[:-1]  # infinity has no distance from its mean
        with np.errstate(all="ignore"):
            y, m, rstd = reference("layer_norm", x.astype(np.longdouble), None, None, eps=0.0)
        made = Out(y), Out(m, draw.accumulator), Out(rstd, draw.accumulator)
        yield [*made, In(x), None, None, len(x), cols, 0.0]


@row("rms_norm_forward", dtypes=WIDE_EXPONENTS, slack=2, what="of extreme rows")
def rms_norm_of_extreme_rows(draw: Draw) -> Iterator[Call]:
    for cols in (33, 700):
        x = extreme_rows(draw, cols)
        with np.errstate(all="ignore"):
            y, rstd = reference("rms_norm", x.astype(np.longdouble), None, eps=0.0)
        yield [Out(y), Out(rstd, draw.accumulator), In(x), None, len(x), cols, 0.0]


def norm_backward(draw: Draw, name: str, affine: int) -> Iterator[Call]:
    """affine: how many parameters the norm has, 2 where it centres."""
    for index, (rows, cols) in enumerate(SHAPES):
        mean = 1e4 if index % 2 and affine == 2 and draw.dtype.itemsize > 2 else 0.0
        x, dy = draw.normal(rows, cols, mean=mean), draw.normal(rows, cols)
        weight = draw.normal(cols) if index % 3 else None
        needs = (True, index % 4 > 0, index % 5 > 0)[: affine + 1]
        exact = x.astype(np.longdouble)  # from large numbers float64 loses digits, too
        _, *kept = reference(name, exact, weight, *[None] * (affine - 1), eps=EPS)
        gradients = reference(f"{name}_backward", dy, exact, weight, *kept, needs=needs)
        lines = draw.library.norm_partials(rows, cols) * affine
        yield [
            *(None if g is None else Out(g) for g in gradients),
            Scratch(lines * cols, draw.accumulator), In(dy), In(x),
            None if weight is None else In(weight),
            *(In(array.astype(draw.accumulator)) for array in kept), rows, cols,
        ]  # fmt: skip


@row("layer_norm_backward", slack=4)
def layer_norm_backward(draw: Draw) -> Iterator[Call]:
    return norm_backward(draw, "layer_norm", 2)


@row("rms_norm_backward", slack=4)
def rms_norm_backward(draw: Draw) -> Iterator[Call]:
    return norm_backward(draw, "rms_norm", 1)


# ---- sums of columns, of squares; embedding ----


UP_TO_FLOAT32 = ("float32", "float16", "bfloat16")
TENSORS = ((0,), (7,), (0, 1, 0), (5000, 0, 4096, 9, 0), (*range(40), 20011), (3,) * 160)


@row("squares", dtypes=UP_TO_FLOAT32, exact=True)
def squares(draw: Draw) -> Iterator[Call]:
    blocks, chunk = draw.library.squares_sums(), 4096
    for sizes in TENSORS:
        sums, chunks = np.zeros(blocks), 0
        arrays = [draw.integers(n) for n in sizes]
        for x in arrays:
            for start in range(0, x.size, chunk):
                sums[chunks % blocks] += np.square(wide(x[start : start + chunk])).sum()
                chunks += 1
        yield [Out(sums, np.float64), Places([In(x) for x in arrays]), len(sizes)]


@row("root_of_sum", dtypes=(None,))
def root_of_sum(draw: Draw) -> Iterator[Call]:
    for n in (0, 1, 31, 257, 1000):
        sums = np.abs(np.random.default_rng(n).standard_normal(n)) * 1e40
        yield [Out(np.sqrt(sums.sum()), np.float32), In(sums), n]


@row("scale_to_norm", dtypes=UP_TO_FLOAT32)
def scale_to_norm(draw: Draw) -> Iterator[Call]:
    for sizes, (norm, most) in itertools.product(
        TENSORS, ((8.0, 2.0), (2.0, 8.0), (math.inf, 1.0), (math.nan, 1.0))
    ):
        factor = min(most / (norm + 1e-6), 1.0)
        arrays = [draw.normal(n) for n in sizes]
        changed = [Update(x, wide(x) * factor) for x in arrays]
        yield [In(np.array(norm, np.float32)), Places(changed), len(sizes), most]


@row("column_sum", exact=True)
def column_sum(draw: Draw) -> Iterator[Call]:
    for rows, cols in (
        (0, 3), (1, 1), (3, 0), (9, 31), (64, 33), (65, 129), (300, 70), (1000, 8), (129, 1400),
    ):  # fmt: skip
        x = draw.integers(rows, cols)
        partials = draw.library.column_sum_partials(rows, cols)
        counters = np.zeros(draw.library.column_sum_tiles(cols), np.uint32)
        yield [
            Out(reference("column_sum", x)), Scratch(partials * cols, draw.accumulator),
            Update(counters, counters), In(x), rows, cols,
        ]  # fmt: skip


@row("column_sum_rounded", dtypes=IN_16_BITS, exact=True)
def column_sum_rounded(draw: Draw) -> Iterator[Call]:
    for out, scratch, counters, x, *sizes in column_sum(draw):
        yield [out, scratch, counters, In(x.array.astype(np.float32)), *sizes]


# (indices, rows of the table, columns)
TABLES = (
    (0, 4, 5), (3, 5, 0), (1, 1, 1), (33, 7, 31), (100, 300, 8), (257, 40, 129), (1000, 3, 40),
    (40, 5, 600),
)  # fmt: skip


def noted(wrong: np.ndarray) -> Update:
    """``invalid`` of a launcher that meets these wrong indices: untouched if there are none."""
    before = np.array([-1, 0])
    after = [1, wrong.astype(np.uint64).max().astype(np.int64)] if wrong.size else before
    return Update(before, np.array(after))


@row("embedding_forward", exact=True)
def embedding_forward(draw: Draw) -> Iterator[Call]:
    for count, rows, cols in TABLES:
        weight = draw.normal(rows, cols)
        indices = draw.random.integers(0, rows, count)
        for outside in ((), (-1,), (rows,), (2**62,), (rows + 1, -9, -8, rows)):
            if count >= len(outside) > 0:
                indices[count // 2 : count // 2 + len(outside)] = outside[: count - count // 2]
            valid = (indices >= 0) & (indices < rows)
            y = np.where(valid[:, None], wide(weight)[np.where(valid, indices, 0)], 0)
            invalid = noted(indices[~valid])
            yield [Out(y), In(weight), In(indices), invalid, rows, cols, count]


@row("embedding_backward", exact=True)
def embedding_backward(draw: Draw) -> Iterator[Call]:
    uniform = (
        (rows, cols, draw.random.integers(0, max(rows, 1), count))
        for count, rows, cols in (*TABLES, (0, 0, 3))
    )
    # One id in nearly all places, as padding is; and words, of which number n comes up 1/n as often
    # as the first (Zipf's law).
    repeated = draw.random.permutation(np.repeat([0, 1, 3], [5, 65_536, 70]))
    words = np.exp(draw.random.random(3000) * math.log(300)).astype(np.int64) - 1
    for rows, cols, indices in (*uniform, (5, 2, repeated), (300, 9, words)):
        count = len(indices)
        dy = draw.integers(count, cols)
        order = np.argsort(indices, kind="stable")
        dweight = reference("embedding_backward", dy, indices, rows=rows, skip=None)
        lines = draw.library.embedding_partials(count, cols) * cols
        yield [
            Out(dweight), Scratch(lines, draw.accumulator), Scratch(rows, np.int64),
            Scratch(rows, np.int64), In(dy), In(order), In(indices[order]), count, cols, rows,
        ]  # fmt: skip


@row("sort_rows", dtypes=(None,), exact=True)
def sort_rows(draw: Draw) -> Iterator[Call]:
    # (Of 20,000 keys a block has more than one tile.)
    counts = ((0, 5), (1, 1), (33, 255), (5000, 256), (5000, 2), (4097, 70_000), (20_000, 300))
    for count, rows in counts:
        keys = draw.random.integers(0, rows, count)
        if count > 40:  # what is out of range comes last
            keys[::7] = draw.random.integers(-3, rows + 3, len(keys[::7]))
        clamped = np.where((keys >= 0) & (keys < rows), keys, rows)
        order = np.argsort(clamped, kind="stable")
        scratch = Scratch(draw.library.sort_scratch(count), np.int64)
        results = Out(order, np.int64), Out(clamped[order], np.int64)
        yield [*results, scratch, In(keys), count, rows]


# ---- random numbers ----


def philox_words(n: int, seed: int, offset: int) -> np.ndarray:
    """Philox4x32-10 on Python's whole numbers, as written in the paper."""
    words = []
    for block in range(-(-n // 4)):
        c = [block & 0xFFFFFFFF, block >> 32, offset & 0xFFFFFFFF, offset >> 32]
        key = [seed & 0xFFFFFFFF, seed >> 32]
        for _ in range(10):
            first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [
                (second >> 32) ^ c[1] ^ key[0], second & 0xFFFFFFFF,
                (first >> 32) ^ c[3] ^ key[1], first & 0xFFFFFFFF,
            ]  # fmt: skip
            key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
        words += c
    return np.array(words[:n], np.uint32)


SEEDS = ((0, 0), (2**63 + 12345, 2**40 + 7))


@row("philox", dtypes=(None,), exact=True)
def philox(draw: Draw) -> Iterator[Call]:
    for n, (seed, offset) in itertools.product(LENGTHS, SEEDS):
        words = Out(philox_words(n, seed, offset), np.uint32)
        yield [words, None, n, seed, offset]
        start = np.array([seed, max(offset - 7, 0)], np.uint64)
        yield [words, In(start), n, 99, min(offset, 7)]


@row("dropout")
def dropout(draw: Draw) -> Iterator[Call]:
    for n, p in itertools.product(LENGTHS, (0.0, 0.3, 0.999)):
        seed, offset = SEEDS[1]
        x = draw.normal(n)
        kept = (philox_words(n, seed, offset) >> 8) >= math.ceil(p * 2**24)
        y, start = Out(np.where(kept, wide(x) / (1 - p), 0)), In(np.array([seed, 5], np.uint64))
        yield [y, In(x), None, n, p, seed, offset]
        yield [y, In(x), start, n, p, 99, offset - 5]


# ---- optimizers ----


FLAGS = (False, True)
DECAYS = (0.0, 0.1)
COUNTS = (1, 7)  # RAdam divides by the root of v from the sixth step on
SGD: dict[str, Any] = dict(
    lr=0.1,
    momentum=0.9,
    dampening=0.25,
    weight_decay=DECAYS,
    nesterov=FLAGS,
    maximize=FLAGS,
    first_step=FLAGS,
)
RMSPROP: dict[str, Any] = dict(
    lr=0.05, alpha=0.9, eps=1e-3, weight_decay=DECAYS, momentum=0.5, maximize=FLAGS
)
ADAM: dict[str, Any] = dict(
    lr=0.05, beta1=0.9, beta2=0.99, eps=1e-3, weight_decay=DECAYS, maximize=FLAGS, step=COUNTS
)

# What states are made of, from normal numbers. A mean of squares is above the square of a mean.
ANY, POSITIVE, SMALL = np.positive, np.abs, np.tanh
BUFFER = np.copy  # 0 before the first step


def large(x: np.ndarray) -> np.ndarray:
    return abs(x) + x.dtype.type(1)


def sparse(x: np.ndarray) -> np.ndarray:
    return x * (x < 1)


def drawn_state(kind: Callable | None, draw: Draw, n: int, options: dict[str, Any]) -> Any:
    if kind is None:
        return None
    if kind is BUFFER and options["first_step"]:
        return np.zeros(n, draw.dtype)
    return kind(draw.normal(n))


STEPPED = (
    # launcher, step, its states, and its options: in a tuple, several for different tensors
    ("sgd_step", "sgd_step", (None,), dict(SGD, momentum=0.0, nesterov=False, first_step=True)),
    ("sgd_momentum_step", "sgd_step", (BUFFER,), SGD),
    (
        "asgd_step",
        "asgd_step",
        (ANY,),
        dict(lambd=0.1, weight_decay=DECAYS, maximize=FLAGS, eta=0.05, mu=(1.0, 0.25)),
    ),
    (
        "rprop_step",
        "rprop_step",
        (sparse, POSITIVE),
        dict(eta_minus=0.5, eta_plus=1.2, smallest=0.25, largest=1.5, maximize=FLAGS),
    ),
    (
        "lion_step",
        "lion_step",
        (ANY,),
        dict(lr=0.05, beta1=0.9, beta2=0.99, weight_decay=DECAYS, maximize=FLAGS),
    ),
    ("rmsprop_step", "rmsprop_step", (POSITIVE, None, None), dict(RMSPROP, momentum=0.0)),
    ("rmsprop_momentum_step", "rmsprop_step", (POSITIVE, ANY, None), RMSPROP),
    ("rmsprop_centered_step", "rmsprop_step", (large, None, SMALL), dict(RMSPROP, momentum=0.0)),
    ("rmsprop_centered_momentum_step", "rmsprop_step", (large, ANY, SMALL), RMSPROP),
    (
        "adagrad_step",
        "adagrad_step",
        (POSITIVE,),
        dict(lr=0.1, lr_decay=0.1, weight_decay=DECAYS, eps=1e-3, maximize=FLAGS, step=COUNTS),
    ),
    (
        "adadelta_step",
        "adadelta_step",
        (POSITIVE, POSITIVE),
        dict(lr=0.5, rho=0.9, eps=1e-3, weight_decay=DECAYS, maximize=FLAGS),
    ),
    ("adam_step", "adam_step", (ANY, POSITIVE, None), dict(ADAM, decoupled_weight_decay=FLAGS)),
    (
        "amsgrad_step",
        "adam_step",
        (ANY, POSITIVE, POSITIVE),
        dict(ADAM, decoupled_weight_decay=FLAGS),
    ),
    ("adamax_step", "adamax_step", (ANY, POSITIVE), ADAM),
    (
        "nadam_step",
        "nadam_step",
        (ANY, POSITIVE),
        dict(ADAM, decoupled_weight_decay=FLAGS, mu=0.5, mu_next=0.6, mu_product=0.25),
    ),
    ("radam_step", "radam_step", (ANY, POSITIVE), dict(ADAM, decoupled_weight_decay=FLAGS)),
    ("ademamix_step", "ademamix_step", (ANY, POSITIVE, ANY), dict(ADAM, beta3=0.999, alpha=2.0)),
    (
        "schedule_free_step",
        "schedule_free_step",
        (ANY, POSITIVE),
        dict({k: v for k, v in ADAM.items() if k != "lr"}, rate=0.05, part=0.25),
    ),
)


def step_table(
    draw: Draw,
    name: str,
    kinds: Sequence,
    options: dict[str, Any],
    lengths: Sequence[int],
    mastered: bool,
) -> list[Tensor]:
    """A tensor of each length, with one after the other combination of options. Of those with a
    master every third element was changed since the last step, and half have wide gradients."""
    several = {k: v if isinstance(v, tuple) else (v,) for k, v in options.items()}
    combinations = itertools.cycle(itertools.product(*several.values()))
    narrow = draw
    if mastered:
        draw = Draw(np.dtype("float32"), draw.library, draw.random)
    tensors = []
    for i, (n, values) in enumerate(zip(lengths, combinations, strict=False)):
        chosen = dict(zip(several, values, strict=True))
        wide_gradient = i % 3 == 1
        arrays = [draw.normal(n), (draw if wide_gradient else narrow).normal(n)]
        states = [drawn_state(kind, draw, n, chosen) for kind in kinds]
        master, copy = arrays[0], arrays[0].astype(narrow.dtype)
        if mastered:
            copy[::3] = narrow.normal(n)[::3]
            given = copy.astype(draw.dtype)
            arrays[0] = np.where(copy == master.astype(narrow.dtype), master, given)
        after = reference(name, *arrays, *states, **chosen)
        _, numbers = NUMBERS[name](*states, **chosen)
        arrays[0] = master
        changed = [
            Update(a, b) for a, b in zip((*arrays, *states), after, strict=True) if a is not None
        ]
        changed[1:2] = [In(arrays[1])]
        if mastered:
            changed[:2] = [Update(copy, after[0]), changed[1], changed[0]]
        tensors.append(Tensor(changed, numbers, (int(wide_gradient),) if mastered else ()))
    return tensors


def stepped(name: str, kinds: Sequence, options: dict[str, Any], mastered: bool) -> Callable:
    """The calls for one launcher: all lengths in one table, some of them empty; many short tensors,
    all in one chunk or in several; and no tensor."""

    def calls(draw: Draw) -> Iterator[Call]:
        for lengths, chunk in (
            ((0, *LENGTHS, 0, 0), 4096),
            ((20011,), 1024),
            ([*range(40), 0, *range(40)], 16),
        ):
            table = Table(step_table(draw, name, kinds, options, lengths, mastered), chunk)
            yield [table, len(table.tensors), table.chunks, chunk]
        yield [None, 0, 0, 4096]

    return calls


for _launcher, _name, _kinds, _options in STEPPED:
    row(_launcher, slack=4)(stepped(_name, _kinds, _options, False))
    row(f"master_{_launcher}", slack=4, dtypes=FLOATS[2:])(stepped(_name, _kinds, _options, True))

import elementwise_table  # noqa: E402, F401  adds its rows
import image_table  # noqa: E402, F401
import recurrence_table  # noqa: E402, F401
