"""benchmarks/gpu_check.py: each part's failure shows in the exit status and leaves the others'
results. Compilers, sanitizers and GPUs are stood in for by scripts of a few lines."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.bench.runner import select
from tapegrad.core import kernels

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"

if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are in the source tree", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import gpu_check  # noqa: E402
import gpu_check_parts  # noqa: E402
import pytest_shards  # noqa: E402
import training_step  # noqa: E402

EMULATED = ["--device", "emulated"]


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


def stub(**found: Any) -> list[str]:
    """What stands in for a part: it finds this, and ends as a part does."""
    code = f"""
import json, os, sys
with open(os.environ["GPU_CHECK_RESULT"], "w") as file:
    json.dump({found!r}, file)
sys.exit({int(found["status"] == "failed")})
"""
    return [sys.executable, "-c", code]


@pytest.fixture
def check(tmp_path: Path) -> Callable:
    """Runs the check; returns its exit status and the parts' results."""

    def run(*argv: str, commands: dict | None = None) -> tuple[int, dict]:
        status = gpu_check.main([*EMULATED, "--out", str(tmp_path / "out"), *argv], commands)
        (file,) = (tmp_path / "out").glob("emulated-*.json")
        assert file.with_suffix(".md").is_file()
        return status, json.loads(file.read_text())["parts"]

    return run


# ---------------------------------------------------------------------- the frame

ALL_PASS = {name: stub(status="passed", summary="fine") for name in gpu_check.PARTS}


def test_everything_passes(check: Callable) -> None:
    status, parts = check(commands=ALL_PASS)
    assert status == 0
    assert set(parts) == set(ALL_PASS)
    assert {part["status"] for part in parts.values()} == {"passed"}


@pytest.mark.parametrize("name", gpu_check.PARTS)
def test_a_failed_part_is_in_the_status_and_leaves_the_others(check: Callable, name: str) -> None:
    commands = {**ALL_PASS, name: stub(status="failed", message="no good", seen=3)}
    status, parts = check(commands=commands)
    assert status == gpu_check.PARTS[name].bit
    assert {n for n, part in parts.items() if part["status"] == "passed"} == set(ALL_PASS) - {name}
    assert (parts[name]["message"], parts[name]["seen"]) == ("no good", 3)


def test_every_failed_part_has_its_bit(check: Callable) -> None:
    commands = {name: stub(status="failed", message="") for name in ALL_PASS}
    assert check(commands=commands)[0] == 16 + 32 + 64 + 128


def test_a_skipped_part_is_no_failure(check: Callable) -> None:
    commands = {**ALL_PASS, "sanitize": stub(status="skipped", message="no such tool")}
    status, parts = check(commands=commands)
    assert (status, parts["sanitize"]["message"]) == (0, "no such tool")


def test_a_part_that_crashes_has_failed(check: Callable) -> None:
    crash = [sys.executable, "-c", "import os; print('on the way'); os.abort()"]
    status, parts = check(commands={**ALL_PASS, "test": crash})
    assert status == 32
    assert "status -6" in parts["test"]["message"]
    assert "on the way" in parts["test"]["log"]


OVER_ITS_LIMIT = """
import json, os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(os.environ["GPU_CHECK_RESULT"], "w") as file:
    json.dump({"status": "running", "child": child.pid, "so_far": 7}, file)
time.sleep(600)
"""


def test_a_part_over_its_limit_is_killed_with_its_children(check: Callable) -> None:
    commands = {**ALL_PASS, "bench": [sys.executable, "-c", OVER_ITS_LIMIT]}
    started = time.monotonic()
    status, parts = check("--limit", "bench=5", commands=commands)
    assert time.monotonic() - started < 300  # it sleeps for 600
    assert status == 128
    assert parts["bench"]["status"] == "timed out"
    assert "5 s" in parts["bench"]["message"]
    assert parts["bench"]["so_far"] == 7
    assert parts["test"]["status"] == "passed"
    for _ in range(600):  # a child may take a moment to be gone
        if not alive(parts["bench"]["child"]):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the part's child lives on")


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_parts_that_do_not_run_keep_what_they_found_that_day(check: Callable) -> None:
    commands = {**ALL_PASS, "build": stub(status="failed", message="first")}
    assert check("--only", "build,test", commands=commands)[0] == 16
    status, parts = check("--only", "sanitize", commands=ALL_PASS)
    assert status == 0
    assert set(parts) == {"build", "test", "sanitize"}
    assert parts["build"]["message"] == "first"
    status, parts = check("--only", "build", commands=ALL_PASS)
    assert parts["build"]["status"] == "passed"


def test_a_damaged_file_is_begun_again(check: Callable, tmp_path: Path) -> None:
    check("--only", "build", commands=ALL_PASS)
    (file,) = (tmp_path / "out").glob("*.json")
    file.write_text(file.read_text()[:50])
    assert set(check("--only", "test", commands=ALL_PASS)[1]) == {"test"}


def test_results_that_cannot_be_written_are_found_at_once(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        gpu_check.main([*EMULATED, "--out", str(tmp_path / "file" / "out")])
    assert ended.value.code == 2
    assert "--out: no file can be written in" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [["--only", "build,tests"], ["--limit", "build"], ["--limit", "build=soon"]]
)
def test_bad_arguments(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu_check.main([*EMULATED, *argv])
    assert ended.value.code == 2


# ---------------------------------------------------------------------- the GPU


def test_the_gpu_is_described_and_built_for(tmp_path: Path, monkeypatch: Any) -> None:
    line = "NVIDIA H200, 580.1, 9.0, 143771 MiB, 345 MHz, 3201 MHz, 1980 MHz, 31, 76.5 W"
    script(tmp_path / "nvidia-smi", f"print({line!r})")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TAPEGRAD_CUDA_ARCHS", raising=False)
    device = gpu_check.describe_device("cuda")
    assert device is not None
    assert (device["name"], device["driver"]) == ("NVIDIA H200", "580.1")
    assert device["sm_clock"] == "345 MHz"
    environ = gpu_check.environment(Namespace(headers=None), device)
    assert environ["TAPEGRAD_CUDA_ARCHS"] == "90a"
    assert gpu_check.slug(device["name"]) == "nvidia-h200"


def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_check.main(["--out", str(tmp_path)]) == 2
    assert "no GPU" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_headers_travel_in_the_build_folder(tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("pybind11", reason="copies pybind11's headers")
    monkeypatch.setattr(gpu_check, "HEADERS", tmp_path / "pybind11")
    assert gpu_check.main(["--bring-headers"]) == 0
    monkeypatch.setattr(gpu_check.importlib.util, "find_spec", lambda name: None)
    found = gpu_check.environment(Namespace(headers=None), {})["TAPEGRAD_PYBIND11_INCLUDE"]
    assert Path(found, "pybind11", "pybind11.h").is_file()


# ---------------------------------------------------------------------- build


def test_a_failed_build(check: Callable, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", "import sys; sys.exit('out of luck')")))
    status, parts = check("--only", "build")
    assert (status, parts["build"]["message"]) == (16, "out of luck")


# ---------------------------------------------------------------------- test

SUITE = """
import pytest
@pytest.mark.parametrize("n", range(7))
def test_good(n): pass
def test_bad(): assert 1 + 1 == 3
@pytest.mark.skip(reason="not here")
def test_left_out(): pass
"""


def test_failing_tests_are_named(check: Callable, tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "test_broken.py").write_text("import no_such_module")
    status, parts = check("--only", "test", "--workers", "2", "--tests", str(tmp_path))
    found = parts["test"]
    assert status == 32
    assert found["counts"] == {"passed": 7, "failed": 1, "error": 1, "skipped": 1}
    assert found["selected"] == 9
    assert any("test_bad" in f and "assert (1 + 1) == 3" in f for f in found["failures"])
    assert any("no_such_module" in f for f in found["failures"])


def test_passing_tests(check: Callable, tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    status, parts = check("--only", "test", "--workers", "3", "--tests", f"{tmp_path} -k good")
    assert (status, parts["test"]["summary"]) == (0, "7 passed")


def test_what_tells_most_runs_first(check: Callable, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for name, tests in (("a", "gradcheck b"), ("gpu", "c"), ("kernels", "gradcheck d")):
        (tmp_path / f"test_{name}.py").write_text("".join(
            f"def test_{t}():\n    with open({str(log)!r}, 'a') as f: f.write('{name}.{t} ')\n"
            for t in tests.split()
        ))  # fmt: skip
    assert check("--only", "test", "--workers", "1", "--tests", str(tmp_path))[0] == 0
    assert log.read_text().split() == ["gpu.c", "kernels.d", "kernels.gradcheck", "a.b",
                                       "a.gradcheck"]  # fmt: skip


def test_tests_that_there_is_no_time_for(check: Callable, tmp_path: Path) -> None:
    (tmp_path / "test_slow.py").write_text(
        "import pytest, time\n@pytest.mark.parametrize('n', range(100))\n"
        "def test_slow(n): time.sleep(0.2)\n"
    )
    options = ("--only", "test", "--workers", "1", "--tests", str(tmp_path))
    status, parts = check(*options, "--limit", "test=12")
    assert (status, parts["test"]["status"]) == (32, "incomplete")
    passed = parts["test"]["counts"]["passed"]
    assert passed > 0
    assert f"{passed} of 100 tests run, none failed" in parts["test"]["message"]
    with (tmp_path / "test_slow.py").open("a") as file:
        file.write("\ntime.sleep = lambda seconds: None\n")
    status, parts = check(*options)
    assert (status, parts["test"]["earlier"]) == (0, passed)
    assert parts["test"]["summary"] == f"100 passed, {passed} of them in earlier runs"
    assert check(*options)[1]["test"]["earlier"] == 100


def test_only_tests_that_passed_are_left_out_of_the_next_run(
    check: Callable, tmp_path: Path
) -> None:
    broken = """
@pytest.fixture
def bad_end():
    yield
    assert False
def test_bad_end(bad_end): pass
"""
    (tmp_path / "test_suite.py").write_text(SUITE + broken)
    for earlier in (0, 7):
        found = check("--only", "test", "--workers", "2", "--tests", str(tmp_path))[1]["test"]
        assert found["counts"] == {"passed": 7, "failed": 1, "error": 1, "skipped": 1}
        assert found["earlier"] == earlier


def test_other_sources_begin_again(tmp_path: Path, monkeypatch: Any) -> None:
    source = tmp_path / "src" / "a.py"
    source.parent.mkdir()
    source.write_text("1")
    monkeypatch.setattr(gpu_check, "ROOT", tmp_path)
    results = tmp_path / "gpu-2026-01-01.json"
    for change, kept in ((None, True), ("source", False), ("version", False), (None, True)):
        known = {"cupy": "2" if change == "version" else "1"}
        passed = gpu_check.passed_tests(results, {}, {"cupy": "1"})
        with passed.open("a") as file:
            file.write("test_a\n")
        if change == "source":
            source.write_text("2")
        assert ("test_a" in gpu_check.passed_tests(results, {}, known).read_text()) is kept


@pytest.mark.parametrize("count", [1, 3, 14])
def test_processes_share_the_tests_by_functions(count: int) -> None:
    names = [f"test_{f}[{n}]" for f in range(40) for n in range(10)]
    names += [f"test_many[{n}]" for n in range(300)]
    found = pytest_shards.shares([Namespace(nodeid=name) for name in names], count)
    shared = [[item.nodeid for item in share] for share in found]
    assert sorted(itertools.chain(*shared)) == sorted(names)
    sizes = [len(share) for share in shared]
    assert max(sizes) - min(sizes) <= 12
    together = [len({i for i, share in enumerate(shared) if f"test_{f}[0]" in share or
                     f"test_{f}[9]" in share}) for f in range(40)]  # fmt: skip
    assert together == [1] * 40


def test_the_files_with_tests_for_a_gpu_are_chosen() -> None:
    *files, _, selection = gpu_check_parts.gpu_tests()
    assert {"tests/test_ops.py", "tests/test_gpu.py", "tests/test_kernels.py"} <= set(files)
    assert "tests/test_build.py" not in files
    assert selection == "gpu and not large"


def test_a_run_without_any_test_has_failed(check: Callable, tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(
        "import pytest\n@pytest.mark.skip(reason='no GPU')\ndef test_left_out(): pass\n"
    )
    status, parts = check("--only", "test", "--workers", "1", "--tests", str(tmp_path))
    assert (status, parts["test"]["message"]) == (32, "no test ran: 1 skipped")


def test_without_pytest(check: Callable, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "pytest.py").write_text("raise ImportError('no pytest')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status, parts = check("--only", "test")
    assert status == 32
    assert "pytest is not installed" in parts["test"]["message"]


# ---------------------------------------------------------------------- sanitize

CLEAN = """
import sys
tool = sys.argv[sys.argv.index("--tool") + 1]
print("934 launches, 0 wrong")
if tool == "racecheck":
    print("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)")
else:
    print("========= ERROR SUMMARY: 0 errors")
"""
ERRORS = """
import sys
tool = sys.argv[sys.argv.index("--tool") + 1]
print("934 launches, 0 wrong")
if tool == "racecheck":
    print("========= Error: Race reported between Write access and Read access")
    print("========= RACECHECK SUMMARY: 4 hazards displayed (4 errors, 0 warnings)")
    sys.exit(86)
print("========= ERROR SUMMARY: 0 errors")
"""
LEFT_OUT = """
print("934 launches, 0 wrong")
"""
WRONG = """
import sys
print("934 launches, 3 wrong")
print("========= ERROR SUMMARY: 0 errors")
sys.exit(1)
"""
UNSUPPORTED_TOO = """
print("934 launches, 0 wrong")
print("========= Warning: this access is not supported on a device")
print("========= ERROR SUMMARY: 2 errors")
"""
REFUSES = """
import sys
print("========= Error: Device not supported. Please refer to the documentation")
sys.exit(1)
"""


@pytest.mark.parametrize(
    ("text", "status", "verdict"),
    [
        (CLEAN, "passed", "clean"),
        (ERRORS, "failed", "4 errors"),
        (LEFT_OUT, "failed", "did not finish well"),
        (WRONG, "failed", "3 wrong"),
        (UNSUPPORTED_TOO, "failed", "2 errors"),
        (REFUSES, "skipped", "not supported"),
    ],
    ids=["clean", "errors", "no summary", "wrong results", "errors and a refusal", "refuses"],
)
def test_what_the_sanitizer_says(
    check: Callable, tmp_path: Path, monkeypatch: Any, text: str, status: str, verdict: str
) -> None:
    script(tmp_path / "compute-sanitizer", text)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    code, parts = check("--only", "sanitize", "--sanitizer", "compute-sanitizer")
    found = parts["sanitize"]
    assert (code, found["status"]) == (64 if status == "failed" else 0, status)
    assert set(found["tools"]) == set(gpu_check_parts.TOOLS)
    assert verdict in found["tools"]["racecheck"]["verdict"]
    if text == ERRORS:
        assert found["message"] == "racecheck: 4 errors"
        assert any("Race reported" in line for line in found["tools"]["racecheck"]["output"])


def test_the_sanitizer_may_be_in_cudas_folder(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "compute-sanitizer").mkdir()
    tool = script(tmp_path / "compute-sanitizer" / "compute-sanitizer", CLEAN)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert gpu_check_parts.find_sanitizer("compute-sanitizer") == str(tool)


@pytest.mark.parametrize("way", ["link", "script"])
def test_the_sanitizer_is_beside_the_nvcc_that_is_called(
    tmp_path: Path, monkeypatch: Any, way: str
) -> None:
    (tmp_path / "toolkit" / "bin").mkdir(parents=True)
    (tmp_path / "links").mkdir()
    tool = script(tmp_path / "toolkit" / "bin" / "compute-sanitizer", CLEAN)
    nvcc = tmp_path / "toolkit" / "bin" / "nvcc"
    script(nvcc, f"import sys; print('#$ _HERE_={nvcc.parent}', file=sys.stderr)")
    if way == "link":
        (tmp_path / "links" / "nvcc").symlink_to(nvcc)
    else:
        script(tmp_path / "links" / "nvcc", f"import os, sys; os.execv({str(nvcc)!r}, sys.argv)")
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "links"))
    assert gpu_check_parts.find_sanitizer("compute-sanitizer") == str(tool)


def test_without_a_sanitizer(check: Callable) -> None:
    status, parts = check("--only", "sanitize", "--sanitizer", "no-such-sanitizer")
    assert (status, parts["sanitize"]["status"]) == (0, "skipped")


# ---------------------------------------------------------------------- bench


class Kept:
    """A report in memory."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def __call__(self, **found: Any) -> None:
        self.found.update(found)


def bench(cases: list[str], seconds: float = 100) -> dict[str, Any]:
    report = Kept()
    started = time.monotonic()
    options = Namespace(device="emulated", seconds=seconds, started=started, arguments=cases)
    try:
        gpu_check_parts.bench(options, report)  # type: ignore[arg-type]
    except gpu_check_parts.Failed as reason:
        report(failed=str(reason))
    except gpu_check_parts.Incomplete as reason:
        report(incomplete=str(reason))
    return report.found


def test_benchmarks() -> None:
    found = bench(["softmax"])
    assert "failed" not in found
    (row,) = found["rows"]
    assert (row["case"], row["status"], row["kernel"]) == ("softmax", "ok", True)
    assert "median" not in row
    assert found["mlp"]["kernel_launches"] > 5
    assert found["gpt2"]["kernel_launches"] > 40
    assert len(found["bits"]) == 8
    assert all(one["same"] == one["sums"] for one in found["bits"].values())


def test_benchmarks_that_there_is_no_time_for() -> None:
    found = bench(["softmax*"], seconds=0.1)
    assert [row["case"] for row in found["rows"]] == ["softmax"]
    assert found["summary"] == "1 of 2 rows measured, 0 wrong or failed"
    assert found["incomplete"] == "no time for softmax_backward"


def test_cases_of_16_bits_alone_are_not_missed_where_there_are_none() -> None:
    assert "incomplete" not in bench(["softmax", "linear_gelu"])


def test_cases_with_goals_are_measured_first() -> None:
    names = [case.name for case in select(gpu_check_parts.goals_first())]
    assert sorted(names) == sorted(case.name for case in tg.bench.CASES)
    assert names[:2] == ["matmul", "matmul_left_transposed"]
    assert names.index("adamw_step") < names.index("relu")


def test_a_demo_that_hangs_is_ended(monkeypatch: Any) -> None:
    def hangs(*command: str, timeout: float) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(gpu_check_parts, "python", hangs)
    with pytest.raises(gpu_check_parts.Failed, match="demo: not done after 7 s"):
        gpu_check_parts.demo("cuda", 7.0)


def test_a_wrong_kernel_fails_the_benchmarks(monkeypatch: Any) -> None:
    ops = tg.device("emulated").ops
    right = ops["softmax"]
    monkeypatch.setitem(ops, "softmax", lambda x, axis: right(x, axis=axis) * 1.001)
    found = bench(["softmax*"])
    assert "softmax float32 is wrong" in found["failed"]
    assert {row["case"]: row["status"] for row in found["rows"]}["softmax_backward"] == "ok"


def test_launches_are_counted_and_questions_are_not() -> None:
    counter = training_step.Counter(kernels.library("emulated"))
    assert counter.column_sum_partials(4, 5) > 0
    assert counter.launches == 0
    words = np.empty(4, np.uint32)
    counter.philox(words.ctypes.data, None, 4, 0, 0, 0)
    assert counter.launches == 1


def test_contestants_take_turns() -> None:
    order: list[str] = []
    contestants = {
        name: (lambda name=name: order.append(name), lambda: None) for name in ("tapegrad", "torch")
    }
    rates = training_step.in_turns(contestants, 0.01)
    assert order[:2] == ["tapegrad", "torch"]
    assert set(order) == set(rates) == {"tapegrad", "torch"}
    assert all(rate > 0 for values in rates.values() for rate in values)
