"""What all tests share: the devices to run on, and the options of the command line."""

from __future__ import annotations

import gc
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg

DEVICES = ["cpu", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cupy",
        choices=["real", "strict"],
        default="real",
        help="strict: run the tests for cuda on tests/strict_cupy.py, a stand-in without a GPU",
    )
    parser.addoption(
        "--passed",
        type=Path,
        metavar="FILE",
        help="leave out the tests that FILE names, and add the names of those that pass: what one "
        "environment had to skip is then all that the next one runs",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Tests of what SciPy computes are skipped where it is missing."""
    try:
        return (yield)
    except ImportError as error:
        if "needs SciPy" not in str(error):
            raise
        pytest.skip(str(error))


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--passed"):
        config.pluginmanager.register(Passed(config.getoption("--passed")))
    if config.getoption("--cupy") == "strict":
        import strict_cupy

        strict_cupy.install()


def pytest_collection_modifyitems(config: pytest.Config, items: list) -> None:
    with warnings.catch_warnings():  # CuPy's, which as errors would hide the GPU
        warnings.simplefilter("ignore")
        available = tg.cuda.is_available()
    if available and config.getoption("--cupy") == "real":
        config.addinivalue_line("filterwarnings", "ignore::cupy._util.PerformanceWarning")
    skip = pytest.mark.skip(reason="needs an NVIDIA GPU and CuPy")
    for item in items:
        if item.get_closest_marker("gpu") and not available:
            item.add_marker(skip)


class Passed:
    """The tests that have passed, in this run and in earlier ones (see ``--passed``)."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.earlier = set(file.read_text().splitlines()) if file.exists() else set()
        self.names: list[str] = []

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list) -> None:
        config.hook.pytest_deselected(items=[i for i in items if i.nodeid in self.earlier])
        items[:] = [item for item in items if item.nodeid not in self.earlier]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.names.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not hasattr(session.config, "workerinput"):  # not a worker of pytest-xdist
            with self.file.open("a") as file:
                file.writelines(f"{name}\n" for name in self.names)


def pytest_collection_finish() -> None:
    """What was collected stays to the end: Python's garbage collector, which many tests call, need
    not look through it each time (31 tests took 58 seconds for that, and take 3)."""
    gc.collect()
    gc.freeze()
