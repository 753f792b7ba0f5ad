"""docs/performance.md shows what the committed results say, and says so where there are none."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are in the source tree", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import gpu_check  # noqa: E402
import performance_page  # noqa: E402


def test_the_page_is_what_the_script_writes() -> None:
    assert performance_page.PAGE.read_text() == performance_page.page(), (
        "run: python benchmarks/performance_page.py"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(performance_page.RESULTS / "cpu.json", tmp_path)
    return tmp_path


def row(case: str, dtype: str, shape: tuple, share: float, **ratios: float) -> dict[str, Any]:
    return {"case": case, "dtype": dtype, "shape": shape, "status": "ok", "median": 1e-3,
            "of_ceiling": share, "ratios": ratios}  # fmt: skip


def results(date: str, name: str = "NVIDIA H200", **bench: Any) -> dict[str, Any]:
    return {
        "schema": gpu_check.SCHEMA, "version": gpu_check.VERSION, "date": date, "time": "12:00 UTC",
        "device": {"name": name, "driver": "580", "sm_clock": "345 MHz", "max_sm_clock": "2 GHz"},
        "versions": {"cupy": "14.2"},
        "parts": {"bench": {"status": "passed", "summary": "3 rows", "seconds": 9, **bench}},
    }  # fmt: skip


def put(folder: Path, name: str, content: dict) -> None:
    (folder / name).write_text(json.dumps(content))


def line(text: str, item: str) -> str:
    (found,) = (words for words in text.splitlines() if words.startswith(f"| {item} |"))
    return found.rpartition(" | ")[2].removesuffix(" |")


def test_without_a_gpu_it_says_so_and_shows_the_cpu(folder: Path) -> None:
    put(folder, "emulated-2026-01-01.json", results("2026-01-01", "emulated"))
    text = performance_page.figures(folder)
    assert "No GPU has been measured yet" in text
    assert {line(text, g.item) for g in performance_page.GOALS} == {"-"}
    cpu = json.loads((folder / "cpu.json").read_text())
    assert cpu["machine"]["date"] in text
    assert cpu["machine"]["processor"] in text


def test_the_newest_results_stand_beside_the_goals(folder: Path) -> None:
    rows = [
        row("matmul", "bfloat16", (4096,) * 3, 0.5, cupy=0.5),
        row("matmul_left_transposed", "bfloat16", (4096,) * 3, 0.6, cupy=2.0),
        row("matmul", "float32", (2048,) * 3, 0.7, cupy=0.7),  # too small for the goal
        row("softmax", "float32", (1024, 65536), 0.91, torch=2.5),
    ]
    put(folder, "nvidia-h200-2026-01-02.json",
        results("2026-01-02", rows=rows, mlp={"ratio_to_torch": 3.25},
                gpt2={"tokens_per_second": 123456.7}))  # fmt: skip
    put(folder, "nvidia-h200-2025-12-31.json", results("2025-12-31"))
    text = performance_page.figures(folder)
    assert "No GPU" not in text
    assert "Measured on 2026-01-02: NVIDIA H200, driver 580" in text
    assert "- bench: passed (3 rows)" in text
    assert line(text, "matrix product, bfloat16") == (
        "50% to 60% of the ceiling, 1.00 times cupy (0.50 to 2.00)"
    )
    assert line(text, "matrix product, float32") == "-"
    assert line(text, "softmax, rows of 16K and more") == (
        "91% of the ceiling, 2.50 times torch (2.50)"
    )
    assert line(text, "training step of a small perceptron") == "3.25 times PyTorch"
    assert line(text, "training step of GPT-2 124M") == "123,457 tokens a second"


def test_what_is_predicted_stands_beside_the_goals() -> None:
    for goal in performance_page.GOALS:
        assert (performance_page.predicted(goal) == "-") is not bool(goal.predicted)


def test_wrong_rows_are_not_passed_over(folder: Path) -> None:
    bad = {"case": "dropout", "dtype": "float32", "shape": (8,), "status": "wrong"}
    put(folder, "a-2026-01-02.json", results("2026-01-02", rows=[bad]))
    assert line(performance_page.figures(folder), "GELU, dropout") == "1 rows wrong"
