"""Results as text: for a terminal and for a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

from .results import Results, Row
from .timing import Timing

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))

_LEGEND = (
    "time: the median of the rounds; spread: their interquartile range, as a part of it; ceiling: "
    "the time that the copy or the matrix product above allows, as a part of it; vs: the other's "
    "time by {mine}'s, above 1 {mine} is faster, = is a tie (the spreads overlap)"
)


def seconds(value: float) -> str:
    """1.23 ms"""
    for unit, name in _UNITS:
        if value >= unit or unit == 1e-9:
            return f"{value / unit:.3g} {name}" if value < 1000 * unit else f"{value:.0f} s"
    raise AssertionError


def headline(results: Results) -> list[str]:
    """What was measured on, when, and what the machine can do at best."""
    m = results.machine
    gpu = m.get("gpu", {})
    where = [gpu.get("name"), gpu.get("driver") and f"driver {gpu['driver']}", m.get("processor")]
    software = [f"{label} {m[name]}" for label, name in
                (("Python", "python"), ("NumPy", "numpy"), ("PyTorch", "torch"), ("CuPy", "cupy"))
                if m.get(name)]  # fmt: skip
    cores = [f"{m['cores']} cores"] if "cores" in m else []
    lines = [", ".join(str(p) for p in [*filter(None, where), *cores]),
             ", ".join([f"device {m.get('device')}", *software, results.date])]  # fmt: skip
    if threads := m.get("threads"):
        lines.append("threads: " + ", ".join(f"{k} {v}" for k, v in threads.items()))
    if copy := results.ceilings.get("copy"):
        by = results.ceilings["by"]
        products = [f"{name} {_rate(rate)}FLOP/s ({by[name]})"
                    for name, rate in results.ceilings["matmul"].items()]  # fmt: skip
        lines.append(f"ceilings: copy {_rate(copy)}B/s ({by['copy']}), matrix product "
                     + ", ".join(products))  # fmt: skip
    for name, state in (("before", results.before), ("after", results.after)):
        if state:
            lines.append(f"{name}: " + ", ".join(f"{k} {v}" for k, v in state.items()))
    return lines


def text(results: Results) -> str:
    """Everything, as lines for a terminal."""
    left, head, body = _grid(results)
    widths = [
        max(len(line[i]) for line in (head, *body) if len(line) > i) for i in range(len(head))
    ]

    def laid_out(line: Sequence[str]) -> str:
        cells = [cell.ljust(width) if i < left else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths, strict=False))]  # fmt: skip
        if len(line) < len(head):  # the last cell is a message: as long as it is
            cells[-1] = line[-1]
        return "  ".join(cells).rstrip()

    lines = [*headline(results), "", *map(laid_out, (head, *body)), "", *_remarks(results)]
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """Everything, as a Markdown table and paragraphs."""
    left, head, body = _grid(results)
    lines = [f"{line}  " for line in headline(results)]
    lines += ["", _piped(head), _piped(["---"] * left + ["---:"] * (len(head) - left))]
    lines += [_piped([cell.replace("|", "\\|") for cell in line]) for line in body]
    return "\n".join([*lines, "", *(f"{line}  " for line in _remarks(results))])


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _grid(results: Results) -> tuple[int, list[str], list[list[str]]]:
    """How many columns are words, the header, and the lines. A line with fewer cells than the
    header ends in a message."""
    if results.settings.get("functions"):
        head = ["function", "time", "spread", "GB/s", "GFLOP/s", f"vs {_mine(results)}"]
        return 1, head, [line for row in results.rows for line in _functions(row)]
    names = results.settings.get("peers", [])
    seen = {name for row in results.rows for name in (*row.rivals, *row.peers)}
    peers = [name for name in names if name in seen]
    head = ["case", "shape", "dtype", "time", "spread", "GB/s", "GFLOP/s", "ceiling"]
    return 3, head + [f"vs {p}" for p in peers], [_cells(row, peers) for row in results.rows]


def _cells(row: Row, peers: Sequence[str]) -> list[str]:
    name = row.case if row.kernel is not False else f"{row.case} (plain)"
    cells = [name, "x".join(map(str, row.shape)), row.dtype]
    if row.timing is None:
        return [*cells, f"{row.status}: {row.message}"]
    against = [_against(row, p) if p in row.times else row.peers.get(p, "").partition(":")[0]
               for p in peers]  # fmt: skip
    return [*cells, *_speed(row, row.timing), _percent(row.of_ceiling), *against]


def _functions(row: Row) -> list[list[str]]:
    return [[name, *_speed(row, timing), _against(row, name) if name in row.rivals else ""]
            for name, timing in row.times.items()]  # fmt: skip


def _speed(row: Row, timing: Timing) -> list[str]:
    rates = [_giga(amount / timing.median) if amount else "" for amount in (row.bytes, row.flops)]
    return [seconds(timing.median), f"{timing.spread:.0%}", *rates]


def _against(row: Row, peer: str) -> str:
    """1.50 or, for a tie, =1.02"""
    tie = row.timing is not None and row.timing.ties_with(row.times[peer])
    return f"{'=' if tie else ''}{row.ratio(peer):.2f}"


def _mine(results: Results) -> str:
    return next((name for row in results.rows for name in row.times), "tapegrad")


def _giga(rate: float) -> str:
    return f"{rate / 1e9:.3g}" if rate < 1e12 else f"{rate / 1e9:.0f}"


def _percent(part: float | None) -> str:
    return "" if part is None else f"{part:.0%}" if part >= 0.1 else f"{part:.1%}"


def _rate(value: float) -> str:
    return f"{value / 1e12:.3g} T" if value >= 1e12 else f"{value / 1e9:.3g} G"


def _remarks(results: Results) -> list[str]:
    lines = [_LEGEND.format(mine=_mine(results)), *results.notes]
    lines += _peer_problems(results.rows)
    if any(row.kernel is False for row in results.rows):
        lines.append("plain: the kernel declined or is not compiled; its plain body was measured")
    for status, meaning in (
        ("wrong", "the result differs from float64: not timed"),
        ("failed", "the case raised an error"),
        ("skipped", "not enough memory"),
    ):
        names = [f"{row.case} {row.dtype}" for row in results.rows if row.status == status]
        if names:
            lines.append(f"{len(names)} {status} ({meaning}): {', '.join(names)}")
    if results.disturbed:
        lines.append(f"{results.disturbed}; measure again when it is quiet")
    if results.interrupted:
        lines.append("interrupted: these are the rows measured until then")
    return lines


def _peer_problems(rows: Sequence[Row]) -> list[str]:
    found: dict[str, list[str]] = {}
    for row in rows:
        for name, problem in row.peers.items():
            found.setdefault(name, []).append(f"{row.case} {row.dtype} ({problem[:120]})")
    return [f"{name} not timed: {'; '.join(problems)}" for name, problems in found.items()]
