"""The tables of docs/performance.md, from the results of cpu.py: every figure beside its goal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cpu_cases import CASES, GROUPS, IMPORT_GOAL, LARGE, PEAK_GOAL

CLOCKS = {
    "cpu": "processor time",
    "wall": "wall time of the fastest steps, rounds repeated while other programs were busy",
}
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))

Row = Mapping[str, Any]


def page(results: Row) -> str:
    """All tables, as Markdown."""
    rows = {(r["case"], r["threads"]): r for r in results["rows"]}
    counts = sorted({threads for _, threads in rows})
    jax = "jax" in results["machine"]["libraries"]
    lines = [*_headline(results, counts), "", *_summary(results), ""]
    for name, group in (GROUPS | LARGE).items():
        found = [[rows.get((case.name, n)) for n in counts] for case in group]
        shown = [number for number, n in enumerate(counts) if any(of[number] for of in found)]
        if not shown:
            continue
        heads = [head for i in shown for head in _heads(counts[i], jax)]
        lines += [f"| {name} | goal | {' | '.join(heads)} |", f"|---|---:|{'---:|' * len(heads)}"]
        for case, of in zip(group, found, strict=True):
            if any(of):
                cells = [cell for i in shown for cell in _cells(of[i], jax)]
                lines.append(f"| `{case.name}` | {_goal(case)} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, *_memory(results), *_import(results)]).rstrip()


def line(row: Row) -> str:
    """One row, while the benchmark runs."""
    times = ", ".join(f"{name} {_seconds(t)}" for name, t in row["times"].items())
    problems = "".join(f"; {name}: {text}" for name, text in row["problems"].items())
    ratio = _ratio(row) or "-"
    return f"{row['case']}, {_threads(row['threads'])}: {ratio} ({times}{problems})"


def misses(results: Row) -> list[str]:
    """What is below its goal, and by how much."""
    found = [
        f"`{r['case']}` with {_threads(r['threads'])}: {r['ratio']:.2f} (goal {_goal_of(r)})"
        for r in results["rows"]
        if _missed(r)
    ]
    for r in results["peaks"]:
        if r["tapegrad"] > PEAK_GOAL * r["torch"]:
            found.append(f"peak memory of `{r['case']}`: {r['tapegrad'] / r['torch']:.2f}")
    return found


def _headline(results: Row, counts: list[int]) -> Iterator[str]:
    m, libraries = results["machine"], results["machine"]["libraries"]
    versions = [f"Python {m['python']}", f"NumPy {m['numpy']}"]
    versions += [
        f"{shown} {libraries[name]['version']}"
        for name, shown in (("torch", "PyTorch"), ("jax", "JAX"))
        if name in libraries
    ]
    mine = libraries["tapegrad"]
    yield f"Measured on {m['date']}: {m['processor']}, {m['cores']} cores, {', '.join(versions)}."
    yield (
        f"Matrix products by {m['numpy_blas'].partition(' with ')[2]}, its kernels for "
        f"{mine['blas'] or 'an unknown processor'}; PyTorch's instructions are "
        f"{libraries.get('torch', {}).get('instructions', 'unknown')}. Loops: {mine['loops']}; "
        f"tape in {mine['tape']}; freed memory is {'' if mine['keeps_memory'] else 'not '}kept."
    )
    if absent := m["absent"]:
        yield f"Not measured: {', '.join(f'{name} ({why})' for name, why in absent.items())}."
    if only := results["settings"]["only"]:
        yield f"Only a part of the cases: {'; '.join(only)}."
    clocks = {r["threads"]: r["clock"] for r in results["rows"]}
    yield " ".join(f"With {_threads(n)}: {CLOCKS[clocks[n]]}." for n in counts)
    loads = [results[when].get("load", "unknown") for when in ("before", "after")]
    yield f"The machine's load was {loads[0]} before and {loads[1]} after."
    if disturbed := sum(r["disturbed"] > r["rounds"] / 2 for r in results["rows"]):
        yield f"Other programs were busy during most rounds of {disturbed} rows."


def _summary(results: Row) -> Iterator[str]:
    aimed = sum(_goal_of(r) is not None and "ratio" in r for r in results["rows"])
    found = misses(results)
    yield (
        "A ratio is PyTorch's time by tapegrad's (quartiles in brackets); `bodies` is the same for "
        "tapegrad without what a compiler makes, `JAX` is JAX's time by tapegrad's. A ratio in "
        "bold is below its goal: "
        f"{sum(_missed(r) for r in results['rows'])} of {aimed} are."
    )
    if found:
        yield from ("", "Below their goals:", "", *(f"- {text}" for text in found))


def _heads(threads: int, jax: bool) -> list[str]:
    return [f"{_threads(threads)}: PyTorch", "tapegrad", "ratio", "bodies", *["JAX"] * jax]


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _cells(row: Row | None, jax: bool) -> list[str]:
    if row is None:
        return ["-"] * (4 + jax)
    times, problems = row["times"], row["problems"]
    torch, mine = times.get("torch"), times.get("tapegrad")
    cells = [
        _seconds(times[name]) if name in times else problems.get(name, "-").partition(":")[0]
        for name in ("torch", "tapegrad")
    ]
    cells.append(_ratio(row) or "-")
    cells.append(f"{torch / times['bodies']:.2f}" if torch and "bodies" in times else "-")
    if jax:
        cells.append(f"{times['jax'] / mine:.2f}" if mine and "jax" in times else "-")
    return cells


def _ratio(row: Row) -> str:
    if "ratio" not in row:
        return ""
    low, high = row["quartiles"]
    bold = "**" if _missed(row) else ""
    return f"{bold}{row['ratio']:.2f}{bold} ({low:.2f}-{high:.2f})"


def _goal_of(row: Row) -> float | None:
    case = CASES.get(row["case"])
    return case.goal_with(row["threads"]) if case else None


def _missed(row: Row) -> bool:
    goal = _goal_of(row)
    return goal is not None and "ratio" in row and round(row["ratio"], 2) < goal


def _goal(case: Any) -> str:
    several = {case.goal_with(n) for n in (1, 2)}
    return " / ".join(f"{g:g}" for g in sorted(filter(None, several), reverse=True)) or "-"


def _memory(results: Row) -> Iterator[str]:
    if not results["peaks"]:
        return
    yield f"| Peak memory, 1 thread | bodies | tapegrad | PyTorch | ratio, at most {PEAK_GOAL} |"
    yield "|---|---:|---:|---:|---:|"
    for r in results["peaks"]:
        ratio = r["tapegrad"] / r["torch"]
        bold = "**" if ratio > PEAK_GOAL else ""
        megabytes = " | ".join(f"{r[name]:.0f} MB" for name in ("bodies", "tapegrad", "torch"))
        yield f"| `{r['case']}` | {megabytes} | {bold}{ratio:.2f}{bold} |"
    yield ""


def _import(results: Row) -> Iterator[str]:
    if r := results.get("import"):
        yield (
            f"`import tapegrad` takes {r['tapegrad_ms']:.0f} ms, `import numpy` "
            f"{r['numpy_ms']:.0f} ms: {r['ratio']:.2f} times as long (goal: at most {IMPORT_GOAL})."
        )


def _seconds(value: float) -> str:
    unit, name = next((u for u in _UNITS if value >= u[0]), _UNITS[-1])
    return f"{value / unit:.3g} {name}"
