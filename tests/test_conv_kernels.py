"""Convolution, pooling and batch norm by their own kernels: where they are used, that results and
gradients are right however images lie, what is copied for them, and that no patches are made."""

from __future__ import annotations

import re
import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.core import kernels
from tapegrad.nn import functional as F
from tapegrad.ops.conv import conv_kernels, primitives
from tapegrad.ops.layers import batch_norm_kernels
from tapegrad.ops.pooling import pool_kernels

pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")

ROUNDING = {tg.float32: 2.0**-20, tg.float16: 2.0**-9, tg.bfloat16: 2.0**-6}
DEVICES = pytest.mark.parametrize(
    "device", ["emulated", pytest.param("cuda", marks=pytest.mark.gpu)]
)
DTYPES = pytest.mark.parametrize("dtype", ROUNDING, ids=str)
LAST = pytest.mark.parametrize("last", [False, True], ids=["pixels", "channels"])


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How often each launcher is called for images."""
    seen: Counter = Counter()

    def launch(device: Any, name: str, *rest: Any) -> Any:
        seen[name] += 1
        return kernels.launch(device, name, *rest)

    for module in (conv_kernels, batch_norm_kernels, pool_kernels):
        monkeypatch.setattr(module, "launch", launch)
    return seen


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def channels_last(x: Any) -> Any:
    """The same images, whose channels lie beside each other."""
    if x.ndim == 4:
        return x.contiguous(memory_format=tg.channels_last)
    inner = range(2, x.ndim)
    return x.permute(0, *inner, 1).contiguous().permute(0, -1, *(i - 1 for i in inner))


def wide(x: Any) -> np.ndarray:
    return x.detach().to(tg.float64).numpy(force=True)


def close(found: Any, expected: Any, dtype: Any) -> None:
    for mine, exact in zip(found, expected, strict=True):
        assert mine.shape == exact.shape
        limit = ROUNDING[dtype]
        np.testing.assert_allclose(mine, exact, rtol=2 * limit, atol=limit * (1 + abs(exact).max()))


def numbers_of(
    f: Any,
    shapes: Any,
    device: str,
    dtype: Any,
    made_of: Any,
    last: bool = False,
    twice: bool = False,
) -> list:
    """f's result, its gradients, and some of theirs, of numbers that ``made_of`` has."""
    leaves = [tg.tensor(drawn(*s, seed=i), device=device).to(made_of).to(dtype)
              for i, s in enumerate(shapes)]  # fmt: skip
    if last:
        leaves[0] = channels_last(leaves[0])
    leaves = [x.detach().requires_grad_() for x in leaves]
    y = f(*leaves)
    g = tg.tensor(drawn(*y.shape, seed=9), device=device).to(made_of).to(dtype)
    g = (channels_last(g) if last else g).detach().requires_grad_()
    found = tg.autograd.grad(y, leaves, g, create_graph=twice)
    if twice:
        total = (found[0] * found[0]).sum()
        found = [*found, *tg.autograd.grad(total, (leaves[1:] or [g])[0])]
    return [wide(x) for x in (y, *found)]


def agree(f: Any, shapes: Any, device: str, dtype: Any, **how: Any) -> None:
    found = numbers_of(f, shapes, device, dtype, dtype, **how)
    how["last"] = False
    close(found, numbers_of(f, shapes, "cpu", tg.float64, dtype, **how), dtype)


# ---- convolution ----

# name: (function, shapes of input, weight and bias, its options, launches forward and backward)
TENSOR = Counter(convolution=2, convolution_weight=1)
DIRECT = Counter(convolution_direct=2, convolution_weight_direct=1)
CONVOLUTIONS: dict[str, tuple[Any, list, dict[str, Any], Counter]] = {
    "one dimension": (F.conv1d, [(2, 8, 9), (16, 8, 3), (16,)], {"padding": 1}, TENSOR),
    "two": (F.conv2d, [(2, 16, 6, 5), (8, 16, 3, 3), (8,)], {"padding": 1}, TENSOR),
    "three": (F.conv3d, [(1, 8, 3, 4, 5), (8, 8, 2, 2, 2), (8,)], {}, TENSOR),
    "strides": (F.conv2d, [(2, 8, 9, 8), (8, 8, 3, 3), (8,)], {"stride": (2, 3)}, TENSOR),
    "strides beyond the kernel": (
        F.conv2d, [(2, 8, 9, 8), (8, 8, 1, 2), (8,)], {"stride": (2, 3)}, TENSOR,
    ),
    "strides and dilation": (
        F.conv2d, [(2, 8, 12, 11), (8, 8, 3, 3), (8,)],
        {"stride": (4, 2), "dilation": (2, 3), "padding": (1, 3)}, TENSOR,
    ),
    "a stride beyond the image": (
        F.conv2d, [(2, 8, 3, 5), (8, 8, 3, 3), (8,)], {"stride": 7, "padding": 2}, TENSOR,
    ),
    "strides in three": (
        F.conv3d, [(1, 16, 5, 4, 6), (16, 8, 2, 3, 2), (16,)],
        {"stride": (2, 2, 3), "padding": 1, "groups": 2}, TENSOR,
    ),
    "dilation": (F.conv2d, [(1, 8, 9, 8), (8, 8, 3, 2), (8,)], {"dilation": (2, 3)}, TENSOR),
    "few channels": (F.conv2d, [(2, 3, 7, 6), (5, 3, 3, 3), (5,)], {"padding": 1}, TENSOR),
    "groups": (F.conv2d, [(2, 16, 5, 6), (16, 8, 3, 3), (16,)], {"groups": 2}, TENSOR),
    "depthwise": (F.conv2d, [(2, 6, 5, 6), (6, 1, 3, 3), (6,)], {"groups": 6}, DIRECT),
    "transposed": (F.conv_transpose2d, [(2, 8, 4, 5), (8, 8, 3, 3), (8,)], {"stride": 2}, TENSOR),
}  # fmt: skip


@DEVICES
@DTYPES
@LAST
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_and_their_gradients(
    launched: Counter, name: str, last: bool, dtype: Any, device: str
) -> None:
    f, shapes, options, expected = CONVOLUTIONS[name]
    agree(lambda *x: f(*x, **options), shapes, device, dtype, last=last)
    launched.pop("channels_last", None)
    assert launched == expected


@DEVICES
@pytest.mark.parametrize("name", ["two", "strides", "depthwise", "transposed"])
def test_gradients_of_gradients(name: str, device: str) -> None:
    f, shapes, options, _ = CONVOLUTIONS[name]
    agree(lambda *x: f(*x, **options), shapes, device, tg.float32, twice=True)


@DEVICES
def test_what_is_copied(launched: Counter, device: str) -> None:
    """Images whose channels are beside each other in whole packs are read where they are."""
    weight = tg.tensor(drawn(16, 16, 3, 3), device=device).requires_grad_()
    for last, copies in ((True, (1, 2)), (False, (2, 6))):
        launched.clear()
        x = tg.tensor(drawn(2, 16, 5, 6), device=device)
        x = (channels_last(x) if last else x).detach().requires_grad_()
        y = F.conv2d(x, weight)
        assert launched["channels_last"] == copies[0]
        tg.autograd.grad(y, (x, weight), y.detach())
        assert launched["channels_last"] == copies[1]
        assert y.permute(0, 2, 3, 1).is_contiguous() == last
        assert y.is_contiguous() != last


@DEVICES
def test_the_weight_decides_too(device: str) -> None:
    x = tg.tensor(drawn(2, 8, 5, 6), device=device)
    weight = channels_last(tg.tensor(drawn(8, 8, 3, 3), device=device))
    assert F.conv2d(x, weight).permute(0, 2, 3, 1).is_contiguous()


@DEVICES
def test_channels_stay_last(launched: Counter, device: str) -> None:
    """Through a network and back: nothing but weights is copied."""
    net = nn.Sequential(
        nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 8, 2)
    ).to(device)  # fmt: skip
    x = tg.tensor(drawn(2, 8, 9, 8), device=device).to(memory_format=tg.channels_last)
    assert x.stride() == (576, 1, 64, 8)
    assert x.contiguous(memory_format=tg.channels_last) is x
    y = net(x.requires_grad_())
    tg.autograd.grad(y, x, tg.ones_like(y).to(memory_format=tg.channels_last))
    assert y.is_contiguous(tg.channels_last)
    assert launched["channels_last"] == 4


def test_what_has_no_kernel_is_composed(launched: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(*shape: int, dtype: Any = tg.float32) -> Any:
        return tg.zeros(*shape, device="emulated", dtype=dtype)

    F.conv2d(zeros(1, 2, 3, 3, dtype=tg.float64), zeros(1, 2, 2, 2, dtype=tg.float64))
    F.conv2d(zeros(0, 2, 3, 3), zeros(1, 2, 2, 2))
    F.conv2d(zeros(1, 80, 3, 3, dtype=tg.float64), zeros(2, 40, 2, 2, dtype=tg.float64), groups=2)
    monkeypatch.setattr(conv_kernels, "has_tensor_cores", lambda device: False)
    F.conv2d(zeros(1, 2, 3, 3), zeros(1, 2, 2, 2))
    assert not launched


def test_empty_batches_have_gradients() -> None:
    x = tg.zeros(0, 8, 4, 4, device="emulated", requires_grad=True)
    layer = nn.Sequential(nn.Conv2d(8, 8, 3), nn.MaxPool2d(2)).to("emulated")
    layer(x).sum().backward()
    assert not layer[0].weight.grad.any()


@DEVICES
def test_no_array_of_patches_is_made(device: str) -> None:
    x, weight = (
        tg.tensor(drawn(2, 8, 32, 32), device=device),
        tg.tensor(drawn(8, 8, 5, 5), device=device),
    )
    x, weight = x.to(tg.bfloat16).requires_grad_(), weight.to(tg.bfloat16).requires_grad_()
    F.conv2d(x, weight, padding=2).sum().backward()  # what is made once
    tracemalloc.start()
    F.conv2d(x, weight, padding=2).sum().backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25 * x.numel() * 2  # bytes of the patches alone


# ---- batch norm and pooling ----


@DEVICES
@DTYPES
@LAST
@pytest.mark.parametrize(
    "shape",
    # (The last ones: channels or pixels in whole packs, of which there are more than a block has.)
    [(3, 5, 7), (2, 6, 5, 4), (2, 3, 2, 3, 4), (3, 72, 9, 13), (5, 2, 32, 64)],
    ids=str,
)
def test_batch_norm(launched: Counter, shape: tuple, last: bool, dtype: Any, device: str) -> None:
    def norm(x: Any, weight: Any, bias: Any) -> Any:
        return F.batch_norm(x, None, None, weight, bias, training=True)

    agree(norm, [shape, shape[1:2], shape[1:2]], device, dtype, last=last)
    assert launched == Counter(batch_moments=1, batch_norm=1, batch_norm_backward=1)


@DEVICES
@DTYPES
def test_running_statistics(dtype: Any, device: str) -> None:
    found = []
    for where, kind in ((device, dtype), ("cpu", tg.float64)):
        layer = nn.BatchNorm2d(4).to(where).to(kind)
        for seed in range(3):
            layer(tg.tensor(drawn(2, 4, 5, 6, seed=seed) + 2, device=where).to(dtype).to(kind))
        found.append([wide(layer.running_mean), wide(layer.running_var)])
        assert layer.num_batches_tracked.item() == 3
        y = layer.eval()(tg.tensor(drawn(2, 4, 5, 6), device=where).to(dtype).to(kind))
        found[-1].append(wide(y))
    close(*found, dtype)


@DEVICES
def test_moments_far_from_zero(device: str) -> None:
    x = drawn(8, 2, 9, 9).astype("float64") + 1e5
    y = F.batch_norm(tg.tensor(x.astype("float32"), device=device), None, None, training=True)
    exact = x.astype("float32").astype("float64")
    exact -= exact.mean((0, 2, 3), keepdims=True)
    exact /= np.sqrt((exact**2).mean((0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(wide(y), exact, rtol=1e-5, atol=1e-5)


POOLS = {
    "max_pool": lambda x: F.max_pool2d(x, 3, 2, 1),
    "ceil_mode": lambda x: F.max_pool2d(x, (2, 3), (1, 2), (1, 1), (2, 1), ceil_mode=True),
    "avg_pool": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "border left out": lambda x: F.avg_pool2d(x, 3, 2, 1, True, False),
    "divisor": lambda x: F.avg_pool2d(x, (1, 2), divisor_override=3),
}


@DEVICES
@DTYPES
@LAST
@pytest.mark.parametrize("channels", [5, 16])
@pytest.mark.parametrize("name", POOLS)
def test_pooling(
    launched: Counter, name: str, channels: int, last: bool, dtype: Any, device: str
) -> None:
    kind = "max_pool" if name in ("max_pool", "ceil_mode") else "avg_pool"
    agree(POOLS[name], [(2, channels, 9, 8)], device, dtype, last=last)
    assert launched == {kind: 1, f"{kind}_backward": 1}


@pytest.mark.parametrize("name", ["max_pool", "ceil_mode", "border left out"])
def test_pooling_of_gradients(name: str) -> None:
    agree(POOLS[name], [(2, 3, 7, 8)], "emulated", tg.float32, twice=True)


# ---- a network ----


class Block(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters),
            nn.ReLU(), nn.Conv2d(filters, filters, 3, 1, 1, bias=False), nn.BatchNorm2d(filters),
        )  # fmt: skip
        same = channels == filters and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(
            nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return F.relu(self.body(x) + self.shortcut(x))


def resnet18(width: int) -> nn.Module:
    """For images of CIFAR-10 (He et al. 2016)."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    channels = width
    for filters, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
        layers += [Block(channels, filters, stride), Block(filters, filters, 1)]
        channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


@DEVICES
@pytest.mark.parametrize("dtype", [tg.float32, tg.bfloat16], ids=str)
def test_a_residual_network_makes_no_patches(
    launched: Counter, monkeypatch: pytest.MonkeyPatch, dtype: Any, device: str
) -> None:
    def patches(*given: Any) -> Any:
        raise AssertionError("an array of patches is made")

    losses = []
    for where, kind in ((device, dtype), ("cpu", tg.float32)):
        tg.manual_seed(0)
        net = resnet18(4).to(where).to(kind)
        x = tg.tensor(drawn(4, 3, 16, 16), device=where).to(kind)
        with monkeypatch.context() as patch:
            if where != "cpu":
                patch.setattr(primitives, "patches_of", patches)
            loss = F.cross_entropy(net(x), tg.tensor([1, 2, 3, 4], device=where))
            loss.backward()
        losses.append(wide(loss))
    close(*[[x] for x in losses], dtype)
    convolutions = 1 + 2 * 8 + 3
    assert launched.pop("channels_last") > 0
    assert launched == Counter(
        convolution=2 * convolutions - 1, convolution_weight=convolutions, batch_moments=20,
        batch_norm=20, batch_norm_backward=20,
    )  # fmt: skip


# ---- shared memory ----


@pytest.mark.checked
@pytest.mark.parametrize("dtype", [tg.bfloat16, tg.float32], ids=str)
def test_no_access_to_shared_memory_meets_another_in_a_bank(dtype: Any) -> None:
    with kernels.checked() as library:
        x = channels_last(tg.tensor(drawn(1, 64, 12, 12), device="emulated").to(dtype))
        weight = tg.tensor(drawn(64, 64, 3, 3), device="emulated").to(dtype).requires_grad_()
        library.count_bank_conflicts(True)
        F.conv2d(x.detach().requires_grad_(), weight).sum().backward()
        found = library.bank_conflicts()
        library.count_bank_conflicts(False)
    files = {re.sub(r".*/", "", place).partition(":")[0] for place, *_ in found}
    assert "tile.cuh" in files
    assert not [row for row in found if row[2] != row[3]]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_lies_behind_a_window_is_not_multiplied_by_its_zeros(dtype):
    """A window's last tile is filled up: zero times an inf of the next plane would be nan."""
    x, weight = tg.randn(1, 8, 6, 5, 5), tg.randn(4, 8, 2, 3, 3)
    x[:, :, 3] = float("inf")
    x, weight = x.to(dtype), weight.to(dtype)
    y = F.conv3d(x.to("emulated"), weight.to("emulated")).cpu()
    finite = F.conv3d(x.float(), weight.float()).isfinite()
    assert finite.any()
    assert (y.isfinite() == finite).all()
