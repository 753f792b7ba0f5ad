"""``tapegrad bench``: what the command line asks of this package."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from tapegrad.core import devices
from tapegrad.core.devices import device_count

from . import roofline
from .cases import CASES, Case
from .changes import compare_results
from .check import BenchmarkError
from .files import cases_of
from .results import Results
from .runner import run, select

INTERRUPTED = 130  # as shells say it


def bench(arguments: Namespace) -> int:
    """Run the command; returns the exit status: 1 if a row is wrong, failed or became slower,
    or nothing could be compared."""
    if arguments.compare:
        old, new = map(Results.from_json, arguments.compare)
        changes = compare_results(old, new)
        print(changes)
        return 0 if changes.ok else 1
    if arguments.list:
        print(listing(select(_wanted(arguments))))
        return 0
    return _measure(arguments)


def _wanted(arguments: Namespace) -> Sequence[str | Case]:
    """What the command names: cases of Python files, or names and patterns."""
    files = [Path(name) for name in arguments.cases if name.endswith(".py")]
    patterns = [name for name in arguments.cases if not name.endswith(".py")]
    return cases_of(files, patterns) if files else patterns


def listing(cases: Sequence[Case]) -> str:
    """The cases, and their shapes."""
    lines = []
    for case in cases:
        shapes = ", ".join(
            f"{size} {' '.join('x'.join(map(str, shape)) for shape in shapes)}"
            for size, shapes in case.sizes.items()
        )
        devices.load_primitive(case.primitive)
        has_kernel = case.ways or case.primitive in devices.overrides
        kernel = "" if has_kernel else " (no kernel)"
        lines.append(f"{case.name:<{_WIDTH}}  {shapes}{kernel}")
    return "\n".join(lines)


_WIDTH = max(len(case.name) for case in CASES)


def _measure(arguments: Namespace) -> int:
    json: Path | None = arguments.json
    if arguments.plot:  # say now, not after a minute, what is missing
        roofline.require_format(arguments.plot)
    written = [json, arguments.plot, arguments.csv, arguments.markdown]
    for path in filter(None, written):
        if not path.parent.is_dir():
            raise BenchmarkError(f"there is no folder {path.parent} to write {path.name} to")
    results = run(
        _wanted(arguments),
        arguments.device or ("cuda" if device_count() else "cpu"),
        _names(arguments.dtype),
        arguments.sizes,
        _names(arguments.peers),
        arguments.budget,
        on_row=(lambda results: results.to_json(json)) if json else None,
        backward=arguments.backward,
    )
    print(results)
    if arguments.csv:
        results.to_csv(arguments.csv)
        print(f"results  {arguments.csv}")
    if arguments.markdown:
        results.to_markdown(arguments.markdown)
        print(f"table  {arguments.markdown}")
    if json:
        results.to_json(json)
        print(f"results  {json}")
    if arguments.plot:
        try:
            roofline.plot(results, arguments.plot)
            print(f"picture  {arguments.plot}")
        except BenchmarkError as error:  # no row: the table said why
            print(f"picture  none: {error}", file=sys.stderr)
    if results.interrupted:
        return INTERRUPTED
    return 1 if results.bad else 0


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name for name in text.split(",") if name != "none"]
