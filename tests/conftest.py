"""What all tests share: the devices to run on."""

from __future__ import annotations

import warnings

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


def pytest_configure(config: pytest.Config) -> None:
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
