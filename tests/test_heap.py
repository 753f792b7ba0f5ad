"""Freed memory is kept for the next arrays, where that can be done and nothing else was asked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tapegrad.core import heap

FAULTS = """
import resource
import tapegrad
import numpy as np

x = np.ones(1 << 19, "float32")  # 2 MiB: the size that the system gets back at once by default

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    y = [x * 2, x + 1]
before = faults()
for _ in range(20):
    y = [x * 2, x + 1]
    del y
print(faults() - before)
"""

glibc = pytest.mark.skipif(heap._glibc() is None, reason="the C library is not glibc")


def faults(**variables: str) -> int:
    environ = {k: v for k, v in os.environ.items() if k not in heap._OWN_SETTINGS} | variables
    return int(subprocess.check_output([sys.executable, "-c", FAULTS], env=environ))


@glibc
def test_temporaries_cause_no_page_faults() -> None:
    # Without a threshold that moves, as it would by itself, every one is mapped anew.
    mapped = faults(TAPEGRAD_KEEP_MEMORY="off", MALLOC_MMAP_THRESHOLD_="131072")
    assert mapped > 5000
    assert faults() < mapped / 20


@glibc
@pytest.mark.parametrize(
    "environ", [{"TAPEGRAD_KEEP_MEMORY": "off"}, *({name: ""} for name in heap._OWN_SETTINGS)]
)
def test_it_is_left_alone_where_that_was_asked(environ: dict[str, str]) -> None:
    assert not heap.keep_freed_memory(environ)
    assert heap.keep_freed_memory({})


class Library:
    """A C library that takes thresholds up to a limit."""

    def __init__(self, limit: int):
        self.limit, self.set = limit, {}

    def mallopt(self, parameter: int, value: int) -> int:
        if parameter == heap._MMAP_THRESHOLD and value > self.limit:
            return 0
        self.set[parameter] = value
        return 1


@pytest.mark.parametrize(
    ("limit", "expected"), [(1 << 40, 1 << 30), (1 << 25, 1 << 25), (1 << 20, None)]
)
def test_all_settings_or_none(
    monkeypatch: pytest.MonkeyPatch, limit: int, expected: int | None
) -> None:
    library = Library(limit)
    monkeypatch.setattr(heap, "_glibc", lambda: library)
    assert heap.keep_freed_memory({}) == (expected is not None)
    assert library.set.get(heap._MMAP_THRESHOLD) == expected
    assert len(library.set) == (3 if expected else 0)
    assert all(0 < value < 1 << 31 for value in library.set.values())  # a C int


def test_without_glibc_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.sys, "platform", "darwin")
    assert not heap.keep_freed_memory({})
