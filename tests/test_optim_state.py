"""What an optimizer counts, in its state: PyTorch's layout, to and from PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

# All of PyTorch's that count their steps, with options under which a step makes a difference.
COUNTING: dict[str, dict[str, Any]] = {
    "ASGD": {"lr": 0.05, "lambd": 0.1, "t0": 2},
    "Adadelta": {"lr": 1.0},
    "Adafactor": {"lr": 0.05},
    "Adagrad": {"lr": 0.05, "lr_decay": 0.1},
    "Adam": {"lr": 0.05, "amsgrad": True},
    "AdamW": {"lr": 0.05},
    "Adamax": {"lr": 0.05},
    "NAdam": {"lr": 0.05},
    "RAdam": {"lr": 0.05},
    "RMSprop": {"lr": 0.05, "momentum": 0.9},
    "Rprop": {"lr": 0.05},
}
START, TARGET = np.linspace(-1, 1, 6).reshape(2, 3), np.linspace(0.5, 2, 6).reshape(2, 3)


def made(lib: Any, name: str, start: Any = START, **more: Any) -> tuple[Any, Any]:
    p = lib.tensor(start, requires_grad=True)
    return p, getattr(lib.optim, name)([p], **{**COUNTING[name], **more})


def train(lib: Any, p: Any, optimizer: Any, steps: int = 3) -> None:
    target = lib.tensor(TARGET)
    for _ in range(steps):
        optimizer.zero_grad()
        ((p - target) ** 2).sum().backward()
        optimizer.step()


def counts(optimizer: Any) -> Any:
    return optimizer.state_dict()["state"][0]["step"]


@pytest.mark.parametrize("name", [*COUNTING, "LAMB", "AdEMAMix", "ScheduleFreeAdamW"])
@pytest.mark.parametrize("capturable", [None, True])
def test_the_count_is_a_0d_tensor(name: str, capturable: bool | None) -> None:
    kind = getattr(tg.optim, name)
    if capturable and "capturable" not in kind.__init__.__annotations__:
        pytest.skip("has no such option")
    p = tg.tensor(START, requires_grad=True)
    more = {"capturable": True} if capturable else {}
    optimizer = kind([p], **{**COUNTING.get(name, {}), **more})
    train(tg, p, optimizer)
    for step in (optimizer.state[p]["step"], counts(optimizer)):
        assert isinstance(step, tg.Tensor)
        assert (step.dtype, step.shape, step.item()) == (tg.float32, (), 3.0)
        assert not step.requires_grad


@pytest.mark.parametrize("name", COUNTING)
def test_the_layout_is_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    states = []
    for lib in (tg, torch):
        p, optimizer = made(lib, name)
        train(lib, p, optimizer)
        states.append(optimizer.state_dict()["state"][0])
    mine, theirs = states
    assert mine.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, torch.Tensor):
            assert tuple(mine[key].shape) == tuple(value.shape), key
            np.testing.assert_allclose(mine[key].numpy(), value.numpy(), rtol=1e-6, err_msg=key)
    assert mine["step"].dtype.name == str(theirs["step"].dtype).removeprefix("torch.")


@pytest.mark.parametrize("form", ["tensor", "int", "float", "array"])
@pytest.mark.parametrize("name", COUNTING)
@pytest.mark.parametrize("way", ["from PyTorch", "to PyTorch"])
def test_training_goes_on_in_the_other_library(way: str, name: str, form: str) -> None:
    """Also from what older versions of both have saved: an int."""
    torch = pytest.importorskip("torch", exc_type=ImportError)
    first, second = (torch, tg) if way == "from PyTorch" else (tg, torch)
    if second is torch and form not in ("tensor", "int"):
        pytest.skip("PyTorch takes neither")
    p, optimizer = made(first, name)
    train(first, p, optimizer)
    state = copy.deepcopy(optimizer.state_dict())
    kept = state["state"][0]
    as_form = {
        "tensor": lambda x: x,
        "int": lambda x: int(x.item()),
        "float": lambda x: x.item(),
        "array": lambda x: np.array(x.item()),
    }
    kept["step"] = as_form[form](kept["step"])
    q, resumed = made(second, name, start=p.detach().numpy().copy())
    if second is torch:
        state["state"][0] = {
            k: torch.tensor(v.numpy()) if isinstance(v, tg.Tensor) else v for k, v in kept.items()
        }
    resumed.load_state_dict(state)
    train(first, p, optimizer)
    train(second, q, resumed)
    assert counts(resumed).item() == 6
    assert counts(resumed).dtype in (tg.float32, torch.float32)
    np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-6)


def test_the_count_is_float64_where_that_is_the_default() -> None:
    """As in PyTorch."""
    before = tg.get_default_dtype()
    tg.set_default_dtype(tg.float64)
    try:
        p, optimizer = made(tg, "Adam")
        train(tg, p, optimizer, 1)
    finally:
        tg.set_default_dtype(before)
    assert counts(optimizer).dtype == tg.float64


def test_a_count_that_a_script_sets_is_the_count() -> None:
    runs = []
    for value in (9, 9.0, tg.tensor(9), tg.tensor(9.0)):
        p, optimizer = made(tg, "Adam")
        train(tg, p, optimizer, 1)
        optimizer.state[p]["step"] = value
        train(tg, p, optimizer, 1)
        assert counts(optimizer).item() == 10
        runs.append(p.tolist())
    p, optimizer = made(tg, "Adam")
    train(tg, p, optimizer, 1)
    optimizer.state[p]["step"] += 8
    train(tg, p, optimizer, 1)
    assert runs == [p.tolist()] * 4


@pytest.mark.parametrize("name", ["NAdam", "ASGD"])
def test_a_copy_counts_for_itself(name: str) -> None:
    p, optimizer = made(tg, name)
    train(tg, p, optimizer, 2)
    q, other = made(tg, name, start=p.tolist())
    other.load_state_dict(optimizer.state_dict())
    train(tg, q, other, 2)
    assert (counts(optimizer).item(), counts(other).item()) == (2, 4)
    train(tg, p, optimizer, 2)
    np.testing.assert_allclose(p.tolist(), q.tolist(), rtol=1e-6)


def test_a_state_goes_through_a_file(tmp_path: Any) -> None:
    p, optimizer = made(tg, "NAdam")
    train(tg, p, optimizer, 2)
    tg.save(optimizer.state_dict(), tmp_path / "state")
    q, other = made(tg, "NAdam", start=p.detach().numpy())
    other.load_state_dict(tg.load(tmp_path / "state"))
    train(tg, p, optimizer, 2)
    train(tg, q, other, 2)
    assert p.tolist() == q.tolist()
