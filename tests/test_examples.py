"""The examples run and do what they say, here with less training."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, capsys, *shorter: tuple[str, str]) -> str:
    """What the example prints, after some of its text has been replaced."""
    path = EXAMPLES / name
    source = path.read_text(encoding="utf-8")
    for old, new in shorter:
        assert source.count(old) == 1, f"{name} has changed: {old}"
        source = source.replace(old, new)
    exec(compile(source, str(path), "exec"), {"__name__": "__main__", "__file__": str(path)})
    return capsys.readouterr().out


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "digits.py",
        "gpt.py",
        "heat.py",
        "mlp.py",
    }


def test_mlp(capsys: pytest.CaptureFixture) -> None:
    printed = run("mlp.py", capsys, ("range(1, 11)", "range(1, 4)"))
    assert float(re.findall(r"([\d.]+)% of the unseen", printed)[-1]) > 85


def test_digits(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is run again, for longer, and goes on."""
    monkeypatch.setattr(sys, "argv", ["digits.py", str(tmp_path)])
    run("digits.py", capsys, ("EPOCHS, PATIENCE = 40, 5", "EPOCHS, PATIENCE = 1, 5"))
    printed = run("digits.py", capsys, ("EPOCHS, PATIENCE = 40, 5", "EPOCHS, PATIENCE = 3, 5"))
    assert printed.startswith("going on after step 38, epoch 1\nepoch 2")
    assert float(re.findall(r"([\d.]+)% of 300 digits", printed)[0]) > 85
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
    assert (tmp_path / "curve.png").exists() == (find_spec("matplotlib") is not None)


def test_heat(capsys: pytest.CaptureFixture) -> None:
    printed = run(
        "heat.py", capsys, ("range(1, 1001)", "range(1, 201)"), ("T_max=1000", "T_max=200")
    )
    assert float(re.findall(r"wrong by ([\d.]+) at most", printed)[0]) < 0.05


def test_gpt(capsys: pytest.CaptureFixture) -> None:
    printed = run("gpt.py", capsys, ("range(1, 301)", "range(1, 13)"), ("% 50", "% 12"))
    loss = float(re.findall(r"step  12: ([\d.]+) nats", printed)[0])
    assert loss < 4  # at first all letters are alike: log(76) = 4.3
    assert "class Block(" in printed
    assert len(printed.split("\n", 1)[1]) == len("class Block(") + 300 + 1
