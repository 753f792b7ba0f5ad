"""Numbers at the ends of a dtype's range, or close together far from 0: what leaves the range on
the way, or cancels there, must not spoil what is in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg

F = tg.nn.functional
inf = math.inf
each_device = pytest.mark.parametrize("device", DEVICES)


def host(x: tg.Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


# ---------------------------------------------------------------------- deviations from a mean

FAR_FROM_0 = [1e7, 1e7 + 1, 1e7 + 2] * 1000
UNIT = 1.5**0.5
ROW = [-UNIT, 0.0, UNIT]


def _masked(name: str) -> Any:
    return lambda x: getattr(tg.masked, name)(x, mask=tg.ones_like(x) > 0)


DEVIATIONS = {
    "var": (lambda x: x.var(), 2000 / 2999),
    "std": (lambda x: x.std(correction=0), (2 / 3) ** 0.5),
    "var_mean": (lambda x: tg.var_mean(x)[0], 2000 / 2999),
    "std_mean": (lambda x: tg.std_mean(x)[0], (2000 / 2999) ** 0.5),
    "masked.var": (_masked("var"), 2000 / 2999),
    "masked.std": (_masked("std"), (2000 / 2999) ** 0.5),
    "cov": (lambda x: x.cov(), 2000 / 2999),
    "cov with weights": (lambda x: x.cov(aweights=tg.ones_like(x), correction=0), 2 / 3),
    "corrcoef": (lambda x: tg.stack([x, -x]).corrcoef()[0], [1, -1]),
    "layer_norm": (lambda x: F.layer_norm(x, (3000,))[:3], ROW),
    "group_norm": (lambda x: F.group_norm(x.reshape(1, 1, -1), 1)[0, 0, :3], ROW),
    "instance_norm": (lambda x: F.instance_norm(x.reshape(1, 1, -1))[0, 0, :3], ROW),
    "batch_norm": (
        lambda x: F.batch_norm(x.reshape(1, 1, -1), None, None, training=True)[0, 0, :3],
        ROW,
    ),
}


@each_device
@pytest.mark.parametrize("name", DEVIATIONS)
def test_deviations_far_from_0(name: str, device: str) -> None:
    """(F25)"""
    function, right = DEVIATIONS[name]
    x = tg.tensor(FAR_FROM_0, device=device)
    np.testing.assert_allclose(host(function(x)), right, rtol=2e-5, atol=1e-6)
    # And the gradients, which sum up distances from the mean, too.
    gradients = []
    for dtype in (tg.float32, tg.float64):
        x = tg.tensor(FAR_FROM_0, device=device, dtype=dtype, requires_grad=True)
        y = function(x)
        (
            y * tg.arange(1, y.numel() + 1, dtype=dtype, device=device).reshape(y.shape)
        ).sum().backward()
        gradients.append(host(x.grad))
    scale = np.abs(gradients[1]).max()
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5 * scale + 1e-9)


# ---------------------------------------------------------------------- lengths

_NORMS = {
    "norm": lambda x, p=2: x.norm(p),
    "vector_norm": lambda x, p=2: tg.linalg.vector_norm(x, p),
    "masked.norm": lambda x, p=2: tg.masked.norm(x, p),
    "dist": lambda x, p=2: tg.dist(x, x * 0, p),
    "cdist": lambda x, p=2: tg.cdist(x[None], x[None] * 0, p),
    "pdist": lambda x, p=2: F.pdist(tg.stack([x, x * 0]), p),
    "pairwise_distance": lambda x, p=2: F.pairwise_distance(x, x * 0, p, eps=0),
}
LENGTHS = {
    **{(name, p): (f, p) for name, f in _NORMS.items() for p in (0.5, 2, 3, 40)},
    ("norm", -2): (_NORMS["norm"], -2),
    ("matrix_norm", 2): (lambda x, p: tg.linalg.matrix_norm(x[None]), 2),
    ("norm without ord", 2): (lambda x, p: tg.linalg.norm(x), 2),
    ("std", 2): (lambda x, p: tg.cat([x, -x]).std(correction=0) * 2**0.5, 2),
    ("hypot", 2): (lambda x, p: tg.hypot(x[0], x[1]), 2),
    ("clip_grad_norm_", 2): (lambda x, p: _clipped(x), 2),
}


def _clipped(x: tg.Tensor) -> tg.Tensor:
    w = tg.zeros_like(x).requires_grad_()
    w.grad = x.detach().clone()
    return tg.nn.utils.clip_grad_norm_([w], 1.0)


@each_device
@pytest.mark.parametrize("scale", [1e30, 1e-30, 1.0, 1e200, 1e-200, 0.0])
@pytest.mark.parametrize("name", LENGTHS)
def test_lengths(name: Any, scale: float, device: str) -> None:
    """(F27)"""
    function, p = LENGTHS[name]
    dtype = tg.float32 if 1e-40 < scale < 1e40 else tg.float64
    x = tg.tensor([3 * scale, 4 * scale], dtype=dtype, device=device, requires_grad=True)
    y = function(x, p)
    length = (3**p + 4**p) ** (1 / p)
    np.testing.assert_allclose(host(y).item(), length * scale, rtol=1e-5)
    if y.requires_grad:
        y.sum().backward()
        slope = (np.array([3, 4]) / length) ** (p - 1) if scale else [0, 0]
        np.testing.assert_allclose(host(x.grad), slope, rtol=1e-5)


@each_device
@pytest.mark.parametrize("scale", [1e30, -1e30, 1e-30, 1e200, 1e-200])
def test_directions(scale: float, device: str) -> None:
    """(F27)"""
    dtype = tg.float32 if 1e-40 < abs(scale) < 1e40 else tg.float64
    sign = math.copysign(1, scale)
    x = tg.tensor([[3 * scale, 4 * scale]], dtype=dtype, device=device)
    for name, unit, wanted in [
        ("normalize", F.normalize(x, eps=0), [0.6, 0.8]),
        ("cosine_similarity", F.cosine_similarity(x, x, eps=0), sign),
        ("rms_norm", F.rms_norm(x, (2,), eps=0), [0.6 * 2**0.5, 0.8 * 2**0.5]),
        ("layer_norm", F.layer_norm(x, (2,), eps=0), [-1, 1]),
        ("group_norm", F.group_norm(x[None], 1, eps=0), [-1, 1]),
        ("instance_norm", F.instance_norm(x[None], eps=0), [-1, 1]),
    ]:
        np.testing.assert_allclose(host(unit * sign).squeeze(), wanted, rtol=1e-5, err_msg=name)
    x.requires_grad_()
    (slope,) = tg.autograd.grad(F.rms_norm(x, (2,), eps=0).sum(), x, create_graph=True)
    np.testing.assert_allclose(
        host(slope) * abs(scale), [[0.8 * 2**0.5 / 25, -0.6 * 2**0.5 / 25]], 1e-4
    )
    if abs(scale) > 1:  # else it is beyond the range
        assert np.isfinite(host(tg.autograd.grad(slope.sum(), x)[0])).all()


@each_device
def test_norms_of_rows_without_a_length(device: str) -> None:
    """Zeros stay zeros, and beside inf the others become that."""
    for x in (tg.zeros(2, 3, device=device), tg.full((2, 3), 2.0, device=device)):
        y = F.layer_norm(x, (3,), eps=1e-30)
        np.testing.assert_array_equal(host(y), np.zeros((2, 3)))
    y = F.rms_norm(tg.zeros(2, 3, device=device), (3,), eps=1e-30)
    np.testing.assert_array_equal(host(y), np.zeros((2, 3)))
    y = F.rms_norm(tg.tensor([[inf, 1.0, -2.0]], device=device), (3,), eps=1e-6)
    np.testing.assert_array_equal(host(y), [[math.nan, 0, 0]])


@each_device
def test_slopes_where_there_is_no_direction(device: str) -> None:
    """(R04) What a clamp stops further on stays 0, though the way there is infinite."""

    def slope(function: Any, n: int = 2) -> np.ndarray:
        x = tg.zeros(n, device=device, requires_grad=True)
        (1 / function(x)).clamp(-3, 3).sum().backward()
        return host(x.grad)

    for name, function in {
        "std": lambda x: x.std(0, correction=0),
        "var": lambda x: x.std().square(),
        "masked.std": lambda x: tg.masked.std(x, unbiased=False),
        "norm": lambda x: x.norm(),
        "3-norm": lambda x: x.norm(3),
        "cdist": lambda x: tg.cdist(x[None], 2 * x[None]),
        "cdist of many": lambda x: tg.cdist(x.expand(30, 2), x.expand(30, 2) * 2),
        "dist": lambda x: tg.dist(x, 2 * x),
        "hypot": lambda x: tg.hypot(x[0], x[1]),
        "atan2": lambda x: tg.atan2(x[0], x[1]),
        "logaddexp": lambda x: tg.logaddexp(x[0] - inf, x[1] - inf) * 0,
    }.items():
        np.testing.assert_array_equal(slope(function), [0, 0], err_msg=name)


@each_device
def test_batches_whose_variance_leaves_the_range(device: str) -> None:
    results = []
    for scale in (1.0, 1e30):
        x = tg.tensor([[3.0, -1.0], [4.0, 2.0]], device=device) * scale
        x.requires_grad_()
        y = F.batch_norm(x, None, None, training=True, eps=1e-20)
        (slope,) = tg.autograd.grad((y * y[:1].detach()).sum(), x, create_graph=True)
        again = tg.autograd.grad(slope.sum(), x)[0]
        assert np.isfinite(host(again)).all()
        results.append((host(y), host(slope) * scale))
    np.testing.assert_allclose(*[y for y, _ in results], rtol=1e-5)
    np.testing.assert_allclose(*[slope for _, slope in results], atol=1e-5)


@each_device
def test_losses_of_infinite_scores(device: str) -> None:
    """Their limits, where a formula takes infinities from one another."""

    def losses(loss: Any, x: list, t: list) -> tuple[list, list]:
        scores = tg.tensor(x, device=device, requires_grad=True)
        y = loss(scores, tg.tensor(t, device=device), reduction="none")
        return y.tolist(), tg.autograd.grad(y.sum(), scores)[0].tolist()

    x, t = [inf] * 3 + [-inf] * 3, [0.0, 0.5, 1.0] * 2
    found = losses(F.binary_cross_entropy_with_logits, x, t)
    assert found == ([inf, inf, 0, 0, inf, inf], [1, 0.5, 0, 0, -0.5, -1])
    weight = tg.tensor([2.0], device=device)
    weighted = lambda *a, **k: F.binary_cross_entropy_with_logits(*a, pos_weight=weight, **k)  # noqa: E731
    assert losses(weighted, x, t) == ([inf, inf, 0, 0, inf, inf], [1, 0.5, 0, 0, -1, -2])
    tiny = losses(F.binary_cross_entropy_with_logits, [-60.0, 60.0], [0.0, 1.0])[0]
    np.testing.assert_allclose(tiny, math.exp(-60), rtol=1e-6)
    found = losses(F.poisson_nll_loss, [inf, -inf, -inf], [2.0, 2.0, 0.0])
    assert found == ([inf, inf, 0], [inf, -2, 0])
    rates = lambda *a, **k: F.poisson_nll_loss(*a, log_input=False, **k)  # noqa: E731
    assert losses(rates, [inf, inf], [2.0, 0.0])[0] == [inf, inf]


@each_device
def test_powers_near_the_exponent_0(device: str) -> None:
    """The slope of the slope by the other operand is 1 / a; at a = 0 it is taken to be 0."""
    a = tg.tensor([0.5, 2.0, -4.0, 0.0], device=device, requires_grad=True)
    b = tg.zeros(4, device=device, requires_grad=True)
    (slope,) = tg.autograd.grad((a**b).sum(), a, create_graph=True)
    assert slope.tolist() == [0] * 4
    mixed = tg.autograd.grad(slope.sum(), b)[0].tolist()
    assert mixed[:2] == [2, 0.5]
    assert mixed[3] == 0


# ---------------------------------------------------------------------- distances of near rows

OFFSET = 5126950000.0


@each_device
@pytest.mark.parametrize("rows", [20, 30])
def test_distances_of_near_rows(rows: int, device: str) -> None:
    """(F31)"""

    def on(x: Any, dtype: Any = tg.float64) -> tg.Tensor:
        return tg.tensor(x, dtype=dtype, device=device, requires_grad=True)

    a, b = on(np.full((rows, 1), OFFSET)), on(np.full((rows, 1), OFFSET + 3))
    distances = tg.cdist(a, b)
    np.testing.assert_array_equal(host(distances), 3)
    distances.sum().backward()
    np.testing.assert_array_equal(host(a.grad), -rows)
    np.testing.assert_array_equal(host(b.grad), rows)

    drawn = np.random.default_rng(0).uniform(size=(rows, 100))
    for shift, dtype in [(1e-9, tg.float64), (1e-3, tg.float32)]:
        a, b = on(drawn, dtype), on(drawn + shift, dtype)
        difference = host(b).astype("float64")[:, None] - host(a)
        wanted = np.sqrt((difference**2).sum(-1))
        distances = tg.cdist(a, b).transpose(0, 1)
        np.testing.assert_allclose(
            host(distances), wanted, rtol=1e-6 if dtype == tg.float32 else 1e-12
        )
        distances.diagonal().sum().backward()
        slope = np.diagonal(difference / wanted[..., None]).T
        np.testing.assert_allclose(host(b.grad), slope, rtol=1e-5)
    far = F.pdist(on(drawn * 1e200))
    np.testing.assert_allclose(host(far), host(F.pdist(on(drawn))) * 1e200, rtol=1e-12)
    far = tg.cdist(on(drawn * 1e200), on(drawn * -1e200))
    np.testing.assert_allclose(host(far), host(tg.cdist(on(drawn), on(-drawn))) * 1e200, rtol=1e-12)


# ---------------------------------------------------------------------- matrices with infinities


@each_device
@pytest.mark.parametrize("value", [math.nan, inf, -inf])
def test_matrices_that_are_not_finite(value: float, device: str) -> None:
    a = tg.tensor([[1.0, 0.5], [value, 2.0]], device=device)
    for op in ("eigh", "eigvalsh", "svd", "svdvals", "cholesky"):
        with pytest.raises(tg.linalg.LinAlgError, match=rf"\[linalg.{op}\]"):
            getattr(tg.linalg, op)(a)
    # What is not read may be anything.
    np.testing.assert_allclose(host(tg.linalg.eigvalsh(a, "U")), host(tg.linalg.eigvalsh(a.T)))
    tg.linalg.cholesky(a.T)


# ---------------------------------------------------------------------- integers and other numbers

_INTEGERS = {
    "uint8": [0, 1, 5, 200, 255],
    "int8": [-128, -1, 0, 7, 127],
    "int16": [-(2**15), 0, 9],
    "int32": [-(2**31), 3],
    "int64": [-(2**63), 2**63 - 1, 5],
}
_NUMBERS = [-(2**40), -300, -129, -3, -1, 1, 7, 128, 255, 256, 257, 300, 2**15, 2**40]
_COMPARISONS = ["==", "!=", "<", "<=", ">", ">="]
_ARITHMETIC = ["+", "-", "*", "//", "%", "&", "|", "^"]


def _as_dtype(numbers: list, dtype: str) -> np.ndarray:
    bits = np.iinfo(dtype).bits
    return np.array([n % 2**bits for n in numbers], dtype=f"uint{bits}").astype(dtype)


@each_device
@pytest.mark.parametrize("dtype", _INTEGERS)
def test_integers_against_numbers_outside_their_range(dtype: str, device: str) -> None:
    """(F12) They compare and compute as numbers do, and then results are stored."""
    own = _INTEGERS[dtype]
    x = tg.tensor(own, dtype=dtype, device=device)
    for n in [*_NUMBERS, 2**63, -(2**63) - 1, 10**400]:
        for sign in _COMPARISONS:
            for call, flipped in ((f"a {sign} b", False), (f"b {sign} a", True)):
                wanted = [eval(call, {"a": a, "b": n}) for a in own]
                others = [n]
                if -(2**63) <= n < 2**63:
                    others += [tg.tensor(n, device=device), np.int64(n)] if not flipped else []
                for other in others:
                    found = eval(call, {"a": x, "b": other})
                    assert host(found).tolist() == wanted, (call, other)
    for n in _NUMBERS:
        for sign in _ARITHMETIC:
            wanted = _as_dtype([eval(f"a {sign} n", {"a": a, "n": n}) for a in own], dtype)
            for other in (n, tg.tensor(n, device=device)):
                found = eval(f"x {sign} n", {"x": x, "n": other})
                assert found.dtype == dtype
                assert (host(found) == wanted).all(), (sign, other)
        assert host(tg.isin(x, n)).tolist() == [a == n for a in own]
        assert int(tg.bucketize(n, x)) == sum(a < n for a in own) or own != sorted(own)
        assert host(x.clamp(max=n)).tolist() == [max(min(a, n), np.iinfo(dtype).min) for a in own]
    for n in (64, 256, 2**40):
        assert host(x << n).tolist() == [0] * len(own)
        assert host(x >> n).tolist() == [-1 if a < 0 else 0 for a in own]
    with pytest.raises(OverflowError, match=r"\[add\].*does not fit int64"):
        x + 2**70


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("norm", ["layer", "rms", "group", "instance"])
def test_norms_of_opposite_ends(norm: str, device: str) -> None:
    """(F25)"""
    if device != "cpu" and norm != "group":
        pytest.skip("kernels add up in float32")
    F = tg.nn.functional
    call = {
        "layer": lambda x: F.layer_norm(x, (4,)),
        "rms": lambda x: F.rms_norm(x, (4,)),
        "group": lambda x: F.group_norm(x[None], 1),
        "instance": lambda x: F.instance_norm(x[None, None]),
    }[norm]
    for values in ([3e38, -3e38, 1.0, 2.0], [3e38, -3e38, 3e38, -3e38]):
        got, right = (
            call(tg.tensor(values, dtype=dtype, device=device)).double().flatten()
            for dtype in (tg.float32, tg.float64)
        )
        np.testing.assert_allclose(host(got), host(right), rtol=1e-5, atol=1e-6)
