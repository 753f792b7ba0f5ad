"""Kernels of one's own: what a declaration computes on every device, what is refused and how, and
what the check of a kernel notices. (U07, R12)"""

from __future__ import annotations

import copy
import gc
import linecache
import math
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import DEVICES
from own_kernels import (
    GATES,
    OWN_PROCESS,
    PAIR,
    SOURCE,
    cubed,
    gated,
    gather,
    leaky,
    summary,
    swiglu,
    tail,
)

import tapegrad as tg
from tapegrad import _build
from tapegrad._build import building
from tapegrad.core import kernels, native
from tapegrad.core.devices import Device, KernelsMissing, bodies, overrides
from tapegrad.custom.launch import _LIMITS
from tapegrad.fusion import compiled
from tapegrad.nn.functional import rms_norm
from tapegrad.units import CompileError, Source, unit


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
    assert GATES["second kernel"](a, b).grad_fn.name() == "SwigluBackward"
    if device != "cpu" or native.compiled:  # else an expression runs as it is written
        assert GATES["elementwise"](a, b).grad_fn.name() == "SwigluBackward"


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


AGAIN = {
    "kernel": lambda: tg.kernel(SOURCE, PAIR, name="swiglu")(gated),
    "with its gradient": lambda: tg.kernel(SOURCE, PAIR, name="swiglu", gradient="swiglu_backward")(
        gated
    ),
    "elementwise": lambda: tg.kernel.elementwise("a * b / (1 + exp(-a))"),
    "row": lambda: tg.kernel.row(
        "columns.write(y, [&](auto, A v, A w) { return v * w / (1 + exp(-v)); }, a, b);",
        "a[*rows, cols], b[*rows, cols] -> y[*rows, cols]",
        name="gated",
    )(gated),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", AGAIN)
def test_a_kernel_is_kept_by_its_results_and_by_nothing_else(way, device):
    """So that a cell of a notebook may run for ever; also what is registered goes."""

    def registered():
        gc.collect()
        tables = bodies, overrides, Device(device).ops, vars(Device(device).xp)
        return [[name for name in table if "#" in name] for table in tables]

    AGAIN[way]()(*inputs(device, tg.float32, 3))  # what is kept once, for all of its form
    before = registered()
    kernel = AGAIN[way]()
    seen = weakref.ref(kernel)
    a, b = inputs(device, tg.float32, 3)
    y = kernel(a, b)
    (slope,) = tg.autograd.grad(kernel(a, b).sum(), a, create_graph=True)
    slope.sum().backward()
    del kernel, slope
    gc.collect()
    y.sum().backward()
    assert b.grad is not None
    del y, a, b
    assert registered() == before
    assert seen() is None


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


# of rows: the expression, and the function of tensors that it is
ROWS = {
    "exp(a - max(a)) / sum(exp(a - max(a)))": lambda a: a.softmax(-1),
    "a * rsqrt(mean(a * a) + 1e-6) * b": lambda a, b: rms_norm(a, a.shape[-1:], eps=1e-6) * b,
    "max(a) + log(sum(exp(a - max(a))))": lambda a: a.logsumexp(-1, keepdim=True),
    "max(a, b) - min(b)": lambda a, b: tg.maximum(a, b) - b.amin(-1, keepdim=True),
    "sum(a if a > mean(a) else 0) * max(b, 0)": lambda a, b: (
        tg.where(a > a.mean(-1, keepdim=True), a, 0).sum(-1, keepdim=True) * b.relu()
    ),
}


@pytest.mark.parametrize("text", ROWS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(3, 7), (129, 257), (2, 3, 5), (4,)])
def test_expressions_of_rows(text, device, shape):
    f = tg.kernel.row(text)
    tensors = inputs(device, tg.float64, *shape, count=len(f.signature.inputs))
    plain = [t.detach().cpu().requires_grad_() for t in tensors]
    y, expected = f(*tensors), ROWS[text](*plain)
    assert y.shape == expected.shape
    assert (y.shape[-1] == 1) == f.signature.text.endswith("1]")
    np.testing.assert_allclose(y.numpy(force=True), expected.detach().numpy(), 1e-12, 1e-12)
    y.square().sum().backward()
    expected.square().sum().backward()
    for t, e in zip(tensors, plain, strict=True):
        np.testing.assert_allclose(t.grad.numpy(force=True), e.grad.numpy(), 1e-11, 1e-11)


@pytest.mark.skipif(native.compiled is None, reason=f"loops: {native.status}")
def test_rows_are_loops_on_the_cpu():
    f = tg.kernel.row("a * rsqrt(mean(a * a) + eps) * b", eps=1e-6)
    a = tg.randn(300, 300)
    y = f(a, tg.ones(300))
    plan, _ = f.plan((a, tg.ones(300)), {"eps": 1e-6})
    assert len(plan.forward.runners) == 1
    np.testing.assert_allclose(y.numpy(), rms_norm(a, (300,), eps=1e-6).numpy(), 1e-5, 1e-6)


NO_EXPRESSION = (
    ("sum(a)", ValueError, r"calls \['sum'\]; there are"),
    ("a +", SyntaxError, r"'a \+' is no expression of Python's \(invalid syntax\)"),
    ("a > 0 ? a : 0", SyntaxError, "a choice is 'a if a > 0 else 0'"),
    ("3 + pi", ValueError, "names no input"),
    ("a.sum()", ValueError, "is no expression of elements"),
    ("gelu(a)", ValueError, r"calls \['gelu'\]; there are"),
    ("exp(a, 2)", ValueError, "exp takes 1 elements"),
    ("a if b else 1", ValueError, "is no condition"),
    ("a > 0", ValueError, "is no expression of elements"),
    ("a // 2", ValueError, "is no expression of elements"),
    ("a + 'b'", ValueError, "is no expression of elements"),
    (7, TypeError, "an expression must be a string, got int"),
)


@pytest.mark.parametrize(("text", "error", "words"), NO_EXPRESSION)
def test_no_expression(text, error, words):
    with pytest.raises(error, match=words):
        tg.kernel.elementwise(text)
    with pytest.raises(ValueError, match="does not use the numbers"):
        tg.kernel.elementwise("a", slope=1.0)
    with pytest.raises(TypeError, match=r"\[elementwise\] slope='1' must be a number"):
        tg.kernel.elementwise("a * slope", slope="1")
    with pytest.raises(ValueError, match="name=7 must be a name"):
        tg.kernel.elementwise("a", name=7)


@pytest.mark.parametrize(
    "text", ["sum(a, a)", "a + sum(2)", "a + max(a, a, a)", "mean(a, keepdim=True)"]
)
def test_no_expression_of_rows(text):
    with pytest.raises(ValueError, match=r"takes [12] elements|is of no input"):
        tg.kernel.row(text)


# ---- what is refused ----


def body(x):
    return x


F = "__global__ void f({}) {{}}"
places = tg.kernel(
    F.format("float* y, const float* x, unsigned at, size_t bytes"), "x[n] -> y[n]", name="f"
)(lambda x, *, at=0, bytes=0: x)
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
    (XY, "x[n] -> y[n]", {"threads": 2048}, ValueError, "threads= is 2048, but must be 1 to 1024"),
    (XY, "x[n] -> y[n]", {"threads": (64, 32)}, ValueError, "1 to 1024, and 1024 together"),
    (XY, "x[n] -> y[n]", {"blocks": -1}, ValueError, "blocks= is -1, but must be 0 to 2147483647"),
    (XY, "x[n] -> y[n]", {"shared": -1}, ValueError, "shared= is -1, but must be 0 to 232448"),
    (XY, "x[n] -> y[n]", {"blocks": 1.5}, TypeError, r"\[f\] blocks= must be an int"),
    (XY, "x[n] -> y[n]", {"name": 7}, TypeError, "name= must be the name of a function"),
    (XY, "x[n] -> y[n]", {"gradient": "g"}, ValueError, "has no function 'g'"),
    (XY, "x[n] -> y[n]", {"gradient": ""}, ValueError, "gradient='' names no function"),
    (XY, "x[n] -> y[n]", {"gradient": lambda dy: dy}, TypeError, r"rule\(dy, x\): too many"),
    (XY, "x[itemsize] -> y[itemsize]", {}, ValueError, r"\['itemsize'\] would mean two things"),
    (F.format("float* y, const float* new"), "x[n] -> y[n]", {}, ValueError, "'new', a word of C"),
    (F.format("float* y, int n = 1"), "x[n] -> y[n]", {}, ValueError, "'int n = 1' has a default"),
    ("template <int k>\n" + XY, "x[n] -> y[n]", {}, ValueError, "only one of its element type"),
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
    (
        XY.replace("y", "dx") + "\n__global__ void g(float* dx, const float* dy) {}",
        "x[n] -> dx[n]",
        {"gradient": "g"},
        ValueError,
        r"\['dx'\] would be gradients, too",
    ),
    (XY, "x[n] -> y[n]", {"inputs": {"z": len}}, ValueError, r"\['z'\], .* inputs are \['x'\]"),
    (XY, "x[n] -> y[n]", {"inputs": {"x": 3}}, TypeError, r"inputs\['x'\] must be a function"),
    (XY, "x[n] -> y[n]?", {}, ValueError, "is for gradients"),
    (XY, "x[n]? -> y[n]", {}, ValueError, "not for inputs"),
    (XY, "x[n] -> y[n]; s[n]", {}, ValueError, r"nothing writes s\[n\]"),
    (XY, "x[n] -> y[n]; s[m]", {}, ValueError, r"result s\[m\] has sizes \['m'\]"),
    (XY, "x[n] -> y[n]; x[n]", {}, ValueError, "stand twice"),
    (XY, "x[n] -> y[n]", {"sizes": {"m": 7}}, TypeError, "'m' is 7"),
    (XY, "x[n] -> y[n]", {"sizes": {"n": lambda: 1}}, ValueError, "known already"),
    (XY, "x[n] -> y[n]", {"sizes": {"m": lambda k: k}}, ValueError, r"a function of \['k'\]"),
]


@pytest.mark.parametrize(("source", "signature", "more", "error", "words"), DECLARATIONS)
def test_a_wrong_declaration_is_refused(source, signature, more, error, words):
    with pytest.raises(error, match=words):
        tg.kernel(source, signature, **{"name": "f", **more})(body)


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
    (places, lambda x: (x,), {"at": -5}, ValueError, r"too small for unsigned \(0 to 4294967295\)"),
    (summary, lambda x: (x[None],), {"scale": 1, "negate": 0.5}, TypeError, "True or False"),
    (summary, lambda x: (x[None],), {"scale": 10**400}, ValueError, "scale is 10+, too large for"),
    (places, lambda x: (x,), {"bytes": -1}, ValueError, "too small for size_t"),
    (places, lambda x: (x,), {"bytes": 2**64}, ValueError, "too large for size_t"),
    (summary, lambda x: (x[None],), {"scale": 1, "more": 1}, TypeError, "unexpected keyword"),
    (gather, lambda x: (x[None], x.int()), {}, TypeError, "index must be int64, got int32"),
]


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize(("kernel", "arguments", "numbers", "error", "words"), CALLS)
def test_a_wrong_call_is_refused(kernel, arguments, numbers, error, words, device):
    with pytest.raises(error, match=words):
        kernel(*arguments(tg.ones(4, device=device)), **numbers)


# Column sums in two launches, with partial sums between them: memory of a size of its own. Where
# nobody asks for the gradient of the weight, its kernel does not make it.
COLUMNS = """
template <class T>
__global__ void parts_of(acc_t<T>* partial, const T* x, const T* weight, int64_t rows,
                         int64_t cols) {
    const int64_t j = blockIdx.x * blockDim.x + threadIdx.x, part = blockIdx.y;
    if (j < cols) {
        acc_t<T> sum = 0;
        for (int64_t i = part; i < rows; i += gridDim.y) {
            sum += to_acc(x[i * cols + j]) * to_acc(weight[i]);
        }
        partial[part * cols + j] = sum;
    }
}
template <class T>
__global__ void whole_of(T* y, const acc_t<T>* partial, int64_t parts, int64_t cols) {
    const int64_t j = global_thread();
    if (j < cols) {
        acc_t<T> sum = 0;
        for (int64_t i = 0; i < parts; ++i) {
            sum += partial[i * cols + j];
        }
        y[j] = from_acc<T>(sum);
    }
}
template <class T>
void columns(T* y, acc_t<T>* partial, const T* x, const T* weight, int64_t rows, int64_t cols,
             int64_t parts, cudaStream_t stream) {
    if (cols > 0) {
        LAUNCH(parts_of<T>, Extent(ceil_div(cols, 32), parts), 32, 0, stream, partial, x, weight,
               rows, cols);
        LAUNCH(whole_of<T>, ceil_div(cols, 32), 32, 0, stream, y, partial, parts, cols);
    }
}
template <class T>
__global__ void columns_backward(T* dx, T* dweight, const T* dy, const T* x, const T* weight,
                                 int64_t rows, int64_t cols) {
    const int64_t i = global_thread();
    if (i < rows) {
        acc_t<T> sum = 0;
        for (int64_t j = 0; j < cols; ++j) {
            dx[i * cols + j] = from_acc<T>(to_acc(dy[j]) * to_acc(weight[i]));
            sum += to_acc(dy[j]) * to_acc(x[i * cols + j]);
        }
        if (dweight) {
            dweight[i] = from_acc<T>(sum);
        }
    }
}
"""


@tg.kernel(
    COLUMNS,
    "x[rows, cols], weight[rows] -> y[cols]; partial[parts, cols]",
    gradient="columns_backward -> dx, dweight?",
    sizes={"parts": lambda rows: min(max(rows, 1), 3)},
)
def columns(x, weight):
    return (x * weight[:, None]).sum(0)


def test_scratch_memory_of_a_size_of_its_own():
    report = tg.kernel.check(
        columns, sizes={"rows": (1, 2, 7), "cols": (1, 33)}, mutate=False, seconds=20
    )
    assert report.ok, report


@pytest.mark.parametrize("needed", [(True, True), (True, False), (False, True)])
def test_a_gradient_that_nobody_needs_is_a_null_pointer(needed):
    made = {}
    for device in ("cpu", "emulated"):
        x, w = tg.ones(5, 3, device=device) * 2, tg.arange(5.0, device=device)
        wanted = [t for t, n in zip((x, w), needed, strict=True) if n]
        for t in wanted:
            t.requires_grad_()
        made[device] = [g.tolist() for g in tg.autograd.grad(columns(x, w).sum(), wanted)]
    assert made["cpu"] == made["emulated"]
    launch = columns.backward.planned(np.dtype("float32"), {"rows": 5, "cols": 3}, {}, ["dweight"])
    assert [name for name, *_ in launch.results] == ["dx"]
    assert launch.given[1] == (None, None)


def test_a_size_may_be_a_number():
    text = """__global__ void first(float* y, const float* x, int64_t count) {
        const int64_t i = global_thread();
        if (i < count) y[i] = x[i];
    }"""
    first = tg.kernel(text, "x[n] -> y[count]", name="first")(lambda x, *, count: x[:count])
    x = tg.arange(5.0, device="emulated")
    assert first(x, count=3).tolist() == first(x.cpu(), count=3).tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match=r"count is a size and must be an int, got 2\.0"):
        first(x, count=2.0)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        first(x, count=-1)


def test_numbers_that_are_equal_are_told_apart():
    x = tg.ones(2, 3, device="emulated")
    assert summary(x, scale=1.0, shift=2)[0].tolist() == [5, 5]
    assert summary(x, scale=1.0, shift=3)[0].tolist() == [6, 6]
    with pytest.raises(TypeError, match=r"shift must be an int, got 2\.0"):
        summary(x, scale=1.0, shift=2.0)


def test_the_limits_of_a_launch_are_those_of_the_kernels():
    text = (_build.source_root() / "kernels" / "launch.h").read_text()
    of = dict(re.findall(r"constexpr \w+ max_(\w+) = ([\d *]+);", text))
    wide, tall, threads, deep, shared = (
        math.prod(map(int, of[name].split("*")))
        for name in (
            "grid_width", "grid_height", "threads_per_block", "block_depth", "shared_bytes"
        )
    )  # fmt: skip
    assert _LIMITS["blocks"] == (0, (wide, tall, tall))
    assert _LIMITS["threads"] == (1, (threads, threads, deep))
    assert _LIMITS["shared"] == (0, (shared,))


def test_a_grid_of_no_blocks_is_refused_where_there_is_something_to_compute():
    text = "__global__ void f(float* y, const float* x, int64_t n) { y[threadIdx.x] = x[0]; }"
    f = tg.kernel(text, "x[n] -> y[n]", name="f", blocks=lambda n: n // 256)(lambda x: x)
    with pytest.raises(ValueError, match=r"blocks= is \(0, 1, 1\) for .*round up"):
        f(tg.ones(5, device="emulated"))
    assert f(tg.ones(0, device="emulated")).shape == (0,)


@pytest.mark.parametrize("count", [7, 17, 40])
def test_many_tensors(count):
    """More than the tape in C takes, and than a launch has parameters."""
    names = [f"x{i}" for i in range(count)]
    space: dict = {}
    exec(f"def body({', '.join(names)}): return {' + '.join(names)}", space)
    text = (
        f"__global__ void f(float* y, {', '.join(f'const float* {n}' for n in names)}, int64_t n)"
        f" {{ const int64_t i = global_thread(); if (i < n) y[i] = {'[i] + '.join(names)}[i]; }}"
    )
    signature = f"{', '.join(f'{n}[n]' for n in names)} -> y[n]"
    declared = tg.kernel(text, signature, name="f")
    if count > 24:
        with pytest.raises(ValueError, match="f has 42 parameters, and a kernel takes at most 24"):
            declared(space["body"])
    functions = [(tg.fuse(space["body"]), "emulated"), (tg.fuse(space["body"]), "cpu")]
    if count <= 24:
        functions.append((declared(space["body"]), "emulated"))
    for f, device in functions:
        x = [tg.full((3,), float(i), device=device, requires_grad=True) for i in range(count)]
        y = f(*x)
        y.sum().backward()
        assert y.tolist() == [sum(range(count))] * 3
        assert x[-1].grad.tolist() == [1, 1, 1]


def test_tensors_of_two_devices():
    with pytest.raises(RuntimeError, match=r"a on cpu, b on emulated"):
        swiglu(tg.ones(2), tg.ones(2, device="emulated"))


# A body, a rule, error, words
RETURNS = [
    (lambda x: None, None, TypeError, r"must return 1 Tensor \(y\[n\]\), got \(NoneType\)"),
    (lambda x: (x, x), None, TypeError, r"must return 1 Tensor .* got \(Tensor, Tensor\)"),
    (lambda x: x[:1], None, ValueError, r"body's y\[n\] must be of shape \(2,\), got \(1,\)"),
    (lambda x: x.double(), None, TypeError, r"y\[n\] must be float32, .* got float64"),
    (lambda x: 3, None, TypeError, r"\[tail\] the body must return 1 Tensor"),
    (tail.body, lambda dy, x: (dy, x), TypeError, r"one tensor .* for each of 1 inputs, got 2"),
    (tail.body, lambda dy, x: 2.0, TypeError, "gradient of x must be a Tensor or None, got float"),
    (tail.body, lambda dy, x: dy[:1], RuntimeError, r"shape \(1,\) for an input of shape \(2,\)"),
]


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize(("own_body", "rule", "error", "words"), RETURNS)
def test_bodies_and_rules_that_return_something_else(own_body, rule, error, words, device):
    """On the emulated device a body says gradients, and nothing else."""
    f = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail", gradient=rule)(own_body)
    with pytest.raises(error, match=words):
        f(tg.ones(2, device=device, requires_grad=True)).sum().backward()


def test_a_body_whose_results_lie_elsewhere():
    f = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x: x.cpu())
    with pytest.raises(RuntimeError, match=r"y\[n\] must be on emulated, .* got cpu"):
        f(tg.ones(2, device="emulated", requires_grad=True)).sum().backward()


def test_results_of_a_body_are_no_views_of_its_inputs():
    two = "__global__ void f(float* y, float* z, const float* x) {}"
    f = tg.kernel(two, "x[n] -> y[n], z[n]", name="f")(lambda x: (x, x[:1].expand(len(x))))
    x = tg.ones(2)
    y, z = f(x)
    y += 1
    z += 2
    assert (x.tolist(), y.tolist(), z.tolist()) == ([1, 1], [2, 2], [3, 3])


def test_a_default_that_is_no_number():
    with pytest.raises(TypeError, match=r"\[tail\] k='a' stands behind a '\*', so it must be a nu"):
        tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x, *, k="a": x)


def test_a_body_changes_no_input():
    f = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x: x.mul_(x))
    x = tg.ones(2) * 3
    with pytest.raises(RuntimeError, match="read-only array: clone"):
        f(x)
    assert x.tolist() == [3, 3]


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_a_body_is_fused(device):
    g = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x: x * x)
    x = tg.ones(2, device=device) * 3
    fused = tg.fuse(lambda x: g(x) + 1)
    assert fused(x).tolist() == [10, 10]
    text = "__global__ void two(float* y, float* z, const float* x) {}"
    two = tg.kernel(text, "x[n] -> y[n], z[n]", name="two")(lambda x: (x * x, x))
    assert tg.fuse(lambda x: two(x)[0] + two(x)[1])(x).tolist() == [12, 12]


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_a_body_knows_no_autocast(device):
    """What computes the result on ``cpu``, and the gradient everywhere."""
    f = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x: (x * x) @ tg.eye(len(x)).to(x))
    third = np.float32(1 / 3)
    x = tg.tensor([third, third], device=device, requires_grad=True)
    with tg.autocast(device, dtype=tg.float16):
        y = f(x)
        (g,) = tg.autograd.grad(y.sum(), x)
    assert y.dtype == g.dtype == tg.float32
    assert g.tolist() == [2 * third] * 2


@pytest.mark.parametrize("what", [7, int, None])
def test_what_is_no_body(what):
    with pytest.raises(TypeError, match=r"\[tail\] what is declared is a function of tensors"):
        tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(what)


def test_a_result_that_no_memory_holds():
    f = tg.kernel(SOURCE, "x[n] -> y[n, n, n]", name="tail")(lambda x: x.expand(len(x), *x.shape))
    with pytest.raises(ValueError, match=r"y\[n, n, n\] would have shape .* more than memory"):
        f(tg.ones(2**21, device="emulated"))
    g = tg.kernel(SOURCE, "x[n] -> y[n, n]", name="tail")(f.body)
    with pytest.raises(MemoryError, match=r"\[tail\] y of shape \(4194304, 4194304\)"):
        g(tg.ones(2**22, device="emulated"))


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


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("__shared__ float s[32];", r"__shared__: shared memory is SHARED\(name, float\[32\]\)"),
        ("extern __shared__ float s[];", r"or by shared= DYNAMIC_SHARED\(name, float\)"),
        ("other<<<1, 1>>>(y, x);", r"<<<: a launch is LAUNCH\(kernel, blocks, threads"),
    ],
)
def test_what_only_nvcc_knows_is_said_in_words_for_both(line, hint):
    text = (
        f"__global__ void other(float* y, const float* x) {{}}\n{XY.replace('{}', f'{{ {line} }}')}"
    )
    with pytest.raises(CompileError, match=rf"(?s)\[f\] does not compile.*error.*{hint}"):
        tg.kernel(text, "x[n] -> y[n]", name="f")(body)(tg.ones(2, device="emulated"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SOURCE[: SOURCE.rindex("__global__ void endless")].rstrip()[:-1], "a '}' is missing"),
        (SOURCE.replace("void tail", "void exp"), "'exp' is the name of something else"),
        (f"namespace own {{ {SOURCE} }}", "or stands in a namespace"),
    ],
)
def test_nothing_is_said_of_lines_that_nobody_wrote(text, words):
    f = tg.kernel(text, "x[n] -> y[n]", name="exp" if "exp(float" in text else "tail")(tail.body)
    with pytest.raises(CompileError, match=words) as error:
        f(tg.ones(2, device="emulated"))
    assert "tapegrad_" not in str(error.value)
    assert len(str(error.value)) < 200


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


DIVERGING = """
__global__ void diverging(float* y, const float* x, int64_t n) {
    if (threadIdx.x < 3) {
        __syncthreads();
    }
}
"""


def test_faults_name_the_kernel_the_thread_and_the_line():
    f = tg.kernel(DIVERGING, "x[n] -> y[n]", name="diverging")(body)
    with pytest.raises(tg.KernelError, match=r"diverging \[grid .*thread \(\d+, 0, 0\)") as error:
        f(tg.ones(64, device="emulated"))
    file = Path(__file__)
    line = file.read_text().split("\n").index('DIVERGING = """') + 4
    assert f"{file.name}:{line}" in str(error.value)
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


def test_a_key_that_two_threads_ask_for_is_compiled_once(monkeypatch):
    made = []

    def compile_slowly(self, *_):
        made.append(len(made))
        time.sleep(0.2)
        return len(made)

    monkeypatch.setattr(unit.Unit, "_compile", compile_slowly)
    asked = unit.Unit(tail.source, "emulated")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: asked["tail", None], range(2)))
    assert (found, made) == ([1, 1], [0])


def test_a_child_compiles_what_a_thread_was_compiling_at_the_fork():
    asked = unit.Unit(tail.source, "emulated")
    with asked._lock, compiled._compiling, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if child == 0:
            free = (lock.acquire(timeout=1) for lock in (asked._lock, compiled._compiling))
            os._exit(not all(free))
    assert os.waitpid(child, 0)[1] == 0


def test_a_library_that_is_loaded_twice_counts_once():
    library = kernels.library("emulated")
    text = unit.unit_text(tail.source, tail.source.function("tail"), None)
    path = str(unit.compiled(text, "tail", "emulated", ".", False))
    launches = [library.load(path)["tail"] for _ in range(2)]
    before = library.work_done()[0]
    y, x = np.empty(4, np.float32), np.ones(4, np.float32)
    launches[0](y, x, 4, 1, 1, 1, 32, 1, 1, 0, 0)
    assert library.work_done()[0] == before + 1


def test_functions_are_found_with_launch_bounds_and_without_comments():
    text = """// void old(int n) as it was
__global__ void __launch_bounds__(256) f(float* y) {}
__global__ __launch_bounds__(256) void g(float* y) {} /* void h( */
"""
    source = Source(text, "f.cu", 1, ".")
    assert source.functions() == ["f", "g"]
    assert source.functions(text.index("g(")) == ["f"]
    with pytest.raises(ValueError, match="there are f, g;"):
        source.function("old")


# ---- the cache ----


def test_what_is_compiled_is_kept_and_only_if_it_is_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    text = unit.unit_text(tail.source, tail.source.function("tail"), None)
    calls = []
    run = building.run
    monkeypatch.setattr(building, "run", lambda *a: calls.append(a[1]) or run(*a))
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


TWICE = """
__global__ void twice(float* y, const float* x, int64_t n) {
    const int64_t i = global_thread();
    if (i < n) y[i] = 2 * x[i];
}
"""


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_cache_that_cannot_be_is_an_error_with_its_remedy(tmp_path, monkeypatch, folder):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path / folder))
    text = unit.unit_text(tail.source, tail.source.function("tail"), None)
    with pytest.raises(_build.BuildError, match=r"cannot be kept in .*name a folder.*TAPEGRAD_C"):
        unit.compiled(text, "tail", "emulated", ".", False)


def test_a_damaged_file_of_the_cache_is_an_error_with_its_remedy(tmp_path, monkeypatch):
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(b"not a library")
    monkeypatch.setattr(unit, "compiled", lambda *a: damaged)
    kernel = tg.kernel(TWICE, "x[n] -> y[n]", name="twice")(lambda x: x + x)
    with pytest.raises(KernelsMissing, match=r"\[twice\] .*damaged\.so.*remove it"):
        kernel(tg.ones(3, device="emulated"))


def test_comments_may_be_in_any_encoding(tmp_path):
    path = tmp_path / "twice.cu"
    path.write_bytes(b"// gr\xf6\xdfe\n" + TWICE.encode())
    kernel = tg.kernel(path, "x[n] -> y[n]", name="twice")(lambda x: x + x)
    assert kernel(tg.ones(3, device="emulated")).tolist() == [2, 2, 2]


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
