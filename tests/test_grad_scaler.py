"""GradScaler: the same scales, states, steps and errors as PyTorch's, on the CPU and the emulated
device."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

inf, nan = float("inf"), float("nan")
GPU = pytest.mark.parametrize("device", ["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])


def parameter(lib: Any, *values: float, device: str = "cpu") -> Any:
    return lib.nn.Parameter(lib.tensor(values, dtype=lib.float32, device=device))


def fresh(lib: Any, **options: Any) -> tuple:
    """A scaler, two optimizers, of one and of two groups, and their parameters."""
    scaler = lib.amp.GradScaler("cpu", **{"init_scale": 8.0, "growth_interval": 2, **options})
    a, b, c = parameter(lib, 1.0, 2.0), parameter(lib, 3.0), parameter(lib, -1.0)
    first = lib.optim.SGD([a], lr=0.5)
    second = lib.optim.SGD([{"params": [b]}, {"params": [c], "lr": 0.25}], lr=0.5)
    return scaler, (first, second), (a, b, c)


def backward(scaler: Any, params: Any, factor: float = 2.0) -> None:
    for p in params:
        p.grad = None
    scaler.scale(sum((p * factor).sum() for p in params)).backward()


def values(params: Any) -> list:
    return [p.tolist() for p in params]


# ---------------------------------------------------------------------- programs, run by both


def growing(lib: Any) -> Any:
    scaler, (first, _), params = fresh(lib)
    for _ in range(5):
        backward(scaler, params)
        scaler.step(first)
        scaler.update()
        yield scaler.get_scale(), scaler.state_dict(), values(params)


def backing_off(lib: Any) -> Any:
    """Steps with inf and nan in one group are left out; the other optimizer goes on."""
    scaler, optimizers, params = fresh(lib, backoff_factor=0.25)
    for bad in (1.0, inf, 1.0, nan, 1.0, 1.0):
        backward(scaler, params)
        params[2].grad *= bad
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        yield scaler.state_dict(), values(params), [p.grad.tolist() for p in params[:2]]


def clipping(lib: Any) -> Any:
    scaler, optimizers, params = fresh(lib)
    for _ in range(3):
        backward(scaler, params, 3.0)
        scaler.unscale_(optimizers[0])
        norm = lib.nn.utils.clip_grad_norm_([params[0]], 1.0)
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        yield norm.item(), values(params)


def accumulating(lib: Any) -> Any:
    scaler, (first, _), (a, *_) = fresh(lib)
    for i in range(4):
        scaler.scale((a * a).sum() / 2).backward()
        if i % 2:
            scaler.step(first)
            scaler.update()
            first.zero_grad()
        yield values([a]), scaler.get_scale()


def scaling_several(lib: Any) -> Any:
    scaler, _, (a, b, c) = fresh(lib)
    pair, (alone,) = scaler.scale(([a, b], (c,)))
    yield values([*pair, alone])
    yield [t.tolist() for t in scaler.scale(iter([a, b]))]
    yield type(scaler.scale([a])).__name__, type(scaler.scale((a,))).__name__


def low_precision(lib: Any) -> Any:
    """A scale that float16 does not hold."""
    scaler = lib.amp.GradScaler("cpu", init_scale=2.0**17)
    x = lib.tensor([0.125, 2.0**-12], dtype=lib.float16)
    y = scaler.scale(x)
    yield str(y.dtype).removeprefix("torch."), y.float().tolist()
    yield scaler.scale(x[0]).float().item()


def updating_by_hand(lib: Any) -> Any:
    scaler, (first, _), params = fresh(lib)
    backward(scaler, params)
    scaler.update(4.0)
    yield scaler.get_scale()
    scaler.update(lib.tensor(16.0))
    yield scaler.get_scale()
    backward(scaler, params)
    scaler.step(first)
    scaler.update(2.0)
    yield scaler.state_dict(), values(params)
    scaler.set_growth_factor(4.0)
    scaler.set_backoff_factor(0.125)
    scaler.set_growth_interval(1)
    yield scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()
    backward(scaler, params)
    scaler.step(first)
    scaler.update()
    yield scaler.state_dict()


def to_the_end_of_the_range(lib: Any) -> Any:
    """A scale that would become inf stays."""
    scaler, (first, _), params = fresh(lib, init_scale=2.0**126, growth_interval=1)
    for _ in range(3):
        scaler.scale((params[0] * 2.0**-100).sum()).backward()
        scaler.step(first)
        scaler.update()
        first.zero_grad()
        yield scaler.state_dict(), values(params[:1])


def going_on_from_a_state(lib: Any) -> Any:
    scaler, (first, _), params = fresh(lib)
    backward(scaler, params)
    scaler.step(first)
    scaler.update()
    other = lib.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    copy = pickle.loads(pickle.dumps(scaler))
    for s in (other, copy):
        yield s.state_dict(), s.get_scale(), s.is_enabled()
        backward(s, params)
        s.step(first)
        s.update()
        yield s.state_dict(), values(params)
    scaler.load_state_dict(other.state_dict())
    yield scaler.get_scale()


def disabled(lib: Any) -> Any:
    scaler, (first, _), params = fresh(lib, enabled=False)
    backward(scaler, params)
    scaler.unscale_(first)
    yield scaler.scale("anything"), scaler.step(first), scaler.update(), values(params)
    yield scaler.state_dict(), scaler.get_scale(), scaler.is_enabled()
    yield scaler.load_state_dict({"scale": 1})


def what_step_returns(lib: Any) -> Any:
    scaler, (first, _), params = fresh(lib)
    first.step = lambda *args, **kwargs: (args, kwargs)
    for bad in (1.0, inf):
        backward(scaler, params)
        params[0].grad *= bad
        yield scaler.step(first, 3, more=4)
        scaler.update()


def looked_at(lib: Any) -> Any:
    scaler, (first, _), params = fresh(lib)
    backward(scaler, params)
    params[0].grad *= inf
    before = params[0].grad.tolist()
    yield [t.item() for t in scaler._check_inf_per_device(first).values()]
    yield params[0].grad.tolist() == before


PROGRAMS = [
    growing,
    backing_off,
    clipping,
    accumulating,
    scaling_several,
    low_precision,
    updating_by_hand,
    to_the_end_of_the_range,
    going_on_from_a_state,
    disabled,
    what_step_returns,
    looked_at,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_as_pytorch_does(program: Any) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    np.testing.assert_equal(list(program(tg)), list(program(torch)))


# ---------------------------------------------------------------------- wrong calls


def call(method: str, *before: str) -> Any:
    """Methods of the scaler on one optimizer, one after the other, behind a scaled backward."""

    def program(lib: Any) -> None:
        scaler, (first, _), params = fresh(lib)
        if before and before[0] == "scale":
            backward(scaler, params)
        for name in (*before[1:], method):
            getattr(scaler, name)(*([] if name == "update" else [first]))

    return program


def without_gradients(lib: Any) -> None:
    scaler, (first, _), params = fresh(lib)
    backward(scaler, params)
    first.zero_grad()
    scaler.step(first)


def of_float16(lib: Any) -> None:
    scaler, _, _ = fresh(lib)
    p, q = parameter(lib, 1.0), lib.nn.Parameter(lib.ones(2, dtype=lib.float16))
    scaler.scale(p.sum() + (q * 2).sum().float()).backward()
    before = p.grad.tolist()
    try:
        scaler.unscale_(lib.optim.SGD([p, q], lr=0.1))
    finally:
        assert lib is not tg or p.grad.tolist() == before


def with_a_closure(lib: Any) -> None:
    scaler, (first, _), params = fresh(lib)
    backward(scaler, params)
    scaler.step(first, closure=lambda: 1.0)


def pickled_between(lib: Any) -> None:
    scaler, (first, _), params = fresh(lib)
    backward(scaler, params)
    scaler.unscale_(first)
    pickle.dumps(scaler)


def update_by_two(lib: Any) -> None:
    scaler, _, params = fresh(lib)
    backward(scaler, params)
    scaler.update(lib.tensor([1.0, 2.0]))


def update_by_a_parameter(lib: Any) -> None:
    scaler, _, params = fresh(lib)
    backward(scaler, params)
    scaler.update(params[1])


ERRORS = [
    (call("unscale_"), AssertionError, r"unscale_\(\) before the first scale\(\)"),
    (call("step"), AssertionError, r"step\(\) before the first scale\(\)"),
    (call("update"), AssertionError, r"update\(\) before the first scale\(\)"),
    (call("update", "scale"), AssertionError, "no gradient was unscaled"),
    (call("unscale_", "scale", "unscale_"), RuntimeError, r"unscale_\(\) was called .* already"),
    (call("unscale_", "scale", "step"), RuntimeError, r"unscale_\(\) after step\(\)"),
    (call("step", "scale", "step"), RuntimeError, r"step\(\) was called .* already: call update"),
    (without_gradients, AssertionError, "no parameter of this optimizer has a gradient"),
    (of_float16, ValueError, r"a gradient of shape \(2,\) is float16"),
    (with_a_closure, RuntimeError, "takes no closure"),
    (pickled_between, AssertionError, r"do so after update\(\)"),
    (update_by_two, AssertionError, r"got float32 \(2,\)"),
    (update_by_a_parameter, AssertionError, "requires no grad"),
    (lambda lib: fresh(lib)[0].scale(3), ValueError, "takes a Tensor or an iterable .* got int"),
    (lambda lib: fresh(lib, growth_factor=1.0), AssertionError, "must be above 1, got 1.0"),
    (lambda lib: fresh(lib, backoff_factor=1.0), AssertionError, "must be below 1, got 1.0"),
    (lambda lib: fresh(lib)[0].load_state_dict({}), RuntimeError, "state is empty"),
    (lambda lib: fresh(lib)[0].load_state_dict({"scale": 1.0}), KeyError, "growth_factor"),
]


@pytest.mark.parametrize(("program", "error", "message"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(program: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        program(tg)
    torch = pytest.importorskip("torch", exc_type=ImportError)
    with pytest.raises(error):
        program(torch)


def test_wrong_calls_of_ours_alone() -> None:
    with pytest.raises(RuntimeError, match="no device_type 'tpu'"):
        tg.amp.GradScaler("tpu")
    with pytest.raises(ValueError, match="got str"):
        fresh(tg)[0].scale("loss")
    scaler = fresh(tg)[0]
    with pytest.raises(KeyError):
        scaler.load_state_dict({"scale": 1.0, "growth_factor": 3.0})
    assert scaler.get_growth_factor() == 2


def test_without_a_gpu_it_is_disabled() -> None:
    if tg.cuda.is_available():
        pytest.skip("there is one")
    with pytest.warns(UserWarning, match="no usable GPU"):
        scaler = tg.amp.GradScaler()
    assert not scaler.is_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tg.amp.GradScaler(enabled=False)


@GPU
def test_several_devices(device: str) -> None:
    """What is found on one of them leaves the whole step out."""
    here, there = parameter(tg, 1.0), parameter(tg, 1.0, device=device)
    optimizer = tg.optim.SGD([here, there], lr=1.0)
    scaler = tg.amp.GradScaler(device, init_scale=4.0)
    for bad, expected in ((1.0, -1.0), (inf, -1.0)):
        optimizer.zero_grad()
        for p in (here, there):
            scaler.scale((p * 2).sum()).backward()
        there.grad *= bad
        scaler.step(optimizer)
        found = scaler._found_inf_per_device(optimizer)
        assert {d.type: t.item() for d, t in found.items()} == {
            "cpu": 0.0,
            device: float(bad == inf),
        }
        scaler.update()
        assert (here.item(), there.item()) == (expected, expected)
    assert scaler.get_scale() == 2


@GPU
def test_float16_gradients_live_that_would_be_0(device: str) -> None:
    """The whole of it: a loss so small that float16 gradients vanish, trained with a scale."""
    w = parameter(tg, 1.0, 1.0, device=device)
    x = tg.ones(1, 2, device=device)
    scaler = tg.amp.GradScaler(device)
    optimizer = tg.optim.SGD([w], lr=1e8)
    for scale in (1.0, 2.0**16):
        w.grad = None
        with tg.autocast(device):
            y = x @ w
        loss = y.float().sum() * 1e-9  # below float16's smallest number
        if scale == 1:
            loss.backward()
            assert w.grad.tolist() == [0.0, 0.0]
            continue
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    np.testing.assert_allclose(w.tolist(), [0.9, 0.9], rtol=1e-3)
