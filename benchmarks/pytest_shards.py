"""A pytest plugin for gpu_check.py: one process's share of the tests that have not passed yet, the
kernels' first, until a deadline. Each result is written down at once, so that a process that is
killed leaves what it found."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

# Should there be no time for all: what tells most comes first, and finite differences, which take
# longest, last.
FIRST = ("test_kernels", "test_gpu")
LAST = "gradcheck"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shard", default="0/1", help="i/n: the i-th of n shares, from 0")
    parser.addoption("--earlier", type=Path, required=True, help="a file of tests to leave out")
    parser.addoption("--stop-at", type=float, default=math.inf, help="a time of time.time()")
    parser.addoption("--report", type=Path, required=True, help="a file of one JSON object a line")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Shard(config))


class Shard:
    def __init__(self, config: pytest.Config):
        self.number, self.count = map(int, config.getoption("--shard").split("/"))
        self.earlier = set(config.getoption("--earlier").read_text().splitlines())
        self.end = config.getoption("--stop-at")
        self.file = config.getoption("--report")
        self.session: Any = None

    def write(self, **facts: Any) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps(facts) + "\n")

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.session = session

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list) -> None:
        left = [item for item in items if item.nodeid not in self.earlier]
        share = shares(left, self.count)[self.number]
        self.write(selected=len(share), earlier=len(items) - len(left))
        share.sort(key=lambda item: (item.path.stem not in FIRST, LAST in item.name))
        items[:] = share

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.write(id=report.nodeid, outcome="error", message=last_line(report.longreprtext))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            outcome = "error" if report.failed and report.when != "call" else report.outcome
            message = last_line(report.longreprtext) if report.failed else ""
            self.write(id=report.nodeid, outcome=outcome, message=message)

    def pytest_runtest_logfinish(self) -> None:
        if time.time() > self.end:
            self.session.shouldstop = "the time limit"


def shares(items: Sequence[Any], count: int) -> list[list[Any]]:
    """The tests of each of ``count`` processes, about as many in each. Those of one function stay
    together, as CuPy compiles the same kernels for them; a function with many more than others is
    cut into runs of neighbours."""
    functions: dict[str, list[Any]] = {}
    for item in items:
        functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    most = max(len(items) // (4 * count), 1)
    runs = [tests[i : i + most] for tests in functions.values() for i in range(0, len(tests), most)]
    found: list[list[Any]] = [[] for _ in range(count)]
    for run in sorted(runs, key=len, reverse=True):
        min(found, key=len).extend(run)
    return found


def last_line(text: str) -> str:
    """What says most: the error that pytest marks, else the last line."""
    lines = text.strip().splitlines() or [""]
    return next((line for line in lines if line.startswith("E ")), lines[-1])[:300]
