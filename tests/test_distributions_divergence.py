"""Kullback-Leibler divergences: all pairs of PyTorch's, their gradients, and dispatch by class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from distribution_table import LOC, POSITIVE, PROBS, cholesky, numbers, positive_definite

import tapegrad as tg

D = tg.distributions
WIDE = numbers([0.6], [2.2])  # the second's parameters broadcast with the first's

FIRST: dict[str, dict[str, Any]] = {
    "Bernoulli": {"probs": PROBS},
    "Beta": {"concentration1": POSITIVE, "concentration0": POSITIVE + 0.4},
    "Binomial": {"total_count": 5, "probs": PROBS},
    "Categorical": {"probs": numbers([0.2, 0.5, 0.3], [0.6, 0.1, 0.3])},
    "Cauchy": {"loc": LOC, "scale": POSITIVE},
    "ContinuousBernoulli": {"probs": PROBS},
    "Dirichlet": {"concentration": POSITIVE},
    "Exponential": {"rate": POSITIVE},
    "Gamma": {"concentration": POSITIVE, "rate": POSITIVE + 0.5},
    "Geometric": {"probs": PROBS},
    "Gumbel": {"loc": LOC, "scale": POSITIVE},
    "HalfNormal": {"scale": POSITIVE},
    "Laplace": {"loc": LOC, "scale": POSITIVE},
    "LowRankMultivariateNormal": {
        "loc": LOC,
        "cov_factor": numbers([1], [-0.3], [0.2]),
        "cov_diag": POSITIVE,
    },
    "MultivariateNormal": {"loc": LOC, "covariance_matrix": positive_definite()},
    "Normal": {"loc": LOC, "scale": POSITIVE},
    "OneHotCategorical": {"probs": numbers([0.2, 0.5, 0.3], [0.6, 0.1, 0.3])},
    "Pareto": {"scale": POSITIVE, "alpha": numbers(2.5, 3.0, 4.0)},
    "Poisson": {"rate": POSITIVE},
    "Uniform": {"low": numbers(0.1, 0.3, 0.45), "high": numbers(0.5, 0.9, 0.99)},
}
SECOND: dict[str, dict[str, Any]] = {
    "Bernoulli": {"logits": WIDE},
    "Beta": {"concentration1": WIDE, "concentration0": WIDE + 1},
    "Binomial": {"total_count": 5, "logits": WIDE},
    "Categorical": {"logits": numbers(0.3, 1.2, -0.4)},
    "Cauchy": {"loc": -WIDE, "scale": WIDE},
    "ContinuousBernoulli": {"logits": WIDE},
    "Dirichlet": {"concentration": numbers([1.5, 0.4, 2], [3, 1, 1])},
    "Exponential": {"rate": WIDE},
    "Gamma": {"concentration": WIDE, "rate": WIDE + 1},
    "Geometric": {"probs": WIDE / 3},
    "Gumbel": {"loc": -WIDE, "scale": WIDE},
    "HalfNormal": {"scale": WIDE},
    "Laplace": {"loc": -WIDE, "scale": WIDE},
    "LowRankMultivariateNormal": {
        "loc": numbers(LOC + 1, LOC),
        "cov_factor": numbers([0.5, 1], [1, 0], [0.3, 0.1]),
        "cov_diag": POSITIVE + 1,
    },
    "MultivariateNormal": {"loc": LOC - 1, "scale_tril": cholesky(2, seed=5)},
    "Normal": {"loc": -WIDE, "scale": WIDE},
    "OneHotCategorical": {"logits": numbers(0.3, 1.2, -0.4)},
    "Pareto": {"scale": WIDE / 10, "alpha": WIDE},
    "Poisson": {"rate": WIDE},
    "Uniform": {"low": -WIDE, "high": WIDE + 1},
}


HEAVY = ("Normal", "Gumbel")  # exp of a normal number, whose mean is that of rare draws


def pairs() -> list[tuple[str, str]]:
    return sorted(
        (p.__name__, q.__name__)
        for p, q in D.kl.dispatch._REGISTERED
        if p.__name__ in FIRST and q.__name__ in SECOND
    )


def made(library: Any, name: str, parameters: dict[str, Any]) -> tuple[Any, list]:
    given, leaves = dict(parameters), []
    for key, value in given.items():
        if isinstance(value, np.ndarray):
            leaf = library.tensor(value, dtype=library.float64, requires_grad=True)
            leaves.append(leaf)
            given[key] = leaf.tril() if key == "scale_tril" else leaf
    return getattr(library.distributions, name)(**given), leaves


def divergence(library: Any, p: str, q: str) -> list[np.ndarray]:
    (first, leaves), (second, others) = made(library, p, FIRST[p]), made(library, q, SECOND[q])
    if library is not tg:  # PyTorch's masks do not broadcast
        shape = np.broadcast_shapes(tuple(first.batch_shape), tuple(second.batch_shape))
        first, second = first.expand(shape), second.expand(shape)
    value = library.distributions.kl_divergence(first, second)
    found = [value.detach().numpy()]
    if value.requires_grad and np.isfinite(found[0]).all():
        inputs = leaves + others
        grads = library.autograd.grad(value.sum(), inputs, allow_unused=True)
        found += [
            np.zeros(tuple(x.shape)) if g is None else g.numpy()
            for g, x in zip(grads, inputs, strict=True)
        ]
    return found


@pytest.mark.parametrize(("p", "q"), pairs())
def test_divergence_is_pytorchs(p: str, q: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    expected, got = divergence(torch, p, q), divergence(tg, p, q)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_all_of_pytorchs_pairs_are_registered() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    theirs = {(p.__name__, q.__name__) for p, q in torch.distributions.kl._KL_REGISTRY}
    ours = {(p.__name__, q.__name__) for p, q in D.kl.dispatch._REGISTERED}
    assert ours == theirs
    assert len(theirs) > 80


@pytest.mark.parametrize(("p", "q"), [pair for pair in pairs() if pair != HEAVY])
def test_divergence_is_the_mean_of_the_log_quotient(p: str, q: str) -> None:
    """Within six of the mean's errors; without PyTorch."""
    (first, _), (second, _) = made(tg, p, FIRST[p]), made(tg, q, SECOND[q])
    with tg.no_grad():
        exact = D.kl_divergence(first, second).numpy()
        if not np.isfinite(exact).all():
            return
        tg.manual_seed(3)
        x = first.sample((4000,))
        if p == "Uniform":
            x = x.clamp(min=1e-9)
        while x.ndim - 1 - len(first.event_shape) < len(exact.shape):
            x = x.unsqueeze(1)
        each = first.log_prob(x) - second.log_prob(x)
        mean, error = each.mean(0).numpy(), each.std(0).numpy() / 4000**0.5
    assert (np.abs(mean - exact) <= 6 * error + 1e-9).all()


@pytest.mark.parametrize("name", [n for n, m in pairs() if n == m])
def test_divergence_from_itself_is_0(name: str) -> None:
    p, _ = made(tg, name, FIRST[name])
    np.testing.assert_allclose(D.kl_divergence(p, p).tolist(), 0, atol=1e-12)


def test_edges() -> None:
    """Probabilities of 0, and supports that do not hold the other."""
    t = tg.tensor
    kl = D.kl_divergence
    zero, half, one = (D.Bernoulli(t(v)) for v in (0.0, 0.5, 1.0))
    assert float(kl(zero, half)) == pytest.approx(np.log(2))
    assert float(kl(zero, zero)) == 0
    assert float(kl(half, one)) == float(kl(half, zero)) == np.inf
    sure, any_ = D.Categorical(t([1.0, 0, 0])), D.Categorical(t([0.5, 0.5, 0]))
    assert float(kl(sure, any_)) == pytest.approx(np.log(2))
    assert float(kl(any_, sure)) == np.inf
    unit, wide = D.Uniform(0.0, 1.0), D.Uniform(-1.0, 2.0)
    assert float(kl(unit, wide)) == pytest.approx(np.log(3))
    assert float(kl(wide, unit)) == np.inf
    assert float(kl(wide, D.Exponential(1.0))) == np.inf
    assert float(kl(wide, D.Gamma(2.0, 1.0))) == np.inf
    assert float(kl(wide, D.Beta(2.0, 1.0))) == np.inf
    assert float(kl(wide, D.ContinuousBernoulli(t(0.3)))) == np.inf
    assert float(kl(unit, D.Pareto(1.0, 2.0))) == np.inf
    assert float(kl(D.Beta(2.0, 3.0), D.Uniform(0.1, 1.0))) == np.inf
    assert float(kl(D.Pareto(1.0, 0.9), D.Exponential(1.0))) == np.inf
    assert float(kl(D.Pareto(1.0, 1.9), D.Normal(0.0, 1.0))) == np.inf
    assert float(kl(D.Pareto(1.0, 2.0), D.Pareto(2.0, 2.0))) == np.inf
    assert float(kl(D.Binomial(5, t(0.3)), D.Binomial(4, t(0.3)))) == np.inf
    with pytest.raises(NotImplementedError, match="as many trials"):
        kl(D.Binomial(4, t(0.3)), D.Binomial(5, t(0.3)))
    # the limit of the integral at 0
    assert float(kl(D.Uniform(0.0, 1.0), D.Gamma(2.0, 1.0))) == pytest.approx(1.5)


def test_made_of_others() -> None:
    loc, scale = tg.tensor([[0.1, 1.0, 2.0]] * 2), tg.tensor([0.5, 1.0, 2.0])
    p, q = D.Normal(loc, scale), D.Normal(0.0, 1.0).expand((2, 3))
    each = D.kl_divergence(p, q)
    for n in (0, 1, 2):
        got = D.kl_divergence(D.Independent(p, n), D.Independent(q, n))
        expected = each.sum(tuple(range(-n, 0))) if n else each
        np.testing.assert_allclose(got.tolist(), expected.tolist(), rtol=1e-6)
    with pytest.raises(NotImplementedError, match="one reinterpreted_batch_ndims, got 1 and 2"):
        D.kl_divergence(D.Independent(p, 1), D.Independent(q, 2))
    p, q = D.LogNormal(loc, scale), D.LogNormal(0.0, 1.0)
    np.testing.assert_allclose(D.kl_divergence(p, q).tolist(), each.tolist(), rtol=1e-6)
    with pytest.raises(NotImplementedError, match="same transforms"):
        D.kl_divergence(p, D.HalfNormal(1.0))
    with pytest.raises(NotImplementedError, match="is not known for Normal and Cauchy"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Cauchy(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="is not known for Normal and Dirichlet"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Dirichlet(scale))
    p = D.MultivariateNormal(loc[0], tg.eye(3))
    with pytest.raises(ValueError, match=r"one event_shape, got \(3,\) and \(2,\)"):
        D.kl_divergence(p, D.MultivariateNormal(tg.zeros(2), tg.eye(2)))


def test_exponential_families_by_bregmans_divergence() -> None:
    """The general rule gives what the particular ones do, and has their gradients."""
    general = D.kl.dispatch._REGISTERED[D.ExponentialFamily, D.ExponentialFamily]
    cases = [
        (D.Normal, (0.3, 1.2), (-0.5, 2.0)),
        (D.Gamma, (1.3, 1.2), (0.5, 2.0)),
        (D.Beta, (1.3, 1.2), (0.5, 2.0)),
        (D.Exponential, (1.3,), (0.5,)),
        (D.Poisson, (1.3,), (0.5,)),
        (D.Bernoulli, (0.3,), (0.6,)),
        (D.ContinuousBernoulli, (0.3,), (0.6,)),
        (D.Dirichlet, ([0.3, 2.0],), ([0.6, 1.0],)),
    ]
    for kind, first, second in cases:
        given = [
            [tg.tensor(v, dtype=tg.float64, requires_grad=True) for v in s] for s in (first, second)
        ]
        p, q = (kind(*parameters) for parameters in given)
        a, b = general(p, q), D.kl_divergence(p, q)
        assert float(a) == pytest.approx(float(b), rel=1e-9)
        inputs = [x for s in given for x in s]
        grads = (tg.autograd.grad(v, inputs, retain_graph=True) for v in (a, b))
        for x, y in zip(*grads, strict=True):
            np.testing.assert_allclose(x.tolist(), y.tolist(), rtol=1e-8)
        if kind is not D.Poisson:  # of which the entropy is no closed form
            entropy = D.ExponentialFamily.entropy(p)
            assert float(entropy) == pytest.approx(float(p.entropy()), rel=1e-9)
            (grad,) = tg.autograd.grad(entropy, given[0][-1:], retain_graph=True)
            (exact,) = tg.autograd.grad(p.entropy(), given[0][-1:])
            np.testing.assert_allclose(grad.tolist(), exact.tolist(), rtol=1e-8, atol=1e-12)
    with pytest.raises(NotImplementedError, match="Poisson does not define"):
        D.Poisson(1.0).entropy()


def test_dispatch_takes_the_nearest_classes_and_warns_of_two() -> None:
    class One(D.Normal):
        pass

    class Two(One):
        pass

    registered = D.kl.dispatch._REGISTERED
    try:
        D.register_kl(One, One)(lambda p, q: "one")
        assert D.kl_divergence(Two(0.0, 1.0), One(0.0, 1.0)) == "one"
        D.register_kl(Two, D.Normal)(lambda p, q: "left")
        with pytest.warns(RuntimeWarning, match="register one"):
            assert D.kl_divergence(Two(0.0, 1.0), One(0.0, 1.0)) == "left"
        D.register_kl(Two, One)(lambda p, q: "both")
        assert D.kl_divergence(Two(0.0, 1.0), One(0.0, 1.0)) == "both"
        assert float(D.kl_divergence(One(0.0, 1.0), D.Normal(0.0, 1.0))) == 0
    finally:
        for pair in ((One, One), (Two, D.Normal), (Two, One)):
            registered.pop(pair, None)
        D.kl.dispatch._FOUND.clear()
    with pytest.raises(TypeError, match="a class of distributions, got 3"):
        D.register_kl(3, D.Normal)
