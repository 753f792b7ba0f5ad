"""What is computed of a row, written in C++: ``tg.kernel.row`` with a signature."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import native
from tapegrad.core.dtypes import is_low_precision

NORM = """
A sum = 0;
columns.each([&](auto, A v) { sum += v * v; }, x);
const A scale = rsqrt(columns.reduce(sum, Sum()) / A(cols) + eps);
columns.write(y, [&](auto, A v, A w) { return v * scale * w; }, x, weight);
if (columns.lane() == 0) {
    *rstd = from_acc<T>(scale);
}
"""
NORMED = "x[*rows, cols], weight[cols] -> y[*rows, cols], rstd[*rows]"


@tg.kernel.row(NORM, NORMED)
def norm(x, weight, *, eps=1e-6):
    rstd = (x.square().mean(-1, keepdim=True) + eps).rsqrt()
    return x * rstd * weight, rstd.squeeze(-1)


@tg.kernel.row(
    """
    A largest = -INFINITY, total = 0;
    columns.each([&](auto, A v) { largest = max(largest, v); }, x);
    largest = columns.reduce(largest, Max());
    columns.each([&](auto, A v) { total += exp(v - largest); }, x);
    total = columns.reduce(total, Sum());
    columns.write(y, [&](auto, A v) { return exp(v - largest) / total * scales; }, x);
    """,
    "x[*rows, cols], scales[*rows] -> y[*rows, cols]",
    gradient="""
    A sum = 0, all = 0;
    columns.each([&](auto, A g, A v) { sum += g * v; all += g * v / scales; }, dy, y);
    sum = columns.reduce(sum, Sum());
    all = columns.reduce(all, Sum());
    columns.write(dx, [&](auto, A g, A v) { return v * (g - sum / scales); }, dy, y);
    if (columns.lane() == 0) {
        *dscales = from_acc<T>(all);
    }
    """,
)
def softmax(x, scales):
    return x.softmax(-1) * scales[..., None]


@tg.kernel.row(
    """
    const auto scaled = [&](auto at, A v) { return last && at.column + 1 == cols ? v : v * times; };
    columns.write(y, scaled, x);
    """,
    "x[rows, cols] -> y[rows, cols]",
)
def scaled(x, *, times, last=False):
    y = x * times
    if last:
        y = tg.cat([y[:, :-1], x[:, -1:]], 1)
    return y


KERNELS = {"norm": (norm, 50), "softmax": (softmax, 0)}
DEVICES = ["cpu", "emulated"]
needs_loops = pytest.mark.skipif(native.compiled is None, reason=str(native.status))
WHERE_COMPILED = [pytest.param("cpu", marks=needs_loops), "emulated"]


def tensors(name, device, dtype, lead=(2, 3), cols=300):
    tg.manual_seed(0)
    x = tg.randn(*lead, cols)
    other = tg.rand(cols) if name == "norm" else tg.rand(lead) + 0.5
    return [t.to(dtype).to(device).detach().requires_grad_() for t in (x, other)]


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.float16, tg.bfloat16], ids=str)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", [*KERNELS])
def test_values_and_gradients_are_the_bodys(name, device, dtype):
    kernel = KERNELS[name][0]
    given = tensors(name, device, dtype)
    exact = [t.detach().cpu().double().requires_grad_() for t in given]
    made, wanted = kernel(*given), kernel.body(*exact)
    made, wanted = ((m,) if isinstance(m, tg.Tensor) else m for m in (made, wanted))
    relative = {"float64": 1e-12, "float32": 2e-6}.get(str(dtype), 1e-2)
    for y, z in zip(made, wanted, strict=True):
        assert y.dtype == dtype
        np.testing.assert_allclose(y.detach().cpu().double().numpy(), z.detach().numpy(), relative)
    if is_low_precision(np.dtype(dtype)):
        return
    gradients = tg.autograd.grad(sum(y.square().sum() for y in made), given)
    exactly = tg.autograd.grad(sum(z.square().sum() for z in wanted), exact)
    for g, h in zip(gradients, exactly, strict=True):
        scale = float(h.abs().max())
        np.testing.assert_allclose(
            g.cpu().double().numpy(), h.numpy(), 30 * relative, relative * scale
        )


@needs_loops
@pytest.mark.parametrize("name", [*KERNELS])
def test_on_the_cpu_a_loop_is_run_and_not_the_body(name, monkeypatch):
    kernel = KERNELS[name][0]
    given = tensors(name, "cpu", tg.float32)
    monkeypatch.setattr(kernel, "run_body", None)
    y = kernel(*given)
    y = y if isinstance(y, tg.Tensor) else y[0]
    if kernel.backward is not None:
        y.sum().backward()
        assert all(t.grad is not None for t in given)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (1, 1), (2, 33)])
def test_sizes(device, shape):
    x = tg.arange(float(np.prod(shape)), device=device).reshape(shape)
    for last in (False, True):
        y = scaled(x.t().contiguous().t(), times=2, last=last)
        assert y.tolist() == scaled.body(x.cpu(), times=2, last=last).tolist()


def test_it_is_checked_as_any_kernel():
    report = tg.kernel.check(softmax, sizes={"rows": (1, 3), "cols": (33,)}, mutate=False)
    assert report.ok, report
    racing = tg.kernel.row(NORM.replace("if (columns.lane() == 0)", ""), NORMED)(norm.body)
    report = tg.kernel.check(racing, sizes={"rows": (3,), "cols": (33,)}, mutate=False)
    assert not report.ok
    assert "race on byte 0 of rstd" in str(report)


# what a body of rows does for cpu alone: the finding's words
WRONG_LOOPS = {
    "a value": ("return v * A(1.01);", r"should be .*\(\d+ of \d+\)"),
    "a place": ("y[cols] = y[0]; return v;", "out of bounds|memory behind it was written"),
}


@needs_loops
@pytest.mark.parametrize("name", WRONG_LOOPS)
def test_the_loop_on_the_cpu_is_checked(name):
    line, words = WRONG_LOOPS[name]
    text = f"""
    columns.write(y, [&](auto, A v) {{
    #ifdef OF_FLOATS
        {line}
    #endif
        return v;
    }}, x);
    """
    for body, ok in ((text, False), (BODY, True)):
        kernel = tg.kernel.row(body, ROWS, name="same")(lambda x: x * 1)
        report = tg.kernel.check(kernel, sizes={"rows": (2,), "cols": (33,)}, mutate=False)
        (finding,) = (f for f in report.findings if f.what == "loops on cpu")
        assert report.ok == finding.ok == ok, report
        assert ok or re.search(words, finding.said), report


WORDS = """
    const auto word = [&](auto, A v) {
        return abs(v) + (isfinite(v) ? max(v, A(0)) : min(v, A(2)));
    };
    columns.write(y, word, x);
"""


@pytest.mark.parametrize("device", WHERE_COMPILED)
def test_words_mean_the_same_on_each_device(device):
    words = tg.kernel.row(WORDS, "x[*rows, cols] -> y[*rows, cols]", name="words")(lambda x: x)
    x = tg.tensor([[1.5, -2.7, 0.3], [float("inf"), float("-inf"), -0.25]]).to(device)
    expected = [[3.0, 2.7, 0.6], [float("inf"), float("nan"), 0.25]]
    np.testing.assert_allclose(words(x).tolist(), expected, rtol=1e-6)
    nan = tg.full((2, 2), float("nan"), device=device)
    least = tg.kernel.row(
        "columns.write(y, [&](auto, A v) { return max(v, A(0)) + max(A(1), v); }, x);",
        "x[*rows, cols] -> y[*rows, cols]",
        name="least",
    )(lambda x: x)
    assert least(nan).tolist() == [[1.0, 1.0]] * 2


@pytest.mark.parametrize("device", WHERE_COMPILED)
def test_a_row_is_not_written_where_there_is_one_number(device):
    wrong = tg.kernel.row(BODY, "x[*rows, cols] -> y[*rows]", name="wrong")(lambda x: x[..., 0])
    with pytest.raises(tg.KernelError, match="OneNumber"):
        wrong(tg.ones(3, 500, device=device))


BODY = "columns.write(y, [&](auto, A v) { return v; }, x);"
ROWS = "x[*rows, cols] -> y[*rows, cols]"
WRONG = [
    (BODY, "x[n] -> y[n]", {}, ValueError, "arrays of rows are of sizes like"),
    (BODY, "x[rows, *cols] -> y[rows, *cols]", {}, ValueError, "arrays of rows are of sizes"),
    (BODY, "x[rows, cols] -> y[cols, rows]", {}, ValueError, "arrays of rows are of sizes like"),
    (BODY, "x[row, cols] -> y[row, cols]", {}, ValueError, r"\['row'\] mean something else"),
    (BODY, "x[*rows, cols] -> y[*rows, cols]; s[cols]", {}, ValueError, "no memory to work in"),
    (BODY, "x[rows, cols] -> y[rows, cols], s[cols]", {}, ValueError, r"would write s\[cols\]"),
    (BODY, "x[n, n] -> y[n, n]", {}, ValueError, "rows and columns need two names"),
    (BODY, ROWS, {"slope": 1.0}, TypeError, "are the keyword arguments of the body"),
    (BODY, ROWS, {"gradient": 7}, TypeError, "gradient= is"),
    (BODY, ROWS, {"name": "a row"}, ValueError, "is no name"),
    (BODY, ROWS, {"name": "main"}, ValueError, "'main', a word of C"),
    (BODY[:-8], ROWS, {}, ValueError, r"a '}' is missing in the body of a row"),
    (BODY + "} {", ROWS, {}, ValueError, r"there is a '}' too many"),
    ("// y", ROWS, {}, ValueError, r"nothing writes \['y'\] in the body '// y'"),
    (BODY, ROWS, {"gradient": ""}, ValueError, r"nothing writes \['dx'\]"),
]


@pytest.mark.parametrize(("text", "signature", "more", "error", "words"), WRONG)
def test_a_wrong_declaration_is_refused(text, signature, more, error, words):
    with pytest.raises(error, match=words):
        tg.kernel.row(text, signature, **{"name": "f", **more})(lambda x: x)


def test_a_gradient_that_no_row_has_is_refused():
    with pytest.raises(ValueError, match="is a sum over rows"):
        tg.kernel.row(NORM, NORMED, gradient=BODY)(norm.body)
    with pytest.raises(TypeError, match="are for C"):
        tg.kernel.row("x / sum(x)", gradient=BODY)


@pytest.mark.parametrize("device", WHERE_COMPILED)
def test_what_does_not_compile_is_said_with_its_line(device):
    def same(x):
        return x

    wrong = tg.kernel.row(
        """
        columns.write(y, [&](auto, A v) { return v * missing; }, x);
        """,
        ROWS,
    )(same)
    with pytest.raises(tg.KernelError, match="missing") as caught:
        wrong(tg.ones(2, 3, device=device))
    here = same.__code__.co_firstlineno + 5
    assert f"test_own_rows.py:{here}:" in str(caught.value)
