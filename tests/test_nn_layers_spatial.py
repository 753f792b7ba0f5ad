"""The layers of convolution, pooling, padding and resizing, against PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)

Row = tuple[str, dict[str, Any], tuple[int, ...]]

# One row reads best on one line.
# fmt: off
FILTERS: list[Row] = [
    ("Conv1d", dict(in_channels=2, out_channels=4, kernel_size=3), (2, 2, 7)),
    ("Conv1d", dict(in_channels=2, out_channels=4, kernel_size=3, padding="same", dilation=2),
     (2, 7)),
    ("Conv1d", dict(in_channels=2, out_channels=2, kernel_size=3, stride=2, padding=2, groups=2,
                    padding_mode="circular"), (2, 2, 7)),
    ("Conv2d", dict(in_channels=2, out_channels=3, kernel_size=3, padding=1,
                    padding_mode="reflect"), (2, 2, 5, 6)),
    ("Conv2d", dict(in_channels=2, out_channels=3, kernel_size=(2, 4), padding="same",
                    padding_mode="replicate"), (2, 2, 5, 6)),
    ("Conv2d", dict(in_channels=2, out_channels=3, kernel_size=2, padding="valid",
                    padding_mode="circular", bias=False), (2, 2, 5, 6)),
    ("Conv3d", dict(in_channels=2, out_channels=3, kernel_size=(1, 2, 3), stride=(1, 2, 1),
                    padding=(0, 1, 1)), (2, 2, 3, 4, 5)),
    ("Conv3d", dict(in_channels=1, out_channels=2, kernel_size=3, padding=1, bias=False),
     (1, 4, 4, 4)),
    ("ConvTranspose1d", dict(in_channels=2, out_channels=3, kernel_size=3, stride=2, padding=1,
                             output_padding=1), (2, 2, 4)),
    ("ConvTranspose2d", dict(in_channels=4, out_channels=6, kernel_size=(3, 2), groups=2,
                             dilation=2), (2, 4, 3, 4)),
    ("ConvTranspose2d", dict(in_channels=2, out_channels=1, kernel_size=2, stride=2, bias=False),
     (2, 3, 4)),
    ("ConvTranspose3d", dict(in_channels=2, out_channels=3, kernel_size=2, stride=(1, 2, 1)),
     (2, 2, 2, 3, 2)),
]
WINDOWS: list[Row] = [
    ("MaxPool1d", dict(kernel_size=3, stride=2, padding=1), (2, 3, 8)),
    ("MaxPool2d", dict(kernel_size=(2, 3), dilation=(2, 1)), (2, 3, 6, 7)),
    ("MaxPool3d", dict(kernel_size=2, ceil_mode=True), (2, 2, 3, 4, 5)),
    ("AvgPool1d", dict(kernel_size=3, stride=2, padding=1, count_include_pad=False), (2, 3, 8)),
    ("AvgPool2d", dict(kernel_size=2, divisor_override=3), (2, 3, 5, 6)),
    ("AvgPool3d", dict(kernel_size=(1, 2, 2), stride=1, padding=(0, 1, 1)), (2, 2, 3, 4, 5)),
    ("LPPool1d", dict(norm_type=2, kernel_size=3), (2, 3, 8)),
    ("LPPool2d", dict(norm_type=2.0, kernel_size=(2, 3), stride=2), (2, 3, 6, 7)),
    ("LPPool3d", dict(norm_type=4, kernel_size=2, ceil_mode=True), (2, 2, 2, 4, 4)),
    ("AdaptiveAvgPool1d", dict(output_size=3), (2, 3, 8)),
    ("AdaptiveAvgPool2d", dict(output_size=(None, 2)), (2, 3, 5, 6)),
    ("AdaptiveAvgPool2d", dict(output_size=1), (2, 3, 5, 6)),
    ("AdaptiveAvgPool3d", dict(output_size=(1, 2, 3)), (2, 2, 3, 4, 5)),
    ("AdaptiveMaxPool1d", dict(output_size=3), (2, 3, 8)),
    ("AdaptiveMaxPool2d", dict(output_size=(None, 2)), (2, 3, 5, 6)),
    ("AdaptiveMaxPool3d", dict(output_size=2), (2, 2, 3, 4, 5)),
    ("Unfold", dict(kernel_size=(2, 3), dilation=1, padding=1, stride=2), (2, 2, 4, 5)),
    ("Fold", dict(output_size=(3, 4), kernel_size=2), (2, 8, 6)),
    ("PixelShuffle", dict(upscale_factor=2), (2, 8, 2, 3)),
    ("PixelUnshuffle", dict(downscale_factor=2), (2, 2, 4, 6)),
    ("ChannelShuffle", dict(groups=2), (2, 6, 3)),
    ("Upsample", dict(size=5), (2, 2, 3)),
    ("Upsample", dict(scale_factor=(2, 1.5), mode="bilinear"), (2, 2, 3, 4)),
    ("Upsample", dict(size=(4, 2), mode="bicubic", align_corners=True), (2, 2, 3, 4)),
    ("Upsample", dict(scale_factor=1.7, mode="trilinear", recompute_scale_factor=True),
     (1, 2, 3, 2, 3)),
    ("UpsamplingNearest2d", dict(scale_factor=2), (2, 2, 3, 4)),
    ("UpsamplingBilinear2d", dict(size=(5, 7)), (2, 2, 3, 4)),
]
BORDERS: list[Row] = [
    (f"{kind}Pad{dims}d", {"padding": padding, **({"value": 0.5} if kind == "Constant" else {})},
     (2, 2, *(4, 3, 5)[:dims]))
    for kind in ("Reflection", "Replication", "Circular", "Constant", "Zero")
    for dims in (1, 2, 3)
    for padding in (1, (1, 2, 0, 1, 2, 1)[: 2 * dims])
]
# fmt: on
LAYERS = FILTERS + WINDOWS + BORDERS


def label(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={entry}" for key, entry in value.items())
    return str(value)


def values(shape: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(tuple(shape))


def pair(name: str, arguments: dict[str, Any]) -> tuple[Any, Any]:
    """Our layer and theirs, with the same parameters."""
    ours = getattr(nn, name)(**arguments).double()
    theirs = getattr(torch.nn, name)(**arguments).double()
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's, about its own speed
@pytest.mark.parametrize(("name", "arguments", "shape"), LAYERS, ids=label)
def test_values_gradients_and_repr(name: str, arguments: dict, shape: tuple[int, ...]) -> None:
    ours, theirs = pair(name, arguments)
    assert repr(ours) == repr(theirs)
    given = values(shape)
    x, y = tg.tensor(given, requires_grad=True), torch.tensor(given, requires_grad=True)
    mine, other = ours(x), theirs(y)
    np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), rtol=1e-9, atol=1e-12)
    weights = values(mine.shape, 1)
    (mine * tg.tensor(weights)).sum().backward()
    (other * torch.tensor(weights)).sum().backward()
    gradients = [(x, y), *zip(ours.parameters(), theirs.parameters(), strict=True)]
    for p, q in gradients:
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "shape"), [("Conv1d", (64, 32, 5)), ("Conv2d", (64, 32, 3, 3)),
                        ("ConvTranspose2d", (32, 64, 3, 3)), ("Conv3d", (64, 32, 3, 1, 2))]
)  # fmt: skip
def test_initial_values_are_uniform_as_in_pytorch(name: str, shape: tuple[int, ...]) -> None:
    layer = getattr(nn, name)(32, 64, shape[2:])
    assert tuple(layer.weight.shape) == shape
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    for parameter in (layer.weight, layer.bias):
        data = parameter.detach().numpy()
        assert 0.9 * bound < abs(data).max() <= bound
        assert abs(data.mean()) < 0.2 * bound


def test_indices_go_from_pooling_to_unpooling() -> None:
    for dims in (1, 2, 3):
        results = []
        for library in (tg, torch):
            x = library.tensor(values((2, 3, *(5, 6, 4)[:dims])), requires_grad=True)
            pool = getattr(library.nn, f"MaxPool{dims}d")(2, return_indices=True)
            unpool = getattr(library.nn, f"MaxUnpool{dims}d")(2)
            y = unpool(*pool(x), output_size=tuple(x.shape))
            (y * y).sum().backward()
            results.append((repr(unpool), y.detach().numpy(), x.grad.numpy()))
        (mine, *arrays), (theirs, *others) = results
        assert mine == theirs
        for a, b in zip(arrays, others, strict=True):
            np.testing.assert_allclose(a, b)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("options", [dict(output_size=3), dict(output_ratio=0.5)], ids=label)
def test_fractional_pooling_with_given_samples(dims: int, options: dict) -> None:
    x, samples = values((2, 3, 6, 7, 8)[: dims + 2]), abs(values((2, 3, dims), 2)) % 1
    name = f"FractionalMaxPool{dims}d"
    ours = getattr(nn, name)(2, **options, return_indices=True, _random_samples=tg.tensor(samples))
    theirs = getattr(torch.nn, name)(
        2, **options, return_indices=True, _random_samples=torch.tensor(samples)
    )
    assert repr(ours) == repr(theirs)
    for a, b in zip(ours(tg.tensor(x)), theirs(torch.tensor(x)), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    tg.manual_seed(1)
    drawn = getattr(nn, name)(2, **options)
    assert not (drawn(tg.tensor(x)) == drawn(tg.tensor(x))).all().item()


def test_transposed_convolution_takes_the_output_size() -> None:
    ours, theirs = pair("ConvTranspose2d", dict(in_channels=2, out_channels=3, kernel_size=3,
                                                stride=2, padding=1))  # fmt: skip
    x = values((1, 2, 3, 4))
    for size in [(5, 8), (1, 3, 6, 7)]:
        y, z = ours(tg.tensor(x), output_size=size), theirs(torch.tensor(x), output_size=size)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-9)
    with pytest.raises(
        ValueError, match=r"ConvTranspose2d: output_size \(5, 9\).*\(5, 7\).*\(6, 8"
    ):
        ours(tg.tensor(x), output_size=(5, 9))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("conv2d", (tg.ones(2, 2, 1, 1),)),
        ("conv_transpose2d", (tg.ones(2, 2, 1, 1),)),
        ("max_pool2d", (1,)),
        ("avg_pool2d", (1,)),
        ("adaptive_avg_pool2d", ((4, 4),)),
        ("adaptive_max_pool2d", ((4, 4),)),
        ("interpolate", ((4, 4),)),
        ("pad", ((0, 0),)),
        ("pad", ((0, 0, 0, 0), "reflect")),
        ("pad", ((-1, 0, 0, 0), "replicate")),
        ("unfold", (1,)),
        ("pixel_shuffle", (1,)),
        ("pixel_unshuffle", (1,)),
        ("channel_shuffle", (1,)),
    ],
    ids=label,
)
def test_results_share_no_memory_with_the_input(name: str, arguments: tuple) -> None:
    x = tg.ones(1, 2, 4, 4)
    y = getattr(nn.functional, name)(x, *arguments)
    y.fill_(5.0)
    assert x.sum().item() == 32
    assert y.is_contiguous()


def test_windows_of_maxima_that_lie_in_the_border_alone() -> None:
    """Dilated windows may: they have -inf, with or without places, and take no gradient."""
    x = tg.tensor([[[1.0, 2.0]]], requires_grad=True)
    windows = {"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 3, "ceil_mode": True}
    alone = nn.functional.max_pool1d(x, **windows)
    y, places = nn.functional.max_pool1d(x, **windows, return_indices=True)
    assert alone.tolist() == y.tolist() == [[[-np.inf]]]  # -1 and 2 of 0 and 1
    assert 0 <= places.min().item() <= places.max().item() < 2
    (alone.sum() + y.sum()).backward()
    assert x.grad.tolist() == [[[0, 0]]]


def test_convolution_of_no_channels_is_the_bias() -> None:
    x, w = tg.ones(2, 0, 4, 4, requires_grad=True), tg.ones(3, 0, 3, 3, requires_grad=True)
    b = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = nn.functional.conv2d(x, w, b)
    expected = np.broadcast_to(b.detach().numpy()[:, None, None], (2, 3, 2, 2))
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    y.sum().backward()
    assert b.grad.tolist() == [8.0] * 3
    assert (x.grad.shape, w.grad.shape) == (x.shape, w.shape)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv1d(2, 3, 3, groups=2), "Conv1d: groups=2 must divide"),
        (lambda: nn.Conv2d(2, 3, (3, 3, 3)), "Conv2d: kernel_size must be one number or two"),
        (lambda: nn.Conv3d(2, 3, 3, padding="full"), "Conv3d: padding must be.*'full'"),
        (lambda: nn.Conv2d(2, 3, 3, stride=(1, 2), padding="same"), "Conv2d: padding='same'"),
        (lambda: nn.Conv2d(2, 3, 3, padding_mode="mirror"), "Conv2d: padding_mode.*'mirror'"),
        (lambda: nn.ConvTranspose2d(2, 3, 3, padding_mode="reflect"), "must be 'zeros'"),
        (lambda: nn.ZeroPad2d((1, 2, 3)), "ZeroPad2d: padding must be one number or four"),
        (lambda: nn.FractionalMaxPool2d(2), "either output_size or output_ratio"),
        (lambda: nn.FractionalMaxPool2d(2, output_ratio=(0.5, 1.5)), "between 0 and 1"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
