"""benchmarks/cpu.py: its cases run, its processes take turns, and its results have one form."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are in the source tree", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import cpu  # noqa: E402
import cpu_page  # noqa: E402
import cpu_turns  # noqa: E402
from cpu_cases import CASES, GROUPS, LARGE, PEAKS, Case, elements, in_jax, networks  # noqa: E402


def test_names_are_of_one_case_each() -> None:
    names = [case.name for group in (GROUPS | LARGE).values() for case in group]
    assert len(set(names)) == len(names) == len(CASES)
    assert set(PEAKS) | set(in_jax.MAKERS) <= set(names)


SMALL = [case for case in GROUPS["Small operations, 4x4"] if "100,000" not in case.name]
SHORT = [case for case in networks.CASES if case.alone or "784-128" in case.name]


@pytest.mark.parametrize("case", [*SMALL, *SHORT], ids=lambda case: case.name)
def test_short_cases_run(case: Case) -> None:
    case.make(tg)()


@pytest.mark.parametrize("size", [(3, 12)])
def test_elements_are_what_pytorch_computes(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    monkeypatch.setitem(elements.SIZES, "1e6", size)
    for case in elements.CASES:
        mine, theirs = (case.make(lib)() for lib in (tg, torch))
        if any(word in case.name for word in ("rand", "dropout")):
            continue  # other numbers
        for a, b in zip(several(mine), several(theirs), strict=True):
            np.testing.assert_allclose(
                *(t.detach().double().numpy() for t in (a, b)), 1e-4, 1e-5, err_msg=case.name
            )


def several(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple) else [result]


def test_cases_are_chosen_by_name() -> None:
    assert [case.name for case in cpu.chosen(["LeNet"], False)] == [
        "LeNet, batch 64, SGD",
        "LeNet, batch 64, inference",
    ]
    found = [case.name for case in cpu.chosen(["x.ex*1e?"], True)]
    assert found == ["x.exp(), 1e6", "x.exp(), 1e7"]
    everything = [case.name for group in GROUPS.values() for case in group]
    assert [case.name for case in cpu.chosen([], False)] == everything


class Worker:
    """A library whose calls take as long as it is told, on both clocks."""

    def __init__(self, seconds: float, problem: str = ""):
        self.seconds, self.problem, self.asked = seconds, problem, []
        self.process = None

    def ask(self, name: str, *arguments: Any) -> Any:
        self.asked.append(name)
        if name == "make" and self.problem:
            raise RuntimeError(self.problem)
        return {
            "make": self.seconds,
            "run": {"cpu": self.seconds, "wall": 2 * self.seconds},
            "drop": None,
        }[name]


def test_rows_have_ratios_turn_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_turns, "_others", lambda workers: 0.0)
    case = Case("x", lambda lib: lambda: None, calls=2)
    workers = {
        "bodies": Worker(4e-3),
        "tapegrad": Worker(2e-3),
        "torch": Worker(3e-3),
        "jax": Worker(1.0, "ValueError: no"),
    }
    row = cpu_turns.row(workers, case, 0.0, 1)
    assert row == {
        "case": "x",
        "threads": 1,
        "clock": "cpu",
        "times": {"bodies": 2e-3, "tapegrad": 1e-3, "torch": 1.5e-3},
        "rounds": 3,
        "disturbed": 0,
        "problems": {"jax": "ValueError: no"},
        "ratio": 1.5,
        "quartiles": [1.5, 1.5],
    }
    assert workers["jax"].asked == ["make"]
    assert workers["torch"].asked == ["make", *["run"] * 3, "drop"]
    wall = cpu_turns.row(workers, case, 0.0, 2)
    assert (wall["clock"], wall["times"]["torch"]) == ("wall", 3e-3)


def test_rounds_are_made_again_while_others_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    used, ticks = itertools.count(), itertools.count(0.0, 1e-3)
    monkeypatch.setattr(cpu_turns, "_others", lambda workers: float(next(used)))
    monkeypatch.setattr(cpu_turns, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    worker = Worker(1e-3)
    row = cpu_turns.row({"torch": worker}, Case("x", lambda lib: lambda: None), 0.05, 2)
    assert row["disturbed"] == row["rounds"]
    assert worker.asked.count("run") > row["rounds"]


def test_a_run_writes_what_the_page_shows(tmp_path: Path) -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    file = tmp_path / "cpu.json"
    command = [sys.executable, str(BENCHMARKS / "cpu.py"), "--seconds", "0.02", "--json", str(file)]
    command += ["--threads", "1", "--only", "x + w", "--only", "LeNet, batch 64, SGD"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    results = json.loads(file.read_text())
    assert (results["schema"], results["version"]) == (cpu.SCHEMA, cpu.VERSION)
    libraries = results["machine"]["libraries"]
    assert libraries["bodies"]["loops"] == "not used: TAPEGRAD_NATIVE=off"
    assert libraries["bodies"]["tape"] == "Python"
    assert len(results["rows"]) == 4
    for row in results["rows"]:
        assert row["problems"] == {}
        assert {"bodies", "tapegrad", "torch"} <= row["times"].keys()
        assert row["quartiles"][0] <= row["ratio"] <= row["quartiles"][1]
    (peak,) = results["peaks"]
    assert min(peak[name] for name in ("bodies", "tapegrad", "torch")) > 0
    assert cpu_page.page(results) in said.stdout


def results(**ratios: float) -> dict[str, Any]:
    """Of a run with one thread and two, with these ratios of LeNet's step."""
    rows = [
        {
            **{"case": "LeNet, batch 64, SGD", "threads": int(name[-1]), "rounds": 5},
            **{"clock": "cpu" if name == "of1" else "wall", "disturbed": 4, "problems": {}},
            "times": {"bodies": 8e-3, "tapegrad": 4e-3, "torch": ratio * 4e-3},
            **{"ratio": ratio, "quartiles": [ratio - 0.1, ratio + 0.1]},
        }
        for name, ratio in ratios.items()
    ]
    mine = {"version": "0.1", "blas": "Haswell", "loops": "v3", "tape": "C", "keeps_memory": True}
    machine = {
        **{"date": "2026-01-02", "processor": "Some CPU", "cores": 2, "python": "3.11"},
        **{"numpy": "2.4", "numpy_blas": "2.4 with openblas 0.3"},
        "absent": {"jax": "not installed"},
        "libraries": {"tapegrad": mine, "torch": {"version": "2.13", "instructions": "AVX2"}},
    }
    peaks = [{"case": "LeNet, batch 64, SGD", "bodies": 9.0, "tapegrad": 12.0, "torch": 10.0}]
    return {
        **{"machine": machine, "settings": {"only": []}, "rows": rows, "peaks": peaks},
        **{"before": {"load": 0.1}, "after": {}},
    }


def test_the_page_shows_goals_and_what_is_below_them() -> None:
    text = cpu_page.page(results(of1=1.9, of2=1.4))
    assert "its kernels for Haswell; PyTorch's instructions are AVX2. Loops: v3" in text
    assert "Not measured: jax (not installed)." in text
    assert "With 1 thread: processor time. With 2 threads: wall time" in text
    assert "load was 0.1 before and unknown after." in text
    assert "Other programs were busy during most rounds of 2 rows." in text
    assert "A ratio in bold is below its goal: 1 of 2 are." in text
    assert (
        "| `LeNet, batch 64, SGD` | 2 / 1.3 | 7.6 ms | 4 ms | **1.90** (1.80-2.00) | 0.95 | "
        "5.6 ms | 4 ms | 1.40 (1.30-1.50) | 0.70 |"
    ) in text
    assert "- `LeNet, batch 64, SGD` with 1 thread: 1.90 (goal 2.0)" in text
    assert "| `LeNet, batch 64, SGD` | 9 MB | 12 MB | 10 MB | **1.20** |" in text
    assert "- peak memory of `LeNet, batch 64, SGD`: 1.20" in text
    assert "Layers" not in text
    assert "Only a part" not in text


def test_the_page_says_that_only_a_part_was_measured() -> None:
    found = results(of1=2.0) | {"settings": {"only": ["LeNet", "x + w"]}}
    assert "Only a part of the cases: LeNet; x + w." in cpu_page.page(found)


def test_the_page_shows_jax_where_it_was_measured() -> None:
    found = results(of1=2.0)
    found["machine"]["libraries"]["jax"] = {"version": "0.6"}
    found["rows"][0]["times"]["jax"] = 6e-3
    text = cpu_page.page(found)
    assert "PyTorch 2.13, JAX 0.6." in text
    assert "| 2.00 (1.90-2.10) | 1.00 | 1.50 |" in text
    assert "0 of 1 are" in text
