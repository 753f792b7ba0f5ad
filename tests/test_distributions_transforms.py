"""Transforms: PyTorch's values, inverses, and log determinants against the tape's Jacobians."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

D = tg.distributions

RNG = np.random.default_rng(0)
REAL = RNG.standard_normal((2, 3))
POSITIVE = np.exp(REAL)
SQUARE = RNG.standard_normal((2, 3, 3))

# how it is made of a library's distributions and tensors -> an x of its domain
CASES: dict[str, tuple[str, np.ndarray]] = {
    "abs": ("D.AbsTransform()", POSITIVE),
    "affine of numbers": ("D.AffineTransform(1.5, -2.0)", REAL),
    "affine of tensors": ("D.AffineTransform(t([1., 2, 3]), t([[2.], [-3]]))", REAL),
    "affine of events": ("D.AffineTransform(t([1., 2, 3]), 2.0, event_dim=1)", REAL),
    "affine of events, tensors": ("D.AffineTransform(0.0, t([2., -1, 3]), event_dim=1)", REAL),
    "exp": ("D.ExpTransform()", REAL),
    "log": ("D.ExpTransform().inv", POSITIVE),
    "power": ("D.PowerTransform(t([2., -1.5, 0.5]))", POSITIVE),
    "power of a number": ("D.PowerTransform(2.0)", POSITIVE),
    "sigmoid": ("D.SigmoidTransform()", REAL),
    "softplus": ("D.SoftplusTransform()", REAL),
    "tanh": ("D.TanhTransform()", REAL),
    "distribution function": ("D.CumulativeDistributionTransform(D.Normal(t(0.3), t(2.0)))", REAL),
    "quantiles": (
        "D.CumulativeDistributionTransform(D.Normal(t(0.3), t(2.0))).inv",
        1 / (1 + POSITIVE),
    ),
    "softmax": ("D.SoftmaxTransform()", REAL),
    "stick breaking": ("D.StickBreakingTransform()", REAL),
    "lower Cholesky": ("D.LowerCholeskyTransform()", SQUARE),
    "positive definite": ("D.PositiveDefiniteTransform()", SQUARE),
    "correlations": ("D.CorrCholeskyTransform()", RNG.standard_normal((2, 6))),
    "one correlation": ("D.CorrCholeskyTransform()", RNG.standard_normal((2, 1))),
    "reshape": ("D.ReshapeTransform((2, 3), (6,))", RNG.standard_normal((4, 2, 3))),
    "identity": ("D.identity_transform", REAL),
    "composed": ("D.ComposeTransform([D.AffineTransform(1.0, 2.0), D.ExpTransform()])", REAL),
    "composed of more dimensions": (
        "D.ComposeTransform([D.TanhTransform(), D.AffineTransform(1.0, 2.0, event_dim=1),"
        " D.StickBreakingTransform()])",
        REAL,
    ),
    "composed, reshaped": (
        "D.ComposeTransform([D.ReshapeTransform((3,), (3, 1)), D.ExpTransform(),"
        " D.ReshapeTransform((3, 1), (1, 3))])",
        REAL,
    ),
    "independent": ("D.IndependentTransform(D.ExpTransform(), 1)", REAL),
    "independent of more": ("D.IndependentTransform(D.StickBreakingTransform(), 1)", REAL),
    "side by side": ("D.CatTransform([D.ExpTransform(), D.TanhTransform()], 1, [1, 2])", REAL),
    "side by side along the batch": (
        "D.CatTransform([D.ExpTransform(), D.identity_transform], 0)",
        REAL,
    ),
    "events side by side": (
        "D.CatTransform([D.IndependentTransform(D.ExpTransform(), 1), D.TanhTransform()], 0)",
        REAL,
    ),
    "parts of one event": (
        "D.CatTransform([D.IndependentTransform(D.ExpTransform(), 1), D.TanhTransform()], -1,"
        " [2, 1])",
        REAL,
    ),
    "stacked": (
        "D.StackTransform([D.ExpTransform(), D.TanhTransform(), D.AffineTransform(1.0, 2.0)], 1)",
        REAL,
    ),
}
NO_JACOBIAN = ("abs", "softmax", "lower Cholesky", "positive definite")


def made(library: Any, name: str) -> Any:
    def t(values: Any) -> Any:
        return library.tensor(values, dtype=library.float64)

    return eval(CASES[name][0], {"D": library.distributions, "t": t})


@pytest.mark.parametrize("name", CASES)
def test_a_transform_is_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    x = CASES[name][1]
    results: list[Any] = []
    for library in (torch, tg):
        transform = made(library, name)
        given = library.tensor(x, dtype=library.float64, requires_grad=True)
        y = transform(given)
        (grad,) = library.autograd.grad((y * y).sum(), given, retain_graph=True)
        found = [y.detach().numpy(), transform.inv(y).detach().numpy(), grad.numpy()]
        if name not in NO_JACOBIAN:
            found.append(transform.log_abs_det_jacobian(given, y).detach().numpy())
        shapes = transform.forward_shape(x.shape), transform.inverse_shape(tuple(y.shape))
        facts = [transform.bijective, transform.domain.event_dim, transform.codomain.event_dim]
        facts += [tuple(shape) for shape in shapes]
        try:
            facts.append(np.sign(np.asarray(transform.sign)).tolist())
        except NotImplementedError:
            facts.append("no sign")
        results.append((found, facts))
    (expected, their_facts), (got, facts) = results
    assert facts == their_facts
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_the_inverse_leads_back(name: str) -> None:
    """Where the transform is bijective; else to what has the same image."""
    transform, x = made(tg, name), tg.tensor(CASES[name][1], dtype=tg.float64)
    y = transform(x)
    assert bool(transform.domain.check(x).all())
    assert bool(transform.codomain.check(y).all())
    back = transform.inv(y)
    assert tuple(transform.forward_shape(x.shape)) == tuple(y.shape)
    assert tuple(transform.inverse_shape(y.shape)) == tuple(x.shape)
    if transform.bijective:
        np.testing.assert_allclose(back.tolist(), x.tolist(), rtol=1e-8, atol=1e-10)
        assert transform.inv.bijective
        assert transform.inv.inv(x).tolist() == y.tolist()
    np.testing.assert_allclose(transform(back).tolist(), y.tolist(), rtol=1e-9, atol=1e-12)


def coordinates(name: str, y: tg.Tensor) -> tg.Tensor:
    """As many of y's as x has, of which they are functions: a square Jacobian."""
    if name in ("stick breaking", "composed of more dimensions"):
        return y[..., :-1]
    if name == "independent of more":
        return y[..., :-1].flatten(-2)
    if "correlation" in name:
        n = y.shape[-1]
        rows, columns = tg.tril_indices(n, n, -1)
        return y[..., rows, columns]
    return y


@pytest.mark.parametrize("name", [n for n in CASES if n not in NO_JACOBIAN])
def test_log_determinants_are_those_of_the_tapes_jacobian(name: str) -> None:
    transform, x = made(tg, name), tg.tensor(CASES[name][1], dtype=tg.float64)
    got = transform.log_abs_det_jacobian(x, transform(x))
    jacobian = tg.autograd.functional.jacobian(lambda x: coordinates(name, transform(x)), x)
    matrix = jacobian.reshape(x.numel(), x.numel())
    expected = tg.linalg.slogdet(matrix).logabsdet
    assert got.sum().item() == pytest.approx(expected.item(), rel=1e-8, abs=1e-9)
    if transform.bijective:
        other = transform.inv.log_abs_det_jacobian(transform(x), x)
        np.testing.assert_allclose(other.tolist(), (-got).tolist(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NO_JACOBIAN)
def test_no_log_determinant(name: str) -> None:
    x = tg.tensor(CASES[name][1])
    with pytest.raises(NotImplementedError, match="has no log_abs_det_jacobian"):
        made(tg, name).log_abs_det_jacobian(x, x)


@pytest.mark.parametrize("name", CASES)
def test_caching_copies_and_equality(name: str) -> None:
    transform, x = made(tg, name), tg.tensor(CASES[name][1], dtype=tg.float64)
    cached = transform.with_cache()
    assert cached.with_cache() is cached
    y = cached(x)
    assert cached.inv(y) is x
    assert cached(x) is y or not cached._cache_size
    assert transform.with_cache(0) is transform
    np.testing.assert_allclose(cached.with_cache(0)(x).tolist(), y.tolist())
    for other in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert other(x).tolist() == y.tolist()
    assert transform == transform
    assert transform.inv == transform.inv
    assert transform != D.AffineTransform(7.0, 7.0)
    assert repr(transform)


def test_equality_is_of_parameters() -> None:
    t = tg.tensor
    assert D.AffineTransform(1.0, 2.0) == D.AffineTransform(t(1.0), 2.0)
    assert D.AffineTransform(1.0, 2.0) != D.AffineTransform(1.0, 3.0)
    assert D.PowerTransform(2.0) == D.PowerTransform(t(2.0))
    assert D.ComposeTransform([D.ExpTransform()]) == D.ComposeTransform([D.ExpTransform()])
    assert D.ComposeTransform([D.ExpTransform()]) != D.identity_transform
    assert D.ExpTransform().inv == D.ExpTransform().inv
    assert D.ExpTransform().inv != D.TanhTransform().inv


def test_the_inverse_of_the_inverse_is_the_transform() -> None:
    for transform in (D.ExpTransform(), D.ComposeTransform([D.ExpTransform(), D.TanhTransform()])):
        inverse = transform.inv
        assert inverse.inv is transform
        assert transform.inv is inverse


def test_saturated_values_by_the_cache() -> None:
    """tanh(20) is 1 in float32: what it came from is known to the cache alone."""
    x = tg.tensor([20.0, -30.0])
    assert tg.isinf(D.TanhTransform().inv(D.TanhTransform()(x))).all()
    cached = D.TanhTransform(cache_size=1)
    assert cached.inv(cached(x)).tolist() == [20, -30]


REFUSED: list[tuple[str, Any, type[Exception], str]] = [
    ("cache size", lambda: D.ExpTransform(cache_size=2), ValueError, "cache_size is 0 or 1, got 2"),
    ("another cache size", lambda: D.ExpTransform().with_cache(2), ValueError, "got 2"),
    (
        "sizes",
        lambda: D.ReshapeTransform((2, 3), (5,)),
        ValueError,
        r"in_shape \(2, 3\) and out_shape \(5,\) hold different numbers",
    ),
    (
        "shape",
        lambda: D.ReshapeTransform((2,), (2, 1)).forward_shape((3,)),
        ValueError,
        r"ends with \(2,\), got \(3,\)",
    ),
    (
        "inverse shape",
        lambda: D.ReshapeTransform((2,), (2, 1)).inverse_shape((3,)),
        ValueError,
        r"ends with \(2, 1\), got \(3,\)",
    ),
    (
        "no transform side by side",
        lambda: D.CatTransform([3]),
        AssertionError,
        r"\[CatTransform\] tseq holds Transforms, got 3",
    ),
    (
        "lengths",
        lambda: D.CatTransform([D.ExpTransform()], 0, [1, 2]),
        AssertionError,
        "each of its 1 transforms, got 2",
    ),
    (
        "size",
        lambda: D.CatTransform([D.ExpTransform()])(tg.zeros(3)),
        AssertionError,
        r"dimension 0 must be of size 1, got shape \(3,\)",
    ),
    (
        "size of a stack",
        lambda: D.StackTransform([D.ExpTransform()])(tg.zeros(3)),
        AssertionError,
        r"dimension 0 must be of size 1, got shape \(3,\)",
    ),
    (
        "dimension",
        lambda: D.StackTransform([D.ExpTransform()], 2)(tg.zeros(3)),
        AssertionError,
        r"shape \(3,\) has no dimension 2",
    ),
    (
        "dimensions",
        lambda: D.IndependentTransform(D.ExpTransform(), 1)(tg.tensor(1.0)),
        ValueError,
        r"at least 1 dimensions, got shape \(\)",
    ),
    (
        "dimensions back",
        lambda: D.IndependentTransform(D.ExpTransform(), 1).inv(tg.tensor(1.0)),
        ValueError,
        r"at least 1 dimensions, got shape \(\)",
    ),
    (
        "triangle",
        lambda: D.CorrCholeskyTransform().forward_shape((4,)),
        ValueError,
        r"4 elements \(shape \(4,\)\) fill no triangle",
    ),
    (
        "triangle of a value",
        lambda: D.CorrCholeskyTransform()(tg.zeros(4)),
        ValueError,
        "4 elements",
    ),
    ("no vector", lambda: D.CorrCholeskyTransform().forward_shape(()), ValueError, "one dimension"),
    ("no square", lambda: D.CorrCholeskyTransform().inverse_shape((4, 3)), ValueError, r"\(4, 3\)"),
    ("0-d probabilities", lambda: D.StickBreakingTransform().forward_shape(()), ValueError, "0-d"),
    ("0-d classes", lambda: D.SoftmaxTransform().inverse_shape(()), ValueError, "0-d"),
    ("no part", lambda: D.ComposeTransform([3]), TypeError, "parts are Transforms, got 3"),
    (
        "shapes",
        lambda: D.AffineTransform(tg.zeros(2), 1.0).forward_shape((3,)),
        RuntimeError,
        r"2.*3|3.*2",
    ),
    ("no sign", lambda: D.AbsTransform().sign, NotImplementedError, "not known to rise"),
    ("no call", lambda: D.Transform()(tg.zeros(2)), NotImplementedError, "defines no _call"),
    ("no inverse", lambda: D.Transform().inv(tg.zeros(2)), NotImplementedError, "defines no _inv"),
    ("event_dim", lambda: D.ReshapeTransform((2,), (2, 1)).event_dim, ValueError, "from 1 to 2"),
    ("hash", lambda: hash(D.ExpTransform()), TypeError, "unhashable"),
]


@pytest.mark.parametrize(
    ("call", "kind", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_breaking_sticks_leaves_something() -> None:
    t = tg.distributions.StickBreakingTransform()
    x = tg.tensor([20.0, 0.0])
    y = t(x)
    assert bool((y > 0).all())
    assert bool(t.inv(y).isfinite().all())
