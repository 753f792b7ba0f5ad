"""Names: what a wrong one is answered, what ``dir`` lists, and what asking for any costs."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg

HINTS = [
    ("", "sofmax", "did you mean 'softmax'"),
    ("", "Tenser", "did you mean 'Tensor'"),
    ("", "fft", "PyTorch's fft .* no complex numbers"),
    ("", "autocats", "did you mean 'autocast'"),
    ("amp", "GradScalar", "did you mean 'GradScaler'"),
    ("utils.checkpoint", "checkpoint_sequental", "did you mean 'checkpoint_sequential'"),
    ("", "cross_entropy", "it is tapegrad.nn.functional.cross_entropy"),
    ("", "Linear", "it is tapegrad.nn.Linear"),
    ("", "FloatStorage", "ask x.storage"),
    ("nn", "Lineear", "did you mean 'Linear'"),
    ("nn", "TransformerEncoderLayers", "did you mean 'TransformerEncoderLayer'"),
    ("nn", "softmax", "it is tapegrad.softmax"),
    ("nn.functional", "crossentropy", "did you mean 'cross_entropy'"),
    ("nn.init", "xavier_unifrom_", "did you mean 'xavier_uniform_'"),
    ("nn.utils", "spectral_nrom", "did you mean 'spectral_norm'"),
    ("optim", "SparseAdam", "tensors are dense"),
    ("optim", "Adaam", "did you mean 'Adam'"),
    ("metrics", "acuracy", "did you mean 'accuracy'"),
    ("train", "Trianer", "did you mean 'Trainer'"),
    ("data", "Dataloader", "did you mean 'DataLoader'"),
    ("linalg", "eig", "no complex numbers"),
    ("special", "erfcxx", "did you mean 'erfcx'"),
    ("autograd", "gradchek", "did you mean 'gradcheck'"),
    ("autograd", "detect_anomaIy", "did you mean 'detect_anomaly'"),
    ("func", "vmapp", "did you mean 'vmap'"),
    ("signal.windows", "han", "did you mean 'hann'"),
]


@pytest.mark.parametrize(("room", "name", "hint"), HINTS)
def test_a_wrong_name_is_answered_with_what_is_meant_or_to_be_used(
    room: str, name: str, hint: str
) -> None:
    """(U04)"""
    module = importlib.import_module(f"tapegrad.{room}" if room else "tapegrad")
    with pytest.raises(AttributeError, match=f"has no attribute '{name}': .*{hint}"):
        getattr(module, name)
    assert not hasattr(module, name)


def test_dir_lists_what_can_be_named() -> None:
    """(U04)"""
    for room in (
        "autograd",
        "nn",
        "nn.functional",
        "linalg",
        "special",
        "data",
        "optim",
        "func",
        "distributions",
    ):
        module = importlib.import_module(f"tapegrad.{room}")
        listed = dir(module)
        assert set(getattr(module, "__all__", ())) <= set(listed)
        assert all(hasattr(module, name) for name in listed)
    assert {"detect_anomaly", "set_detect_anomaly", "functional"} <= set(dir(tg.autograd))
    assert all(hasattr(tg, name) for name in dir(tg))


BARE = """
import sys
for package in ("ml_dtypes", "safetensors", "scipy", "tqdm", "matplotlib"):
    sys.modules[package] = None
import importlib, inspect, pkgutil
from unittest import mock
import tapegrad as tg
assert not hasattr(tg, "bfloat16")
try:
    tg.bfloat16
except AttributeError as error:
    assert "pip install 'tapegrad[io]'" in str(error), error
names = dict(inspect.getmembers(tg))
assert "float16" in names and "bfloat16" not in names
rooms = [tg.nn, tg.nn.functional, tg.linalg, tg.special, tg.masked, tg.signal.windows, tg.func,
         tg.autograd, tg.optim, tg.data, tg.distributions, tg.testing, tg.utils,
         tg.cuda, tg.backends]
for room in rooms:
    assert inspect.getmembers(room)
inspect.getmembers(tg.ones(2, 2))
inspect.getmembers(tg.Tensor)
mock.create_autospec(tg)
"""


def test_asking_for_any_name_never_fails_for_a_package_that_is_missing() -> None:
    """(F47)"""
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


TYPED = """
import tapegrad as tg

@tg.no_grad()
def a(x: int) -> str:
    return ""

@tg.enable_grad()
def c(x: int) -> str:
    return ""

@tg.inference_mode()
def d(x: int) -> str:
    return ""

@tg.set_grad_enabled(False)
def e(x: int) -> str:
    return ""

class M(tg.nn.Module):
    @tg.no_grad()
    def f(self, x: int) -> str:
        return ""

reveal_type(a)
reveal_type(c)
reveal_type(d)
reveal_type(e)
reveal_type(M().f)
with tg.no_grad():
    pass
reveal_type(tg.no_grad())
"""


def test_a_decorated_function_keeps_its_type(tmp_path: Path) -> None:
    """(F53)"""
    api = pytest.importorskip("mypy.api")
    (tmp_path / "typed.py").write_text(TYPED)
    said, errors, status = api.run(
        ["--config-file", "", "--cache-dir", str(tmp_path), str(tmp_path / "typed.py")]
    )
    revealed = [line for line in said.splitlines() if "Revealed type" in line]
    assert status == 0, said + errors
    assert len(revealed) == 6
    assert all("def (x: " in line and "str" in line for line in revealed[:5]), said
    assert "no_grad" in revealed[5]


def test_settings_still_decorate_functions_and_generators() -> None:
    @tg.no_grad
    def plain(x: Any) -> Any:
        return x * 2

    @tg.no_grad()
    def steps(x: Any) -> Any:
        yield x * 2

    x = tg.ones(1, requires_grad=True)
    assert not plain(x).requires_grad
    assert not next(steps(x)).requires_grad
    with pytest.raises(TypeError, match=r"\[no_grad\] decorates functions, got int"):
        tg.no_grad(3)  # type: ignore[call-overload]


# The arguments have another order, or one may be left out, or (unfold) it is another operation.
TWO = {"log_softmax", "polygamma", "softmax", "unfold", "where"}


def test_an_operation_is_one_function_whichever_door_one_takes() -> None:
    doors = (tg, tg.Tensor, tg.nn.functional)
    apart = set()
    for name in {name for door in doors for name in dir(door) if name[0] != "_"}:
        every = [getattr(door, name, None) for door in doors]
        found = [f for f in every if inspect.isfunction(inspect.unwrap(f))]  # or in C before one
        if len({id(f) for f in found if not f.__module__.startswith("tapegrad.core")}) > 1:
            apart.add(name)
    assert apart == TWO
