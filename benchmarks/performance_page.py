"""Writes the figures of docs/performance.md from the files in benchmarks/results/.

``python benchmarks/performance_page.py`` fills in what stands between the page's two markers: the
goals beside what docs/kernels.md predicts (predict.py) and the newest results of a GPU
(gpu_check.py), and the CPU's (cpu.py).
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple

import cpu_page
import gpu_check

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs" / "performance.md", ROOT / "benchmarks" / "results"
START = "<!-- benchmarks/performance_page.py: start -->"
END = "<!-- benchmarks/performance_page.py: end -->"

Rows = Sequence[Mapping[str, Any]]


class Goal(NamedTuple):
    """What is aimed at, and which rows of the benchmarks show it."""

    item: str
    goal: str
    cases: tuple[str, ...] = ()  # names or patterns
    dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16")
    peers: tuple[str, ...] = ("torch",)
    ceiling: bool = True  # whether the share of the ceiling is part of it
    shapes: Callable[[Sequence[int]], bool] = lambda shape: True
    predicted: Sequence[str] = ()  # kernels in a table of predict.py, behind the table's mark


def long_rows(shape: Sequence[int]) -> bool:
    return shape[-1] >= 16384


PERCEPTRON = Goal("training step of a small perceptron", "10 times PyTorch's rate")
LANGUAGE_MODEL = Goal(
    "training step of GPT-2 124M", "1.15 times torch.compile, 2.2 times eager PyTorch"
)
GOALS = (
    Goal(
        "matrix product, bfloat16",
        "1.03 times cuBLAS's rate in the mean, nowhere below it",
        ("matmul*",),
        ("bfloat16",),
        ("cupy",),
        predicted=("Hopper", "a b", "a bT", "aT b", "aT bT"),
    ),
    Goal(
        "matrix product, float32",
        "1.03 times cuBLAS's rate from 4096 on",
        ("matmul*",),
        ("float32",),
        ("cupy",),
        shapes=lambda shape: shape[-1] >= 4096,
        predicted=("scalars", "a b", "a bT", "aT b", "aT bT"),
    ),
    Goal(
        "linear layer with bias",
        "1.15 times cuBLAS and an addition",
        ("linear",),
        peers=("cupy", "torch"),
    ),
    Goal(
        "softmax, rows of 16K and more",
        "92% of the copy, 3 times PyTorch",
        ("softmax*", "log_softmax*"),
        shapes=long_rows,
    ),
    Goal(
        "softmax, rows of 4K",
        "85% of the copy",
        ("softmax*", "log_softmax*"),
        shapes=lambda shape: shape[-1] == 4096,
        predicted=("rows", "softmax, 4096", "softmax's gradient, 4096"),
    ),
    Goal(
        "cross-entropy with its gradient",
        "92% of the copy, 3 times PyTorch",
        ("cross_entropy_and_gradient",),
        predicted=("rows", "cross-entropy, 50257", "cross-entropy, 50304"),
    ),
    Goal(
        "layer norm, RMS norm",
        "92% of the copy, 1.6 times PyTorch",
        ("layer_norm", "rms_norm"),
        predicted=("rows", "layer norm, 768", "layer norm, 4096"),
    ),
    Goal(
        "their gradients",
        "80% of the copy, twice PyTorch",
        ("layer_norm_backward", "rms_norm_backward"),
        predicted=("rows", "layer norm's gradient, 768", "layer norm's gradient, 4096"),
    ),
    Goal(
        "GELU, dropout",
        "97% of the copy",
        ("gelu*", "dropout"),
        predicted=("elements", "gelu", "gelu_tanh", "dropout"),
    ),
    Goal(
        "gradient of an embedding",
        "twice PyTorch, the same bits every time",
        ("embedding_backward",),
        ceiling=False,
    ),
    Goal(
        "AdamW step",
        "95% of the copy, 1.3 times PyTorch's fused one",
        ("adamw_step",),
        predicted=("elements", "AdamW", "AdamW, float32"),
    ),
    Goal("convolution", "1.5 times PyTorch", ("conv2d*",), ceiling=False),
    PERCEPTRON,
    Goal(
        "attention, heads of 128",
        "0.90 times cuDNN, 1.4 times FlashAttention 2 backward",
        ("flash_attention*",),
        ("float16", "bfloat16"),
        ceiling=False,
        shapes=lambda shape: shape[-1] == 128,
    ),
    LANGUAGE_MODEL,
)


def page() -> str:
    """The page as it should be, from the files as they are."""
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{figures(RESULTS)}{END}{after}"


def figures(folder: Path) -> str:
    found = newest_gpu(folder)
    lines = ["## On a GPU", ""]
    if found is None:
        lines += ["No GPU has been measured yet: of the goals below, none has been tested.", ""]
    else:
        lines += [measured_on(found), "", *outcome(found), ""]
    lines += [
        "Predicted is the part of what no kernel can pass (a copy, tensor cores' peak, float32's "
        "peak), by the tables of [kernels.md](kernels.md), in bfloat16 where nothing else is said; "
        "of float32's product it is that by scalar units, which large ones are not chosen for yet.",
        "",
        "| | goal | predicted | measured |",
        "|---|---|---|---|",
    ]
    lines += [f"| {g.item} | {g.goal} | {predicted(g)} | {measured(g, found)} |" for g in GOALS]
    lines += ["", "## On the CPU", "", cpu_page.page(json.loads((folder / "cpu.json").read_text()))]
    return "\n".join(lines) + "\n"


def predicted(goal: Goal) -> str:
    """From docs/kernels.md: the second but last cell of each kernel's line."""
    if not goal.predicted:
        return "-"
    mark, *names = goal.predicted
    text = (ROOT / "docs" / "kernels.md").read_text()
    _, _, rest = text.partition(f"<!-- benchmarks/predict.py ({mark}): start -->")
    table, _, _ = rest.partition("<!--")
    found = dict(re.findall(r"^\| `(.*)` \|.* ([\d.]+)% \| [^|]*\|$", table, re.M))
    return span([float(found[name]) / 100 for name in names], "{:.0%}")


def newest_gpu(folder: Path) -> dict[str, Any] | None:
    """The latest results of gpu_check.py on a real GPU."""
    found = [gpu_check.read_json(file) or {} for file in folder.glob("*.json")]
    real = [
        results
        for results in found
        if results.get("schema") == gpu_check.SCHEMA and results["device"]["name"] != "emulated"
    ]
    return max(real, key=lambda r: (r["date"], r["time"]), default=None)


def measured_on(found: Mapping[str, Any]) -> str:
    device, known = found["device"], found["versions"]
    software = ", ".join(f"{name} {value}" for name, value in known.items())
    return (
        f"Measured on {found['date']}: {device['name']}, driver {device['driver']}, "
        f"at {device['sm_clock']} before ({device['max_sm_clock']} at most), {software}."
    )


def outcome(found: Mapping[str, Any]) -> list[str]:
    """One line a part, so that figures of a run that failed are not read as those of a good one."""
    return [
        f"- {name}: {part['status']} ({part.get('message') or part.get('summary', '')})"
        for name, part in found["parts"].items()
    ]


def measured(goal: Goal, found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    bench = found["parts"].get("bench", {})
    if goal is PERCEPTRON:
        ratio = bench.get("mlp", {}).get("ratio_to_torch")
        return f"{ratio:.2f} times PyTorch" if ratio else "-"
    if goal is LANGUAGE_MODEL:
        rate = bench.get("gpt2", {}).get("tokens_per_second")
        return f"{rate:,.0f} tokens a second" if rate else "-"
    rows = [row for row in bench.get("rows", []) if belongs(row, goal)]
    wrong = [row for row in rows if row["status"] != "ok"]
    timed = [row for row in rows if "median" in row]
    words = [f"{len(wrong)} rows {wrong[0]['status']}"] if wrong else []
    shares = [row["of_ceiling"] for row in timed if row["of_ceiling"] is not None]
    if goal.ceiling and shares:
        words.append(f"{span(shares, '{:.0%}')} of the ceiling")
    for peer in goal.peers:
        ratios = [row["ratios"][peer] for row in timed if row["ratios"].get(peer)]
        if ratios:
            words.append(f"{geometric_mean(ratios):.2f} times {peer} ({span(ratios, '{:.2f}')})")
    return ", ".join(words) or "-"


def belongs(row: Mapping[str, Any], goal: Goal) -> bool:
    named = any(fnmatch.fnmatchcase(row["case"], pattern) for pattern in goal.cases)
    return named and row["dtype"] in goal.dtypes and goal.shapes(row["shape"])


def span(values: Sequence[float], form: str) -> str:
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    PAGE.write_text(page())
