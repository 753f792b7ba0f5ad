"""What is random in networks: dropouts, random slopes, samples of softmax."""

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad import nn

F = nn.functional
SELU_LOW = -1.7580993408473766

each_device = pytest.mark.parametrize("device", DEVICES)


@each_device
@pytest.mark.parametrize(
    ("function", "shape", "mask"),
    [
        (F.dropout, (40, 50), (40, 50)),
        (F.dropout1d, (40, 50, 3), (40, 50, 1)),
        (F.dropout1d, (50, 3), (50, 1)),
        (F.dropout2d, (40, 50, 2, 3), (40, 50, 1, 1)),
        (F.dropout2d, (40, 50, 3), (40, 50, 1)),
        (F.dropout3d, (40, 50, 2, 1, 2), (40, 50, 1, 1, 1)),
        (F.dropout3d, (50, 2, 1, 2), (50, 1, 1, 1)),
    ],
)
def test_dropouts_drop_whole_channels_and_pass_gradients_where_they_keep(
    function, shape, mask, device
):
    tg.manual_seed(1)
    x = tg.rand(shape, device=device).add_(1).requires_grad_()
    y = function(x, 0.25)
    y.backward(tg.ones(shape, device=device))
    kept = y.detach().cpu().numpy() != 0
    chosen = kept.reshape(*shape[: len(mask)])[tuple(slice(0, n) for n in mask)]
    np.testing.assert_array_equal(kept, np.broadcast_to(chosen, shape))
    if chosen.size > 1000:
        assert 0.7 < chosen.mean() < 0.8
    factor = np.where(kept, np.float32(1) / np.float32(0.75), 0)
    np.testing.assert_allclose(x.grad.cpu().numpy(), factor, rtol=1e-6)
    np.testing.assert_allclose(
        y.detach().cpu().numpy(), x.detach().cpu().numpy() * factor, rtol=1e-6
    )


@each_device
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_kept_has_the_bits_of_pytorch(dtype, device):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(3).standard_normal(5000).astype(dtype)
    y = F.dropout(tg.asarray(x, device=device), 0.3).cpu().numpy()
    theirs = torch.nn.functional.dropout(torch.from_numpy(x), 0.3).numpy()
    kept = (y != 0) & (theirs != 0)
    assert kept.sum() > 2000
    np.testing.assert_array_equal(y[kept], theirs[kept])


@each_device
@pytest.mark.parametrize("function", [F.alpha_dropout, F.feature_alpha_dropout])
@pytest.mark.parametrize("p", [0.1, 0.6])
def test_alpha_dropout_keeps_mean_and_variance(function, p, device):
    tg.manual_seed(2)
    shape = (3000, 30) if function is F.feature_alpha_dropout else (300, 300)
    x = tg.randn(shape, device=device, dtype="float64").requires_grad_()
    y = function(x, p, training=True)
    host = y.detach().cpu().numpy()
    assert abs(host.mean()) < 0.02
    assert abs(host.std() - 1) < 0.02
    y.sum().backward()
    slopes, counts = np.unique(x.grad.cpu().numpy(), return_counts=True)
    scale = ((1 - p) * (1 + p * SELU_LOW**2)) ** -0.5
    np.testing.assert_allclose(slopes, [0, scale], rtol=1e-12)
    assert abs(counts[0] / counts.sum() - p) < 0.02
    dropped = host[x.grad.cpu().numpy() == 0]
    np.testing.assert_allclose(dropped, scale * SELU_LOW * (1 - p), rtol=1e-12)


@pytest.mark.parametrize(
    "function",
    [F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout],
)
def test_dropouts_of_nothing_of_everything_and_in_place(function):
    x = tg.randn(3, 4, 2, 2) if function is not F.dropout1d else tg.randn(3, 4, 2)
    assert function(x, 0.5, training=False) is x
    assert function(x, 0.0, training=True) is x
    assert not function(x, 1.0, training=True).numpy().any()
    whole = x * 1
    tg.manual_seed(3)
    expected = function(x, 0.5, training=True)
    tg.manual_seed(3)
    assert function(whole, 0.5, training=True, inplace=True) is whole
    np.testing.assert_array_equal(whole.numpy(), expected.numpy())
    with pytest.raises(RuntimeError, match=rf"\[{function.__name__}\].*floating-point.*int64"):
        function(tg.ones(2, 2, 2, dtype=tg.int64), 0.5, training=True)


def test_the_same_numbers_on_every_device():
    drawn = []
    for device in ("cpu", "emulated"):
        tg.manual_seed(4)
        x = tg.ones(6, 7, 2, device=device)
        y = [f(x, 0.5, True) for f in (F.alpha_dropout, F.feature_alpha_dropout, F.dropout1d)]
        y += [F.rrelu(-x, training=True), F.gumbel_softmax(x)]
        drawn.append([t.cpu().numpy() for t in y])
    for a, b in zip(*drawn, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_gradient_of_a_random_sample_twice():
    tg.manual_seed(5)
    x = tg.randn(4, 3, 2, dtype="float64", requires_grad=True)
    for function in (F.alpha_dropout, F.feature_alpha_dropout, F.dropout1d, F.rrelu):

        def sampled(x, function=function):
            tg.manual_seed(6)
            return function(x, training=True) * x

        assert tg.autograd.gradcheck(sampled, x)
        assert tg.autograd.gradgradcheck(sampled, x)


@each_device
def test_random_slopes(device):
    tg.manual_seed(7)
    x = (tg.rand(100, 100, device=device) - 2).requires_grad_()
    y = F.rrelu(x, 0.2, 0.5, training=True)
    y.sum().backward()
    slopes = x.grad.cpu().numpy()
    assert 0.2 <= slopes.min() < 0.205
    assert 0.495 < slopes.max() <= 0.5
    assert abs(slopes.mean() - 0.35) < 0.005
    np.testing.assert_allclose(
        y.detach().cpu().numpy(), slopes * x.detach().cpu().numpy(), rtol=1e-6
    )
    assert F.rrelu(x, 0.2, 0.4).detach().cpu().numpy() == pytest.approx(
        0.3 * x.detach().cpu().numpy(), rel=1e-6
    )


@each_device
def test_gumbel_softmax_samples_from_the_distribution(device):
    tg.manual_seed(8)
    p = np.array([0.1, 0.6, 0.3])
    logits = tg.tensor(np.log(np.tile(p, (20000, 1))), device=device).requires_grad_()
    hard = F.gumbel_softmax(logits, tau=0.5, hard=True)
    host = hard.detach().cpu().numpy()
    np.testing.assert_allclose(host.sum(1), 1)
    assert set(np.round(host, 12).ravel()) == {0.0, 1.0}
    np.testing.assert_allclose(host.mean(0), p, atol=0.015)
    (hard * hard.detach()).sum().backward()
    assert np.isfinite(logits.grad.cpu().numpy()).all()
    assert logits.grad.cpu().numpy().any()
    soft = F.gumbel_softmax(logits, tau=10.0, dim=0)
    np.testing.assert_allclose(soft.detach().cpu().numpy().sum(0), 1)
    assert F.gumbel_softmax(tg.tensor(0.5), hard=True).item() == 1
