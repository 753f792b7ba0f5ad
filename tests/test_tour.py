"""A tour of the library in ten seconds: read it from top to bottom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import functional as F


def test_a_tensor_is_an_array_and_a_device() -> None:
    x = tg.tensor([[1.0, -2.0], [3.0, 0.5]])
    assert (x.shape, x.dtype, str(x.device)) == ((2, 2), tg.float32, "cpu")
    assert (x @ x + 1).tolist() == [[-4.0, -2.0], [5.5, -4.75]]
    np.testing.assert_array_equal(x.sum(dim=0), [4.0, -1.5])


def test_the_tape_gives_gradients_and_gradients_of_gradients() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    (x**3).backward()
    assert x.grad.item() == 12.0
    (slope,) = tg.autograd.grad(x**3, x, create_graph=True)
    (curvature,) = tg.autograd.grad(slope, x)
    assert curvature.item() == 12.0
    with tg.no_grad():
        assert not (x**3).requires_grad


def test_a_change_in_place_reaches_every_view_and_the_tape() -> None:
    x = tg.ones(4, requires_grad=True)
    y = x * 1
    y[:2].mul_(5)  # a view of y
    y.sum().backward()
    assert y.tolist() == [5, 5, 1, 1]
    assert x.grad.tolist() == [5, 5, 1, 1]


def test_an_error_says_what_does_not_fit() -> None:
    with pytest.raises(RuntimeError, match=r"\[matmul\] shapes \(2, 3\) and \(2, 3\): the inner"):
        tg.ones(2, 3) @ tg.ones(2, 3)
    x = tg.ones(3, requires_grad=True)
    y = x.exp()  # its gradient is y again ...
    y.zero_()  # ... which is gone
    with pytest.raises(RuntimeError, match="'zero_' has changed it in place"):
        y.sum().backward()


class Cube(tg.autograd.Function):
    """An operation of your own: what it computes, and its gradient."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


def test_a_function_of_your_own() -> None:
    x = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    Cube.apply(x).sum().backward()
    assert x.grad.tolist() == [3.0, 12.0]
    assert tg.autograd.gradcheck(Cube.apply, x)


def test_a_network_learns_and_is_saved(tmp_path: Path) -> None:
    tg.manual_seed(0)
    x = tg.randn(64, 2)
    inside = (x.square().sum(1) < 1).long()  # not a matter of one straight line
    model = tg.nn.Sequential(tg.nn.Linear(2, 16), tg.nn.Tanh(), tg.nn.Linear(16, 2))
    optimizer = tg.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(model(x), inside).backward()
        optimizer.step()
    assert (model(x).argmax(1) == inside).float().mean() > 0.95

    tg.save(model.state_dict(), tmp_path / "model.npz")
    again = tg.nn.Sequential(tg.nn.Linear(2, 16), tg.nn.Tanh(), tg.nn.Linear(16, 2))
    again.load_state_dict(tg.load(tmp_path / "model.npz"))
    assert again(x).tolist() == model(x).tolist()


def test_a_cuda_kernel_runs_without_a_gpu() -> None:
    x = tg.randn(5, 33)
    on_threads = x.to("emulated").softmax(-1)  # kernels/softmax.cu, every thread a fiber
    np.testing.assert_allclose(on_threads.cpu(), x.softmax(-1), rtol=1e-6)
