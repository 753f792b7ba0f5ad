"""``tapegrad bench`` measures every kernel, refuses what is wrong and times in turns."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import bench
from tapegrad.bench import ceilings, judge, measure, runner, timing
from tapegrad.bench.arrays import memory, same_bits
from tapegrad.bench.cases import CASES, Draw, missing
from tapegrad.bench.check import compare, require_telling, tolerance
from tapegrad.bench.inputs import Sets
from tapegrad.bench.timing import CpuClock, CudaClock, HostClock, Timing, interleave
from tapegrad.bench.ways import Way
from tapegrad.cli import main
from tapegrad.core import devices, native

CPU = tg.device("cpu")


@pytest.fixture(autouse=True)
def _small_ceilings(monkeypatch):
    """Ceilings in no time: what they are is not tested, only that they are measured."""
    monkeypatch.setattr(ceilings, "_sizes", lambda device: (1 << 12, 16))
    monkeypatch.setattr(ceilings, "_SECONDS", 0.0)


@pytest.fixture
def override(monkeypatch):
    """Registers f(device, *arrays) as the only kernel of a primitive on the CPU."""

    def register(name, f):
        monkeypatch.setitem(devices.overrides, name, [(("cpu",), f)])
        monkeypatch.delitem(CPU.ops, name, raising=False)
        names.append(name)

    names = []
    yield register
    for name in names:  # resolved while the kernel was registered
        CPU.ops.pop(name, None)


def run(*cases, **options):
    options = {"sizes": "tiny", "peers": [], "budget_s": 0, "progress": False, **options}
    return bench.run(list(cases), **options)


# ---- the cases ---------------------------------------------------------------------------------


def test_every_kernel_has_a_case():
    assert missing() == set()


def test_a_kernel_without_a_case_is_named(monkeypatch):
    monkeypatch.setitem(devices.overrides, "warp_drive", [(("cuda",), None)])
    assert missing() == {"warp_drive"}
    assert "kernels that no case measures: warp_drive" in str(run("relu"))


@pytest.mark.parametrize(
    ("device", "dtypes"),
    [
        ("cpu", ["float32", "float64"]),
        ("emulated", ["float32", "float64", "float16"]),
        ("emulated", ["bfloat16"]),
        pytest.param("cuda", ["float32"], marks=pytest.mark.gpu),
        pytest.param("cuda", ["bfloat16"], marks=pytest.mark.gpu),
    ],
)
def test_every_case_is_right_and_timed(device, dtypes, monkeypatch):
    if "bfloat16" in dtypes:
        pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
    monkeypatch.setattr(measure, "interleave", lambda f, *_: {n: Timing.of([1, 2]) for n in f})
    results = run(device=device, dtypes=dtypes)
    assert [(row.case, row.message) for row in results.bad] == []
    cases = {case.name for case in CASES if set(case.dtypes) & set(dtypes)}
    assert {row.case for row in results.rows} == cases
    for row in results.rows:
        assert list(row.times) == ["tapegrad"]
        assert row.bytes > 0
        registered = device in {t for types, _ in devices.overrides.get(row.primitive, ())
                                for t in types}  # fmt: skip
        if device == "cpu" and row.primitive in native.names():
            assert row.kernel is not None, row.case  # a loop may decline what is tiny
        elif registered and (row.primitive, row.dtype) == ("mean", "float64"):
            assert row.kernel is False  # composed: its sum may be infinite where it is not
        else:
            assert row.kernel is (True if registered else None), row.case


@pytest.mark.skipif(native.compiled is None, reason=f"needs tapegrad._native: {native.status}")
def test_loops_are_measured_beside_the_bodies():
    results = run("gelu", "philox", peers=["numpy", "body"], dtypes=["float32", "float64"])
    rows = {(row.case, row.dtype): row for row in results.rows}
    assert [rows["gelu", dtype].kernel for dtype in ("float32", "float64")] == [True, False]
    assert list(rows["gelu", "float32"].times) == ["tapegrad", "numpy"]  # which is the body
    assert list(rows["philox", "float32"].times) == ["tapegrad", "numpy", "body"]
    assert "gelu (plain)" in str(results)


def test_numpy_and_pytorch_compute_the_same_as_every_case(monkeypatch):
    pytest.importorskip("torch", exc_type=ImportError)
    monkeypatch.setattr(measure, "interleave", lambda f, *_: {n: Timing.of([1, 2]) for n in f})
    results = run(peers=["numpy", "torch"])
    assert {
        (row.case, name): said for row in results.rows for name, said in row.peers.items()
    } == {}
    without = [row.case for row in results.rows if "torch" not in row.times]
    assert without == []


@pytest.mark.parametrize(
    ("name", "dtype", "bytes", "flops"),
    [
        ("matmul", "float32", 4 * (33 * 17 + 17 * 65 + 33 * 65), 2 * 33 * 65 * 17),
        ("relu", "float16", 2 * 2 * 1003, 1003),
        ("adamw_step", "float32", 28 * 1003, 16 * 1003),
        ("softmax_backward", "float64", 3 * 8 * 5 * 67, 4 * 5 * 67),
        ("dropout", "float32", 2 * 4 * 1003, 11 * 1003),
        ("embedding", "float32", 4 * 9 * (23 + 70) + 8 * 70, 0),
    ],
)
def test_cases_count_bytes_and_flops(name, dtype, bytes, flops):
    (row,) = run(name, dtypes=[dtype]).rows
    assert (row.bytes, row.flops) == (bytes, flops)


def test_one_row_of_each_case_is_measured_first():
    order = []

    def on_row(results):
        order.extend(key for key in what(results) if key not in order)

    def what(results):
        return [(row.case, row.dtype) for row in results.rows]

    results = run("tanh", "rel*", "relu", dtypes=["float32", "float64"], on_row=on_row)
    cases, dtypes = ("tanh", "relu", "relu_backward"), ("float32", "float64")
    assert order == [(case, dtype) for dtype in dtypes for case in cases]
    assert what(results) == [(case, dtype) for case in cases for dtype in dtypes]
    assert results.settings["rows"] == 6


def test_inputs_are_random_and_repeatable():
    for case in CASES:
        shape = case.sizes["tiny"][0]
        first, again = (case.inputs(Draw(CPU, np.dtype("float32"), "seed"), *shape) for _ in "12")
        for a, b in zip(first, again, strict=True):
            assert np.array_equal(a, b)
            distinct = 1 if a.dtype == bool else min(5, a.size - 1)
            assert len(np.unique(a)) > distinct, case.name


def test_large_arrays_repeat_after_a_prime(monkeypatch):
    monkeypatch.setattr("tapegrad.bench.cases.case._PERIOD", 7)
    draw = Draw(CPU, tg.float16, "seed")
    assert np.array_equal(draw.normal(20)[:13], draw.normal(20)[:13]) is False  # each its own
    x = draw.normal(4, 5).reshape(-1)
    assert np.array_equal(x[7:14], x[:7])
    assert len(np.unique(x[:7])) == 7


# ---- what is wrong is refused ------------------------------------------------------------------


def test_a_wrong_kernel_is_refused(override, tmp_path, capsys):
    def off_by_a_little(device, x):
        y = np.maximum(x, 0)
        y[500] += 1e-3
        return y

    override("relu", off_by_a_little)
    path = tmp_path / "results.json"
    assert main(["bench", "relu", "tanh", "--device", "cpu", "--sizes", "tiny", "--peers", "numpy",
                 "--budget", "0", "--json", str(path)]) == 1  # fmt: skip
    printed = capsys.readouterr().out
    assert "wrong: at index (500,) it is " in printed
    assert "1 wrong (the result differs from float64: not timed): relu float32" in printed
    relu, tanh = json.loads(path.read_text())["rows"]
    assert (relu["status"], relu["times"]) == ("wrong", {})
    assert (tanh["status"], list(tanh["times"])) == ("ok", ["tapegrad", "numpy"])


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (lambda device, x: np.full_like(x, np.nan), "at index (0,) it is nan"),
        (lambda device, x: np.maximum(x, 0)[:-1], "its shape is (1002,), expected (1003,)"),
        (lambda device, x: np.where(x > 0, np.inf, 0), "it is inf"),
        (lambda device, x: np.zeros_like(x), "it is 0"),
    ],
)
def test_every_kind_of_wrong_is_seen(kernel, message, override):
    override("relu", kernel)
    (row,) = run("relu").rows
    assert row.status == "wrong"
    assert message in row.message


def test_a_case_that_raises_does_not_end_the_others(override, capsys):
    def broken(device, x):
        raise ZeroDivisionError("no luck")

    override("relu", broken)
    results = run("relu", "tanh")
    assert [row.status for row in results.rows] == ["failed", "ok"]
    assert "ZeroDivisionError: no luck" in str(results)


def test_too_little_memory_is_no_failure(override):
    def hungry(device, x):
        raise MemoryError("not that much")

    override("relu", hungry)
    results = run("relu")
    assert results.rows[0].status == "skipped"
    assert results.bad == []


def test_a_kernel_that_declines_is_told_from_one_that_ran(override, monkeypatch):
    monkeypatch.setattr(native, "compiled", None)  # whose loop would run instead
    override("relu", lambda device, x: NotImplemented)
    results = run("relu")
    assert results.rows[0].kernel is False
    assert "relu (plain)  1003" in str(results)
    assert "its plain body was measured" in str(results)


def test_a_wrong_peer_is_not_timed(monkeypatch):
    (case,) = runner.select(["relu"])
    wrong = {**case.__dict__, "arrays": lambda xp, x: xp.maximum(x, 0.5)}
    monkeypatch.setattr(runner, "CASES", [bench.Case(**wrong)])
    results = run("relu", peers=["numpy"])
    (row,) = results.rows
    assert list(row.times) == ["tapegrad"]
    assert row.peers["numpy"].startswith("wrong: at index (")
    assert results.bad == []


@pytest.fixture
def compiler(monkeypatch):
    """torch.compile's place is taken by NumPy; returns how often the compiler was warmed up."""
    warmed = []
    monkeypatch.setattr(measure, "warm_compiler", warmed.append)
    way_of = measure.way_of

    def without_compiler(name, case, device):
        is_mine = name == case.label
        return way_of(name, case, device) if is_mine else Way(lambda x: np.maximum(x, 0))

    monkeypatch.setattr(measure, "way_of", without_compiler)
    return warmed


def test_the_compiler_is_warmed_up_before_the_rows(compiler):
    bench = measure.Bench(CPU, ["torch.compile"], CpuClock(), ceilings.Ceilings())
    assert compiler == [CPU]
    measure.Bench(CPU, ["torch"], CpuClock(), ceilings.Ceilings())
    assert compiler == [CPU]
    row = bench.measure(relu_job(), 0)
    assert list(row.times) == ["tapegrad", "torch.compile"]


def test_one_slow_compilation_does_not_rule_out_all_that_follow(compiler):
    bench = measure.Bench(CPU, ["torch.compile"], CpuClock(), ceilings.Ceilings())
    bench._compiling = 1000.0
    rows = [bench.measure(relu_job(), 10) for _ in range(8)]  # 1000 / 2**7 < 10
    assert rows[0].peers["torch.compile"].startswith("skipped: compiling takes about 1000.0 s")
    assert "torch.compile" in rows[-1].times


def relu_job():
    (case,) = runner.select(["relu"])
    return judge.Job(case, (5,), tg.float32, "tiny")


def test_zeros_are_wrong_among_a_few_huge_values():
    expected = np.random.default_rng(0).standard_normal(1000)
    expected[7] = 1e30
    got = expected.astype(np.float32)
    assert not compare(got, expected, tolerance(got.dtype)).problem
    assert (
        "at index (0,) it is 0" in compare(np.where(expected < 9, 0, got), expected, 1e-5).problem
    )


@pytest.mark.parametrize(
    ("value", "message"), [(0.0, "is zero everywhere"), (np.nan, r"is nan at index \(0, 0\)")]
)
def test_references_that_tell_nothing_are_refused(value, message):
    with pytest.raises(bench.BenchmarkError, match=message):
        require_telling([np.ones((2, 3)), np.full((2, 3), value)])
    require_telling([np.array([np.inf, 0.0]), np.empty((0, 3))])


def test_a_wrong_value_far_below_the_largest_is_seen():
    expected = np.linspace(1, 2, 1000)
    got = expected.astype(np.float32)
    limit = tolerance(got.dtype)
    assert not compare(got, expected, limit).problem
    got[7] *= 1 + 1e-4
    assert "at index (7,)" in compare(got, expected, limit).problem


def test_infinities_and_nans_are_right_where_they_are_expected():
    expected = np.array([np.inf, -np.inf, np.nan, 1.0])
    assert not compare(expected.astype(np.float32), expected, 1e-6).problem
    assert "index (1,)" in compare(np.abs(expected), expected, 1e-6).problem


def test_a_slow_kernel_is_reported(override, tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    command = ["bench", "relu", "--device", "cpu", "--sizes", "tiny", "--peers", "numpy",
               "--budget", "0"]  # fmt: skip
    assert main([*command, "--json", str(old)]) == 0

    def slow(device, x):
        time.sleep(0.02)
        return np.maximum(x, 0)

    override("relu", slow)
    assert main([*command, "--json", str(new)]) == 0
    capsys.readouterr()
    assert main(["bench", "--compare", str(old), str(new)]) == 1
    assert "slower  relu  1003  float32" in capsys.readouterr().out
    assert main(["bench", "--compare", str(new), str(old)]) == 0
    assert "faster  relu" in capsys.readouterr().out


# ---- timing ------------------------------------------------------------------------------------


class CountingClock(CpuClock):
    """Writes down who is called when, with which turn."""

    def __init__(self):
        self.rounds = []

    def repeats(self, seconds):
        return 1

    def time(self, turns):
        for call, _, turn in turns:
            call(turn)
        self.rounds.append([(call.__name__, turn) for call, _, turn in turns])
        return [1e-3] * len(turns)


def test_contestants_take_turns_after_a_warm_up():
    def a(turn): ...

    def b(turn): ...

    clock = CountingClock()
    times = interleave({"a": a, "b": b}, clock, seconds=0)
    warm_up, rounds = clock.rounds[:6], clock.rounds[6:]
    assert all(len(calls) == 1 for calls in warm_up)
    assert rounds[:3] == [[("a", 0), ("b", 1)], [("b", 1), ("a", 2)], [("a", 2), ("b", 3)]]
    assert len(rounds) == 5
    assert times["a"].samples == (1e-3,) * 5


@pytest.mark.parametrize(
    ("calls", "seconds", "cpu", "gpu"),
    [(1, 0.01, False, False), (3, 0.01, True, False), (1, 2.0, True, False), (3, 2.0, True, True)],
)
def test_a_gpu_is_kept_busy_before_it_is_timed(calls, seconds, cpu, gpu):
    assert CpuClock().warm(calls, seconds) is cpu
    assert CudaClock.warm(None, calls, seconds) is gpu


def test_the_host_is_timed_while_the_gpu_is_idle(monkeypatch):
    """On a GPU whose work takes 100 s, of which nothing is part of the time."""
    now, queued = 0.0, 0

    def wait():
        nonlocal now, queued
        now, queued = now + 100 * queued, 0

    def call(turn):
        nonlocal now, queued
        now, queued = now + (1 + turn) * (1 if queued == 0 else 7), queued + 1

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now))
    assert HostClock(wait).time([(call, 1, 0), (call, 1, 1), (call, 1, 2)]) == [1, 2, 3]
    assert HostClock(wait).warm(3, 0.0)
    assert interleave({"a": call}, HostClock(wait), 0)["a"].samples == (1, 2, 3, 4, 5)


def test_the_host_is_timed_where_calls_return_early(monkeypatch):
    class EarlyClock(CpuClock):
        host = HostClock(lambda: None)

    assert run("relu", peers=["numpy"]).rows[0].hosts == {}
    monkeypatch.setattr(runner, "clock_for", lambda device: EarlyClock())
    (row,) = run("relu", peers=["numpy"]).rows
    assert list(row.hosts) == ["tapegrad", "numpy"]
    assert all(seconds > 0 for seconds in row.hosts.values())


@pytest.mark.gpu
def test_a_gpus_rows_have_the_time_on_the_host():
    results = run("relu", device="cuda", dtypes=["float32"], peers=["cupy"])
    (row,) = results.rows
    assert list(row.hosts) == ["tapegrad", "cupy"]
    assert all(0 < seconds < 10 for seconds in row.hosts.values())
    assert "host cupy" in str(results)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["numpy", "tensor", "torch"])
def test_no_two_calls_find_the_same_inputs(dtype, kind):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    x = {"numpy": tg.arange(1, 9, dtype=dtype).numpy(), "tensor": tg.arange(1, 9, dtype=dtype),
         "torch": torch.arange(1, 9, dtype=getattr(torch, dtype))}[kind]  # fmt: skip
    whole = np.arange(8)
    sets = Sets([x, whole, "a word"])
    assert len(sets) == 64
    seen = {str(memory(x).tolist())}
    for number in range(6):
        sets.renew(number)
        seen.add(str(memory(sets.sets[number][0]).tolist()))
    assert len(seen) == 7
    for a, b, word in sets.sets:
        assert not same_bits(a, x)
        assert np.array_equal(b, whole)
        assert word == "a word"
    assert same_bits(sets.restored()[0], x)
    assert len({id(memory(s[1])) for s in sets.sets}) == 64
    assert len(Sets([np.zeros(1 << 24)])) == 4
    assert len(Sets([np.zeros(1 << 26, np.int8)] * 6)) == 2


def test_repeated_calls_have_inputs_of_their_own():
    sets = Sets([np.ones(3)])
    calls = []

    def call(turn):
        calls.append(sets.sets[turn % len(sets)][0].tobytes())

    interleave({"a": call}, CpuClock(), 0, [sets])
    timed = calls[-5 * 64 :]
    assert all(len(set(timed[i : i + 64])) == 64 for i in range(0, 5 * 64, 64))


@pytest.mark.parametrize("trick", ["keeps its result", "writes nothing after some calls"])
def test_a_kernel_that_is_right_only_until_it_is_timed_is_refused(trick, override):
    kept = {}
    calls = []

    def relu(device, x):
        calls.append(1)
        if trick == "keeps its result":
            return kept.setdefault(x.ctypes.data, np.maximum(x, 0))
        return np.maximum(x, 0) if len(calls) < 20 else np.empty_like(x)

    override("relu", relu)
    (row,) = run("relu").rows
    assert (row.status, row.times) == ("wrong", {})
    assert row.message.startswith("after timing, at index (")


def test_a_case_that_changes_its_inputs_gets_its_own(override):
    pytest.importorskip("torch", exc_type=ImportError)
    seen = {}

    def step(device, p, *rest, **options):
        seen.setdefault(p.ctypes.data, 0)
        return NotImplemented

    override("sgd_step", step)
    run("sgd_step", peers=["torch"])
    assert len(seen) >= 4


def test_overlapping_quartiles_are_a_tie():
    a, b, c = (Timing.of(samples) for samples in ([1, 2, 3], [2.4, 2.5, 2.6], [4, 5, 6]))
    assert a.ties_with(b)
    assert b.ties_with(a)
    assert not a.ties_with(c)
    assert (a.low, a.median, a.high, a.spread) == (1.5, 2, 2.5, 0.5)


def test_a_tie_is_shown_as_one():
    row = bench.Row("relu", "relu", (3,), "float32")
    row.times = {"tapegrad": Timing.of([1, 2, 3]), "numpy": Timing.of([2.4, 2.5, 2.6]),
                 "torch": Timing.of([4, 5, 6])}  # fmt: skip
    table = bench.Results([row], settings={"peers": ["numpy", "torch"]}).table()
    (line,) = [line for line in table.splitlines() if line.startswith("relu")]
    assert line.split()[-2:] == ["=1.25", "2.50"]


@pytest.mark.gpu
def test_the_gpu_is_timed_by_events_with_the_l2_flushed():
    clock = CudaClock(tg.device("cuda"))
    properties = clock._cuda.runtime.getDeviceProperties(0)
    assert clock.flushed >= 2 * properties["l2CacheSize"]
    x = tg.randn(100, device="cuda")
    times = clock.time([(lambda turn: x * 2, 1, 0), (lambda turn: x + x, 1, 1)])
    assert all(0 < t < 10 for t in times)
