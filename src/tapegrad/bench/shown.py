"""Results as a table, in Markdown, and as lines of CSV."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tapegrad._build import replacing
from tapegrad.utils.table import Table

from .lines import csv_text
from .row import Row
from .timing import Timing

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))

_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))

_LEGEND = (
    "time: the median of the rounds; spread: their interquartile range, as a part of it; ceiling: "
    "the time that the copy or the matrix product above allows, as a part of it (cached: it took "
    "less, as the data fits in a cache; > product: it beat that product); vs: the other's time by "
    "{mine}'s, above 1 {mine} is faster, = is a tie (the spreads overlap){more}"
)
_PEAK = "; peak: the most memory that a call had allocated at once, its results included"
_HOST = "; host: the time until a call returns, on an idle GPU, which then computes it"


class Shown:
    """How results are shown: see ``Results``, which has these attributes."""

    rows: list[Row]
    machine: dict[str, Any]
    settings: dict[str, Any]
    ceilings: dict[str, Any]
    date: str
    before: dict[str, Any]
    after: dict[str, Any]
    notes: list[str]
    interrupted: bool

    @property
    def disturbed(self) -> str:
        """How busy other programs kept the processor, or "" if they did not. Programs that share a
        core make times doubtful, which a run's own spread does not show."""
        cores = self.machine.get("cores")
        before, after = (state.get("load", 0.0) for state in (self.before, self.after))
        if not cores or (before <= cores / 2 and after <= cores + 1):
            return ""
        return f"the machine was busy: load {before} before and {after} after, on {cores} cores"

    def table(self) -> str:
        """For a terminal."""
        return _table(self).text()

    def markdown(self) -> str:
        """The same as a Markdown table."""
        return _table(self).markdown()

    __str__ = table

    def to_markdown(self, path: str | os.PathLike[str] | None = None) -> str:
        """The table in Markdown, also written to ``path``."""
        return _written(self.markdown() + "\n", path)

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """A line for each contestant of each row, in seconds, bytes and FLOP, also written to
        ``path``. Who was not timed has no numbers, and a status that says why."""
        return _written(csv_text(self.rows), path)


def _written(text: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        with replacing(Path(path)) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return text


def _table(results: Shown) -> Table:
    above, below = _headline(results), _remarks(results)
    copy, host = results.ceilings.get("copy"), _has_hosts(results)
    if results.settings.get("functions"):
        head = ["function", "time", "spread", "GB/s", "GFLOP/s", "ceiling", "peak", "vs"]
        head += ["host"] if host else []
        keys = [] if len(results.rows) == 1 else ["case", "shape", "dtype"]
        lines = [
            [*_key_cells(row)[: len(keys)], *line]
            for row in results.rows
            for line in _functions(row, copy, host)
        ]
        return Table([*keys, *head], lines, len(keys) + 1, above, below)
    names = results.settings.get("peers", [])
    seen = {name for row in results.rows for name in (*row.rivals, *row.peers)}
    peers = [name for name in names if name in seen]
    head = ["case", "shape", "dtype", "time", "spread", "GB/s", "GFLOP/s", "ceiling"]
    head += [f"vs {p}" for p in peers]
    head += ["host", *(f"host {p}" for p in peers)] if host else []
    lines = [_cells(row, peers, copy, host) for row in results.rows]
    return Table(head, lines, 3, above, below)


def _has_hosts(results: Shown) -> bool:
    return any(row.hosts for row in results.rows)


def _headline(results: Shown) -> list[str]:
    """What was measured on, when, and what the machine can do at best."""
    m = results.machine
    gpu = m.get("gpu", {})
    where = [gpu.get("name"), gpu.get("driver") and f"driver {gpu['driver']}", m.get("processor")]
    labels = {"python": "Python", "numpy": "NumPy", "torch": "PyTorch", "cupy": "CuPy"}
    software = [f"{label} {m[name]}" for name, label in labels.items() if m.get(name)]
    cores = [f"{m['cores']} cores"] if "cores" in m else []
    lines = [
        ", ".join(str(p) for p in [*filter(None, where), *cores]),
        ", ".join([f"device {m.get('device')}", *software, results.date]),
    ]
    if threads := m.get("threads"):
        lines.append("threads: " + ", ".join(f"{k} {v}" for k, v in threads.items()))
    if copy := results.ceilings.get("copy"):
        by = results.ceilings["by"]
        products = [
            f"{name} {rate_text(rate)}FLOP/s ({by[name]})"
            for name, rate in results.ceilings["matmul"].items()
        ]
        copying = f"copy {rate_text(copy)}B/s ({by['copy']})"
        lines.append(f"ceilings: {copying}, matrix product {', '.join(products)}")
    for name, state in (("before", results.before), ("after", results.after)):
        if state:
            lines.append(f"{name}: " + ", ".join(f"{k} {v}" for k, v in state.items()))
    return lines


def _key_cells(row: Row) -> list[str]:
    name = row.case if row.kernel is not False else f"{row.case} (plain)"
    return [name, "x".join(map(str, row.shape)), row.dtype]


def _cells(row: Row, peers: Sequence[str], copy: float | None, host: bool) -> list[str]:
    cells = _key_cells(row)
    if row.timing is None:
        return [*cells, f"{row.status}: {row.message}"]
    against = [
        _against(row, p) if p in row.times else row.peers.get(p, "").partition(":")[0]
        for p in peers
    ]
    share = _ceiling(row, row.of_ceiling, row.timing, copy)
    mine = next(iter(row.times))
    hosts = [_host(row, name) for name in (mine, *peers)] if host else []
    return [*cells, *_speed(row, row.timing), share, *against, *hosts]


def _functions(row: Row, copy: float | None, host: bool) -> list[list[str]]:
    if row.timing is None:
        return [[row.function or row.case, f"{row.status}: {row.message}"]]
    return [
        [
            name,
            *_speed(row, timing),
            _ceiling(row, row.least / timing.median or None, timing, copy),
            _bytes(row.peaks.get(name)),
            _against(row, name) if name in row.rivals else "",
            *([_host(row, name)] if host else []),
        ]
        for name, timing in row.times.items()
    ]


def _seconds(value: float) -> str:
    """1.23 ms"""
    if value >= 1000:
        return f"{value:.0f} s"
    unit, name = next((u for u in _UNITS if value >= u[0]), _UNITS[-1])
    return f"{value / unit:.3g} {name}"


def _speed(row: Row, timing: Timing) -> list[str]:
    rates = [_giga(amount / timing.median) if amount else "" for amount in (row.bytes, row.flops)]
    return [_seconds(timing.median), f"{timing.spread:.0%}", *rates]


def _against(row: Row, peer: str) -> str:
    """1.50 or, for a tie, =1.02"""
    tie = row.timing is not None and row.timing.ties_with(row.times[peer])
    return f"{'=' if tie else ''}{row.ratio(peer):.2f}"


def _host(row: Row, name: str) -> str:
    return _seconds(row.hosts[name]) if name in row.times and name in row.hosts else ""


def _mine(results: Shown) -> str:
    return next((name for row in results.rows for name in row.times), "tapegrad")


def _giga(rate: float) -> str:
    return f"{rate / 1e9:.3g}" if rate < 1e12 else f"{rate / 1e9:.0f}"


def _ceiling(row: Row, part: float | None, timing: Timing, copy: float | None) -> str:
    """The share of what the machine allows, or why there is none."""
    if part is not None and part <= 1:
        return f"{part:.0%}" if part >= 0.1 else f"{part:.1%}"
    if not copy:
        return ""
    return "cached" if row.bytes / timing.median > copy else "> product" if row.flops else ""


def _bytes(count: int | None) -> str:
    """1.23 MB"""
    if count is None:
        return ""
    unit, name = next(((u, n) for u, n in _BYTES if count >= u), _BYTES[-1])
    return f"{count / unit:.3g} {name}"


def rate_text(value: float) -> str:
    """1.5 T or 150 G"""
    return f"{value / 1e12:.3g} T" if value >= 1e12 else f"{value / 1e9:.3g} G"


def _remarks(results: Shown) -> list[str]:
    own = results.settings.get("functions")
    mine = "the case's own" if own and len(own) > 1 else _mine(results)
    more = (_PEAK if own else "") + (_HOST if _has_hosts(results) else "")
    lines = [_LEGEND.format(mine=mine, more=more), *results.notes]
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
    return [
        f"{name} not timed: {'; '.join(dict.fromkeys(problems))}"
        for name, problems in found.items()
    ]
