"""A pytest plugin for gpu_check.py: every n-th test, the kernels' first, until a deadline; each
result is written down at once, so that a process that is killed leaves what it found."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

# Should there be no time for all: what tells most comes first, and finite differences, which take
# longest, last.
FIRST = ("test_kernels", "test_gpu")
LAST = "gradcheck"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shard", default="0/1", help="i/n: the tests i, i + n, i + 2n, ...")
    parser.addoption("--stop-at", type=float, default=math.inf, help="a time of time.time()")
    parser.addoption("--report", type=Path, required=True, help="a file of one JSON object a line")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Shard(config))


class Shard:
    def __init__(self, config: pytest.Config):
        self.number, self.count = map(int, config.getoption("--shard").split("/"))
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
        items.sort(key=lambda item: (item.path.stem not in FIRST, LAST in item.name))
        items[:] = items[self.number :: self.count]
        self.write(selected=len(items))

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


def last_line(text: str) -> str:
    """What says most: the error that pytest marks, else the last line."""
    lines = text.strip().splitlines() or [""]
    return next((line for line in lines if line.startswith("E ")), lines[-1])[:300]
