"""2,000 random programs against PyTorch (see ``fuzz.py``, which runs as many as you like)."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", exc_type=ImportError)

import fuzz
import fuzz_ops

import tapegrad as tg


@pytest.mark.parametrize("block", range(20))
def test_programs(block: int) -> None:
    reports = [fuzz.check(seed) for seed in range(100 * block, 100 * block + 100)]
    found = [report for report in reports if report]
    assert not found, "\n".join(found)


def test_a_mismatch_is_found_shrunk_and_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(lib: object, t: list, a: tuple) -> object:
        y = t[0].sin()
        return y + 1e-3 if lib is tg else y

    monkeypatch.setattr(fuzz_ops.OPERATIONS["sin"], "run", wrong)
    reports = [report for report in map(fuzz.check, range(100)) if report]
    assert reports
    for report in reports:
        lines = report.splitlines()
        assert lines[0].startswith("seed ")
        assert any(line.startswith("  sin(") for line in lines)
        assert len(lines) <= 8  # leaves, what makes a float of the right kind of them, sin
    assert min(len(report.splitlines()) for report in reports) == 4  # a leaf, sin


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(lib: object, t: list, a: tuple) -> object:
        y = t[0].cos()
        return y * 2 - y.detach() if lib is tg else y

    monkeypatch.setattr(fuzz_ops.OPERATIONS["cos"], "run", wrong)
    assert any(fuzz.check(seed) for seed in range(240))
