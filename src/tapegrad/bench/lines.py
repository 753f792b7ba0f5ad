"""Rows as lines of CSV: one for each contestant, in seconds, bytes and FLOP."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from .row import Row

_COLUMNS = (
    "case",
    "shape",
    "dtype",
    "function",
    "status",
    "median_s",
    "low_s",
    "high_s",
    "rounds",
    "bytes",
    "bytes_per_s",
    "flops",
    "flops_per_s",
    "of_ceiling",
    "peak_bytes",
    "host_s",
    "ratio",
)


def csv_text(rows: Sequence[Row]) -> str:
    """The header and a line for each contestant of each row."""
    file = io.StringIO()
    lines = csv.DictWriter(file, _COLUMNS, restval="", lineterminator="\n")
    lines.writeheader()
    for row in rows:
        lines.writerows(_lines(row))
    return file.getvalue()


def _lines(row: Row) -> Iterator[dict[str, Any]]:
    key = {"case": row.case, "shape": "x".join(map(str, row.shape)), "dtype": row.dtype}
    for name, timing in row.times.items():
        yield {
            **key,
            "function": name,
            "status": "ok",
            "median_s": timing.median,
            "low_s": timing.low,
            "high_s": timing.high,
            "rounds": len(timing.samples),
            "bytes": row.bytes,
            "bytes_per_s": row.bytes / timing.median,
            "flops": row.flops,
            "flops_per_s": row.flops / timing.median,
            "of_ceiling": row.least / timing.median,
            "peak_bytes": row.peaks.get(name),
            "host_s": row.hosts.get(name),
            "ratio": row.ratio(name),
        }
    if row.timing is None:
        yield {**key, "function": row.function, "status": f"{row.status}: {row.message}"}
    for name, problem in row.peers.items():
        yield {**key, "function": name, "status": problem}
