"""What the check of a kernel of one's own notices, and how it says so. (U07, R12)"""

from __future__ import annotations

import os
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
from own_kernels import SOURCE, gated, gather, summary, tail

import tapegrad as tg
from tapegrad import cli
from tapegrad.core import native
from tapegrad.core.devices import KernelsMissing
from tapegrad.core.kernels import library
from tapegrad.custom import child, patience
from tapegrad.custom.child import Died, in_child
from tapegrad.custom.mutants import mutants
from tapegrad.fusion import run


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
        r"thread \(0, 0, 0\) at <kernel f>:\d+: did not end: no thread ended or met others",
    ),
    "no end, with barriers": (
        "if (threadIdx.x == 0) {",
        "for (volatile bool on = true; on;) __syncthreads();\n    if (threadIdx.x == 0) {",
        "values",
        "did not end: no thread ended, though they meet",
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
def test_what_is_broken_is_reported(name):
    old, new, what, words = BROKEN[name]
    assert SUM.count(old) == 1
    f = tg.kernel(
        SUM.replace(old, new), "x[n] -> y[]", name="f", gradient="g", blocks=1, threads=64
    )(lambda x: x.sum())
    report = tg.kernel.check(f, seconds=1)
    assert not report
    said = {finding.what: finding.said for finding in report.findings if finding.ok is False}
    assert what in said, report
    assert re.search(words, said[what]), report
    assert str(report).endswith("f is WRONG")


def test_what_is_added_to_nan_is_explained():
    f = tg.kernel(
        SOURCE,
        "table[rows, cols], index[n] -> y[n, cols]",
        name="gather",
        gradient="gather_backward",
        blocks=lambda n: n,
        threads=32,
        inputs=gather.draws,
    )(gather.body)
    report = tg.kernel.check(f, sizes={"rows": (3,), "cols": (5,), "n": (4,)}, mutate=False)
    (said,) = (f.said for f in report.findings if f.ok is False and f.what == "gradient")
    assert re.search("is nan, and should be .*; what nothing writes of dtable is nan", said), report


def test_an_expression_is_checked():
    f = tg.kernel.elementwise("(a if a > 0 else slope * a) + da", slope=0.3)
    report = tg.kernel.check(f, slope=0.7)
    assert report, report
    assert report.findings[-1].said.startswith("2 of 2 noticed"), report
    if native.compiled is not None:
        said = next(f.said for f in report.findings if f.what == "loops on cpu")
        assert said.startswith("float32, float64, float16, bfloat16; 9 sizes, 4 places"), report
    assert report.launches > 500
    assert str(report).startswith("elementwise: a[*n], da[*n] -> y[*n]")


def test_a_kernel_of_many_inputs_is_checked_with_its_table_of_addresses():
    products = " + ".join(f"x{i} * x{i}" for i in range(12))
    f = tg.kernel.elementwise(f"{products} + (a if a > 0 else 0.3 * a)")
    report = tg.kernel.check(f, sizes={"n": (5,)})
    assert report, report
    assert report.findings[-1].said.startswith("2 of 2 noticed"), report


# what is changed in what is written for an expression: the finding that says so, and how
BROKEN_FUSED = {
    "a wrong bound": ("at < ", "at <= ", "accesses", "out of bounds"),
    "a wrong value": ("exp(", "1.001f * exp(", "values", r"elementwise .* y .*should be"),
    "a race": ("block * blockDim.x + ", "", "accesses", "race on byte"),
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


@pytest.mark.skipif(native.compiled is None, reason=str(native.status))
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("exp(", "1.001f * exp(", "y .*should be"),
        ("; ++j", "; j += 2", "y .* is nan, and should be"),
        ("< last", "<= last", "out of bounds|memory behind it was written"),
    ],
)
def test_a_fused_loop_that_is_broken_is_reported(old, new, words, monkeypatch):
    write = run.write_loop

    def broken(kernel):
        written = write(kernel)
        assert old in written.text
        written.text = written.text.replace(old, new)
        return written

    monkeypatch.setattr(run, "write_loop", broken)
    report = tg.kernel.check(tg.kernel.elementwise("exp(a) * a"), sizes={"n": (0, 200)})
    said = {finding.what: finding.said for finding in report.findings if finding.ok is False}
    assert [*said] == ["loops on cpu"], report
    assert re.search(words, said["loops on cpu"]), report


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("if (i < n) y[i] = 0;", "i < n -> true"),
        ("if (a > 0 && at(b, c) >= n) return;", "a > 0 -> true, at(b, c) >= n -> false"),
        ("for (int i = team; i < Of<a, b>::all(n); ++i) f(i);", "i < Of<a, b>::all(n) -> true"),
        ("if (f<2, g<3>>(p->x, 1) < p->n) return;", "f<2, g<3>>(p->x, 1) < p->n -> true"),
        ("const bool kept = (word >> 8) >= least;", "(word >> 8) >= least -> false"),
        ("for (int i = 0; i < n; ++i) f(i);", ""),
        ("load<(shares > 1)>(stage);", ""),
        ("#ifdef __CUDACC__\nif (a < 0) f();\n#if X\n#else\nif (b < 0) f();\n#endif\n#else\n"
         "if (c < n) f();\n#endif\n#ifndef __CUDACC__\nif (d < n) f();\n#else\nif (e < n) f();\n"
         "#endif",
         "8: c < n -> true, 11: d < n -> true"),
        ("if(i<n&&x[i]>=0) y[i]=i<=last?0:1;", "i<n -> true, x[i]>=0 -> true, i<=last -> true"),
        ("if(std::min(i,j)>=n||k<0)return;", "std::min(i,j)>=n -> false, k<0 -> false"),
        ("for(int i=threadIdx.x;i<n;i+=128)f(i);", "i<n -> true"),
        ("  for(int i=0;i<n;++i)f(i);", ""),
        ("vector<Of<float>, 3> a; f<T*>(x<<3,y->z); g<int>(x>>1);", ""),
        ("if (static_cast<int>(a)<f<T>(b)) c();", "static_cast<int>(a)<f<T>(b) -> true"),
        ("k<<<1,32>>>(p);", ""),
        ("atomicAdd(&y[i],v);", "atomicAdd(&y[i],v); -> *(&y[i]) += v;"),
        ("a = __shfl_xor_sync(~0u,v,1);", "__shfl_xor_sync(~0u,v,1) -> v"),
        ("__syncthreads ( ) ;", "__syncthreads ( ) ; -> ;"),
    ],
)  # fmt: skip
def test_a_comparison_is_decided_whole(text, found):
    assert ", ".join(str(m).removeprefix("1: ") for m in mutants(text)) == found


def test_every_barrier_and_bound_of_a_sum_is_needed():
    f = tg.kernel(SUM, "x[n] -> y[]", name="f", gradient="g", blocks=1, threads=64)(
        lambda x: x.sum()
    )
    report = tg.kernel.check(f, sizes={"n": (0, 1, 63, 65, 300)})
    assert report.findings[-1].said.startswith("5 of 5 noticed"), report


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((5000, 0), "; 2 of 2 sizes"),
        ((20_000, 5000), "; 1 of 2 sizes"),
        ((3, 5000), "; 1 of 2 sizes"),
    ],
)
def test_accesses_are_looked_at_whatever_the_sizes(sizes, said):
    """Of large ones the smallest, as they take long; and how many it were is said."""

    def accesses(source):
        f = tg.kernel(source, "x[n] -> y[]", name="f", blocks=1, threads=64)(lambda x: x.sum())
        report = tg.kernel.check(f, sizes={"n": sizes}, mutate=False)
        return next(finding for finding in report.findings if finding.what == "accesses")

    assert accesses(SUM).said.endswith(f"{said} looked at")
    if sizes[0] > 3:
        assert "race on byte" in accesses(SUM.replace("__syncthreads();\n    for", "for")).said


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


def test_without_a_compiler_no_kernel_is_called_wrong(monkeypatch):
    kernel = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x: x * x)
    library("emulated")  # which is there
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(KernelsMissing, match=r"^\[tail\] .* needs a C\+\+ compiler: install g\+\+"):
        tg.kernel.check(kernel)


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
        r"\[gather\] inputs\['index'\] made shape",
    ),
    (lambda: tg.kernel.check(tail, inputs={"z": len}), ValueError, r"the inputs are \['x'\]"),
    (lambda: tg.kernel.check(tail, inputs={"x": 3}), TypeError, "must be a function of sizes"),
    (lambda: tg.kernel.check(tail, sizes={"n": 3}), TypeError, r"sizes\['n'\] must be whole"),
    (lambda: tg.kernel.check(tail, sizes={"n": [2.5]}), TypeError, r"whole numbers, .* \[2.5\]"),
    (lambda: tg.kernel.check(tail, sizes={"n": []}), ValueError, "must be sizes to try"),
    (lambda: tg.kernel.check(tail, sizes={"n": [-3]}), ValueError, r"sizes to try, .* \[-3\]"),
    (lambda: tg.kernel.check(tail, seconds=0), ValueError, "seconds= must be more than 0, got 0"),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG_CHECKS)
def test_a_wrong_check_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


# what runs: launches of so many seconds, in which a thread ends, or meets others, so often; and
# whether, and why, the last is ended
PATIENCE = {
    "stuck": ([(10, None, None)], "no thread ended or met others, for 3 s"),
    "stuck after a while": ([(0.2, 0.1, None), (10, None, None)], "for 3 s"),
    "meeting for ever": ([(20, None, 0.2)], "no thread ended, though they meet, for 12 s"),
    "slow": ([(100, 2.5, None)], None),
    "slow, meeting": ([(11, None, 0.2), (100, 11, 2)], None),
    "many": ([(1, 1, None)] * 60, None),
    "like the others": ([(0.5, 0.4, None)] * 3 + [(7, None, None)], None),
    "longer than the others": ([(0.5, 0.4, None)] * 3 + [(11, None, None)], "for 8 s"),
}


@pytest.mark.parametrize("name", PATIENCE)
def test_an_endless_launch_is_told_apart_from_a_slow_one(name, monkeypatch):
    launches, words = PATIENCE[name]
    now, state = 0.0, (0, 0, 0)

    class Emulator:
        progress = staticmethod(lambda: state)
        work_done = staticmethod(lambda: (state[0], 0))
        describe_progress = staticmethod(lambda: "f [...]")

    monkeypatch.setattr(patience, "library", lambda device: Emulator)
    monkeypatch.setattr(patience.time, "process_time", lambda: now)
    said = []
    watch, ended = patience.Patience(3, running=lambda: said.append(now)), None
    for launch, (seconds, ending, meeting) in enumerate(launches, 1):
        for tick in range(round(seconds / patience.TICK)):
            now += patience.TICK
            passed = tick * patience.TICK
            state = launch, *(int(passed / every) if every else 0 for every in (ending, meeting))
            try:
                watch._look()
            except patience.Endless as error:
                ended = str(error)
                break
        assert ended is None or launch == len(launches)
    assert (ended is None) == (words is None), ended
    assert words is None or words in ended
    assert len(said) == round(now / patience.TICK)


def test_a_child_that_dies_says_where():
    def crash(note):
        note("the edge")
        os.kill(os.getpid(), 11)

    with pytest.raises(Died, match="out of bounds, at the edge"):
        in_child(crash, 30)
    with pytest.raises(ZeroDivisionError):
        in_child(lambda note: 1 / 0, 30)
    assert in_child(lambda note: "answer", 30) == "answer"


def paced(monkeypatch, steps, then):
    """Lets a child make so many steps, with each of which 0.4 s pass by in_child's clock, and
    ``then`` s after the last, whatever the machine is busy with; returns what makes a step."""
    (asked, ask), (made, tell) = os.pipe(), os.pipe()
    times = iter([0.4 * i for i in range(1, steps + 1)])

    def monotonic():
        now = next(times, None)
        if now is None:
            return 0.4 * steps + then
        os.write(ask, b".")
        os.read(made, 1)
        return now

    def step(note, *text):
        os.read(asked, 1)
        note(*text)
        os.write(tell, b".")

    monkeypatch.setattr(child, "time", SimpleNamespace(monotonic=monotonic))
    return step


def test_a_child_that_hangs_says_where(monkeypatch):
    step = paced(monkeypatch, 1, then=2)
    with pytest.raises(Died, match="did not end within 2 s, at nowhere"):
        in_child(lambda note: step(note, "nowhere") or time.sleep(600), 1.6)


def test_a_child_may_take_long_while_it_notes_what_it_is_at(monkeypatch):
    step = paced(monkeypatch, 8, then=0)

    def slow(note):
        for i in range(8):
            step(note, *["the first part"][i:])
        return "all"

    assert in_child(slow, 1.6) == "all"


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
    (tmp_path / "mine.cu").write_text(SUM)
    assert cli.main(["check", str(tmp_path / "mine.cu")]) == 1
    assert "mine.cu is CUDA: name the Python file" in capsys.readouterr().err
    assert cli.main(["check", str(tmp_path)]) == 1
    assert "is a folder: name the Python file" in capsys.readouterr().err
