"""Optimizers with float32 masters of 16-bit parameters: the bits of float32 parameters, rounded."""

from typing import Any

import numpy as np
import pytest
from test_optim_launches import KERNELS, OPTIONS, launched  # noqa: F401  a fixture

import tapegrad as tg

pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")

DEVICES = ["cpu", *KERNELS]
NARROW = ["bfloat16", "float16"]
NO_KERNEL: list[tuple[str, dict[str, Any], str]] = [
    ("LAMB", {"lr": 0.1}, ""),
    ("Muon", {"lr": 0.1}, ""),
    ("Adafactor", {"lr": 0.1, "d": 2.0}, ""),
]
ALL = [*OPTIONS, *NO_KERNEL]
SHAPES = [(3, 5), (1, 1), (0, 4), (70, 9)]


def numbers(tensors: Any) -> list[np.ndarray]:
    return [x.detach().cpu().float().numpy() for x in tensors]


def drawn(seed: int, dtype: Any, device: str, shapes: Any = SHAPES) -> list[tg.Tensor]:
    draw = np.random.default_rng(seed)
    return [tg.tensor(draw.standard_normal(s), dtype=dtype, device=device) for s in shapes]


def pair(name: str, options: dict[str, Any], dtype: str, device: str) -> list[Any]:
    """Parameters of 16 bits and an optimizer with masters, and the same in float32."""
    found = []
    for wide in (False, True):
        params = [p.to("float32") if wide else p for p in drawn(0, dtype, device)]
        params = [p.requires_grad_() for p in params]
        more = {} if wide else {"master_weights": True}
        found += [params, getattr(tg.optim, name)(params, **options, **more)]
    return found


def step(params: list, optimizer: Any, wide: list, reference: Any, seed: int) -> None:
    for p, q, g in zip(params, wide, drawn(seed, params[0].dtype, params[0].device), strict=True):
        p.grad, q.grad = g, g.float()
    optimizer.step()
    reference.step()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize(("name", "options", "launcher"), ALL)
def test_masters_are_float32_parameters_to_the_bit(
    name: str, options: dict, launcher: str, dtype: str, device: str, request: Any
) -> None:
    """And the parameters are theirs, rounded; where there is a kernel, by one launch."""
    launches = request.getfixturevalue("launched")
    params, optimizer, wide, reference = pair(name, options, dtype, device)
    for seed in range(1, 8):
        launches.clear()
        step(params, optimizer, wide, reference, seed)
        made = [name for name in launches if not name.startswith("cast_to")]  # (of the test's)
        if launcher and device != "cpu":
            assert made == [f"master_{launcher}", launcher]
    for p, q in zip(params, wide, strict=True):
        state, other = optimizer.state[p], reference.state[q]
        np.testing.assert_array_equal(*numbers([state["master_param"], q]))
        np.testing.assert_array_equal(*numbers([p, q.to(dtype)]))
        assert state.keys() - other.keys() == {"master_param"}
        for key in other:
            np.testing.assert_array_equal(*numbers(map(tg.as_tensor, (state[key], other[key]))))
            assert getattr(state[key], "dtype", None) == getattr(other[key], "dtype", None)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_small_steps_add_up_with_masters_only(name: str, device: str) -> None:
    """A step of a ten-thousandth is less than half of bfloat16's last digit of 1."""
    found = {}
    for master in (False, True):
        p = tg.ones(8, dtype=tg.bfloat16, device=device).requires_grad_()
        more = {"weight_decay": 0.0}
        optimizer = getattr(tg.optim, name)([p], lr=1e-4, master_weights=master, **more)
        for _ in range(100):
            p.grad = tg.ones_like(p)
            optimizer.step()
        found[master] = numbers([p])[0]
    assert (found[False] == 1).all()
    np.testing.assert_allclose(found[True], 1 - 0.01, rtol=2**-8)


@pytest.mark.parametrize("device", DEVICES)
def test_masters_follow_what_else_changes_a_parameter(device: str) -> None:
    """There alone: elsewhere they keep their digits."""
    params, optimizer, wide, reference = pair("AdamW", {"lr": 1e-3}, "bfloat16", device)
    for seed in range(3):
        step(params, optimizer, wide, reference, seed)
    for p, q in zip(params, wide, strict=True):
        p.data[:1], q.data[:1] = 0.25, 0.25
    for seed in range(3):
        step(params, optimizer, wide, reference, seed)
    for p, q in zip(params, wide, strict=True):
        np.testing.assert_array_equal(*numbers([optimizer.state[p]["master_param"], q]))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["SGD", "AdamW", "Adafactor"])
def test_float32_gradients_are_taken_as_they_are(name: str, device: str) -> None:
    params, optimizer, wide, reference = pair(name, {"lr": 0.1}, "bfloat16", device)
    for p, q, g in zip(params, wide, drawn(1, "float32", device), strict=True):
        p._grad, q.grad = g, g
    optimizer.step()
    reference.step()
    for p, q in zip(params, wide, strict=True):
        np.testing.assert_array_equal(*numbers([optimizer.state[p]["master_param"], q]))
    params, optimizer, *_ = pair(name, {"lr": 0.1}, "bfloat16", device)
    optimizer.param_groups[0]["master_weights"] = False
    params[0]._grad = drawn(1, "float32", device)[0]
    with pytest.raises(RuntimeError, match=r"its gradient is float32 .*master_weights=True"):
        optimizer.step()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model_first", [True, False])
def test_training_goes_on_from_a_saved_state_to_the_bit(model_first: bool, device: str) -> None:
    params, optimizer, wide, reference = pair("AdamW", {"lr": 1e-3}, "bfloat16", device)
    for seed in range(3):
        step(params, optimizer, wide, reference, seed)
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["master_weights"] is True
    assert saved["state"][0]["master_param"].dtype == tg.float32
    again = [tg.zeros_like(p).requires_grad_() for p in params]
    other = tg.optim.AdamW(again)
    if not model_first:
        other.load_state_dict(saved)
    for p, q in zip(again, params, strict=True):
        p.data.copy_(q)
    if model_first:
        other.load_state_dict(saved)
    for seed in range(3, 6):
        step(again, other, wide, reference, seed)
    for p, q in zip(again, wide, strict=True):
        np.testing.assert_array_equal(*numbers([other.state[p]["master_param"], q]))


def test_states_go_to_other_dtypes_and_back() -> None:
    how = {"lr": 0.1, "momentum": 0.9}
    params, optimizer, wide, reference = pair("SGD", how, "bfloat16", "cpu")
    step(params, optimizer, wide, reference, 1)
    # float32 parameters are their own masters,
    reference.load_state_dict(optimizer.state_dict())
    state = reference.state[wide[0]]
    assert {key: x.dtype for key, x in state.items()} == {"momentum_buffer": tg.float32}
    # float16 ones take those of bfloat16,
    halves = [p.detach().half().requires_grad_() for p in params]
    other = tg.optim.SGD(halves)
    other.load_state_dict(optimizer.state_dict())
    master = other.state[halves[0]]["master_param"]
    np.testing.assert_array_equal(*numbers([master, optimizer.state[params[0]]["master_param"]]))
    # and a state without masters gets them at the next step.
    optimizer.load_state_dict(reference.state_dict())
    assert optimizer.state[params[0]]["momentum_buffer"].dtype == tg.float32
    before = numbers(params)
    step(params, optimizer, wide, reference, 2)
    buffer = optimizer.state[params[0]]["momentum_buffer"]
    moved = before[0] - np.float32(0.1) * numbers([buffer])[0]
    (master,) = numbers([optimizer.state[params[0]]["master_param"]])
    np.testing.assert_allclose(master, moved, 1e-6)


def test_schedule_free_averages_are_those_of_float32() -> None:
    params, optimizer, wide, reference = pair("ScheduleFreeAdamW", {"lr": 0.1}, "bfloat16", "cpu")
    for seed in range(4):
        step(params, optimizer, wide, reference, seed)
        for turn in ("eval", "train"):
            getattr(optimizer, turn)()
            getattr(reference, turn)()
            for p, q in zip(params, wide, strict=True):
                np.testing.assert_array_equal(*numbers([p, q.bfloat16()]))


def test_a_step_that_fails_changes_no_master(monkeypatch: Any) -> None:
    params, optimizer, wide, reference = pair("AdamW", {}, "bfloat16", "cpu")
    step(params, optimizer, wide, reference, 1)
    before = numbers([optimizer.state[p]["master_param"] for p in params]), numbers(params)
    params[1]._grad = tg.ones(1, dtype=tg.bfloat16)
    with pytest.raises(RuntimeError, match="its gradient"):
        optimizer.step()
    after = numbers([optimizer.state[p]["master_param"] for p in params]), numbers(params)
    np.testing.assert_equal(after, before)


def test_what_masters_exclude_is_refused() -> None:
    p = tg.ones(2, dtype=tg.bfloat16).requires_grad_()
    with pytest.raises(ValueError, match="master_weights must be False with differentiable=True"):
        tg.optim.Adam([p], master_weights=True, differentiable=True)
    with pytest.raises(ValueError, match="master_weights must be True or False, not 1"):
        tg.optim.Adam([p], master_weights=1)  # type: ignore[arg-type]
    optimizer = tg.optim.Adam([p.detach().float().requires_grad_()], master_weights=True)
    optimizer.param_groups[0]["params"][0].grad = tg.ones(2)
    optimizer.step()  # a float32 parameter is its own master
    assert "master_param" not in optimizer.state[optimizer.param_groups[0]["params"][0]]
