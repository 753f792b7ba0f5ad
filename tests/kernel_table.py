"""The table behind test_kernels.py: one row per launcher.

A row is a generator that yields calls of its launcher. A call is the list of the launcher's
arguments, in order and without the stream: ``In`` arrays, which must not change, ``Out`` arrays
with the float64 values they must get, ``Update`` arrays that are both, ``Scratch``, numbers, and
None for a null pointer. References are plain float64 NumPy, computed from the inputs as rounded to
the dtype.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FLOATS = ("float32", "float64", "float16", "bfloat16")


def numpy_dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


@dataclass
class In:
    array: np.ndarray


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


Call = list[Any]


@dataclass
class Row:
    launcher: str
    calls: Callable[..., Iterator[Call]]
    dtypes: Sequence[str | None] = FLOATS
    exact: bool = False  # to the bit
    slack: float = 1.0  # times the usual tolerance


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


# Lengths around the sizes of packs, warps and blocks, and one that makes every block loop.
LENGTHS = (0, 1, 31, 33, 127, 129, 257, 1000, 20011)

# (rows, columns): teams of a warp with one pack a thread and with several, blocks, and rows that
# stay in memory; columns that divide into packs and that do not; more rows than teams.
SHAPES = (
    (0, 5), (1, 1), (45, 5), (3, 31), (40, 33), (35, 64), (5, 127), (4, 129), (37, 257), (3, 520),
    (4, 1000), (10, 1111), (9, 2104), (2, 3001), (9, 8808), (2, 9001),
)  # fmt: skip


# ---- activations ----

erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1.0) / (1 + np.exp(-np.abs(x)))


def gelu_tanh_parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = math.sqrt(2 / math.pi), 0.044715
    return np.tanh(a * (x + b * x**3)), a * (1 + 3 * b * x**2)


def gelu_tanh_gradient(x: np.ndarray) -> np.ndarray:
    t, inner = gelu_tanh_parts(x)
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * inner


def gelu_gradient(x: np.ndarray) -> np.ndarray:
    density = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + erf(x / math.sqrt(2))) + x * density


# name: (value, derivative in terms of what is saved, whether that is the result, parameters)
ACTIVATIONS: dict[str, tuple[Callable, Callable, bool, tuple[float, ...]]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda y: y > 0, True, ()),
    "leaky_relu": (
        lambda x, s: np.where(x > 0, x, s * x), lambda x, s: np.where(x > 0, 1, s), False, (0.125,),
    ),
    "elu": (
        lambda x, a: np.where(x > 0, x, a * np.expm1(x)),
        lambda x, a: np.where(x > 0, 1, a * np.exp(x)), False, (1.5,),
    ),
    "gelu": (lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))), gelu_gradient, False, ()),
    "gelu_tanh": (
        lambda x: 0.5 * x * (1 + gelu_tanh_parts(x)[0]), gelu_tanh_gradient, False, (),
    ),
    "silu": (
        lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))), False, (),
    ),
    "sigmoid": (sigmoid, lambda y: y * (1 - y), True, ()),
    "tanh": (np.tanh, lambda y: 1 - y**2, True, ()),
    "softplus": (
        lambda x, b, t: np.where(x * b > t, x, np.logaddexp(0, x * b) / b),
        lambda x, b, t: np.where(x * b > t, 1, sigmoid(x * b)), False, (2.0, 5.0),
    ),
}  # fmt: skip


def activation_rows(name: str) -> None:
    value, derivative, saves_result, parameters = ACTIVATIONS[name]

    @row(f"{name}_forward")
    def forward(draw: Draw) -> Iterator[Call]:
        for n in LENGTHS:
            x = draw.normal(n, scale=3)
            yield [Out(value(wide(x), *parameters)), In(x), n, *parameters]

    @row(f"{name}_backward")
    def backward(draw: Draw) -> Iterator[Call]:
        for n in LENGTHS:
            saved, dy = draw.normal(n, scale=3), draw.normal(n)
            if saves_result:
                saved = value(wide(saved)).astype(draw.dtype)
            dx = wide(dy) * derivative(wide(saved), *parameters)
            yield [Out(dx), In(dy), In(saved), n, *parameters]


for activation in ACTIVATIONS:
    activation_rows(activation)


def biased_rows(name: str) -> None:
    value, derivative, _, _ = ACTIVATIONS[name]

    @row(f"bias_{name}_forward")
    def forward(draw: Draw) -> Iterator[Call]:
        for rows, cols in (*SHAPES, (3, 0)):
            x, bias = draw.normal(rows, cols, scale=2), draw.normal(cols)
            yield [Out(value(wide(x) + wide(bias))), In(x), In(bias), rows, cols]

    @row(f"bias_{name}_backward")
    def backward(draw: Draw) -> Iterator[Call]:
        for rows, cols in (*SHAPES, (3, 0)):
            dy, x, bias = draw.normal(rows, cols), draw.normal(rows, cols), draw.normal(cols)
            dx = wide(dy) * derivative(wide(x) + wide(bias))
            yield [Out(dx), In(dy), In(x), In(bias), rows, cols]


for activation in ("gelu", "gelu_tanh"):
    biased_rows(activation)


# ---- matmul ----


@row("matmul", exact=True)
def matmul(draw: Draw) -> Iterator[Call]:
    # (batch, m, n, k); the last two use large tiles, and more tiles than blocks
    sizes = [
        (0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (2, 3, 4, 0), (1, 1, 1, 1), (1, 31, 33, 129),
        (3, 127, 5, 17), (2, 64, 64, 32), (1, 65, 129, 257), (11, 9, 7, 5), (9, 65, 66, 19),
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
        Out(c), In(stored[0]), In(stored[1]), None if shift is None else In(shift), batch, m, n, k,
        0 if broadcast_a else stored[0][0].size if batch else 0,
        0 if broadcast_b else stored[1][0].size if batch else 0,
        stored[0].shape[2], stored[1].shape[2], transpose_a, transpose_b,
    ]  # fmt: skip


def with_gap(matrices: np.ndarray, gap: int) -> np.ndarray:
    return np.pad(matrices, ((0, 0), (0, 0), (0, gap)), constant_values=np.nan)


# ---- softmax and cross-entropy ----


def exp_or_nan(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x - max x, and the logarithm of the sum of its exponentials, row by row."""
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = x - x.max(axis=1, keepdims=True)
        return distance, np.log(np.exp(distance).sum(axis=1, keepdims=True))


def log_softmax(x: np.ndarray) -> np.ndarray:
    distance, log_total = exp_or_nan(x)
    return distance - log_total


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


def softmax_rows(name: str, from_log: Callable) -> None:
    @row(f"{name}_forward")
    def forward(draw: Draw) -> Iterator[Call]:
        for rows, cols in SHAPES:
            x = logits(draw, rows, cols)
            expected = from_log(log_softmax(wide(x))) if rows else wide(x)
            yield [Out(expected), In(x), rows, cols]

    @row(f"{name}_backward", slack=4)
    def backward(draw: Draw) -> Iterator[Call]:
        for rows, cols in SHAPES:
            x, dy = draw.normal(rows, cols), draw.normal(rows, cols)
            if rows > 6:
                x[6, ::2] = -np.inf
            y = (from_log(log_softmax(wide(x))) if rows else x).astype(draw.dtype)
            g, saved = wide(dy), wide(y)
            if name == "softmax":
                dx = saved * (g - (g * saved).sum(axis=1, keepdims=True))
            else:
                dx = g - np.exp(saved) * g.sum(axis=1, keepdims=True)
            yield [Out(dx), In(dy), In(y), rows, cols]


softmax_rows("softmax", np.exp)
softmax_rows("log_softmax", lambda y: y)

IGNORED = -100


def class_targets(draw: Draw, rows: int, cols: int) -> np.ndarray:
    targets = draw.random.integers(0, cols, rows)
    targets[1::5] = IGNORED
    return targets.astype(np.int64)


@row("cross_entropy_total")
def cross_entropy_total(draw: Draw) -> Iterator[Call]:
    for rows, cols in ((0, 5), (1, 3), (33, 7), (1000, 31), (5000, 2)):
        targets = class_targets(draw, rows, cols)
        targets[2::7] = cols  # neither counted nor looked up
        targets[3::7] = -1
        weight = draw.normal(cols)
        counted = targets[(targets >= 0) & (targets < cols)]
        for weights in (None, weight):
            total = float(counted.size) if weights is None else wide(weight)[counted].sum()
            yield [
                Out(np.array([total]), draw.accumulator), In(targets),
                None if weights is None else In(weight), rows, cols, IGNORED,
            ]  # fmt: skip


@row("cross_entropy_forward", slack=4)
def cross_entropy_forward(draw: Draw) -> Iterator[Call]:
    for index, (rows, cols) in enumerate(SHAPES):
        x = draw.normal(rows, cols, scale=4)
        targets = class_targets(draw, rows, cols)
        for weight, smoothing in ((None, 0.0), (class_weights(draw, cols), 0.25)):
            yield cross_entropy_call(
                draw, x, targets, weight, smoothing, gradient=index % 4 < 3, mean=index % 2 == 0
            )
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
    total = np.array([7.0], draw.accumulator)
    loss, dlogits = np.zeros(rows), np.zeros((rows, cols))
    if valid.any():
        y, t = log_softmax(wide(x[valid])), targets[valid]
        chosen = np.arange(cols) == t[:, None]
        # the weight of each class's -log p in the loss of each row
        share = (1 - smoothing) * np.where(chosen, w[t][:, None], 0)
        share += smoothing / cols * w if smoothing else 0
        with np.errstate(invalid="ignore"):
            loss[valid] = -np.where(share > 0, share * y, 0).sum(axis=1)
            dlogits[valid] = share.sum(axis=1, keepdims=True) * np.exp(y) - share
    if mean:
        dlogits /= total
    return [
        Out(loss), Out(dlogits) if gradient else None,
        noted(targets[~valid & (targets != IGNORED)]), In(x), In(targets),
        None if weight is None else In(weight), In(total) if mean else None, rows, cols, IGNORED,
        smoothing,
    ]  # fmt: skip


@row("check_classes", dtypes=(None,), exact=True)
def check_classes(draw: Draw) -> Iterator[Call]:
    for n, classes in ((0, 3), (1, 1), (33, 7), (20011, 40), (3, 0)):
        for outside in ((), (-1,), (classes,), (2**62, IGNORED, -(2**62))):
            targets = draw.random.integers(0, max(classes, 1), n)
            targets[n // 2 :][: len(outside)] = outside[: n - n // 2]
            wrong = targets[((targets < 0) | (targets >= classes)) & (targets != IGNORED)]
            yield [noted(wrong), In(targets), n, classes, IGNORED]


@row("cross_entropy_backward", exact=True)
def cross_entropy_backward(draw: Draw) -> Iterator[Call]:
    for rows, cols in SHAPES:
        dlogits = draw.integers(rows, cols)
        for g, stride in ((draw.integers(rows), 1), (draw.integers(1), 0)):
            yield [
                Out(wide(dlogits) * wide(g)[:, None]), In(dlogits), In(g), stride, rows, cols,
            ]  # fmt: skip


# ---- norms ----


@row("layer_norm_forward", slack=2)
def layer_norm_forward(draw: Draw) -> Iterator[Call]:
    for index, (rows, cols) in enumerate(SHAPES):
        mean = 0.0 if index % 2 or draw.dtype.itemsize == 2 else 1e4
        x = draw.normal(rows, cols, mean=mean)
        weight = draw.normal(cols) if index % 3 else None
        bias = draw.normal(cols) if index % 4 else None
        m, rstd, h = normalised(x, centred=True)
        y = h * (1 if weight is None else wide(weight)) + (0 if bias is None else wide(bias))
        yield [
            Out(y), Out(m, draw.accumulator), Out(rstd, draw.accumulator), In(x),
            None if weight is None else In(weight), None if bias is None else In(bias),
            rows, cols, EPS,
        ]  # fmt: skip


@row("rms_norm_forward", slack=2)
def rms_norm_forward(draw: Draw) -> Iterator[Call]:
    for index, (rows, cols) in enumerate(SHAPES):
        x = draw.normal(rows, cols)
        weight = draw.normal(cols) if index % 3 else None
        _, rstd, h = normalised(x, centred=False)
        y = h * (1 if weight is None else wide(weight))
        yield [
            Out(y), Out(rstd, draw.accumulator), In(x), None if weight is None else In(weight),
            rows, cols, EPS,
        ]  # fmt: skip


EPS = 1e-5


def normalised(x: np.ndarray, centred: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    m = wide(x).mean(axis=1) if centred else np.zeros(len(x))
    d = wide(x) - m[:, None]
    if centred:
        d -= d.mean(axis=1, keepdims=True)  # what rounding left in the mean of large numbers
    rstd = 1 / np.sqrt((d**2).mean(axis=1) + EPS)
    return m, rstd, d * rstd[:, None]


def norm_backward(draw: Draw, centred: bool) -> Iterator[Call]:
    for index, (rows, cols) in enumerate(SHAPES):
        mean = 1e4 if index % 2 and centred and draw.dtype.itemsize > 2 else 0.0
        x, dy = draw.normal(rows, cols, mean=mean), draw.normal(rows, cols)
        weight = draw.normal(cols) if index % 3 else None
        m, rstd, h = normalised(x, centred)
        g = wide(dy) * (1 if weight is None else wide(weight))
        mean_g = g.mean(axis=1, keepdims=True) if centred else 0
        dx = (g - mean_g - h * (g * h).mean(axis=1, keepdims=True)) * rstd[:, None]
        dweight = Out((wide(dy) * h).sum(axis=0)) if index % 4 else None
        dbias = Out(wide(dy).sum(axis=0)) if index % 5 else None
        lines = draw.library.norm_partials(rows, cols) * (2 if centred else 1)
        yield [
            Out(dx), dweight, *([dbias] if centred else []),
            Scratch(lines * cols, draw.accumulator), In(dy), In(x),
            *([In(m.astype(draw.accumulator))] if centred else []),
            In(rstd.astype(draw.accumulator)), None if weight is None else In(weight), rows, cols,
        ]  # fmt: skip


@row("layer_norm_backward", slack=4)
def layer_norm_backward(draw: Draw) -> Iterator[Call]:
    return norm_backward(draw, centred=True)


@row("rms_norm_backward", slack=4)
def rms_norm_backward(draw: Draw) -> Iterator[Call]:
    return norm_backward(draw, centred=False)


# ---- column sum, embedding ----


@row("column_sum", exact=True)
def column_sum(draw: Draw) -> Iterator[Call]:
    for rows, cols in (
        (0, 3), (1, 1), (3, 0), (9, 31), (64, 33), (65, 129), (300, 70), (1000, 8), (129, 1400),
    ):  # fmt: skip
        x = draw.integers(rows, cols)
        partials = draw.library.column_sum_partials(rows, cols)
        yield [
            Out(wide(x).sum(axis=0)), Scratch(partials * cols, draw.accumulator), In(x), rows, cols,
        ]  # fmt: skip


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
            yield [Out(y), invalid, In(weight), In(indices), count, rows, cols]


@row("embedding_backward", exact=True)
def embedding_backward(draw: Draw) -> Iterator[Call]:
    for count, rows, cols in (*TABLES, (0, 0, 3)):
        dy = draw.integers(count, cols)
        indices = draw.random.integers(0, max(rows, 1), count)
        order = np.argsort(indices, kind="stable")
        dweight = np.zeros((rows, cols))
        np.add.at(dweight, indices, wide(dy))
        yield [Out(dweight), In(dy), In(order), In(indices[order]), count, rows, cols]


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
        yield [Out(philox_words(n, seed, offset), np.uint32), n, seed, offset]


@row("dropout")
def dropout(draw: Draw) -> Iterator[Call]:
    for n, p in itertools.product(LENGTHS, (0.0, 0.3, 0.999)):
        seed, offset = SEEDS[1]
        x = draw.normal(n)
        kept = (philox_words(n, seed, offset) >> 8) >= math.ceil(p * 2**24)
        yield [Out(np.where(kept, wide(x) / (1 - p), 0)), In(x), n, p, seed, offset]


# ---- optimizers ----


@row("sgd_step", slack=2)
def sgd_step(draw: Draw) -> Iterator[Call]:
    lr, momentum, dampening = 0.1, 0.9, 0.25
    for n, (nesterov, maximize, first, decay) in zip(
        itertools.cycle(LENGTHS),
        itertools.product((False, True), (False, True), (False, True), (0.0, 0.01)),
    ):
        for buffered in (False, True):
            param, grad, buffer = draw.normal(n), draw.normal(n), draw.normal(n)
            g = (-wide(grad) if maximize else wide(grad)) + decay * wide(param)
            velocity = g if first else momentum * wide(buffer) + (1 - dampening) * g
            step = (g + momentum * velocity if nesterov else velocity) if buffered else g
            yield [
                Update(param, wide(param) - lr * step), In(grad),
                Update(buffer, velocity) if buffered else None,
                n, lr, momentum, dampening, decay, nesterov, maximize, first,
            ]  # fmt: skip


@row("adam_step", slack=4)
def adam_step(draw: Draw) -> Iterator[Call]:
    lr, b1, b2, eps = 0.05, 0.9, 0.99, 1e-3
    for n, (amsgrad, decoupled, maximize, decay, step) in zip(
        itertools.cycle(LENGTHS),
        itertools.product((False, True), (False, True), (False, True), (0.0, 0.1), (1, 7)),
    ):
        param, grad, m = draw.normal(n), draw.normal(n), draw.normal(n)
        v, v_max = abs(draw.normal(n)), abs(draw.normal(n))
        p, g = wide(param), -wide(grad) if maximize else wide(grad)
        if decoupled:
            p = p * (1 - lr * decay)
        else:
            g = g + decay * p
        new_m, new_v = b1 * wide(m) + (1 - b1) * g, b2 * wide(v) + (1 - b2) * g**2
        new_max = np.maximum(wide(v_max), new_v)
        deviation = np.sqrt(new_max if amsgrad else new_v) / math.sqrt(1 - b2**step) + eps
        yield [
            Update(param, p - lr / (1 - b1**step) * new_m / deviation), In(grad),
            Update(m, new_m), Update(v, new_v), Update(v_max, new_max) if amsgrad else None,
            n, lr, b1, b2, eps, decay, decoupled, maximize, step,
        ]  # fmt: skip
