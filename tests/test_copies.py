"""Copies and pickles: of tensors with the memory they share, of modules and generators."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn


def pickled(value: Any, protocol: int = 4) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


WAYS: dict[str, Callable] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": partial(pickled, protocol=p) for p in range(pickle.HIGHEST_PROTOCOL + 1)},
}
OTHER_MEMORY = [way for name, way in WAYS.items() if name != "copy"]


def tensors() -> list[tg.Tensor]:
    found = [
        tg.ones(2, 3, requires_grad=True),
        tg.tensor(3),
        tg.zeros(0, 3),
        tg.zeros(3, 0)[1:],
        tg.arange(6).reshape(2, 3).t(),
        tg.arange(6)[::2],
        tg.from_numpy(np.arange(6.0)[::-2]),
        tg.from_numpy(np.broadcast_to(np.float64(2), (2, 2))),
        tg.ones(1).expand(3),
        nn.Parameter(tg.ones(2)),
        nn.Parameter(tg.ones(2), requires_grad=False),
        tg.tensor([True, False]),
        tg.ones(2, device="emulated"),
        tg.tensor([1.0, 2.0], dtype=tg.float16),
    ]
    return [*found, tg.tensor([1.0, 2.5], dtype=tg.bfloat16)[1:]]


@pytest.mark.parametrize("way", WAYS)
def test_tensors_come_back_as_they_were(way: str) -> None:
    """(U06)"""
    pytest.importorskip("ml_dtypes", reason="an optional dtype")
    for x in tensors():
        x.note = ["kept"]
        x._own = 3
        y = WAYS[way](x)
        assert type(y) is type(x)
        assert (y.dtype, y.device, y.shape) == (x.dtype, x.device, x.shape)
        assert y.dtype is x.dtype
        assert y.stride() == x.stride()
        assert y.requires_grad == x.requires_grad
        assert y.is_leaf
        assert y.tolist() == x.tolist()
        assert y.note == ["kept"]
        assert y._own == 3
        assert (y.note is x.note) == (way == "copy")
        if way != "copy":
            assert not np.shares_memory(y.detach().numpy(), x.detach().numpy())


SHARED: dict[str, Callable] = {
    "view": lambda b: (b, b[1:3]),
    "view first": lambda b: (b[1:3], b),
    "views": lambda b: (b[2:], b[:3].detach(), b),
    "detached": lambda b: (b.detach(), b),
    "of detached": lambda b: (b, b.detach()[1:]),
    "backwards": lambda b: (b, b.flip(0), b.reshape(2, 2).t()),
    "bytes": lambda b: (b.view(tg.uint8)[3:], b),
    "twice": lambda b: (b, b),
}


@pytest.mark.parametrize("way", OTHER_MEMORY)
@pytest.mark.parametrize("name", SHARED)
def test_what_shares_memory_shares_it_in_the_copy(name: str, way: Callable) -> None:
    """(F39)"""
    b = tg.arange(4.0)
    before = SHARED[name](b)
    after = way(before)
    assert [x.tolist() for x in after] == [x.tolist() for x in before]
    for x, y in zip(before, after, strict=True):
        if x.shape == b.shape:
            y[1] = x[1] = 9
            assert [x.tolist() for x in after] == [x.tolist() for x in before]
    assert len({id(x._storage) for x in after}) == len({id(x._storage) for x in before})


def test_shared_memory_is_kept_in_a_copied_module() -> None:
    """(F39)"""
    net = nn.Linear(2, 2)
    net.register_buffer("row", net.weight.detach()[0])
    for way in OTHER_MEMORY:
        twin = way(net)
        with tg.no_grad():
            twin.weight.fill_(7)
        assert twin.row.tolist() == [7, 7]
        assert net.row.tolist() == net.weight[0].tolist() != [7, 7]


def test_a_change_of_the_copy_counts_for_its_views_only() -> None:
    """(F39)"""
    b = tg.arange(4.0)
    x = tg.ones(2, requires_grad=True)
    c, v = copy.deepcopy((b, b[1:3]))
    y = (x * v).sum()
    b[1] = 5
    y.backward(retain_graph=True)
    c[1] = 9
    with pytest.raises(RuntimeError, match="changed"):
        y.backward()


def test_a_part_brings_no_more_than_its_tensor() -> None:
    rows = np.zeros((1000, 10), np.float32)
    assert len(pickle.dumps(tg.from_numpy(rows[3]))) < 1000


@pytest.mark.parametrize("way", OTHER_MEMORY)
def test_results_are_not_copied_without_their_history(way: Callable) -> None:
    with pytest.raises(RuntimeError, match=r"MultiplyBackward.*detach"):
        way(tg.ones(2, requires_grad=True) * 2)


def test_gradients_are_deep_copied_and_not_pickled() -> None:
    x = tg.ones(2, requires_grad=True)
    (x * x).sum().backward()
    y, g = copy.deepcopy((x, x.grad))
    assert y.grad is g
    assert y.grad.tolist() == [2, 2]
    assert pickled(x).grad is None


@pytest.mark.parametrize("way", WAYS)
def test_generators_go_on_from_where_they_were(way: str) -> None:
    """(F41)"""
    g = tg.Generator().manual_seed(3)
    tg.rand(2, generator=g)
    h = WAYS[way](g)
    assert h is not g
    assert h.device is g.device
    assert tg.rand(2, generator=g).tolist() == tg.rand(2, generator=h).tolist()
    tg.rand(2, generator=h)
    assert g.get_state().tolist() != h.get_state().tolist()


@pytest.mark.parametrize("way", WAYS)
def test_devices_dtypes_sizes_and_formats(way: str) -> None:
    for value in (tg.device("cpu"), tg.device("cuda:1"), tg.device("emulated")):
        assert WAYS[way](value) is value
    for value in (tg.float32, tg.bool, tg.Size((1, 2)), tg.strided, tg.preserve_format):
        assert WAYS[way](value) == value
        assert type(WAYS[way](value)) is type(value)


@pytest.mark.parametrize("way", WAYS)
def test_modules_and_optimizers(way: str) -> None:
    """(U06)"""
    net = nn.Sequential(
        nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.GELU(), nn.Linear(3, 1)
    )
    net.act = nn.functional.relu
    optimizer = tg.optim.Adam(net.parameters(), lr=0.1)
    net(tg.randn(4, 2)).sum().backward()
    optimizer.step()
    schedule = tg.optim.lr_scheduler.StepLR(optimizer, 2)
    twin, *_ = WAYS[way]((net, optimizer, schedule))
    assert repr(twin) == repr(net)
    for a, b in zip(net.state_dict().values(), twin.state_dict().values(), strict=True):
        assert a.tolist() == b.tolist()
    if way != "copy":
        twin, other, _ = WAYS[way]((net, optimizer, schedule))
        twin(tg.randn(4, 2)).sum().backward()
        before = twin[0].weight.tolist(), net[0].weight.tolist()
        other.step()
        assert twin[0].weight.tolist() != before[0]
        assert net[0].weight.tolist() == before[1]


def test_public_functions_are_pickled_by_name() -> None:
    """(U06)"""
    rooms = (tg, nn, nn.functional, nn.utils, tg.linalg, tg.special, tg.masked, tg.optim,
             tg.optim.lr_scheduler, tg.autograd, tg.func, tg.signal.windows, tg.data)  # fmt: skip
    count = 0
    for room in rooms:
        for name in dir(room):
            value = getattr(room, name, None)
            if not name.startswith("_") and callable(value) and not inspect.ismodule(value):
                assert pickled(value) is value, name
                count += 1
    assert count > 900


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_tensors_go_to_other_processes_and_back() -> None:
    """(U06)"""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        results = pool.map(tg.exp, [tg.zeros(2), tg.zeros(3)])
        assert [r.tolist() for r in results] == [[1, 1], [1, 1, 1]]
        net = nn.Linear(2, 2)
        assert pool.apply(net.requires_grad_, (False,)).weight.tolist() == net.weight.tolist()


# ---------------------------------------------------------------------- modules


def test_a_shallow_copy_of_a_module_has_tables_of_its_own() -> None:
    """(F40)"""
    m = nn.Linear(1, 1)
    n = copy.copy(m)
    n.extra = nn.ReLU()
    n.register_buffer("b", tg.ones(1))
    n.register_forward_hook(lambda *_: None)
    del n.bias
    assert [name for name, _ in m.named_modules()] == [""]
    assert list(m.state_dict()) == ["weight", "bias"]
    assert not m._forward_hooks
    assert [name for name, _ in n.named_modules()] == ["", "extra"]
    assert list(n.state_dict()) == ["weight", "b"]
    assert n.weight is m.weight
    s = nn.Sequential(m)
    t = copy.copy(s).append(nn.ReLU())
    assert (len(s), len(t)) == (1, 2)


def test_bfloat16_views_are_changed_in_place() -> None:
    pytest.importorskip("ml_dtypes", reason="an optional dtype")
    x = tg.ones(4, dtype=tg.bfloat16, requires_grad=True)
    y = x * 1
    y[:2].mul_(3)
    y.sum().backward()
    assert y.tolist() == [3, 3, 1, 1]
    assert x.grad.tolist() == [3, 3, 1, 1]
