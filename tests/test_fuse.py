"""``tapegrad.fuse``: functions of tensors as one kernel forward and one back."""

from __future__ import annotations

import gc
import math
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import _build
from tapegrad.core import commit, devices, native
from tapegrad.core.tensor import wrap
from tapegrad.fusion import CannotFuse, fused, run
from tapegrad.fusion.axes import INPUT, Axis
from tapegrad.fusion.groups import MOST_STEPS
from tapegrad.fusion.kernel import make_kernel
from tapegrad.fusion.launches import write_launch
from tapegrad.fusion.loops import write_loop
from tapegrad.fusion.plans import new_input
from tapegrad.fusion.traced import Traced
from tapegrad.fusion.tracing import TracingDevice

compiles = pytest.mark.skipif(
    native.compiled is None or _build.find_cxx() is None,
    reason=f"loops: {native.status}, a C++ compiler: {_build.find_cxx()}",
)


class Row(NamedTuple):
    name: str
    function: Callable
    shapes: tuple[tuple[int, ...], ...]
    devices: str = "cpu"


def twice(x: Any, b: Any) -> Any:
    y = x * 2
    y.add_(b).mul_(x)
    y += 3
    return y.relu_()


def rms_norm(x: Any, weight: Any) -> Any:
    return x * (x * x).mean(-1, keepdim=True).add(1e-5).rsqrt() * weight


BOTH = "cpu emulated"
ROWS = [
    Row("swiglu", lambda a, b: F.silu(a) * b, ((7, 33), (7, 33)), BOTH),
    Row("bias", lambda x, b: F.gelu(x + b), ((5, 4, 30), (30,))),
    Row("softmax", lambda x: F.softmax(x, -1), ((6, 1030),)),
    Row("rms norm", rms_norm, ((6, 70), (70,)), BOTH),
    Row("log softmax", lambda x: F.log_softmax(x * 2, -1), ((3, 4, 20),)),
    Row(
        "layer norm",
        lambda x, r, w, b: F.layer_norm(x + r, (40,), w, b),
        ((2, 3, 40), (2, 3, 40), (40,), (40,)),
    ),
    Row("many inputs", lambda *x: sum(x[1:], x[0] * 2), ((4, 9),) * 12, BOTH),
    Row("several", lambda x, y: (F.silu(x) * y, x + 1, y.mean(-1)), ((4, 9), (4, 9))),
    Row("totals", lambda x, y: ((x * y).sum(), x.amax(-1)), ((4, 9), (4, 9))),
    Row("first dimension", lambda x, y: (x * y).sum(0), ((4, 9), (4, 9))),
    Row("transposed", lambda x: x.t() * 2 + x.t().sum(-1, keepdim=True), ((8, 5),), BOTH),
    Row("middle", lambda x, m: x * m - x.mean(1, keepdim=True), ((3, 4, 5), (3, 1, 5))),
    Row("outer", lambda a, b: (a * b).tanh(), ((6, 1), (1, 7))),
    Row("reshaped", lambda x, b: (x.reshape(6, -1) + b).reshape(2, 3, 4, 5), ((2, 3, 4, 5), (20,))),
    Row("scalar", lambda x, s: x * s.exp(), ((4, 5), ())),
    Row("0-d", lambda x: x.sigmoid() * 2, ((),)),
    Row("in place", twice, ((4, 5), (5,))),
    Row("itself", lambda x: x, ((4, 5),)),
    Row("a constant", lambda x: x * 0 + math.pi, ((4, 5),)),
    Row("large", lambda x: (x.exp() + 1).log() * x, ((3, 50_000),)),
    Row("choices", lambda x, y: tg.where((x > 0) & (y < 1), x, y.abs()), ((9, 9), (9, 9))),
    Row("logsumexp", lambda x: tg.logsumexp(x, -1), ((4, 600),)),
]
NARROW = ("swiglu", "softmax", "rms norm", "choices")
CALLS = [
    pytest.param(row, device, id=f"{row.name}-{device}")
    for row in ROWS
    for device in row.devices.split()
]


def tensors(shapes: Any, device: str = "cpu", dtype: Any = tg.float32) -> list:
    random = np.random.default_rng(3)
    made = [tg.tensor(random.standard_normal(shape), dtype=tg.float64) for shape in shapes]
    return [t.to(device, dtype).requires_grad_(True) for t in made]


def results(function: Callable, given: list) -> list[np.ndarray]:
    """What a function returns, and the gradients of its inputs, weighted by chance."""
    made = function(*given)
    listed = made if isinstance(made, tuple) else (made,)
    random = np.random.default_rng(4)
    weights = [random.standard_normal(tuple(y.shape)) for y in listed]
    total = sum(
        (y * tg.tensor(w).to(y.device, y.dtype)).sum() for y, w in zip(listed, weights, strict=True)
    )
    total.backward()
    return [t.detach().cpu().numpy() for t in (*listed, *(t.grad for t in given))]


@compiles
@pytest.mark.parametrize(("row", "device"), CALLS)
def test_values_and_gradients_are_those_of_the_function(row: Row, device: str) -> None:
    exact = results(row.function, tensors(row.shapes, dtype=tg.float64))
    plain = results(row.function, tensors(row.shapes, device))
    made = results(tg.fuse(row.function), tensors(row.shapes, device))
    for right, body, found in zip(exact, plain, made, strict=True):
        assert found.shape == right.shape
        assert found.dtype == body.dtype
        scale = np.abs(right).max() * 2.0**-24
        error, allowed = np.abs(found - right).max(), np.abs(body - right).max()
        assert error <= 2 * allowed + 4 * scale, (error / scale, allowed / scale)


@compiles
@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16])
@pytest.mark.parametrize("row", [r for r in ROWS if r.name in NARROW], ids=lambda row: row.name)
def test_floats_of_16_bits(row: Row, dtype: Any) -> None:
    """Each step is rounded where the body's is, so that only float32's own errors can differ."""
    plain = results(row.function, tensors(row.shapes, dtype=dtype))
    made = results(tg.fuse(row.function), tensors(row.shapes, dtype=dtype))
    for body, found in zip(plain, made, strict=True):
        assert found.dtype == body.dtype
        digits = 2.0**-10 if dtype == tg.float16 else 2.0**-7
        body, found = body.astype(np.float32), found.astype(np.float32)
        assert np.abs(found - body).max() <= 2 * digits * np.abs(body).max()


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    distances = x - x.mean(-1, keepdim=True)
    variance = (distances * distances).mean(-1, keepdim=True)
    return distances * (variance + 1e-5).rsqrt() * weight + bias


def cross_entropy(x: Any, target: Any) -> Any:
    return -(F.log_softmax(x, -1) * target).sum(-1).mean()


ROW, WEIGHT = (6, 70), (70,)
# function, shapes, and what is left behind the one kernel forward, and behind that backward
ROW_KERNELS = [
    (lambda x: x.sum(-1), [ROW], (), ()),
    (lambda x: (x * x).mean(-1), [ROW], (), ()),
    (lambda x: x.amax(-1), [ROW], (), ()),
    (lambda x: x.logsumexp(-1), [ROW], (), ()),
    (lambda x: x / x.norm(dim=-1, keepdim=True), [ROW], (), ()),
    (lambda x: (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True), [ROW], (), ()),
    (lambda x: F.softmax(x * 0.3, -1), [ROW], (), ()),
    (lambda x: F.log_softmax(x, -1), [ROW], (), ()),
    (lambda x, m: F.softmax(x.masked_fill(m > 0, -9) + m, -1), [(2, 5, 70), (5, 70)], (), ("sum",)),
    (rms_norm, [ROW, WEIGHT], (), ("sum",)),
    (lambda x, w: F.rms_norm(x, (70,), w), [ROW, WEIGHT], (), ("sum",)),
    (layer_norm, [ROW, WEIGHT, WEIGHT], (), ("sum", "sum")),
    (lambda x, w, b: F.layer_norm(x, (70,), w, b), [ROW, WEIGHT, WEIGHT], (), ("sum", "sum")),
    (cross_entropy, [ROW, ROW], ("sum", "negative", "divide"), ()),
]


@compiles
@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize(("function", "shapes", "ahead", "back"), ROW_KERNELS)
def test_reductions_over_the_last_dimension_are_within_one_kernel(
    function: Callable, shapes: list, ahead: tuple, back: tuple, device: str
) -> None:
    given = tensors(shapes, device)
    found = tg.fuse(function)
    plan, numbers = found.plan(tuple(given), {})
    backward = plan.backward_for([True] * len(given), [True], numbers)
    for computation, behind in ((plan.forward, ahead), (backward, back)):
        assert len(computation.kernels) == 1
        assert sorted(s.op for s in computation.behind if s.op != "view") == sorted(behind)
    if device == "cpu":  # (the others are compiled in tests of their values)
        right = results(function, tensors(shapes, dtype=tg.float64))
        made = results(found, given)
        for exact, values in zip(right, made, strict=True):
            np.testing.assert_allclose(values, exact, rtol=1e-4, atol=1e-5)


@compiles
def test_gradients_of_gradients() -> None:
    given = tensors([(3, 4), (4,)], dtype=tg.float64)
    f = tg.fuse(lambda x, b: F.softmax(F.silu(x) + b, -1))
    assert tg.autograd.gradcheck(f, given)
    assert tg.autograd.gradgradcheck(f, given)


FUNCTIONS = {
    "exp": tg.exp,
    "expm1": tg.expm1,
    "log": tg.log,
    "log1p": tg.log1p,
    "log2": tg.log2,
    "sqrt": tg.sqrt,
    "rsqrt": tg.rsqrt,
    "tanh": tg.tanh,
    "sigmoid": tg.sigmoid,
    "erf": tg.erf,
    "sin": tg.sin,
    "atan": tg.atan,
    "sinh": tg.sinh,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "elu": F.elu,
    "softplus": F.softplus,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "logsigmoid": F.logsigmoid,
    "abs": tg.abs,
    "neg": tg.neg,
    "sign": tg.sign,
    "floor": tg.floor,
    "round": tg.round,
    "square": tg.square,
    "reciprocal": tg.reciprocal,
    "cube": lambda x: x**3,
    "power": lambda x: x**2.5,
    "remainder": lambda x: x % 2,
    "fmod": lambda x: tg.fmod(x, 2),
    "exp2": tg.exp2,
    "log10": tg.log10,
    "tan": tg.tan,
    "asin": tg.asin,
    "asinh": tg.asinh,
    "clamp": lambda x: x.clamp(-1, 1),
    "signbit": tg.signbit,
    "isnan": tg.isnan,
    "isfinite": tg.isfinite,
    "isinf": tg.isinf,
    "positive": lambda x: x > 0,
    "not": lambda x: ~(x >= 0),
    "whole": lambda x: x.clamp(-9, 9).nan_to_num().long() * 3,
    "wide": lambda x: x.double() / 3,
}
ENDS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    math.inf,
    -math.inf,
    math.nan,
    3e38,
    -3e38,
    1e-40,
    -1e-40,
    88.5,
    -104.0,
]


@compiles
def test_functions_of_one_element_at_the_ends_of_the_range_and_between() -> None:
    random = np.random.default_rng(5)
    values = [*ENDS, *random.standard_normal(500), *(random.standard_normal(500) * 20)]
    x = tg.tensor(values, dtype=tg.float32)
    every = tg.fuse(lambda x: tuple(f(x) for f in FUNCTIONS.values()))
    for (name, function), found in zip(FUNCTIONS.items(), every(x), strict=True):
        body = function(x)
        assert found.dtype == body.dtype, name
        ours, plain = found.numpy(), body.numpy()
        if plain.dtype.kind != "f":
            np.testing.assert_array_equal(ours, plain, err_msg=name)
            continue
        right = function(x.double()).numpy()
        with np.errstate(over="ignore"):
            right = right.astype(plain.dtype)
        whole = np.isfinite(right) & np.isfinite(plain)
        np.testing.assert_array_equal(ours[~whole], plain[~whole], err_msg=name)
        zero = whole & (plain == 0)
        if name in ("expm1", "log1p", "remainder"):
            signs = np.signbit(plain[zero])
            np.testing.assert_array_equal(np.signbit(ours[zero]), signs, err_msg=name)
        ulp = np.spacing(np.maximum(np.abs(right[whole]), np.finfo(plain.dtype).tiny))
        error = np.abs(ours[whole].astype(float) - right[whole]) / ulp
        allowed = np.abs(plain[whole].astype(float) - right[whole]) / ulp
        assert error.max() <= max(2.5, allowed.max()), (name, error.max(), allowed.max())


def matmul(x: Any) -> Any:
    y = x.exp()
    return y @ x


def decide(x: Any) -> Any:
    if x.sum() > 0:
        return x
    return -x


OUTSIDE = tg.ones(3, 3)


def change_viewed(x: Any) -> Any:
    y = x + 1
    seen = y.t()
    y.mul_(2)
    return seen * 1


def change_view(x: Any) -> Any:
    y = x + 1
    y.view(-1).add_(1)
    return y


REFUSED = [
    (matmul, "matmul", "return y @ x"),
    (decide, "the value of a tensor", "if x.sum() > 0:"),
    (lambda x: x * OUTSIDE, "no argument", "x * OUTSIDE"),
    (change_viewed, "a tensor with views, or of a view", "y.mul_(2)"),
    (change_view, "a tensor with views, or of a view", "y.view(-1).add_(1)"),
    (lambda x: x + tg.rand(3, device=x.device), "one kernel: uniform;", "tg.rand"),
    (lambda x: x[0], "indexing", "x[0]"),
    (lambda x: x.sort()[0], "argsort", "x.sort()"),
    (lambda x: tg.cat([x, x]), "concatenate", "tg.cat"),
    (lambda x: F.dropout(x, 0.5), "one kernel: dropout;", "F.dropout"),
    (lambda x: x.cumsum(0), "cumsum", "x.cumsum"),
    (lambda x: 3, "must return tensors", ""),
    (lambda x: [x, "y"], "got str", ""),
    (lambda x: None, "got NoneType", ""),
    (lambda x: [], "must return a tensor", ""),
    (lambda x: x.sum(0) * x, "", ""),
]


@compiles
@pytest.mark.parametrize(("function", "words", "line"), REFUSED)
def test_what_cannot_be_fused_is_named_with_its_line(
    function: Callable, words: str, line: str
) -> None:
    x = tg.ones(3, 3)
    if not words:  # the columns are those that a reduction within goes over
        np.testing.assert_array_equal(tg.fuse(function)(x).numpy(), function(x).numpy())
        return
    with pytest.raises(CannotFuse, match=r"\[fuse\]") as raised:
        tg.fuse(function)(x)
    assert words in str(raised.value)
    assert line in str(raised.value)
    np.testing.assert_array_equal(x.numpy(), np.ones((3, 3)))


def test_errors_of_the_function_are_its_own() -> None:
    f = tg.fuse(lambda x, y: x + y)
    with pytest.raises(RuntimeError, match="do not broadcast"):
        f(tg.ones(3), tg.ones(4))
    with pytest.raises(RuntimeError, match="one device"):
        f(tg.ones(3), tg.ones(3, device="emulated"))
    with pytest.raises(TypeError, match="hashable"):
        f(tg.ones(3), bytearray(1))
    with pytest.raises(TypeError, match="expects a function"):
        tg.fuse(3)


@compiles
def test_other_shapes_and_numbers_do_not_compile_again(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = set()
    address_of = run.address_of

    def noted(text: str) -> int:
        texts.add(text)
        return address_of(text)

    monkeypatch.setattr(run, "address_of", noted)
    f = tg.fuse(lambda x, rate: (x * rate).mean(-1, keepdim=True) * x)
    for rows, columns, rate in ((3, 40, 0.3), (5, 70, 0.7), (2, 1000, 0.11)):
        x = tg.randn(rows, columns)
        expected = (x * rate).mean(-1, keepdim=True) * x
        np.testing.assert_allclose(f(x, rate).numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert len(texts) == 1


@compiles
def test_the_work_for_a_long_chain_grows_with_its_length() -> None:
    """Loops of some length at most, numbers that are told once, lines by the number of steps."""
    lines = []
    for count in (100, 400, 1600):
        x = Traced(INPUT, (), np.float32, ((Axis(1000),),))
        y = x
        for i in range(count):
            y = y * 1.01 + (i + 0.3)
        kernel, _, _ = make_kernel([y.step], [x.step])
        text = write_loop(kernel).text
        loops = text.split("#pragma GCC ivdep")
        assert max(len(re.findall(r"const float v\d+", loop)) for loop in loops) <= MOST_STEPS + 2
        assert max(len(re.findall(r"= numbers\[", loop)) for loop in loops) <= MOST_STEPS
        assert len(write_loop(kernel).numbers) == count + 1  # 1.01 once
        lines.append(text.count("\n") / count)
    assert max(lines) < 1.2 * min(lines)


@compiles
@pytest.mark.parametrize("function", [tg.sin, tg.cos])
def test_sines_of_all_sizes(function: Any) -> None:
    """Within 1.6 units in the last place, as NumPy's are within 1.5."""
    random = np.random.default_rng(2)
    sizes = np.exp(random.uniform(np.log(1e-38), np.log(3e38), 200_000))
    turns = random.integers(-(2**19), 2**19, 200_000) * (math.pi / 2)
    values = np.concatenate([sizes, -sizes, turns, [0.0, 2.0**20, -(2.0**20)]]).astype(np.float32)
    fused = tg.fuse(lambda x: (function(x), x * 1))
    right = function(tg.tensor(values.astype(np.float64))).numpy()
    found = fused(tg.tensor(values))[0].numpy()
    error = np.abs(found - right) / np.spacing(np.abs(right.astype(np.float32)))
    assert error.max() < 1.6, (error.max(), values[error.argmax()])
    ends = tg.tensor([-0.0, math.inf, -math.inf, math.nan] * 9)
    np.testing.assert_array_equal(fused(ends)[0].numpy(), function(ends).numpy())
    assert math.copysign(1, tg.fuse(tg.sin)(tg.tensor([-0.0])).item()) == -1
    one = tg.fuse(lambda x, y: function(x) + y)(tg.tensor([0.5]), tg.zeros(3, 5))
    np.testing.assert_allclose(one.numpy(), np.full((3, 5), function(tg.tensor(0.5)).item()), 1e-6)


@compiles
def test_fused_functions_that_are_dropped_are_forgotten() -> None:
    def once() -> Any:
        def body(x: Any) -> Any:
            return x * 2 + 1

        f = tg.fuse(body)
        x = tg.ones(3, requires_grad=True)
        f(x).sum().backward()
        return ref(body), ref(f)

    once()
    gc.collect()
    before = len(commit._locks), len(devices.bodies), len(devices._implementations)
    references = [r for _ in range(5) for r in once()]
    gc.collect()
    assert [r() for r in references] == [None] * 10
    assert (len(commit._locks), len(devices.bodies), len(devices._implementations)) == before


@compiles
def test_what_is_remembered_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "MOST_PLANS", 3)
    f = tg.fuse(lambda x, k: x * len(k))
    for k in range(9):
        assert f(tg.ones(2), "k" * k).tolist() == [k, k]
    assert sum(map(len, f._plans.values())) == 3


@compiles
def test_inputs_may_lie_anyhow() -> None:
    f = tg.fuse(lambda x, y: x * 2 + y)
    x, y = tg.randn(6, 5), tg.randn(5, 6)
    for a, b in ((x, y.t()), (x.t(), y), (x[:, ::2], y.t()[:, ::2]), (x, tg.randn(5).expand(6, 5))):
        np.testing.assert_array_equal(f(a, b).numpy(), (a * 2 + b).numpy())
    assert f(tg.ones(0, 5), tg.ones(0, 5)).shape == (0, 5)
    assert f(tg.arange(5), tg.ones(5)).dtype == tg.float32
    assert f(tg.arange(5), tg.arange(5)).tolist() == [0, 3, 6, 9, 12]


@compiles
def test_a_result_shares_no_memory_with_an_input() -> None:
    x = tg.ones(3)
    y, z = tg.fuse(lambda x: (x, x * 1))(x)
    y.add_(1)
    assert x.tolist() == [1, 1, 1]
    assert z.tolist() == [1, 1, 1]


@compiles
def test_gradients_only_where_they_are_wanted() -> None:
    f = tg.fuse(lambda a, b, c: (a * b, c + 0))
    a, b, c = tg.ones(3, requires_grad=True), tg.ones(3), tg.ones(3, requires_grad=True)
    y, _ = f(a, b, c)
    y.sum().backward()
    assert a.grad.tolist() == [1, 1, 1]
    assert b.grad is None
    assert c.grad is None or not c.grad.any()
    assert tg.autograd.grad(f(a, b, c)[1].sum(), a, allow_unused=True) == (None,)
    with tg.no_grad():
        assert not f(a, b, c)[0].requires_grad


@compiles
def test_parameters_are_tensors_like_others() -> None:
    calls = []

    @tg.fuse
    def scaled(x: Any, weight: Any) -> Any:
        calls.append(weight)
        return x.tanh() * weight

    x, weight = tg.randn(3, 4), tg.nn.Parameter(tg.ones(4))
    scaled(x, weight).sum().backward()
    seen = len(calls)
    scaled(x, weight).sum().backward()
    assert len(calls) == seen
    np.testing.assert_allclose(
        weight.grad.numpy(), 2 * x.tanh().sum(0).numpy(), rtol=1e-6, atol=1e-6
    )


@compiles
def test_results_have_a_history_where_those_of_the_function_have_one() -> None:
    def several(x: Any, y: Any) -> list:
        return [x * x, y.exp(), (x * 2).detach(), (x * 3).long(), x > 0]

    x, y = tg.ones(3, requires_grad=True), tg.ones(3)
    found, plain = tg.fuse(several)(x, y), several(x, y)
    assert type(found) is list
    assert [t.requires_grad for t in found] == [t.requires_grad for t in plain]
    for results in (found, plain):
        total = results[0].sum() + results[1].sum()
        (first,) = tg.autograd.grad(total, x, create_graph=True)
        assert tg.autograd.grad(first.sum(), x)[0].tolist() == [2, 2, 2]


@compiles
def test_equal_numbers_of_another_type_or_sign_are_others() -> None:
    scale = tg.fuse(lambda x, by: x * by[0])
    x = tg.tensor([1, 2])
    for by in (2, 2.0, True):
        assert scale(x, (by,)).dtype == (x * by).dtype
    divide = tg.fuse(lambda x, y: x / (x * y))
    for zero in (0.0, -0.0, np.float64(0.0), np.float64(-0.0)):
        assert divide(tg.ones(1), zero).item() == math.copysign(math.inf, zero)


@compiles
def test_clamp_keeps_the_dtype() -> None:
    for dtype in (tg.int32, tg.bfloat16):
        x = tg.tensor([-3, 0, 3], dtype=dtype)
        assert tg.fuse(F.hardtanh)(x).dtype == F.hardtanh(x).dtype == dtype


@compiles
def test_the_default_dtype_and_autocast_are_those_of_the_call() -> None:
    thirds = tg.fuse(lambda x: x / 3)
    x = tg.tensor([1])
    assert thirds(x).dtype == tg.float32
    tg.set_default_dtype(tg.float64)
    try:
        assert thirds(x).dtype == tg.float64
    finally:
        tg.set_default_dtype(tg.float32)

    def square(x: Any) -> Any:
        return F.mse_loss(x, x * 2)

    h = tg.ones(3, dtype=tg.float16, requires_grad=True)
    f = tg.fuse(square)
    assert f(h).dtype == tg.float16
    with tg.autocast("cpu"):
        y, plain = f(h), square(h)
    assert y.dtype == plain.dtype == tg.float32
    for total in (y, plain):  # outside of the region
        (first,) = tg.autograd.grad(total, h, create_graph=True)
        (second,) = tg.autograd.grad(first.float().sum(), h)
        np.testing.assert_allclose(first.tolist(), [2 / 3] * 3, rtol=1e-3)
        np.testing.assert_allclose(second.tolist(), [2 / 3] * 3, rtol=1e-3)


@compiles
def test_fused_functions_call_each_other_and_are_methods() -> None:
    inner = tg.fuse(lambda x: x.sigmoid())

    class Gate:
        @tg.fuse
        def forward(self, x: Any) -> Any:
            """Doubles."""
            return inner(x) * 2

    gate, x = Gate(), tg.randn(4)
    np.testing.assert_allclose(gate.forward(x).numpy(), (x.sigmoid() * 2).numpy(), rtol=1e-6)
    assert Gate.forward.__doc__ == "Doubles."


def test_without_a_compiler_the_function_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_build, "find_cxx", lambda *_: None)
    x = tg.randn(4, requires_grad=True)
    y = tg.fuse(lambda x: x.sin() * 2)(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.numpy(force=True), (x.sin() * 2).numpy(force=True))


@compiles
def test_bits_do_not_depend_on_threads_and_threads_may_call() -> None:
    f = tg.fuse(lambda x: F.softmax(x.tanh() * 3, -1))
    x = tg.randn(64, 3000)
    before = tg.get_num_threads()
    try:
        tg.set_num_threads(1)
        alone = f(x).numpy()
        tg.set_num_threads(2)
        found = []
        threads = [threading.Thread(target=lambda: found.append(f(x).numpy())) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        tg.set_num_threads(before)
    assert len(found) == 4
    for each in found:
        np.testing.assert_array_equal(each, alone)


@pytest.mark.skipif(_build.find_nvcc() is None, reason="nvcc is not installed")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90a"])
@pytest.mark.parametrize("many", [False, True])
def test_launches_compile_for_gpus(architecture: str, many: bool, tmp_path: Path) -> None:
    inputs = [new_input(shape, np.dtype("float32")) for shape in ((4, 50), (50,))]
    device = TracingDevice("cuda")
    made = F.softmax(rms_norm(*(wrap(x, device) for x in inputs)), -1)
    written = write_launch(make_kernel([made._array.step], [x.step for x in inputs])[0])
    source = tmp_path / "fused.cu"
    source.write_text(written.text_for_many if many else written.text)
    nvcc = _build.find_nvcc()
    assert nvcc is not None
    root = _build.source_root()
    command = [*nvcc.command, "-std=c++17", "--expt-relaxed-constexpr", f"-arch={architecture}"]
    command += ["-cubin", "-Xptxas=-v", f"-I{root / 'kernels'}", str(source)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "fused.cubin")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "0 bytes spill stores" in done.stderr
    assert shutil.which(nvcc.command[0])
