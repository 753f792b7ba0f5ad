"""Kernels of one's own: what a declaration computes on every device, what is refused and how, and
what the check of a kernel notices. (U07, R12)"""

from __future__ import annotations

import copy
import linecache
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad import _build, cli
from tapegrad.custom.child import Died, in_child
from tapegrad.fusion import run
from tapegrad.units import CompileError, unit

SOURCE = """
template <class T>
__global__ void swiglu(T* y, const T* a, const T* b, int64_t n) {
    for (int64_t i = global_thread(); i < n; i += thread_count()) {
        y[i] = from_acc<T>(to_acc(a[i]) * to_acc(b[i]) / (1 + exp(-to_acc(a[i]))));
    }
}
template <class T>
__global__ void swiglu_backward(T* da, T* db, const T* dy, const T* a, const T* b, int64_t n) {
    for (int64_t i = global_thread(); i < n; i += thread_count()) {
        const acc_t<T> x = to_acc(a[i]), s = 1 / (1 + exp(-x)), g = to_acc(dy[i]);
        da[i] = from_acc<T>(g * to_acc(b[i]) * s * (1 + x * (1 - s)));
        db[i] = from_acc<T>(g * x * s);
    }
}
template <class T>
void with_stream(T* y, const T* a, const T* b, int64_t n, cudaStream_t stream) {
    if (n > 0) {
        LAUNCH(swiglu<T>, blocks_for(n, 32), 32, 0, stream, y, a, b, n);
    }
}
// Sums and largest values of rows, with their places; scaled and shifted by a number each.
__global__ void summary(float* total, float* largest, int64_t* at, const float* x, int64_t cols,
                        double scale, int shift, bool negate) {
    const float* row = x + blockIdx.x * cols;
    float sum = 0;
    int64_t best = 0;
    for (int64_t i = 0; i < cols; ++i) {
        sum += row[i];
        best = row[i] > row[best] ? i : best;
    }
    total[blockIdx.x] = (negate ? -sum : sum) * float(scale) + shift;
    largest[blockIdx.x] = row[best];
    at[blockIdx.x] = best;
}
__global__ void gather(float* y, const float* table, const int64_t* index, int64_t cols) {
    for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
        y[blockIdx.x * cols + i] = table[index[blockIdx.x] * cols + i];
    }
}
__global__ void gather_backward(float* dtable, const float* dy, const int64_t* index,
                                int64_t cols) {
    for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
        atomicAdd(&dtable[index[blockIdx.x] * cols + i], dy[blockIdx.x * cols + i]);
    }
}
__global__ void tail(float* y, const float* x, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y[i] = x[i] * x[i];
    }
}
__global__ void diverging(float* y, const float* x, int64_t n) {
    if (threadIdx.x < 3) {
        __syncthreads();
    }
}
__global__ void endless(float* y, const float* x, int64_t n) {
    volatile float* seen = y;
    for (;;) {
        seen[0] = 1.0f;
    }
}
"""
PAIR = "a[*n], b[*n] -> y[*n]"


def gated(a, b):
    return a * b * a.sigmoid()


def gated_rule(dy, a, b):
    s = a.sigmoid()
    return dy * b * s * (1 + a * (1 - s)), dy * a * s


swiglu = tg.kernel(SOURCE, PAIR, name="swiglu", gradient="swiglu_backward")(gated)

# name: the kernel, in a float dtype
GATES = {
    "second kernel": swiglu,
    "rule": tg.kernel(SOURCE, PAIR, name="swiglu", gradient=gated_rule)(gated),
    "of the body": tg.kernel(SOURCE, PAIR, name="swiglu")(gated),
    "launcher": tg.kernel(SOURCE, PAIR, name="with_stream", gradient="swiglu_backward")(gated),
    "few blocks": tg.kernel(SOURCE, PAIR, name="swiglu", blocks=2, threads=(32,))(gated),
    "functions": tg.kernel(
        SOURCE, PAIR, name="swiglu", blocks=lambda n: (n // 64 + 1, 1, 1), threads=lambda: 64
    )(gated),
    "elementwise": tg.kernel.elementwise("a * b / (1 + exp(-a))", name="swiglu"),
}


@tg.kernel(
    SOURCE,
    "x[rows, cols] -> total[rows], largest[rows], at[rows]",
    blocks=lambda rows: rows,
    threads=1,
)
def summary(x, *, scale, shift=0, negate=False):
    total = x.sum(1)
    return (-total if negate else total) * scale + shift, x.amax(1), x.argmax(1)


@tg.kernel(
    SOURCE,
    "table[rows, cols], index[n] -> y[n, cols]",
    gradient="gather_backward -> dtable = 0",
    blocks=lambda n: n,
    threads=32,
    inputs={"index": lambda sizes, random: random.integers(0, max(sizes["rows"], 1), sizes["n"])},
)
def gather(table, index):
    return table[index]


@tg.kernel(SOURCE, "x[n] -> y[n]")
def tail(x):
    return x * x


cubed = tg.kernel.elementwise("x**3", name="cubed")
leaky = tg.kernel.elementwise("x if x > 0 else slope * x", name="leaky", slope=0.1)


def inputs(device, dtype, *shape, count=2):
    rng = np.random.default_rng(3)
    return [
        tg.tensor(rng.standard_normal(shape), dtype=dtype, device=device, requires_grad=True)
        for _ in range(count)
    ]


# ---- what a declaration computes ----


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", GATES)
def test_values_and_gradients(way, device):
    f = GATES[way]
    for dtype in (tg.float32, tg.float64, tg.float16):
        for shape in ((), (5,), (3, 0), (7, 41)):
            a, b = inputs(device, dtype, *shape)
            y = f(a, b)
            x, z = inputs("cpu", tg.float64, *shape)
            expected = gated(x, z)
            assert (y.device.type, y.dtype, y.shape) == (device, dtype, shape)
            rtol = {tg.float32: 1e-5, tg.float64: 1e-12}.get(dtype, 4e-3)
            np.testing.assert_allclose(y.numpy(force=True), expected.detach().numpy(), rtol, rtol)
            y.sum().backward()
            expected.sum().backward()
            for t, e in ((a, x), (b, z)):
                np.testing.assert_allclose(
                    t.grad.numpy(force=True), e.grad.numpy(force=True), rtol, rtol
                )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", GATES)
def test_gradients_by_differences(way, device):
    a, b = inputs(device, tg.float64, 3, 2)
    assert tg.autograd.gradcheck(GATES[way], (a, b))
    assert tg.autograd.gradgradcheck(GATES[way], (a, b))
    assert tg.autograd.gradcheck(lambda x: GATES[way](x, x * 2), a)


@pytest.mark.parametrize("device", DEVICES)
def test_several_results_numbers_and_whole_numbers(device):
    (x,) = inputs(device, tg.float32, 4, 9, count=1)
    total, largest, at = summary(x, scale=2.0, shift=1, negate=True)
    np.testing.assert_allclose(total.numpy(force=True), -2 * x.numpy(force=True).sum(1) + 1, 1e-5)
    assert at.dtype == tg.int64
    assert at.tolist() == x.argmax(1).tolist()
    (total.sum() * 3 + largest.sum()).backward()
    expected = np.full((4, 9), -6.0)
    expected[np.arange(4), at.numpy(force=True)] += 1
    np.testing.assert_allclose(x.grad.numpy(force=True), expected, 1e-6)
    assert [t.shape for t in summary(x[:0], scale=np.float32(1))] == [(0,)] * 3
    (largest, _) = summary(x, scale=1)[1:]  # of results that nobody uses, no gradient
    largest.sum().backward()


@pytest.mark.parametrize("device", DEVICES)
def test_results_that_begin_with_zeros(device):
    (table,) = inputs(device, tg.float32, 5, 3, count=1)
    index = tg.tensor([4, 0, 4, 4], device=device)
    y = gather(table, index)
    assert y.tolist() == table[index].tolist()
    y.sum().backward()
    assert table.grad[:, 0].tolist() == [1, 0, 0, 0, 3]
    assert index.grad is None


@pytest.mark.parametrize("device", DEVICES)
def test_strided_inputs_and_no_grad(device):
    a, b = inputs(device, tg.float32, 6, 5)
    np.testing.assert_allclose(
        swiglu(a.t(), b.t()).numpy(force=True), gated(a, b).t().numpy(force=True), 1e-5
    )
    with tg.no_grad():
        assert swiglu(a, b).grad_fn is None
    for way in ("second kernel", "elementwise"):
        assert GATES[way](a, b).grad_fn.name() == "SwigluBackward"


def test_the_kernel_is_what_runs():
    """And not the body, on the emulated device."""
    f = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x: x * 0)
    assert f(tg.ones(3)).tolist() == [0, 0, 0]
    assert f(tg.ones(3, device="emulated")).tolist() == [1, 1, 1]


def test_declaring_again_leaves_earlier_ones(tmp_path):
    """As a cell of a notebook does that runs again."""
    text = "__global__ void f(float* y, const float* x) {{ y[threadIdx.x] = {} * x[threadIdx.x]; }}"
    made = []
    for factor in (2, 3):
        made.append(
            tg.kernel(text.format(factor), "x[n] -> y[n]", name="f", threads=lambda n: n)(
                lambda x: x
            )
        )
    x = tg.ones(2, device="emulated")
    assert [f(x).tolist() for f in made] == [[2, 2], [3, 3]]


def test_kernels_are_copied_and_pickled_by_name():
    assert copy.deepcopy(tail) is tail
    assert pickle.loads(pickle.dumps(tail)) is tail
    assert pickle.loads(pickle.dumps(tg.kernel)) is tg.kernel
    assert pickle.loads(pickle.dumps(cubed)) is cubed


# ---- expressions ----

EXPRESSIONS = (
    "a * b / (1 + exp(-a))",
    "a if a > 0 else slope * b",
    "max(a, b) + min(a, 0.25) - abs(b)",
    "a**2 + b**3 - (a * a + 1)**0.5 + 2**b",
    "tanh(a) * sigmoid(b) + relu(a) + square(b)",
    "log(a * a + 1) + log1p(b * b) + expm1(a) + erf(b) + sin(a) * cos(b)",
    "sqrt(a * a + e) + rsqrt(b * b + 0.5) + pi",
    "(a if 0 < a < 1 and not b > 1 else b) * (1 if a > b or b == 3 else -1) + +a",
    "a / b / 3 - 1 / (2 - b)",
    "b",
)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions(text):
    numbers = {"slope": 0.25} if "slope" in text else {}
    f = tg.kernel.elementwise(text, **numbers)
    names = [item.name for item in f.signature.inputs]
    assert names == ["b"] if text == "b" else {*names} == {"a", "b"}
    tensors = inputs("emulated", tg.float64, 3, 7, count=len(names))
    plain = [t.detach().cpu().requires_grad_() for t in tensors]
    y, expected = f(*tensors), f.body(*plain)
    np.testing.assert_allclose(y.numpy(force=True), expected.detach().numpy(), 1e-13, 1e-13)
    y.sum().backward()
    expected.sum().backward()
    for t, e in zip(tensors, plain, strict=True):
        np.testing.assert_allclose(t.grad.numpy(force=True), e.grad.numpy(force=True), 1e-12, 1e-12)


def test_slopes_at_ties_and_kinks_are_the_bodys():
    f = tg.kernel.elementwise("max(a, b) + min(a, b) * 2 + abs(a) + relu(b)")
    values = [0.0, 1.0, -1.0, 0.0]
    found = []
    for function, device in ((f.body, "cpu"), (f, "cpu"), (f, "emulated")):
        a, b = (tg.tensor(values, device=device, requires_grad=True) for _ in range(2))
        function(a, b).sum().backward()
        found.append((a.grad.tolist(), b.grad.tolist()))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_loops_on_the_cpu(text, dtype):
    """Which are no further from float64 than twice the body's own error, and some roundings."""
    f = tg.kernel.elementwise(text, **({"slope": 0.25} if "slope" in text else {}))
    tensors = inputs("cpu", dtype, 32773, count=len(f.signature.inputs))
    wide = [t.detach().double().requires_grad_() for t in tensors]
    plain = [t.detach().requires_grad_() for t in tensors]
    values = [f(*tensors), f.body(*plain), f.body(*wide)]
    for y in values:
        y.sum().backward()
    eps = float(np.finfo(dtype).eps)
    rows = [[y.detach() for y in values]]
    rows += [[t.grad for t in row] for row in zip(tensors, plain, wide, strict=True)]
    for got, rough, exact in rows:
        exact = exact.numpy()
        allowed = 2 * np.abs(rough.numpy().astype(np.float64) - exact).max()
        allowed = allowed + 16 * eps * (1 + np.abs(exact))
        assert (np.abs(got.numpy().astype(np.float64) - exact) <= allowed).all()


@pytest.mark.parametrize("device", DEVICES)
def test_expressions_broadcast_and_take_numbers_by_the_call(device):
    f = tg.kernel.elementwise("n * exp(A) + slope", slope=0.1)  # names of sizes and types, too
    n, a = inputs(device, tg.float32, 5, 7)
    for slope in ({}, {"slope": 0.3}, {"slope": 2}):
        y = f(n.t(), a[:, :1].t(), **slope)
        expected = n.t() * a[:, :1].t().exp() + slope.get("slope", 0.1)
        np.testing.assert_allclose(y.numpy(force=True), expected.numpy(force=True), 1e-5)
    y.sum().backward()
    assert a.grad[:, 1:].abs().sum().item() == 0
    np.testing.assert_allclose(
        a.grad[:, 0].numpy(force=True), (n.sum(1) * a[:, 0].exp()).numpy(force=True), 1e-4
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16])
def test_floats_of_16_bits_are_rounded_once(dtype, device):
    f = tg.kernel.elementwise("a * b + a - b")
    a, b = inputs(device, dtype, 1000)
    x, z = (t.detach().float() for t in (a, b))
    y = f(a, b)
    assert y.tolist() == (x * z + x - z).to(dtype).tolist()
    y.sum().backward()
    assert a.grad.tolist() == (z + 1).to(dtype).tolist()


NO_EXPRESSION = (
    ("a +", SyntaxError, "invalid syntax"),
    ("3 + pi", ValueError, "names no input"),
    ("a.sum()", ValueError, "is no expression of elements"),
    ("gelu(a)", ValueError, r"calls \['gelu'\]; there are"),
    ("exp(a, 2)", ValueError, "exp takes 1 elements"),
    ("a if b else 1", ValueError, "is no condition"),
    ("a > 0", ValueError, "is no expression of elements"),
    ("a // 2", ValueError, "is no expression of elements"),
    ("a + 'b'", ValueError, "is no expression of elements"),
)


@pytest.mark.parametrize(("text", "error", "words"), NO_EXPRESSION)
def test_no_expression(text, error, words):
    with pytest.raises(error, match=words):
        tg.kernel.elementwise(text)
    with pytest.raises(ValueError, match="does not use the numbers"):
        tg.kernel.elementwise("a", slope=1.0)


# ---- what is refused ----


def body(x):
    return x


F = "__global__ void f({}) {{}}"
XY = F.format("float* y, const float* x")
# source, signature, what else, error, words
DECLARATIONS = [
    (XY, "x[n] y[n]", {}, ValueError, "has no '->'"),
    (XY, "-> y[n]", {}, ValueError, "needs an input and a result"),
    (XY, "x -> y[n]", {}, ValueError, "x has no sizes"),
    (XY, "x[n] -> y[m]", {}, ValueError, "that no input has"),
    (XY, "x[n] -> x[n]", {}, ValueError, "stand twice"),
    (XY, "x[n-1] -> y[n]", {}, ValueError, "neither a name nor"),
    (XY, "x[*n, *m] -> y[n]", {}, ValueError, "two sizes with"),
    (XY, "x[n] = 0 -> y[n]", {}, ValueError, "is for results"),
    (XY, "z[n] -> y[n]", {}, TypeError, "they must be the same"),
    (F.format("float* y, const float* z"), "x[n] -> y[n]", {}, ValueError, "no array is called"),
    (F.format("float* y, float* x"), "x[n] -> y[n]", {}, ValueError, "declare it 'const float"),
    (F.format("const float* y, const float* x"), "x[n] -> y[n]", {}, ValueError, "without const"),
    (F.format("const float* x"), "x[n] -> y[n]", {}, ValueError, "nothing writes y"),
    (F.format("float* y, const float* x, int m"), "x[n] -> y[n]", {}, ValueError, "neither a size"),
    (F.format("float* y, const float* x, float n"), "x[n] -> y[n]", {}, ValueError, "is a size"),
    (F.format("float* y, const quad* x"), "x[n] -> y[n]", {}, ValueError, "no array is of 'quad'"),
    (F.format("float* y, float** x"), "x[n] -> y[n]", {}, ValueError, "neither a pointer to"),
    ("void f(float* y, const float* x) {}", "x[n] -> y[n]", {}, ValueError, "cudaStream_t stream"),
    ("void g() {}", "x[n] -> y[n]", {}, ValueError, "has no function 'f'.*there are g"),
    (
        "template <class T>\n" + F.format("T* y, const int* x"),
        "x[n] -> y[n]",
        {},
        ValueError,
        "no input is of it",
    ),
    ("nowhere.cu", "x[n] -> y[n]", {}, FileNotFoundError, "no file 'nowhere.cu', neither beside"),
    (7, "x[n] -> y[n]", {}, TypeError, "a path to a .cu file or a string"),
    (XY, "x[n] -> y[n]", {"threads": "1"}, TypeError, "threads="),
    (XY, "x[n] -> y[n]", {"blocks": lambda m: m}, ValueError, r"a function of \['m'\]"),
    (XY, "x[n] -> y[n]", {"gradient": 7}, TypeError, "gradient= "),
    (XY, "x[n] -> y[n]", {"gradient": "g"}, ValueError, "has no function 'g'"),
    (
        XY + "\n__global__ void g(float* dx, const float* dy) {}",
        "x[n] -> y[n]",
        {"gradient": "g -> dz"},
        ValueError,
        "give it sizes",
    ),
    (
        XY + "\n__global__ void g(const float* dy) {}",
        "x[n] -> y[n]",
        {"gradient": "g"},
        ValueError,
        "writes no gradient of x",
    ),
    (XY, "x[n] -> y[n]", {"inputs": {"z": len}}, ValueError, "are no inputs"),
]


@pytest.mark.parametrize(("source", "signature", "more", "error", "words"), DECLARATIONS)
def test_a_wrong_declaration_is_refused(source, signature, more, error, words):
    with pytest.raises(error, match=words):
        tg.kernel(source, signature, name="f", **more)(body)


CALLS = [
    (swiglu, lambda x: (x,), {}, TypeError, "missing a required argument: 'b'"),
    (swiglu, lambda x: (x, x, x), {}, TypeError, "too many positional"),
    (swiglu, lambda x: (x, 2.0), {}, TypeError, "b must be a Tensor, got float"),
    (cubed, lambda x: (2.0,), {}, TypeError, r"\[cubed\] x must be a Tensor, got float"),
    (cubed, lambda x: (x.long(),), {}, TypeError, r"x is .*int64: convert with .float\(\)"),
    (cubed, lambda x: (x,), {"more": 1}, TypeError, "cubed.* unexpected keyword argument 'more'"),
    (leaky, lambda x: (x,), {"slope": "1"}, TypeError, "slope must be a number, got str"),
    (swiglu, lambda x: (x, np.ones(4)), {}, TypeError, "b must be a Tensor, got ndarray"),
    (swiglu, lambda x: (x, x.double()), {}, TypeError, "b must be of the first's dtype"),
    (swiglu, lambda x: (x.long(), x.long()), {}, TypeError, r"int64: convert with .float\(\)"),
    (swiglu, lambda x: (x, x[:3]), {}, ValueError, r"b\[\*n\] got shape \(3,\), where n is \(3,\)"),
    (tail, lambda x: (x.double(),), {}, TypeError, "x must be float32, got float64"),
    (tail, lambda x: (x[None],), {}, ValueError, r"x\[n\] has 1 dimension, got shape \(1, 4\)"),
    (summary, lambda x: (x[None],), {}, TypeError, "missing a required .*argument: 'scale'"),
    (summary, lambda x: (x[None],), {"scale": "1"}, TypeError, "scale must be a number, got str"),
    (summary, lambda x: (x[None],), {"scale": 1, "shift": 1.5}, TypeError, "shift must be an int"),
    (summary, lambda x: (x[None],), {"scale": 1, "shift": 2**40}, ValueError, "too large for int"),
    (summary, lambda x: (x[None],), {"scale": 1, "more": 1}, TypeError, "unexpected keyword"),
    (gather, lambda x: (x[None], x.int()), {}, TypeError, "index must be int64, got int32"),
]


@pytest.mark.parametrize(("kernel", "arguments", "numbers", "error", "words"), CALLS)
def test_a_wrong_call_is_refused(kernel, arguments, numbers, error, words):
    with pytest.raises(error, match=words):
        kernel(*arguments(tg.ones(4, device="emulated")), **numbers)


def test_numbers_that_are_equal_are_told_apart():
    x = tg.ones(2, 3, device="emulated")
    assert summary(x, scale=1.0, shift=2)[0].tolist() == [5, 5]
    assert summary(x, scale=1.0, shift=3)[0].tolist() == [6, 6]
    with pytest.raises(TypeError, match=r"shift must be an int, got 2\.0"):
        summary(x, scale=1.0, shift=2.0)


def test_a_call_costs_little_more_than_one_of_the_package():
    """By processor time, in turns: what is found out for shapes and numbers is found out once."""
    x = tg.ones(1, device="emulated")
    own = tg.kernel(SOURCE, PAIR, name="swiglu", threads=1)(gated)
    calls = {"own": lambda: own(x, x), "the package's": lambda: tg.nn.functional.gelu(x)}
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(9):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(300):
                call()
            rounds[name].append(time.process_time() - start)
    assert min(rounds["own"][1:]) < 3 * min(rounds["the package's"][1:])


def test_the_first_result_of_the_guides_kernel_comes_soon():
    """Within 3 s of processor time: of Python, of the compiler, and of the launch."""
    page = (Path(__file__).parents[1] / "docs" / "own_kernels.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.S)[1]
    assert "rms_norm" in code
    tg.ones(1, device="emulated").exp()  # the package's own kernels are compiled
    new = f"import tapegrad as tg\n{code}".replace("128;", f"128;  // {time.time()}")
    before = os.times()
    run = subprocess.run([sys.executable, "-c", new], capture_output=True, text=True, timeout=120)
    after = os.times()
    assert run.stdout == "True\n", run.stderr
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 3


def test_tensors_of_two_devices():
    with pytest.raises(RuntimeError, match=r"a on cpu, b on emulated"):
        swiglu(tg.ones(2), tg.ones(2, device="emulated"))


def test_bodies_and_rules_that_return_something_else():
    f = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x: None)
    with pytest.raises(TypeError, match=r"body must return 1 Tensor \(y\[n\]\), got \(NoneType\)"):
        f(tg.ones(2))
    f = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail", gradient=lambda dy, x: (dy, x))(tail.body)
    with pytest.raises(TypeError, match=r"one tensor .* for each of 1 inputs, got 2"):
        f(tg.ones(2, device="emulated", requires_grad=True)).sum().backward()


# ---- errors of compilers and of kernels ----


def test_the_compilers_message_names_your_file_and_line(tmp_path):
    wrong = SOURCE.replace("x[i] * x[i]", "x[i] * unknown")
    file = tmp_path / "own.cu"
    file.write_text(wrong)
    line = wrong[: wrong.index("unknown")].count("\n") + 1
    for source, where in ((file, f"{file}:{line}:"), (wrong, f"<kernel tail>:{line}:")):
        f = tg.kernel(source, "x[n] -> y[n]")(tail.body)  # which is called tail
        with pytest.raises(CompileError, match="unknown") as error:
            f(tg.ones(2, device="emulated"))
        assert where in str(error.value)
        assert "y[i] = x[i] * unknown;" in str(error.value)
        assert isinstance(error.value, tg.KernelError)


def test_a_string_is_named_by_where_it_stands_in_python(tmp_path):
    (tmp_path / "mine.py").write_text(
        'import tapegrad as tg\n\nSOURCE = """\n__global__ void f(float* y, const float* x) {\n'
        '    y[0] = nothing;\n}\n"""\n\n@tg.kernel(SOURCE, "x[n] -> y[n]")\n'
        "def f(x):\n    return x\n"
        'f(tg.ones(1, device="emulated"))\n'
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "mine.py")], capture_output=True, text=True, check=False
    )
    assert f"{tmp_path / 'mine.py'}:5:12: error:" in done.stderr


def test_a_cell_of_a_notebook_is_named(tmp_path):
    """Whose source is where IPython puts it."""
    lines = [
        "import tapegrad as tg\n",
        'f = tg.kernel("""\n',
        "__global__ void f(float* y,\n",
        "    const float* x) { y[0] = nothing; }\n",
        '""", "x[n] -> y[n]", name="f")(id)\n',
    ]
    lines[-1] = lines[-1].replace("id", "lambda x: x")
    linecache.cache["<cell 7>"] = (1, None, lines, "<cell 7>")
    names = {}
    exec(compile("".join(lines), "<cell 7>", "exec"), names)
    with pytest.raises(CompileError, match=r"<cell 7>:4:(?s:.*)\n    +const float\* x\) { y\[0\]"):
        names["f"](tg.ones(1, device="emulated"))


def test_faults_name_the_kernel_the_thread_and_the_line():
    f = tg.kernel(SOURCE, "x[n] -> y[n]", name="diverging")(body)
    with pytest.raises(tg.KernelError, match=r"diverging \[grid .*thread \(\d+, 0, 0\)") as error:
        f(tg.ones(64, device="emulated"))
    line = SOURCE[: SOURCE.index("__syncthreads")].count("\n")
    own = Path(__file__).read_text().split("\n").index('SOURCE = """') + 1
    assert f"test_own_kernels.py:{own + line}" in str(error.value)
    assert swiglu(*inputs("emulated", tg.float32, 3)).shape == (3,)  # and the emulator works on


def test_an_own_include_is_part_of_what_is_compiled(tmp_path):
    (tmp_path / "f.cu").write_text(
        '#include "factor.h"\n'
        + F.format("float* y, const float* x").replace(
            "{}", "{ y[threadIdx.x] = FACTOR * x[threadIdx.x]; }"
        )
    )
    for factor in (2, 3):
        (tmp_path / "factor.h").write_text(f"#define FACTOR {factor}\n")
        f = tg.kernel(tmp_path / "f.cu", "x[n] -> y[n]", threads=lambda n: n, name="f")(body)
        assert f(tg.ones(2, device="emulated")).tolist() == [factor] * 2


OWN_PROCESS = f"""
import os, signal, sys, time
import tapegrad as tg
SOURCE = {SOURCE!r}
f = tg.kernel(SOURCE, "x[n] -> y[n]", name=sys.argv[1])(lambda x: x)
x = tg.ones(40, device="emulated")
"""


def test_an_endless_kernel_is_interrupted():
    """(R12) After kernels of the package have run, and they run on."""
    program = (
        OWN_PROCESS
        + """
signal.signal(signal.SIGINT, signal.default_int_handler)
g = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x: x)
for _ in range(2):
    print(x.softmax(0).sum().item() > 0.9, g(x).sum().item())
    f.units["emulated"]["endless", None]
    pid = os.fork()
    if pid == 0:
        time.sleep(0.3)
        os.kill(os.getppid(), signal.SIGINT)
        os._exit(0)
    try:
        f(x)
    except KeyboardInterrupt:
        print("interrupted")
    os.waitpid(pid, 0)
"""
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "endless"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "True 40.0\ninterrupted\n" * 2, done.stderr


# ---- the cache ----


def test_what_is_compiled_is_kept_and_only_if_it_is_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    text = unit.unit_text(tail.source, tail.source.function("tail"), None)
    calls = []
    run = _build._run
    monkeypatch.setattr(_build, "_run", lambda *a: calls.append(a[1]) or run(*a))
    path = unit.compiled(text, "tail", "emulated", ".", False)
    assert sum("tail-" in call for call in calls) == 1
    count = len(calls)
    assert unit.compiled(text, "tail", "emulated", ".", False) == path
    assert len(calls) == count
    path.chmod(0o777)  # anybody may have changed it
    assert unit.compiled(text, "tail", "emulated", ".", False) == path
    assert len(calls) == count + 1
    assert not path.stat().st_mode & 0o022
    (source,) = (tmp_path / "objects").glob("tail-*.cu")
    assert source.read_text() == text


def test_processes_compile_at_once(tmp_path):
    program = OWN_PROCESS + "print(f(x).sum().item())"
    environ = {**os.environ, "TAPEGRAD_CACHE": str(tmp_path)}
    shared = _build.cached_path(_build.plan_for("emulated")).parent
    if shared.is_dir():
        shutil.copytree(shared, tmp_path / shared.name)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, "tail"],
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    assert [p.communicate()[0] for p in running] == ["40.0\n"] * 3


@pytest.mark.skipif(_build.find_nvcc() is None, reason="needs nvcc")
@pytest.mark.parametrize("kernel", [swiglu, gather], ids=lambda k: k.name)
def test_it_compiles_for_gpus(kernel, monkeypatch):
    monkeypatch.setenv("TAPEGRAD_CUDA_ARCHS", "80 90a+PTX")
    for launch in (kernel.forward, kernel.backward):
        dtype = "bfloat16" if launch.function.template else None
        text = unit.unit_text(kernel.source, launch.function, dtype)
        path = unit.compiled(text, launch.function.name, "cuda", ".", False)
        assert b"tapegrad_launchers" in path.read_bytes()


# ---- check ----


def test_what_is_right_passes():
    report = tg.kernel.check(gather, sizes={"cols": (1, 33), "rows": (5,)})
    assert report, report
    assert [(f.what, f.ok) for f in report.findings] == [
        ("values", True),
        ("gradient", True),
        ("second gradient", None),
        ("accesses", True),
        ("mutants", True),
    ]
    assert report.launches > 100
    assert report.threads > report.launches
    said = str(report)
    assert "2 kernels" in said
    assert said.endswith("gather is right")


def test_sizes_that_the_body_refuses_are_left_out():
    report = tg.kernel.check(summary, scale=2.0, mutate=False)
    assert report, report
    refused = report.findings[0]
    assert (refused.what, refused.ok) == ("sizes", None)
    assert "the body refuses" in refused.said
    assert report.findings[1].said.startswith("its own dtypes; 15 sizes")


SUM = """
__global__ void f(float* y, const float* x, int64_t n) {
    SHARED(kept, float[64]);
    float sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += 64) {
        sum += x[i];
    }
    kept[threadIdx.x] = sum;
    __syncthreads();
    for (int width = 32; width > 0; width /= 2) {
        if (threadIdx.x < width) {
            kept[threadIdx.x] += kept[threadIdx.x + width];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        y[0] = kept[0];
    }
}
__global__ void g(float* dx, const float* dy, int64_t n) {
    for (int64_t i = threadIdx.x; i < n; i += 64) {
        dx[i] = dy[0];
    }
}
"""

# what is changed in SUM: the finding that says so, and how
BROKEN = {
    "a missing barrier": (
        "__syncthreads();\n    for",
        "for",
        "accesses",
        r"race on byte [\s\S]* it at <kernel f>:\d+",
    ),
    "a wrong bound": (
        "i < n; i += 64) {\n        sum",
        "i <= n; i += 64) {\n        sum",
        "values",
        "out of bounds|should be",
    ),
    "a write behind": (
        "y[0] = kept[0];",
        "y[0] = y[1] = kept[0];",
        "values",
        "behind it was written|out of bounds",
    ),
    "an input changed": (
        "y[0] = kept[0];",
        "y[0] = kept[0]; const_cast<float*>(x)[0] += 1;",
        "values",
        "this input was changed|out of bounds",
    ),
    "a wrong value": ("y[0] = kept[0];", "y[0] = kept[0] * 1.001f;", "values", "should be"),
    "zeros": ("y[0] = kept[0];", "y[0] = 0;", "values", "should be"),
    "nothing written": ("y[0] = kept[0];", "", "values", "is nan, and should be"),
    "a wrong gradient": ("dx[i] = dy[0]", "dx[i] = -dy[0]", "gradient", "dx .*should be"),
    "no end": (
        "y[0] = kept[0];",
        "for (volatile bool on = true; on;) {} y[0] = 0;",
        "values",
        "did not end",
    ),
    "no C++": ("y[0] = kept[0];", "y[0] = kept[0]", "compiling", "error: expected ';'|error"),
    "divergence": (
        "if (threadIdx.x == 0) {",
        "if (threadIdx.x == 0) { __syncthreads();",
        "values",
        "waits at|barrier",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_reported(name, monkeypatch):
    if name == "no end":
        monkeypatch.setattr("tapegrad.custom.checking.SECONDS", 8)
    old, new, what, words = BROKEN[name]
    assert SUM.count(old) == 1
    f = tg.kernel(
        SUM.replace(old, new), "x[n] -> y[]", name="f", gradient="g", blocks=1, threads=64
    )(lambda x: x.sum())
    report = tg.kernel.check(f)
    assert not report
    said = {finding.what: finding.said for finding in report.findings if finding.ok is False}
    assert what in said, report
    assert re.search(words, said[what]), report
    assert str(report).endswith("f is WRONG")


def test_an_expression_is_checked():
    f = tg.kernel.elementwise("(a if a > 0 else slope * a) + da", slope=0.3)
    report = tg.kernel.check(f, slope=0.7)
    assert report, report
    assert report.findings[-1].said.startswith("2 of 2 noticed"), report
    assert report.launches > 500
    assert str(report).startswith("elementwise: a[*n], da[*n] -> y[*n]")


# what is changed in what is written for an expression: the finding that says so, and how
BROKEN_FUSED = {
    "a wrong bound": ("at < ", "at <= ", "accesses", "out of bounds"),
    "a wrong value": ("exp(", "1.001f * exp(", "values", r"elementwise .* y .*should be"),
    "a race": ("int64_t(blockIdx.x) * blockDim.x + ", "", "accesses", "race on byte"),
    "half of it": ("size0; at +=", "size0 / 2; at +=", "values", "is nan, and should be"),
}


@pytest.mark.parametrize("name", BROKEN_FUSED)
def test_a_fused_kernel_that_is_broken_is_reported(name, monkeypatch):
    old, new, what, words = BROKEN_FUSED[name]
    write = run.write_launch

    def broken(kernel):
        written = write(kernel)
        written.text = written.text.replace(old, new)
        return written

    monkeypatch.setattr(run, "write_launch", broken)
    report = tg.kernel.check(tg.kernel.elementwise("exp(a) * a"), sizes={"n": (2000,)})
    said = {finding.what: finding.said for finding in report.findings if finding.ok is False}
    assert what in said, report
    assert re.search(words, said[what]), report


def test_a_wrong_rule_is_reported():
    for factor, ok in ((2, True), (2.01, False)):
        f = tg.kernel(
            SOURCE, "x[n] -> y[n]", name="tail", gradient=lambda dy, x, c=factor: c * dy * x
        )(tail.body)
        report = tg.kernel.check(f, mutate=False)
        assert report.ok == ok, report
        finding = next(f for f in report.findings if f.what == "gradient")
        assert finding.ok == ok
        assert ok or "gradient of x is not the body's" in finding.said


def test_every_barrier_and_bound_of_a_sum_is_needed():
    f = tg.kernel(SUM, "x[n] -> y[]", name="f", gradient="g", blocks=1, threads=64)(
        lambda x: x.sum()
    )
    report = tg.kernel.check(f, sizes={"n": (0, 1, 63, 65, 300)})
    assert report.findings[-1].said.startswith("5 of 5 noticed"), report


def test_a_check_that_ran_nothing_fails():
    f = tg.kernel(SUM, "x[n] -> y[]", name="f", gradient="g", blocks=0, threads=64)(
        lambda x: x.sum()
    )
    report = tg.kernel.check(f, sizes={"n": (0,)}, mutate=False)
    assert report.launches == 0
    assert not report
    assert "nothing ran" in str(report)


COUNT = """
__global__ void count(int* y, const int* x, int64_t n) {
    if (const int64_t i = global_thread(); i < 2 * n) atomicAdd(&y[x[i]], 1);
}
"""


def test_whole_numbers_are_drawn_as_the_refusal_says():
    def declared(**options):
        declare = tg.kernel(COUNT, "x[2, *n] -> y[10] = 0", name="count", blocks=2, **options)
        return declare(lambda x: tg.bincount(x.reshape(-1), minlength=10).int())

    with pytest.raises(ValueError, match=r"\[count\] x is int32: .*, like inputs=") as raised:
        tg.kernel.check(declared())
    inputs = eval(str(raised.value).partition("inputs=")[2])
    report = tg.kernel.check(declared(inputs=inputs), sizes={"n": (3, 33)}, mutate=False)
    assert report.ok, report
    assert "no floats go in" in str(report)


WRONG_CHECKS = [
    (lambda: tg.kernel(SUM), TypeError, r"^kernel\(\) missing .* 'signature'"),
    (lambda: tg.kernel.check(gated), TypeError, "takes what tg.kernel makes, got function"),
    (lambda: tg.kernel.check(summary), ValueError, r"needs \['scale'\]"),
    (lambda: tg.kernel.check(tail, eps=1), ValueError, r"has no \['eps'\]"),
    (lambda: tg.kernel.check(tail, sizes={"m": (1,)}), ValueError, "has no size 'm'"),
    (
        lambda: tg.kernel.check(gather, inputs={"index": lambda s, r: np.ones(3)}),
        ValueError,
        "made shape",
    ),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG_CHECKS)
def test_a_wrong_check_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_child_that_dies_says_where():
    def crash(note):
        note("the edge")
        os.kill(os.getpid(), 11)

    with pytest.raises(Died, match="out of bounds, at the edge"):
        in_child(crash, 30)
    with pytest.raises(Died, match="did not end within 0 s, at nowhere"):
        in_child(lambda note: note("nowhere") or time.sleep(30), 0.4)
    with pytest.raises(ZeroDivisionError):
        in_child(lambda note: 1 / 0, 30)
    assert in_child(lambda note: "answer", 30) == "answer"


def test_the_command(tmp_path, capsys):
    file = tmp_path / "mine.py"
    text = (
        f"import tapegrad as tg\nSUM = {SUM!r}\n"
        '@tg.kernel(SUM, "x[n] -> y[]", name="f", gradient="g", blocks=1, threads=64)\n'
        "def total(x):\n    return x.sum()\n"
        'twice = tg.kernel.elementwise("x + x", name="twice")\n'
    )
    file.write_text(text)
    assert cli.main(["check", str(file), "--no-mutants"]) == 0
    said = capsys.readouterr().out
    assert "f is right\n" in said
    assert said.endswith("twice is right\n")
    file.write_text(text.replace("y[0] = kept[0]", "y[0] = 2 * kept[0]"))
    assert cli.main(["check", str(file)]) == 1
    assert "WRONG" in capsys.readouterr().out
    assert cli.main(["check", str(file), "--only", "other"]) == 1
    assert "makes no kernel by tg.kernel to check (f, twice)" in capsys.readouterr().err
