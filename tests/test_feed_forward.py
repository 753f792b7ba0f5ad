"""A Linear, a GELU and a Linear: one operation where there are kernels, and the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

pytest.importorskip("ml_dtypes")


def joined(y: tg.Tensor) -> int:
    """How many of the operations that led to a tensor are three in one."""
    found, waiting = set(), [y.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [following for following, _ in node.next_functions]
    return sum(node.name() == "FeedForwardBackward" for node in found)


def three(approximate: str = "none") -> list[nn.Module]:
    return [nn.Linear(8, 16), nn.GELU(approximate), nn.Linear(16, 8)]


class Louder(nn.Linear):
    def forward(self, input: tg.Tensor) -> tg.Tensor:
        return 2 * super().forward(input)


def hooked(net: nn.Module) -> nn.Module:
    net[1].register_forward_hook(lambda *given: None)
    return net


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "in the middle": (lambda: nn.Sequential(nn.Tanh(), *three("tanh"), nn.Tanh()), 1),
    "twice": (lambda: nn.Sequential(*three(), *three("tanh")), 2),
    "without bias": (
        lambda: nn.Sequential(
            nn.Linear(8, 16, bias=False), nn.GELU(), nn.Linear(16, 8, bias=False)
        ),
        1,
    ),
    "another activation": (lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8)), 0),
    "a subclass": (lambda: nn.Sequential(Louder(8, 16), nn.GELU(), nn.Linear(16, 8)), 0),
    "hooks": (lambda: hooked(nn.Sequential(*three())), 0),
    "too few": (lambda: nn.Sequential(*three()[:2]), 0),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [tg.float32, tg.bfloat16])
@pytest.mark.parametrize("name", NETS)
def test_a_sequential_joins_three_layers(name: str, dtype: Any, device: str) -> None:
    make, wanted = NETS[name]
    tg.manual_seed(0)
    net = make().to(dtype=dtype)
    x = tg.randn(3, 8, dtype=dtype)
    found = []
    for place in ("cpu", device):
        net = net.to(place)
        net.zero_grad()
        given = x.detach().to(place).requires_grad_()
        y = net(given)
        found.append([y, *tg.autograd.grad(y.float().square().sum(), [given, *net.parameters()])])
    assert joined(found[1][0]) == (0 if device == "cpu" else wanted)
    for a, b in zip(*found, strict=True):
        tolerance = 1e-5 if dtype == tg.float32 else 0.05
        scale = max(1.0, float(a.abs().max()))
        np.testing.assert_allclose(
            b.detach().float().cpu().numpy(), a.detach().float().numpy(), atol=tolerance * scale
        )


@pytest.mark.parametrize("device", DEVICES)
def test_layers_of_transformers_join_theirs_where_nothing_is_dropped(device: str) -> None:
    tg.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", norm_first=True)
    x = tg.randn(5, 3, 8)
    expected = layer.eval()(x)
    layer = layer.to(device)
    for dropped in (False, True):
        layer.train(dropped)
        y = layer(x.to(device))
        assert joined(y) == (device != "cpu" and not dropped)
        if not dropped:
            np.testing.assert_allclose(y.detach().cpu().numpy(), expected.detach(), atol=1e-5)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_in_16_bits_what_is_stored_is_rounded_as_by_three_operations(approximate: str) -> None:
    rng = np.random.default_rng(0)
    shapes = [(37, 24), (40, 24), (40,), (16, 40), (16,)]
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    x, w1, b1, w2, b2 = (tg.tensor(a, device="emulated", dtype=tg.bfloat16) for a in arrays)
    y = F.feed_forward(x, w1, b1, w2, b2, approximate)
    expected = F.linear(F.gelu(F.linear(x, w1, b1), approximate), w2, b2)
    np.testing.assert_array_equal(y.float().cpu().numpy(), expected.float().cpu().numpy())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(150, 136, 128), (33, 72, 64), (33, 72, 500), (150, 131, 128)])
def test_the_first_bias_is_summed_where_the_slope_is_stored(
    shape: tuple[int, int, int], dtype: str
) -> None:
    """With no larger an error than by another pass; but where blocks share tiles, or rows begin
    elsewhere than at packs."""
    ops = tg.device("emulated").ops
    rng = np.random.default_rng(0)
    m, n, k = shape
    g, weight, x = (
        tg.tensor(rng.standard_normal(size), dtype=getattr(tg, dtype), device="emulated")._array
        for size in ((m, k), (k, n), (m, n))
    )
    dx, sums = ops["matmul_gelu_backward_sums"](g, weight, x, approximate="tanh")
    plain = ops["matmul_gelu_backward"](g, weight, x, approximate="tanh")
    np.testing.assert_array_equal(np.asarray(dx), np.asarray(plain))
    wide = [np.asarray(a).astype(np.float64) for a in (g, weight, x)]
    body = tg.device("cpu").ops["matmul_gelu_backward"](*wide, approximate="tanh").sum(0)
    errors = [
        np.abs(np.asarray(a).astype(np.float64) - body) for a in (sums, ops["column_sum"](plain))
    ]
    assert sums.dtype == g.dtype
    assert np.sqrt((errors[0] ** 2).mean()) <= 1.05 * np.sqrt((errors[1] ** 2).mean())


def test_autocast_multiplies_in_16_bits() -> None:
    net = nn.Sequential(*three()).to("emulated")
    with tg.autocast("emulated", dtype=tg.bfloat16):
        y = net(tg.randn(3, 8, device="emulated"))
    assert y.dtype == tg.bfloat16
    y.float().sum().backward()
    assert all(p.grad.dtype == tg.float32 for p in net.parameters())
