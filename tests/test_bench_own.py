"""Kernels, fused functions, functions and whole steps of a user's own, measured beside their plain
bodies and the peers: what is timed, what is refused, and how it is told. (U07)"""

import csv
import io
import sys
import types

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import bench
from tapegrad.bench import ceilings, files, judge, timing
from tapegrad.bench.translated import translated
from tapegrad.cli import main
from tapegrad.fusion import plain_bodies

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)
DEVICES = ["cpu", "emulated", CUDA]
SOURCE = """
template <class T>
__global__ void scaled(T* y, const T* x, const T* weight, int64_t cols, double by) {
    for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
        const int64_t at = blockIdx.x * cols + i;
        y[at] = from_acc<T>(to_acc(x[at]) * to_acc(weight[i]) * acc_t<T>(by));
    }
}
"""
SIGNATURE = "x[*rows, cols], weight[cols] -> y[*rows, cols]"


def body(x, weight, *, by=2.0):
    return x * weight * by


def declared(source=SOURCE, body=body, **more):
    return tg.kernel(source, SIGNATURE, name="scaled", blocks=lambda rows: rows, **more)(body)


scaled = declared()


@pytest.fixture(autouse=True)
def _small_ceilings(monkeypatch):
    """Ceilings in no time: what they are is not tested, only that they are measured."""
    monkeypatch.setattr(ceilings, "_sizes", lambda device: (1 << 12, 16))
    monkeypatch.setattr(ceilings, "_SECONDS", 0.0)


def compare(f, *others, **options):
    return bench.compare(f, *others, **{"peers": ["body"], "seconds": 0, **options})


def shapes(results):
    return [(row.case, row.shape, list(row.times)) for row in results.rows]


# ---- what is timed -----------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_a_kernel_and_its_gradient_beside_the_body(device):
    results = compare(
        scaled, sizes=["4x33", (2, 3, 5)], device=device, dtypes=["float32"], backward=True
    )
    assert shapes(results) == [
        ("scaled", (4, 33), ["scaled", "body"]),
        ("scaled", (2, 3, 5), ["scaled", "body"]),
        ("scaled backward", (4, 33), ["scaled backward", "body"]),
        ("scaled backward", (2, 3, 5), ["scaled backward", "body"]),
    ]
    forward, _, backward, _ = results.rows
    assert (forward.bytes, forward.flops) == (4 * (2 * 132 + 33), 2 * 132)
    assert backward.bytes == 4 * (3 * 132 + 2 * 33)  # x, weight, dy; dx, dweight
    assert backward.flops >= 3 * 132
    assert forward.ratio("body") > 0


@pytest.mark.gpu
def test_large_references_are_computed_on_the_gpu(monkeypatch):
    monkeypatch.setattr(judge, "_NUMPY_ELEMENTS", 10)
    results = compare(scaled, sizes=["4x33"], device="cuda", backward=True)
    assert {row.reference for row in results.rows} == {"cupy"}
    assert len(results.rows) == 6  # in three dtypes


def test_on_the_cpu_a_kernel_is_its_body():
    assert "on the CPU a kernel is its plain body" in str(compare(scaled, sizes=["4x5"]))
    assert "plain body, which" not in str(compare(scaled, sizes=["4x5"], device="emulated"))


def test_a_function_that_changes_its_inputs_is_refused():
    with pytest.raises(bench.BenchmarkError, match="'add_' changes its input 0"):
        compare(tg.Tensor.add_, inputs=(tg.ones(3), tg.ones(3)))


def test_a_peer_that_changes_its_inputs_does_not_spoil_those_of_the_next():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    case = bench.case(
        tg.exp, inputs=lambda n: tg.randn(n), sizes=[5], torch=lambda x: torch.exp(x.add_(1).sub(1))
    )
    case.ways["body"] = case.ways["exp"]
    results = bench.run([case], peers=["torch", "body"], budget_s=0, progress=False)
    assert list(results.rows[0].times) == ["exp", "body"]
    assert "'torch' changes its input 0" in results.rows[0].peers["torch"]


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_in_every_dtype(dtype):
    (row,) = compare(scaled, sizes=["3x7"], device="emulated", dtypes=[dtype]).rows
    assert (row.dtype, list(row.times)) == (dtype, ["scaled", "body"])


@pytest.mark.parametrize(
    "f",
    [
        tg.fuse(lambda x: F.gelu(x) * 2),
        tg.kernel.elementwise("slope * a if a > 0 else b", slope=2.0),
        lambda x, y: (x + y, x.cumsum(-1)),
        tg.tanh,
    ],
)
def test_functions_of_every_kind(f):
    options = {"inputs": lambda n: tg.randn(n)} if f is tg.tanh else {}
    results = compare(f, sizes=[50], backward=True, **options)
    assert [row.status for row in results.rows] == ["ok", "ok"]


def test_others_get_the_same_inputs_and_names_of_their_own():
    x = tg.randn(30, 20)
    results = compare(F.silu, lambda x: x * x.sigmoid(), lambda x: x / (1 + (-x).exp()), inputs=x)
    assert list(results.rows[0].times) == ["silu", "<lambda>", "<lambda> 3"]
    assert results.rows[0].shape == (30, 20)


def test_pytorch_computes_the_body():
    pytest.importorskip("torch", exc_type=ImportError)
    results = compare(scaled, sizes=["4x5"], peers=["body", "torch"], backward=True)
    assert [list(row.times)[1:] for row in results.rows] == [["body", "torch"]] * 2
    assert results.rows[0].peers == {}


def helper(x):
    return tg.relu(x) if x.ndim else helper(x[None])


def test_names_of_tapegrad_become_those_of_pytorch():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    from tapegrad.nn.functional import gelu

    def f(x, *, power=2):
        return F.softmax(helper(x), -1) + gelu(x) ** power + tg.exp(x)

    x = torch.randn(3, 4)
    expected = torch.softmax(x.relu(), -1) + torch.nn.functional.gelu(x) ** 2 + x.exp()
    assert torch.equal(translated(f)(x), expected)
    assert helper.__globals__["tg"] is tg


def test_a_function_is_translated_once():
    pytest.importorskip("torch", exc_type=ImportError)
    case = bench.case(helper, sizes=["3x4"])
    before = set(sys.modules)
    for one in (case, case.gradient()):
        assert one.ways["torch"](tg.device("cpu")) is not None
    assert len([name for name in set(sys.modules) - before if "_for_torch_" in name]) == 1


class Jax(types.ModuleType):
    """In JAX's place, with NumPy's arrays."""

    numpy = np
    compiled = 0

    @classmethod
    def jit(cls, f):
        cls.compiled += 1
        return f

    @staticmethod
    def block_until_ready(result):
        return result


def test_jax_is_compiled_once(monkeypatch):
    jax = Jax("jax")
    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.setattr("tapegrad.bench.peers.find_spec", lambda name: name)
    case = bench.case(tg.exp, inputs=lambda n: tg.randn(n), sizes=[5], jax=np.exp)
    results = bench.run([case], peers=["jax"], budget_s=0, progress=False)
    assert list(results.rows[0].times) == ["exp", "jax"]
    assert Jax.compiled == 1


@pytest.mark.gpu
def test_cupy_computes_on_the_arrays():
    case = bench.case(scaled, sizes=["4x5"], cupy=lambda x, weight, by: x * weight * by)
    results = bench.run([case], "cuda", ["float32"], peers=["cupy"], budget_s=0, progress=False)
    assert list(results.rows[0].times) == ["scaled", "cupy"]


def test_memory_is_counted():
    results = compare(lambda x: ((x + 1) * 2).sum(), sizes=[100_000], peers=[])
    (peak,) = results.rows[0].peaks.values()
    assert 800_000 <= peak < 1_000_000


def test_operations_are_counted_where_they_can_be():
    x, w = tg.randn(6, 5), tg.randn(5, 4)
    for f, inputs, count in [
        (lambda x: x.exp() * x, (x,), 60),
        (lambda x: x.sum(-1), (x,), 30),
        (lambda x, w: x @ w, (x, w), 2 * 6 * 5 * 4),
        (lambda x: x.sort(-1).values, (x,), 0),
    ]:
        assert compare(f, inputs=inputs, peers=[]).rows[0].flops == count


def test_the_list_of_a_files_cases(tmp_path, capsys):
    (tmp_path / "my_kernel.py").write_text(FILE)
    assert main(["bench", str(tmp_path / "my_kernel.py"), "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["rows", "scaled", "squares"]


def test_the_roofline_of_a_files_cases(tmp_path, command):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "roofline.png"
    status, out, _ = command("scaled", "squares", "--device", "cpu", "--plot", str(picture))
    assert (status, picture.stat().st_size > 0) == (0, True)
    assert f"picture  {picture}" in out


def test_inputs_are_drawn_as_the_file_says():
    seen = []

    def gather(table, index):
        seen.append((table.dtype, index.dtype))
        return table[index]

    def inputs(rows, cols):
        return tg.rand(rows, cols, dtype=tg.float64), tg.randint(0, rows, (7,))

    case = bench.case(gather, inputs=inputs, sizes=["5x3"], flops=12, bytes=lambda r, c: r * c)
    (row,) = bench.run([case], dtypes=["float16"], peers=[], budget_s=0, progress=False).rows
    assert (row.status, row.flops, row.bytes) == ("ok", 12, 15)
    assert (tg.float16, tg.int64) in seen


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "wrong", "message"),
    [
        ("y[at] = ", "if (blockIdx.x < 0) y[at] = ", "at index"),
        ("acc_t<T>(by)", "acc_t<T>(by) / acc_t<T>(0) * acc_t<T>(0)", "it is nan"),
        ("at = blockIdx.x", "at = (blockIdx.x == 1 ? 0 : blockIdx.x)", "at index (1, 0)"),
    ],
)
def test_a_wrong_kernel_is_refused_with_the_element(was, wrong, message):
    kernel = declared(SOURCE.replace(was, wrong))
    with pytest.raises(bench.BenchmarkError, match="'scaled' is wrong: ") as error:
        compare(kernel, sizes=["3x5"], device="emulated")
    assert message in str(error.value)


def test_a_wrong_gradient_is_refused():
    kernel = declared(gradient=lambda dy, x, weight, *, by: (dy * weight * by, dy.sum(0)))
    with pytest.raises(bench.BenchmarkError, match="'scaled backward' is wrong: result 1: at "):
        compare(kernel, sizes=["3x5"], backward=True)


def test_inputs_that_tell_nothing_are_refused():
    with pytest.raises(bench.BenchmarkError, match="is zero everywhere"):
        compare(scaled, inputs=(tg.zeros(3, 4), tg.ones(4)))
    with pytest.raises(bench.BenchmarkError, match=r"is nan at index \(0,\)"):
        compare(tg.log, inputs=-tg.ones(3))


def test_numbers_must_be_said():
    kernel = declared(body=lambda x, weight, *, by: x * weight * by)
    with pytest.raises(bench.BenchmarkError, match=r"needs numbers: say .*'by': "):
        compare(kernel, sizes=["2x3"])
    case = bench.case(kernel, sizes=["2x3"], numbers={"by": 3.0})
    assert bench.run([case], peers=["body"], budget_s=0, progress=False).rows[0].status == "ok"


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="expects functions of tensors, got int"):
        bench.case(tg.exp, 3)
    with pytest.raises(bench.BenchmarkError, match="how many tensors it takes: give it inputs="):
        compare(lambda *x: x, sizes=[3])
    with pytest.raises(TypeError, match="stand their inputs: one tuple"):
        compare({"a": tg.add}, tg.ones(3), tg.ones(3))
    with pytest.raises(bench.BenchmarkError, match="sizes= would mean nothing"):
        compare(tg.exp, inputs=tg.ones(3), sizes=[3])
    with pytest.raises(bench.BenchmarkError, match="inputs that are the same for all"):
        compare({"a": tg.exp}, {"a": tg.ones(3)}, backward=True)
    with pytest.raises(bench.BenchmarkError, match="no shape: '3xy'"):
        compare(scaled, sizes=["3xy"])


# ---- whole steps -------------------------------------------------------------------------------


def trained(activation, lr=0.1):
    def make(device):
        model = tg.nn.Linear(4, 4).to(device)
        optimizer = tg.optim.SGD(model.parameters(), lr)
        x = tg.randn(8, 4, device=device)

        def step():
            loss = activation(model(x)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step

    return make


def test_whole_steps_beside_those_of_the_bodies():
    fused = tg.fuse(lambda x: F.gelu(x) * 2)
    case = bench.steps(trained(fused), name="training")
    (row,) = bench.run([case], peers=["body"], budget_s=0, progress=False).rows
    assert (row.status, list(row.times)) == ("ok", ["training", "body"])
    assert row.peaks["training"] > 0


@pytest.mark.parametrize(
    ("activation", "lr", "message"),
    [
        (declared(SOURCE.replace("(by)", "(by + 0.1)")), 0.1, "wrong: at index (0,) it is"),
        (lambda x, w: x * w, 0.0, "failed: BenchmarkError: [steps] a step must return its loss"),
    ],
)
def test_steps_that_learn_otherwise_are_refused(activation, lr, message):
    case = bench.steps(trained(lambda x: activation(x, tg.ones(4, device=x.device)), lr))
    results = bench.run([case], "emulated", peers=["body"], budget_s=0, progress=False)
    assert message in str(results)


def test_plain_bodies_stand_for_kernels():
    wrong = declared(SOURCE.replace("(by)", "(by + 1)"))
    x, weight = tg.ones(2, 3, device="emulated"), tg.ones(3, device="emulated")
    assert wrong(x, weight).tolist()[0][0] == 3
    with plain_bodies():
        assert wrong(x, weight).tolist()[0][0] == 2
    assert wrong(x, weight).tolist()[0][0] == 3


# ---- the command -------------------------------------------------------------------------------

FILE = f'''
import tapegrad as tg

SOURCE = """{SOURCE}"""


@tg.kernel(SOURCE, "{SIGNATURE}", blocks=lambda rows: rows)
def scaled(x, weight, *, by=2.0):
    return x * weight * by


squares = tg.fuse(lambda x: x * x)


def plain(x):
    return x + 1


rows = tg.bench.case(plain, lambda x: 1 + x, name="rows", group="sums", sizes=["2x3"])
'''


@pytest.fixture
def command(tmp_path, capsys):
    def run(*arguments, text=FILE):
        file = tmp_path / "my_kernel.py"
        file.write_text(text)
        status = main(["bench", str(file), *arguments, "--budget", "0", "--peers", "body"])
        return status, *capsys.readouterr()

    return run


def test_the_kernels_of_a_file(command, tmp_path):
    table, lines = tmp_path / "table.md", tmp_path / "lines.csv"
    written = ["--csv", str(lines), "--markdown", str(table)]
    sizes = ["--sizes", "4x6", "8"]
    status, out, _ = command("--device", "emulated", *sizes, "--backward", *written)
    assert status == 1  # 8 is no size of the kernel's
    assert "has the sizes rows, cols, got 8: write rowsxcols" in out
    found = list(csv.DictReader(io.StringIO(lines.read_text())))
    assert {(line["case"], line["shape"], line["function"]) for line in found} >= {
        ("scaled", "4x6", "scaled"),
        ("scaled backward", "4x6", "body"),
        ("squares", "8", "squares"),
        ("rows", "8", "<lambda>"),
    }
    for line in found:
        if line["status"] == "ok":
            assert float(line["low_s"]) <= float(line["median_s"]) <= float(line["high_s"])
            rate = float(line["bytes"]) / float(line["median_s"])
            assert float(line["bytes_per_s"]) == pytest.approx(rate)
            assert int(line["rounds"]) >= 5
        else:
            assert line["status"].startswith("failed: BenchmarkError: [scaled] has the sizes")
    assert "| scaled | 4x6 | float32 | body |" in table.read_text()
    assert "| case | shape | dtype | function | time | spread | GB/s |" in table.read_text()


@pytest.mark.parametrize(
    ("wanted", "cases"),
    [
        (["sums"], ["rows"]),
        (["s*"], ["scaled", "squares", "rows"]),
        (["plain", "squares"], ["plain", "squares"]),
    ],
)
def test_cases_of_a_file_by_name_and_group(wanted, cases, tmp_path):
    file = tmp_path / "my_kernel.py"
    file.write_text(FILE)
    found = [case.name for case in files.cases_of([file], wanted)]
    assert sorted(found) == sorted(cases)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("def f(x):\n    return x\n", [], "makes no kernel by tg.kernel"),
        ("def f(x):\n    return x\n", [], "may be named behind it, are f"),
        (FILE, ["nothing"], "no case 'nothing': choose from"),
        (FILE, ["--device", "tpu"], "unknown device 'tpu'"),
        (FILE, ["--sizes", "4x-1"], "no shape: '4x-1'"),
        (FILE, ["--csv", "no/such/folder.csv"], "no folder no/such"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(text, arguments, message, command):
    device = [] if "--device" in arguments else ["--device", "cpu"]
    status, out, error = command(*arguments, *device, text=text)
    assert (status, out) == (1, "")
    assert error.startswith("tapegrad bench: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("def f():\n    return len.nothing\nf()\n", "line 3, in <module>", "AttributeError: "),
        ("x = 1\ny = (\n", "line 2\n    y = (\n", "SyntaxError: "),
    ],
)
def test_a_file_that_does_not_run_has_a_traceback_of_its_own(text, first, last, command):
    status, out, error = command(text=text)
    assert (status, out) == (1, "")
    assert error.startswith("tapegrad bench: ")
    assert first in error
    assert error.splitlines()[-1].startswith(last)
    assert "runpy" not in error


def test_a_wrong_kernel_of_a_file_has_no_time_and_status_1(command):
    wrong = FILE.replace("y[at] = ", "if (i > 0) y[at] = ")
    status, out, _ = command("scaled", "--device", "emulated", "--sizes", "2x9", text=wrong)
    assert status == 1
    assert "wrong: at index (" in out
    assert "1 wrong (the result differs from float64: not timed): scaled float32" in out


def test_cases_of_the_package_in_shapes_of_ones_own(capsys):
    quick = ["--device", "cpu", "--peers", "none", "--budget", "0"]
    assert main(["bench", "rows", "--sizes", "3x7", *quick]) == 0
    assert "softmax_backward  " in (out := capsys.readouterr().out)
    assert " 3x7 " in out
    assert main(["bench", "relu", "--sizes", "3x7", *quick]) == 1
    assert "nothing to measure: relu cannot have sizes" in capsys.readouterr().err


# ---- the clock of a GPU ------------------------------------------------------------------------


def test_lines_that_persist_in_the_cache_are_normal_before_each_call():
    class Runtime:
        calls = 0

        @classmethod
        def ctxResetPersistingL2Cache(cls):
            cls.calls += 1

    timing.persisting_reset(Runtime)()
    assert Runtime.calls == 1
    timing.persisting_reset(object())  # the driver's, or nothing


@pytest.mark.gpu
def test_the_clock_resets_what_persists(monkeypatch):
    calls = []
    monkeypatch.setattr(timing, "persisting_reset", lambda runtime: lambda: calls.append(1))
    clock = timing.CudaClock(tg.device("cuda"))
    clock.time([(lambda turn: None, 1, 0)] * 3)
    assert len(calls) == 3
