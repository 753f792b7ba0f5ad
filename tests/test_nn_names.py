"""What torch.nn names beside the modules of PyTorch's database."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad import nn

ORACLE = "PyTorch is the oracle"

# Names of torch.nn that are not here: quantization, files of PyTorch's, and what others add.
ABSENT = {"intrinsic", "qat", "quantizable", "quantized"}


def test_every_name() -> None:
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    public = {name for name in dir(torch.nn) if not name.startswith("_")}
    assert public - {*dir(nn)} <= ABSENT


def images(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("kind", "shape"), [(1, (4, 3)), (1, (4, 3, 2)), (2, (4, 3, 2, 2)), (3, (2, 3, 2, 1, 2))]
)
def test_sync_batch_norm_is_batch_norm(kind: int, shape: tuple, device: str) -> None:
    plain = getattr(nn, f"BatchNorm{kind}d")(3).double().to(device)
    sync = nn.SyncBatchNorm(3).double().to(device)
    x = tg.tensor(images(0, *shape), device=device)
    for training in (True, False):
        y, z = plain.train(training)(x), sync.train(training)(x)
        np.testing.assert_array_equal(y.numpy(force=True), z.numpy(force=True))
    assert [*sync.state_dict()] == [*plain.state_dict()]
    with pytest.raises(ValueError, match=r"SyncBatchNorm expects .*\(N, C, ...\), got \(3,\)"):
        sync(tg.ones(3))


def test_batch_norms_are_converted() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3, affine=False)), nn.ReLU())
    net[1].eval()
    result = nn.SyncBatchNorm.convert_sync_batchnorm(net, process_group="all")
    assert result is net
    norm = net[1][0]
    assert (type(norm), norm.process_group, norm.training) == (nn.SyncBatchNorm, "all", False)
    alone = nn.BatchNorm2d(3, eps=0.1)
    sync = nn.SyncBatchNorm.convert_sync_batchnorm(alone)
    assert (type(sync), sync.eps) == (nn.SyncBatchNorm, 0.1)
    assert sync.weight is alone.weight
    assert sync.running_mean is alone.running_mean
    assert type(alone) is nn.BatchNorm2d


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_cross_map_lrn(size: int) -> None:
    x = images(1, 2, 7, 3, 2)
    half = (size - 1) // 2
    sums = np.stack(
        [(x[:, max(0, c - half) : c + half + 1] ** 2).sum(1) for c in range(x.shape[1])], axis=1
    )
    layer = nn.CrossMapLRN2d(size, 0.5, 0.75, 2.0)
    expected = x * (2 + 0.5 / size * sums) ** -0.75
    np.testing.assert_allclose(layer(tg.tensor(x)).numpy(), expected, rtol=1e-12)
    assert tg.autograd.gradcheck(layer, [tg.tensor(x, requires_grad=True)])
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), got \(7, 3, 2\)"):
        layer(tg.tensor(x[0]))
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    theirs = torch.nn.CrossMapLRN2d(size, 0.5, 0.75, 2.0)
    assert repr(layer).replace("=", "") == repr(theirs).replace("=", "")
    few = x[:, : half + 1]  # see docs/differences.md
    np.testing.assert_allclose(
        layer(tg.tensor(few)).numpy(), theirs(torch.tensor(few)).numpy(), rtol=1e-12
    )


def test_deprecated_classes() -> None:
    with pytest.warns(FutureWarning, match="Container is deprecated"):
        net = nn.Container(first=nn.Linear(2, 3), second=nn.ReLU())
    assert [name for name, _ in net.named_children()] == ["first", "second"]
    with pytest.warns(FutureWarning, match="NLLLoss2d is deprecated"):
        loss = nn.NLLLoss2d(ignore_index=1)
    x, y = tg.tensor(images(2, 2, 3, 2, 2)), tg.tensor(np.arange(8).reshape(2, 2, 2) % 3)
    assert loss(x, y).item() == nn.NLLLoss(ignore_index=1)(x, y).item()


def test_factory_kwargs() -> None:
    assert nn.factory_kwargs(None) == {}
    given = {"device": "cpu", "factory_kwargs": {"dtype": tg.float64}}
    assert nn.factory_kwargs(given) == {"device": "cpu", "dtype": tg.float64}
    for wrong, word in (({"dim": 3}, "dim"), ({**given, "dtype": tg.float32}, "dtype")):
        with pytest.raises(TypeError, match=rf"\[factory_kwargs\] .*{word}"):
            nn.factory_kwargs(wrong)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gradients_of_convolutions(dims: int) -> None:
    torch = pytest.importorskip("torch", reason=ORACLE, exc_type=ImportError)
    x, w = images(0, 2, 4, *(6, 5, 4)[:dims]), images(1, 6, 2, *(2,) * dims)
    options: dict[str, Any] = {"stride": 2, "padding": 1, "dilation": 1, "groups": 2}
    y = getattr(torch.nn.functional, f"conv{dims}d")(*map(torch.tensor, (x, w)), None, **options)
    g = images(2, *y.shape)

    def gradients(library: Any) -> list:
        of = library.nn.grad
        xs, ws, gs = map(library.tensor, (x, w, g))
        with library.no_grad():
            return [
                getattr(of, f"conv{dims}d_input")(x.shape, ws, gs, **options),
                getattr(of, f"conv{dims}d_weight")(xs, w.shape, gs, **options),
            ]

    for mine, theirs in zip(gradients(tg), gradients(torch), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-10, atol=1e-12)
        assert not mine.requires_grad
