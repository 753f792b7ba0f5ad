"""Distributions: what is drawn has the distribution, and gradients flow through it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.ops.sampling.gamma import dirichlet, standard_gamma
from tapegrad.ops.sampling.implicit import dirichlet_slope, standard_gamma_slope

stats: Any = pytest.importorskip("scipy.stats", reason="SciPy is the oracle", exc_type=ImportError)
special: Any = pytest.importorskip("scipy.special", exc_type=ImportError)

D = tg.distributions
N = 20_000
LEAST = 1e-4  # a true sample's p-value is below it once in 10,000

f64 = tg.float64


def t(*values: float) -> tg.Tensor:
    return tg.tensor(values, dtype=f64)


def n(value: float) -> tg.Tensor:
    return tg.tensor(value, dtype=f64)


# A continuous distribution of one number, and SciPy's.
CONTINUOUS: dict[str, tuple[Any, Any]] = {
    "Beta": (lambda: D.Beta(n(0.4), n(2.5)), stats.beta(0.4, 2.5)),
    "Beta of a small concentration": (lambda: D.Beta(n(0.05), n(3)), stats.beta(0.05, 3)),
    "Cauchy": (lambda: D.Cauchy(n(1), n(2)), stats.cauchy(1, 2)),
    "Chi2": (lambda: D.Chi2(n(3)), stats.chi2(3)),
    "Exponential": (lambda: D.Exponential(n(2.5)), stats.expon(scale=1 / 2.5)),
    "FisherSnedecor": (lambda: D.FisherSnedecor(n(3), n(7)), stats.f(3, 7)),
    "Gamma below 1": (lambda: D.Gamma(n(0.3), n(2)), stats.gamma(0.3, scale=0.5)),
    "Gamma": (lambda: D.Gamma(n(4.5), n(2)), stats.gamma(4.5, scale=0.5)),
    "Gamma of many": (lambda: D.Gamma(n(900.0), n(2)), stats.gamma(900, scale=0.5)),
    "GeneralizedPareto": (
        lambda: D.GeneralizedPareto(n(1), n(2), n(0.3)),
        stats.genpareto(0.3, 1, 2),
    ),
    "GeneralizedPareto that ends": (
        lambda: D.GeneralizedPareto(n(1), n(2), n(-0.4)),
        stats.genpareto(-0.4, 1, 2),
    ),
    "GeneralizedPareto, exponential": (
        lambda: D.GeneralizedPareto(n(1), n(2), n(0)),
        stats.expon(1, 2),
    ),
    "Gumbel": (lambda: D.Gumbel(n(1), n(2)), stats.gumbel_r(1, 2)),
    "HalfCauchy": (lambda: D.HalfCauchy(n(2)), stats.halfcauchy(scale=2)),
    "HalfNormal": (lambda: D.HalfNormal(n(2)), stats.halfnorm(scale=2)),
    "InverseGamma": (lambda: D.InverseGamma(n(3), n(2)), stats.invgamma(3, scale=2)),
    "Laplace": (lambda: D.Laplace(n(1), n(2)), stats.laplace(1, 2)),
    "LogNormal": (lambda: D.LogNormal(n(0.5), n(0.7)), stats.lognorm(0.7, scale=math.exp(0.5))),
    "Normal": (lambda: D.Normal(n(1), n(2)), stats.norm(1, 2)),
    "Pareto": (lambda: D.Pareto(n(2), n(1.5)), stats.pareto(1.5, scale=2)),
    "StudentT": (lambda: D.StudentT(n(1.7), n(1), n(2)), stats.t(1.7, 1, 2)),
    "Uniform": (lambda: D.Uniform(n(-1), n(2)), stats.uniform(-1, 3)),
    "VonMises": (lambda: D.VonMises(n(0.5), n(2)), stats.vonmises(2, 0.5)),
    "Weibull": (lambda: D.Weibull(n(2), n(1.7)), stats.weibull_min(1.7, scale=2)),
}  # the rest by their own distribution functions, below


@pytest.mark.parametrize("name", CONTINUOUS)
def test_draws_by_kolmogorov_and_smirnov(name: str) -> None:
    made, expected = CONTINUOUS[name]
    tg.manual_seed(11)
    x = made().sample((N,)).numpy()
    if name == "VonMises":  # angles; SciPy's function goes on beyond a turn
        low = expected.cdf(-math.pi)
        assert stats.kstest(x, lambda x: expected.cdf(x) - low).pvalue > LEAST
    else:
        assert stats.kstest(x, expected.cdf).pvalue > LEAST


OWN: dict[str, Any] = {
    "ContinuousBernoulli": lambda: D.ContinuousBernoulli(n(0.8)),
    "Kumaraswamy": lambda: D.Kumaraswamy(n(2.0), n(0.7)),
    "MixtureSameFamily": lambda: D.MixtureSameFamily(
        D.Categorical(t(0.2, 0.8)), D.Normal(t(-1, 2), t(1, 0.3))
    ),
    "TransformedDistribution": lambda: D.TransformedDistribution(
        D.Exponential(n(2.0)), [D.AffineTransform(1.0, -0.3), D.TanhTransform()]
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_draws_by_the_own_distribution_function(name: str) -> None:
    """Which is an integral of the density."""
    d = OWN[name]()
    tg.manual_seed(12)
    x = d.sample((N,))
    assert stats.kstest(d.cdf(x).numpy(), "uniform").pvalue > LEAST
    x = x.sort().values[:: N // 50]
    grid = x[:1] + (x[-1:] - x[:1]) * tg.linspace(0, 1, 40_001, dtype=f64)
    density = d.log_prob(grid).exp()
    mass = tg.trapezoid(density, grid)
    assert float(mass) == pytest.approx(float(d.cdf(x[-1]) - d.cdf(x[0])), abs=2e-4)


DISCRETE: dict[str, tuple[Any, Any]] = {
    "Bernoulli": (lambda: D.Bernoulli(n(0.3)), stats.bernoulli(0.3)),
    "Binomial of few": (lambda: D.Binomial(7, n(0.3)), stats.binom(7, 0.3)),
    "Binomial of likely successes": (lambda: D.Binomial(20, n(0.9)), stats.binom(20, 0.9)),
    "Binomial of many": (lambda: D.Binomial(500, n(0.3)), stats.binom(500, 0.3)),
    "Categorical": (
        lambda: D.Categorical(t(1, 2, 0.5)),
        stats.rv_discrete(values=([0, 1, 2], np.array([1, 2, 0.5]) / 3.5)),
    ),
    "Geometric": (lambda: D.Geometric(n(0.3)), stats.geom(0.3, loc=-1)),
    "NegativeBinomial": (lambda: D.NegativeBinomial(n(2.5), n(0.6)), stats.nbinom(2.5, 0.4)),
    "Poisson": (lambda: D.Poisson(n(3.5)), stats.poisson(3.5)),
    "Poisson of many": (lambda: D.Poisson(n(80.0)), stats.poisson(80)),
}


def p_value(found: np.ndarray, expected: np.ndarray) -> float:
    """Pearson's test of counts; cells of fewer than 10 are put together."""
    few = expected < 10
    if few.any():
        found = np.append(found[~few], found[few].sum())
        expected = np.append(expected[~few], expected[few].sum())
    used = expected > 0
    assert not found[~used].any()
    square = ((found[used] - expected[used]) ** 2 / expected[used]).sum()
    return float(stats.chi2(max(used.sum() - 1, 1)).sf(square))


@pytest.mark.parametrize("name", DISCRETE)
def test_draws_by_chi_square(name: str) -> None:
    made, expected = DISCRETE[name]
    tg.manual_seed(13)
    d = made()
    x = d.sample((N,)).numpy()
    assert (x == np.floor(x)).all()
    assert (x >= 0).all()
    k = np.arange(int(x.max()) + 1)
    probability = expected.pmf(k)
    cells = np.append(probability, max(1 - probability.sum(), 0.0)) * N
    found = np.append(np.bincount(x.astype(int), minlength=len(k)), 0)
    assert p_value(found, cells) > LEAST
    np.testing.assert_allclose(
        d.log_prob(tg.tensor(k, dtype=f64)).exp().tolist(), probability, rtol=1e-9
    )


def test_one_hot_and_multinomial_draws_by_chi_square() -> None:
    p = t(0.1, 0.6, 0.3)
    tg.manual_seed(14)
    for d in (D.OneHotCategorical(p), D.OneHotCategoricalStraightThrough(logits=p.log())):
        drawn = d.sample((N,))
        assert bool((drawn.sum(-1) == 1).all())
        assert p_value(drawn.sum(0).numpy(), p.numpy() * N) > LEAST
    counts = D.Multinomial(5, p).sample((N,))
    assert bool((counts.sum(-1) == 5).all())
    for i, q in enumerate(p.tolist()):  # each count is binomial
        found = np.bincount(counts[:, i].long().numpy(), minlength=6)
        assert p_value(found, stats.binom(5, q).pmf(np.arange(6)) * N) > LEAST


def test_draws_of_several_coordinates() -> None:
    """Marginal distributions, and means of products."""
    tg.manual_seed(15)
    x = D.Dirichlet(t(0.5, 2, 3)).sample((N,)).numpy()
    for i, a in enumerate((0.5, 2, 3)):
        assert stats.kstest(x[:, i], stats.beta(a, 5.5 - a).cdf).pvalue > LEAST
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    factor = tg.tensor([[1.2], [0.5]], dtype=f64)
    low = D.LowRankMultivariateNormal(t(1, -1), factor, t(0.56, 0.25))
    for d in (D.MultivariateNormal(t(1, -1), tg.tensor(covariance)), low):
        x = d.sample((N,)).numpy()
        np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.08)
        # the squared distance from the mean, on the scale of the covariance, is chi-squared
        z = np.linalg.solve(np.linalg.cholesky(covariance), (x - [1, -1]).T)
        assert stats.kstest((z**2).sum(0), stats.chi2(2).cdf).pvalue > LEAST
    d = D.Wishart(n(4.5), tg.tensor(covariance))
    x = d.sample((N,)).numpy()
    np.testing.assert_allclose(x.mean(0), 4.5 * covariance, rtol=0.05)
    np.testing.assert_allclose(x.var(0), d.variance.numpy(), rtol=0.1)
    assert stats.kstest(x[:, 0, 0] / 2, stats.chi2(4.5).cdf).pvalue > LEAST
    d = D.LKJCholesky(3, n(1.5))
    factor = d.sample((N,))
    assert bool(d.support.check(factor).all())
    r = (factor @ factor.mT).numpy()
    for i, j in ((0, 1), (0, 2), (1, 2)):  # each correlation is beta distributed on -1..1
        own = stats.beta(2.0, 2.0, loc=-1, scale=2)
        assert stats.kstest(r[:, i, j], own.cdf).pvalue > LEAST


def test_relaxed_draws() -> None:
    """The class with the largest coordinate is a draw of the distribution that was relaxed."""
    tg.manual_seed(16)
    p = t(0.1, 0.6, 0.3)
    x = D.RelaxedOneHotCategorical(n(0.4), p).sample((N,))
    assert p_value(np.bincount(x.argmax(-1).numpy(), minlength=3), p.numpy() * N) > LEAST
    x = D.RelaxedBernoulli(n(0.4), n(0.3)).sample((N,))
    ones = int((x > 0.5).sum())
    assert p_value(np.array([N - ones, ones]), np.array([0.7, 0.3]) * N) > LEAST
    x = D.LogisticNormal(t(0.3, -1), t(1, 0.5)).sample((N,))
    z = D.StickBreakingTransform().inv(x).numpy()
    assert stats.kstest(z[:, 0], stats.norm(0.3, 1).cdf).pvalue > LEAST
    assert stats.kstest(z[:, 1], stats.norm(-1, 0.5).cdf).pvalue > LEAST


@pytest.mark.parametrize("device", [d for d in DEVICES if d != "cpu"])
def test_the_same_bits_on_every_device(device: str) -> None:
    a = tg.tensor([0.01, 0.4, 1.0, 3.0, 700.0], dtype=f64)
    draws = []
    for place in ("cpu", device):
        tg.manual_seed(1)
        one = D.Binomial(tg.tensor(50.0, device=place), a.clamp(max=0.9).to(place)).sample((9,))
        draws.append([one.tolist()])
    assert draws[0] == draws[1]
    for function in (standard_gamma, dirichlet):
        results = []
        for place in ("cpu", device):
            tg.manual_seed(1)
            results.append(function(a.expand(20, 5).to(place)).cpu().numpy())
        np.testing.assert_allclose(*results, rtol=1e-14)


# ---------------------------------------------------------------------- gradients of draws


def slope(quantile: Any, a: float, u: float, h: float) -> float:
    """The quantile's derivative with respect to a parameter: five points' difference."""
    far, near = (quantile(a + k * h, u) - quantile(a - k * h, u) for k in (2, 1))
    return (8 * near - far) / (12 * h)


@pytest.mark.parametrize("a", [1e-2, 0.3, 1.0, 2.5, 19.5, 21.0, 80.0, 1e4])
def test_slope_of_gamma_draws(a: float) -> None:
    """Against differences of SciPy's quantile function."""
    for u in (1e-3, 0.1, 0.5, 0.9, 0.999):
        x = float(special.gammaincinv(a, u))
        if x < 1e-250:
            continue
        expected = slope(special.gammaincinv, a, u, 1e-3 * a)
        got = standard_gamma_slope(n(x), n(a))
        assert float(got) == pytest.approx(expected, rel=2e-8)


@pytest.mark.parametrize("b", [0.05, 0.5, 1.0, 6.0, 300.0])
@pytest.mark.parametrize("a", [0.05, 0.5, 1.0, 6.0, 300.0])
def test_slope_of_beta_draws(a: float, b: float) -> None:
    for u in (1e-2, 0.3, 0.7, 0.99):
        x = float(special.betaincinv(a, b, u))
        if not 1e-250 < x < 1 - 1e-5:
            continue
        expected = slope(lambda a, u: special.betaincinv(a, b, u), a, u, 1e-3 * a) / (1 - x)
        assert float(dirichlet_slope(n(x), n(a), n(a + b))) == pytest.approx(expected, rel=2e-7)


def test_slopes_are_those_of_pytorch() -> None:
    """Which has them to three digits."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    a = np.array([0.05, 0.4, 1.0, 3.0, 9.0, 50.0])
    x = special.gammaincinv(a, np.linspace(0.1, 0.9, 7)[:, None])
    got = standard_gamma_slope(tg.tensor(x), tg.tensor(np.broadcast_to(a, x.shape).copy()))
    expected = torch._standard_gamma_grad(torch.tensor(a).expand(x.shape), torch.tensor(x))
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=2e-3)
    total = a + 1.5
    x = special.betaincinv(a, 1.5, np.linspace(0.1, 0.9, 7)[:, None])
    shapes = [np.broadcast_to(v, x.shape).copy() for v in (a, total)]
    got = dirichlet_slope(tg.tensor(x), *(tg.tensor(v) for v in shapes))
    expected = torch._dirichlet_grad(torch.tensor(x), *(torch.tensor(v) for v in shapes))
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=4e-3)


def test_slope_of_dirichlet_draws_keeps_the_other_proportions() -> None:
    tg.manual_seed(2)
    a = tg.tensor([0.7, 2.0, 5.0], dtype=f64, requires_grad=True)
    x = D.Dirichlet(a).rsample()
    jacobian = np.array(
        [tg.autograd.grad(x[j], a, retain_graph=True)[0].tolist() for j in range(3)]
    )
    x, total = x.detach().numpy(), 7.7
    np.testing.assert_allclose(jacobian.sum(0), 0, atol=1e-12)
    for i in range(3):
        own = a[i].item()
        u = special.betainc(own, total - own, x[i])
        at = slope(lambda c, u, b=total - own: special.betaincinv(c, b, u), own, u, 1e-3)
        for j in range(3):
            expected = at if i == j else -x[j] / (1 - x[i]) * at
            assert jacobian[j, i] == pytest.approx(expected, rel=1e-7)


# E f(x) of which the derivatives with respect to the parameters are known: f(x) = x, and x^2.
MOMENTS: dict[str, tuple[Any, list[tg.Tensor]]] = {
    "Beta": (D.Beta, [n(1.5), n(2.5)]),
    "Chi2": (D.Chi2, [n(3.0)]),
    "Exponential": (D.Exponential, [n(2.0)]),
    "FisherSnedecor": (D.FisherSnedecor, [n(6.0), n(30.0)]),
    "Gamma": (D.Gamma, [n(0.6), n(2.0)]),
    "Gumbel": (D.Gumbel, [n(1.0), n(2.0)]),
    "HalfNormal": (D.HalfNormal, [n(2.0)]),
    "InverseGamma": (D.InverseGamma, [n(30.0), n(20.0)]),
    "Kumaraswamy": (D.Kumaraswamy, [n(2.0), n(1.7)]),
    "Laplace": (D.Laplace, [n(1.0), n(2.0)]),
    "LogNormal": (D.LogNormal, [n(0.1), n(0.4)]),
    "Normal": (D.Normal, [n(1.0), n(2.0)]),
    "StudentT": (D.StudentT, [n(30.0), n(1.0), n(2.0)]),
    "Uniform": (D.Uniform, [n(-1.0), n(2.0)]),
    "Weibull": (D.Weibull, [n(2.0), n(1.7)]),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_gradients_of_means_through_draws(name: str) -> None:
    """The mean of draws' gradients is the gradient of the mean, within five of its errors."""
    made, parameters = MOMENTS[name]
    parameters = [p.clone().requires_grad_() for p in parameters]
    wide = [p.detach().expand(N).clone().requires_grad_() for p in parameters]
    tg.manual_seed(17)
    d = made(*wide)
    x = d.rsample()
    exact = made(*parameters)
    for value, moment in ((x, exact.mean), (x.square(), exact.variance + exact.mean.square())):
        found = tg.autograd.grad(value.sum(), wide, retain_graph=True, allow_unused=True)
        wanted = tg.autograd.grad(moment, parameters, retain_graph=True, allow_unused=True)
        for each, expected in zip(found, wanted, strict=True):
            target = 0.0 if expected is None else expected.item()
            each = np.zeros(1) if each is None else each.numpy()
            error = each.std() / math.sqrt(N)
            assert abs(each.mean() - target) <= 5 * error + 1e-9, name


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_of_draws_of_each_dtype_and_device(device: str) -> None:
    for dtype in (tg.float16, tg.float32, tg.float64):
        a = tg.tensor([0.5, 3.0, 30.0], dtype=dtype, device=device, requires_grad=True)
        tg.manual_seed(3)
        x = standard_gamma(a)
        x.sum().backward()
        assert x.dtype == a.grad.dtype == dtype
        expected = standard_gamma_slope(x.detach().double().cpu(), a.detach().double().cpu())
        np.testing.assert_allclose(a.grad.tolist(), expected.tolist(), rtol=2e-3)
        parts = D.Dirichlet(a).rsample((4,))
        (grad,) = tg.autograd.grad((parts * parts.new_tensor([1, 2, 3])).sum(), a)
        assert grad.dtype == dtype
        assert grad.device == a.device
        assert grad.isfinite().all()


def test_second_gradients_of_draws_are_refused() -> None:
    a = tg.tensor([0.5, 3.0], requires_grad=True)
    (first,) = tg.autograd.grad(standard_gamma(a).sum(), a, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"\[standard_gamma_slope\] has no gradient"):
        first.sum().backward()


def test_straight_through_draws_have_the_gradient_of_probs() -> None:
    p = tg.tensor([0.2, 0.5, 0.3], dtype=f64, requires_grad=True)
    d = D.OneHotCategoricalStraightThrough(p)
    tg.manual_seed(0)
    drawn = d.rsample((6,))
    assert set(drawn.detach().round(decimals=9).flatten().tolist()) == {0.0, 1.0}
    weights = t(1, 2, 4)
    (got,) = tg.autograd.grad((drawn * weights).sum(), p, retain_graph=True)
    (expected,) = tg.autograd.grad(6 * (d.probs * weights).sum(), p)
    np.testing.assert_allclose(got.tolist(), expected.tolist())


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64], ids=lambda d: d.name)
def test_draws_of_beta_lie_within_their_support(dtype: Any) -> None:
    a = tg.tensor(0.05, dtype=dtype)
    for d in (tg.distributions.Beta(a, a), tg.distributions.Dirichlet(a.expand(2))):
        x = d.sample((20_000,))
        assert bool(((x > 0) & (x < 1)).all())
        assert bool(d.log_prob(x).isfinite().all())
