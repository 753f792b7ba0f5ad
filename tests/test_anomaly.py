"""detect_anomaly: which operation made a nan, on which line, where."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.autograd import AnomalyError, detect_anomaly, set_detect_anomaly

each_device = pytest.mark.parametrize("device", DEVICES)


def line_of(words: str) -> int:
    """The line of this file with these words (and not this call)."""
    source = inspect.getsource(inspect.getmodule(line_of)).splitlines()  # type: ignore[arg-type]
    return next(i for i, line in enumerate(source, 1) if words in line and "line_of(" not in line)


@each_device
def test_forward_nan_is_named_with_its_line_and_place(device: str) -> None:
    x = tg.tensor([[1.0, 4.0], [-9.0, 2.0]], device=device)
    with detect_anomaly(), pytest.raises(AnomalyError) as raised:
        x.sqrt()  # here
    message = str(raised.value)
    assert message.startswith("[sqrt] made nan in the forward pass")
    assert "shape (2, 2) is nan first at index (1, 0)" in message
    assert "-9.0 there" in message
    assert f"test_anomaly.py:{line_of('x.sqrt()  # here')}: x.sqrt()  # here" in message


@each_device
def test_backward_nan_is_told_by_the_line_of_the_forward_pass(device: str) -> None:
    x = tg.tensor([4.0, 0.0], device=device, requires_grad=True)
    with detect_anomaly():
        y = x.sqrt()  # the culprit
        z = (y * tg.tensor([1.0, 0.0], device=device)).sum()
        with pytest.raises(AnomalyError) as raised:
            z.backward()
    message = str(raised.value)
    assert message.startswith("[SqrtBackward] made nan in the backward pass")
    assert "the gradient of input 0 of 'sqrt', of shape (2,), is nan first at index (1,)" in message
    assert f"test_anomaly.py:{line_of('# the culprit')}: y = x.sqrt()" in message
    assert x.grad is None


def test_second_order() -> None:
    x = tg.tensor(0.0, requires_grad=True)
    with detect_anomaly():
        (g,) = tg.autograd.grad((x * x).sqrt() + x, x * 1, create_graph=True, allow_unused=True)
        assert g is None
        y = x.abs().pow(1.5)
        with pytest.raises(AnomalyError, match="made nan"):
            tg.autograd.grad(tg.autograd.grad(y, x, create_graph=True)[0] * 0, x)


def test_nan_of_an_input_is_said_to_be_its() -> None:
    x = tg.tensor([1.0, float("nan")])
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"input 0 .* holds nan itself"):
        x + 1


def test_operations_with_several_results_and_several_inputs() -> None:
    x = tg.tensor([[float("inf"), 1.0]])
    with detect_anomaly():
        with pytest.raises(AnomalyError, match=r"^\[matmul\] .*index \(0, 0\)"):
            x @ tg.tensor([[0.0], [1.0]])
        with pytest.raises(AnomalyError, match=r"^\[subtract\]"):
            x - x
        with pytest.raises(AnomalyError, match=r"^\[softmax\]"):
            tg.softmax(-x.expand(2, 2) * float("inf"), 0)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int64"])
def test_infinities_and_large_numbers_are_no_anomaly(dtype: str) -> None:
    kind = getattr(tg, dtype)
    largest = tg.finfo(kind).max if dtype != "int64" else tg.iinfo(kind).max
    x = tg.tensor([largest, -largest], dtype=kind)
    with detect_anomaly():
        assert (x * 1).dtype == kind
        assert (tg.tensor([1.0, -1.0]) / 0).tolist() == [float("inf"), float("-inf")]
        tg.zeros(0).exp()


def test_custom_function() -> None:
    class Bad(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return tg.tensor([float("nan")])

    x = tg.tensor([1.0], requires_grad=True)
    with detect_anomaly():
        y = Bad.apply(x)  # custom
        with pytest.raises(AnomalyError) as raised:
            y.sum().backward()
    assert f":{line_of('# custom')}: y = Bad.apply" in str(raised.value)


def test_mode_ends_and_nests() -> None:
    x = tg.tensor([-1.0])
    with detect_anomaly():
        with detect_anomaly(check_nan=False):
            assert tg.autograd.is_anomaly_enabled()
            assert x.sqrt().isnan().all()
        with pytest.raises(AnomalyError):
            x.sqrt()
    assert not tg.autograd.is_anomaly_enabled()
    assert x.sqrt().isnan().all()


def test_set_detect_anomaly_is_a_switch_and_a_context() -> None:
    x = tg.tensor([-1.0])
    set_detect_anomaly(True)
    try:
        with pytest.raises(AnomalyError):
            x.log()
        with set_detect_anomaly(False):
            x.log()
        with pytest.raises(AnomalyError):
            x.log()
    finally:
        set_detect_anomaly(False)
    x.log()


def test_all_threads_are_watched() -> None:
    found: list[Exception] = []

    def work() -> None:
        try:
            tg.tensor([-1.0]).log()
        except AnomalyError as error:
            found.append(error)

    with detect_anomaly():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(found) == 1


def test_backward_of_what_was_recorded_before_says_so() -> None:
    x = tg.tensor([0.0], requires_grad=True)
    y = (x.sqrt() * 0).sum()
    with detect_anomaly(), pytest.raises(AnomalyError, match="not called under detect_anomaly"):
        y.backward()


def test_training_is_the_same_under_the_mode() -> None:
    results = []
    for mode in (detect_anomaly(), tg.enable_grad()):
        tg.manual_seed(0)
        model = tg.nn.Sequential(tg.nn.Linear(4, 8), tg.nn.GELU(), tg.nn.Linear(8, 3))
        optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
        x, target = tg.randn(16, 4), tg.randint(0, 3, (16,))
        with mode:
            for _ in range(5):
                optimizer.zero_grad()
                loss = tg.nn.functional.cross_entropy(model(x), target)
                loss.backward()
                optimizer.step()
        results.append(loss.item())
    assert results[0] == results[1]
