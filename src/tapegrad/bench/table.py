"""Results as text: for a terminal and for a Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .results import Results, Row
from .timing import Timing

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))

LEGEND = (
    "time: median of the rounds, and the interquartile range as a part of it. ceiling: how near it "
    "comes to the time that the copy or the matrix product above allows. A peer's number is its "
    "time by tapegrad's: above 1, tapegrad is faster; = is a tie, the two spreads overlap."
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
    peers = _peers(results)
    head, *body = [_header(peers), *(_cells(row, peers) for row in results.rows)]
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]

    def laid_out(line: Sequence[str], row: Row | None = None) -> str:
        aligned = [cell.ljust(width) if i < 3 else cell.rjust(width)
                   for i, (cell, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        if row is not None and row.status != "ok":
            aligned = [*aligned[:3], f"{row.status}: {row.message}"]
        return "  ".join(aligned).rstrip()

    lines = [*headline(results), "", laid_out(head)]
    lines += [laid_out(line, row) for line, row in zip(body, results.rows, strict=True)]
    return "\n".join([*lines, "", *_remarks(results)])


def markdown(results: Results) -> str:
    """Everything, as a Markdown table and paragraphs."""
    peers = _peers(results)
    header = _header(peers)
    lines = [f"{line}  " for line in headline(results)]
    lines += ["", _piped(header), _piped(["---"] * 3 + ["---:"] * (len(header) - 3))]
    for row in results.rows:
        cells = _cells(row, peers)
        if row.status != "ok":
            cells[3] = f"**{row.status}**: {row.message}".replace("|", "\\|")
        lines.append(_piped(cells))
    return "\n".join([*lines, "", *(f"{line}  " for line in _remarks(results))])


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _peers(results: Results) -> list[str]:
    """The peers that some row knows, in the order of the settings."""
    seen = {name for row in results.rows for name in (*row.rivals, *row.peers)}
    return [name for name in results.settings.get("peers", sorted(seen)) if name in seen]


def _header(peers: Sequence[str]) -> list[str]:
    columns = ["case", "shape", "dtype", "time", "spread", "GB/s", "GFLOP/s", "ceiling"]
    return columns + [f"vs {p}" for p in peers]


def _cells(row: Row, peers: Sequence[str]) -> list[str]:
    cells = [row.case, "x".join(map(str, row.shape)), row.dtype]
    if row.timing is None:
        return cells + [""] * (5 + len(peers))
    return [
        *cells,
        seconds(row.timing.median),
        f"{row.timing.spread:.0%}",
        _giga(row.bytes_per_second),
        _giga(row.flops_per_second),
        _percent(row.of_ceiling),
        *(against(row.timing, row.times[p], row.ratio(p)) if p in row.times
          else row.peers.get(p, "").partition(":")[0] for p in peers),
    ]  # fmt: skip


def against(mine: Timing, theirs: Timing, ratio: float | None) -> str:
    """1.50 or, for a tie, =1.02"""
    return f"{'=' if mine.ties_with(theirs) else ''}{ratio:.2f}"


def _giga(rate: float | None) -> str:
    return "" if rate is None else f"{rate / 1e9:.3g}" if rate < 1e12 else f"{rate / 1e9:.0f}"


def _percent(part: float | None) -> str:
    return "" if part is None else f"{part:.0%}" if part >= 0.1 else f"{part:.1%}"


def _rate(value: float) -> str:
    return f"{value / 1e12:.3g} T" if value >= 1e12 else f"{value / 1e9:.3g} G"


def _remarks(results: Results) -> list[str]:
    lines = [LEGEND, *results.notes]
    lines += _peer_problems(results.rows)
    plain = [row.case for row in results.rows if row.kernel is False]
    if plain:
        names = ", ".join(dict.fromkeys(plain))
        lines.append(f"the kernel did not run, but the plain body: {names}")
    for status, meaning in (
        ("wrong", "the result differs from float64: not timed"),
        ("failed", "the case raised an error"),
        ("skipped", "not enough memory"),
    ):
        names = [f"{row.case} {row.dtype}" for row in results.rows if row.status == status]
        if names:
            lines.append(f"{len(names)} {status} ({meaning}): {', '.join(names)}")
    if results.interrupted:
        lines.append("interrupted: these are the rows measured until then")
    return lines


def _peer_problems(rows: Sequence[Row]) -> list[str]:
    found: list[tuple[str, str, str]] = [
        (name, problem, f"{row.case} {row.dtype}")
        for row in rows for name, problem in row.peers.items()
    ]  # fmt: skip
    key: Callable[[tuple], Any] = lambda f: f[0]  # noqa: E731
    names = list(dict.fromkeys(map(key, found)))
    return [
        f"{name} not timed: "
        + "; ".join(f"{where} ({problem[:120]})" for n, problem, where in found if n == name)
        for name in names
    ]
