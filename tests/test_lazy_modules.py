"""Modules that learn the size of their input from the first one, and their parameters before."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.lazy import LazyModuleMixin

# Lazy class -> its arguments, an input, the arguments of the plain class, and the size found.
ROWS: dict[str, tuple[tuple, tuple, tuple, tuple[str, int]]] = {
    "LazyLinear": ((5,), (2, 3), (3, 5), ("in_features", 3)),
    **{
        f"Lazy{kind}{d}d": ((4, 2), (2, 6, *(5,) * d), (6, 4, 2), ("in_channels", 6))
        for kind in ("Conv", "ConvTranspose")
        for d in (1, 2, 3)
    },
    **{f"LazyBatchNorm{d}d": ((), (2, 6, *(5,) * d), (6,), ("num_features", 6)) for d in (1, 2, 3)},
    **{
        f"LazyInstanceNorm{d}d": (
            (),
            (2, 6, *(5,) * d),
            (6, 1e-5, 0.1, True, True),
            ("num_features", 6),
        )
        for d in (1, 2, 3)
    },
}


def lazy(row: str) -> tuple[Any, tg.Tensor]:
    arguments, shape, _, _ = ROWS[row]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return getattr(nn, row)(*arguments), tg.tensor(x)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("row", ROWS)
def test_the_first_call_makes_the_plain_layer(row: str, device: str) -> None:
    """Of the same class, parameters and result as one that was told its size, with this seed."""
    layer, x = lazy(row)
    x = x.to(device)
    layer.to(device)
    plain = getattr(nn, row.removeprefix("Lazy"))
    attribute, size = ROWS[row][3]
    assert getattr(layer, attribute) == 0
    assert layer.has_uninitialized_params()
    tg.manual_seed(3)
    y = layer(x)
    tg.manual_seed(3)
    told = plain(*ROWS[row][2]).to(device)
    assert type(layer) is plain
    assert getattr(layer, attribute) == size
    assert repr(layer) == repr(told)
    np.testing.assert_array_equal(y.numpy(force=True), told(x).numpy(force=True))
    for name, value in told.state_dict().items():
        np.testing.assert_array_equal(
            layer.state_dict()[name].numpy(force=True), value.numpy(force=True)
        )
    y.sum().backward()
    assert all(type(p) is nn.Parameter and p.grad is not None for p in layer.parameters())
    assert not any(isinstance(b, nn.UninitializedBuffer) for b in layer.buffers())


@pytest.mark.parametrize("row", ROWS)
def test_states_go_in_and_out(row: str) -> None:
    empty, _ = lazy(row)
    full, x = lazy(row)
    full(x)
    assert [*empty.state_dict()] == [*full.state_dict()]
    before = repr(empty.state_dict())
    empty.load_state_dict(lazy(row)[0].state_dict())  # nothing into nothing
    assert repr(empty.state_dict()) == before

    with pytest.raises(RuntimeError, match="no shape and no numbers yet"):
        full.load_state_dict(empty.state_dict())

    empty.load_state_dict(full.state_dict())
    assert type(empty) is getattr(nn, row)
    assert not empty.has_uninitialized_params()
    np.testing.assert_array_equal(empty(x).numpy(force=True), full(x).numpy(force=True))
    assert type(empty) is type(full)
    assert all(p.requires_grad for p in empty.parameters())


def test_loading_is_all_or_nothing() -> None:
    net = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))
    state = {"0.weight": tg.ones(3, 4), "0.bias": tg.ones(3), "1.weight": tg.ones(9, 9)}
    with pytest.raises(RuntimeError, match=r"size mismatch for '1.weight'"):
        net.load_state_dict(state, strict=False)
    assert repr(net[0].weight) == "<UninitializedParameter>"


def test_a_shared_parameter_is_loaded_once() -> None:
    net = nn.Module()
    net.first = net.second = nn.UninitializedParameter()
    net.load_state_dict({"first": tg.zeros(2), "second": tg.ones(2)})
    assert net.first is net.second
    assert net.first.tolist() == [1, 1]


def test_a_loaded_size_must_be_the_inputs() -> None:
    layer = nn.LazyConv2d(4, 3, groups=2)
    layer.load_state_dict(nn.Conv2d(6, 4, 3, groups=2).state_dict())
    with pytest.raises(
        RuntimeError, match=r"\(2, 8, 5, 5\) needs a weight of shape \(4, 4, 3, 3\)"
    ):
        layer(tg.ones(2, 8, 5, 5))
    assert type(layer) is nn.LazyConv2d
    assert layer(tg.ones(6, 5, 5)).shape == (4, 3, 3)
    assert layer.in_channels == 6


USES: dict[str, Any] = {
    "shape": lambda p: p.shape,
    "numel": lambda p: p.numel(),
    "operator": lambda p: p + 1,
    "reflected": lambda p: tg.ones(3) * p,
    "function": lambda p: nn.functional.linear(tg.ones(2, 3), p),
    "in place": lambda p: p.add_(1),
    "init": lambda p: nn.init.zeros_(p),
    "item": lambda p: p.item(),
}


@pytest.mark.parametrize("kind", [nn.UninitializedParameter, nn.UninitializedBuffer])
@pytest.mark.parametrize("use", USES)
def test_nothing_is_computed_with_what_has_no_numbers(use: str, kind: Any) -> None:
    p = kind()
    with pytest.raises(ValueError, match=f"{kind.__name__}: it has no shape") as raised:
        USES[use](p)
    assert isinstance(raised.value, RuntimeError)  # which PyTorch raises for the shape
    assert repr(p) == f"<{kind.__name__}>"


@pytest.mark.parametrize("kind", [nn.UninitializedParameter, nn.UninitializedBuffer])
def test_what_is_known_before(kind: Any) -> None:
    p = kind(requires_grad=False, dtype=tg.float16, device="emulated")
    for twin in (p, copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(twin) is kind
        assert (twin.dtype, str(twin.device), twin.requires_grad) == (tg.float16, "emulated", False)
    p.requires_grad = True
    p.materialize((2, 3))
    assert type(p) is (nn.Parameter if kind is nn.UninitializedParameter else tg.Tensor)
    assert (tuple(p.shape), p.dtype, p.requires_grad, p.is_leaf) == ((2, 3), tg.float16, True, True)
    with pytest.raises(RuntimeError, match="int64"):
        kind(requires_grad=True, dtype=tg.int64)


def test_moving_before_the_first_call() -> None:
    net = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()).double().to("emulated")
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)  # made before there is anything to change
    y = net(tg.ones(4, 2, dtype=tg.float64, device="emulated"))
    assert {str(v.device) for v in net.state_dict().values()} == {"emulated"}
    assert {v.dtype.name for v in net.parameters()} == {"float64"}
    y.square().sum().backward()
    before = net[1].bias.detach().clone()
    net[1].bias.grad = tg.ones_like(before)
    optimizer.step()
    np.testing.assert_allclose(net[1].bias.numpy(force=True), before.numpy() - 0.1)


class Scale(LazyModuleMixin, nn.Module):
    """A user's own."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.UninitializedParameter()
        self.seen = nn.UninitializedBuffer(persistent=False)

    def initialize_parameters(self, x: Any, *, buffer: bool = True) -> None:
        self.calls += 1
        self.weight.materialize(x.shape[-1:])
        nn.init.ones_(self.weight)
        if buffer:
            self.seen.materialize(())

    def forward(self, x: Any, *, buffer: bool = True) -> Any:
        return x * self.weight


def test_a_module_of_ones_own() -> None:
    net = Scale()
    assert [*net.state_dict()] == ["weight"]
    assert len([*net.buffers()]) == 1
    assert float(net(tg.full((2, 3), 2.0)).sum()) == float(net(tg.full((2, 3), 2.0)).sum()) == 12
    assert net.calls == 1
    assert type(net) is Scale
    with pytest.raises(RuntimeError, match=r"Scale: initialize_parameters\(\) left"):
        Scale()(tg.ones(3), buffer=False)


def test_sizes_that_do_not_fit_change_nothing() -> None:
    for layer, x, kind, words in (
        (nn.LazyConv2d(4, 3, groups=2), tg.ones(1, 3, 5, 5), ValueError, "groups=2 must divide"),
        (nn.LazyConv2d(4, 3), tg.ones(5, 5), RuntimeError, r"3 or 4 dimensions, got \(5, 5\)"),
        (nn.LazyBatchNorm2d(), tg.ones(5, 5), ValueError, r"\(N, C, H, W\), got \(5, 5\)"),
    ):
        with pytest.raises(kind, match=words):
            layer(x)
        assert layer.has_uninitialized_params()
        assert type(layer).__name__.startswith("Lazy")


def test_buffers_register_themselves() -> None:
    net = nn.Module()
    net.a, net.b = nn.Buffer(tg.ones(2)), nn.Buffer(tg.zeros(3), persistent=False)
    assert [name for name, _ in net.named_buffers()] == ["a", "b"]
    assert [*net.state_dict()] == ["a"]
    net.a = tg.zeros(4)
    assert net.state_dict()["a"].shape == (4,)
    with pytest.raises(TypeError, match="Buffer needs a Tensor, got int"):
        nn.Buffer(3)


@pytest.mark.parametrize("row", ROWS)
def test_options_are_pytorchs(row: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    mine, theirs = (
        {n: p.default for n, p in inspect.signature(getattr(m, row).__init__).parameters.items()}
        for m in (nn, torch.nn)
    )
    assert mine == theirs
