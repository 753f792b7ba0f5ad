"""What all tests share: the devices to run on."""

from __future__ import annotations

import pytest

import tapegrad as tg

DEVICES = ["cpu", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)]


def pytest_collection_modifyitems(items: list) -> None:
    if tg.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs an NVIDIA GPU and CuPy")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)
