"""A convolution and a ReLU: one operation where there are kernels, and the same numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.core.kernels import set_instead
from tapegrad.nn import functional as F

pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")

ON_KERNELS = pytest.mark.parametrize(
    "device", ["emulated", pytest.param("cuda", marks=pytest.mark.gpu)]
)
DTYPES = pytest.mark.parametrize("dtype", [tg.float32, tg.float16, tg.bfloat16], ids=str)


@pytest.fixture
def launched() -> Iterator[Counter]:
    """How often each launcher is called, whatever its dtype."""
    seen: Counter = Counter()

    def note(device: Any, launcher: Callable, arguments: tuple) -> Any:
        seen[launcher.__name__.rpartition("_")[0]] += 1
        return launcher(*arguments)

    before = set_instead(note)
    yield seen
    set_instead(before)


class Louder(nn.Conv2d):
    def forward(self, input: tg.Tensor) -> tg.Tensor:
        return 2 * super().forward(input)


def hooked(net: nn.Sequential) -> nn.Sequential:
    net[1].register_forward_hook(lambda *given: None)
    return net


def same(**options: Any) -> nn.Module:
    return nn.Conv2d(8, 8, 3, padding=1, **options)


# name: (a network of images, how many of its convolutions are joined with a ReLU)
NETS: dict[str, tuple[Callable[[], nn.Sequential], int]] = {
    "in the middle": (lambda: nn.Sequential(nn.Tanh(), same(), nn.ReLU(), nn.Tanh()), 1),
    "as in VGG": (
        lambda: nn.Sequential(
            same(), nn.ReLU(True), nn.Conv2d(8, 12, 3, 2), nn.ReLU(True), nn.MaxPool2d(2)
        ),
        2,
    ),
    "by other names": (
        lambda: nn.Sequential({"first": same(bias=False), "active": nn.ReLU(), "last": same()}),
        1,
    ),
    "depthwise": (lambda: nn.Sequential(same(groups=8), nn.ReLU()), 1),
    "another border": (lambda: nn.Sequential(same(padding_mode="circular"), nn.ReLU()), 1),
    "batch norm between": (lambda: nn.Sequential(same(), nn.BatchNorm2d(8), nn.ReLU()), 0),
    "another activation": (lambda: nn.Sequential(same(), nn.ReLU6()), 0),
    "a subclass": (lambda: nn.Sequential(Louder(8, 8, 3), nn.ReLU()), 0),
    "hooks": (lambda: hooked(nn.Sequential(same(), nn.ReLU())), 0),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(8, 8, 3), nn.ReLU()), 0),
}


def results(call: Callable, net: nn.Module, x: tg.Tensor) -> list[np.ndarray]:
    """What ``call`` makes of x, and gradients."""
    x = x.detach().requires_grad_()
    y = call(x)
    gradients = tg.autograd.grad(y.square().sum(), [x, *net.parameters()])
    return [a.numpy(force=True) for a in (y, *gradients)]


@ON_KERNELS
@pytest.mark.parametrize("name", NETS)
def test_a_sequential_joins_a_convolution_and_relu(
    launched: Counter, name: str, device: str
) -> None:
    """With the bits of its modules, called one after the other."""
    make, wanted = NETS[name]
    net = make().to(device)
    x = tg.randn(2, 8, 6, 7, device=device)
    joined = results(net, net, x)
    relus = sum(isinstance(module, nn.ReLU) for module in net)
    assert launched["relu_forward"] == relus - wanted
    assert launched["relu_backward"] == relus
    apart = results(lambda x: reduce(lambda y, module: module(y), net, x), net, x)
    for a, b in zip(joined, apart, strict=True):
        np.testing.assert_array_equal(a, b)


DIRECTLY = ["convolution_direct", "convolution_direct", "convolution_weight_direct"]
BY_TENSOR_CORES = ["convolution", "convolution", "convolution_weight"]


@ON_KERNELS
@DTYPES
@pytest.mark.parametrize("last", [False, True], ids=["pixels", "channels"])
@pytest.mark.parametrize("groups", [1, 8])
def test_it_is_two_operations_bit_for_bit(
    launched: Counter, groups: int, last: bool, dtype: Any, device: str
) -> None:
    """With the same kernels, and one launch less."""
    random = np.random.default_rng(0)
    shapes = [(2, 8, 6, 7), (16, 8 // groups, 3, 3), (16,), (2, 16, 6, 7)]
    x, w, b, g = (tg.tensor(random.standard_normal(s)).to(device, dtype) for s in shapes)
    if last:
        x, g = (images.to(memory_format=tg.channels_last) for images in (x, g))
    inputs = [a.requires_grad_() for a in (x, w, b)]
    found = []
    for call in (tg.cudnn_convolution_relu, lambda *given: tg.relu(F.conv2d(*given))):
        launched.clear()
        y = call(*inputs, 1, 1, 1, groups)
        assert y.is_contiguous(memory_format=tg.channels_last) == last
        found.append([y, *tg.autograd.grad(y, inputs, g)])
        launched["relu_forward"] += call is tg.cudnn_convolution_relu
        found[-1].append(launched.copy())
    (*joined, launches), (*apart, more) = found
    assert launches == more
    kernels = Counter(BY_TENSOR_CORES if groups == 1 else DIRECTLY)
    assert launches >= kernels + Counter(relu_forward=1, relu_backward=1)
    for a, b in zip(joined, apart, strict=True):
        np.testing.assert_array_equal(*(t.detach().double().numpy(force=True) for t in (a, b)))


@ON_KERNELS
@pytest.mark.parametrize("groups", [1, 2])
def test_a_nan_stays_one(groups: int, device: str) -> None:
    x = tg.zeros(1, 2, 1, 3, device=device)
    x[0, 0, 0, 1] = float("nan")
    weight = -tg.ones(2, 2 // groups, 1, 1, device=device)
    y = tg.cudnn_convolution_relu(x, weight, None, 1, 0, 1, groups).cpu()
    assert y.isnan().sum() == (2 if groups == 1 else 1)


def test_the_convolutions_result_is_not_kept(launched: Counter) -> None:
    """Only what the rule asks for: the input, the weight, and the result itself."""
    x = tg.randn(1, 8, 4, 4, device="emulated")
    weight = tg.randn(8, 8, 3, 3, device="emulated", requires_grad=True)
    kept = []
    with tg.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda t: None):
        tg.cudnn_convolution_relu(x, weight, None, 1, 1, 1, 1)
    assert sorted(kept) == [(1, 8, 4, 4), (1, 8, 4, 4), (8, 8, 3, 3)]


@ON_KERNELS
def test_what_has_no_kernel_is_composed(launched: Counter, device: str) -> None:
    x, weight = tg.randn(1, 2, 4, 4).double(), tg.randn(3, 2, 2, 2).double()
    y = tg.cudnn_convolution_relu(x.to(device), weight.to(device), None, 1, 0, 1, 1)
    np.testing.assert_allclose(y.numpy(force=True), F.conv2d(x, weight).relu().numpy())
    assert not launched["convolution"]
    assert launched["relu_forward"] == 1


def test_autocast_convolves_in_16_bits(launched: Counter) -> None:
    net = nn.Sequential(same(), nn.ReLU()).to("emulated")
    with tg.autocast("emulated", dtype=tg.bfloat16):
        y = net(tg.randn(1, 8, 4, 4, device="emulated"))
    assert y.dtype == tg.bfloat16
    assert not launched["relu_forward"]
    y.float().sum().backward()
    assert all(p.grad.dtype == tg.float32 for p in net.parameters())
