"""Distributions: what is refused and how it is told, validation, subclasses, copies, edges."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from distribution_table import ROWS, Row

import tapegrad as tg

D = tg.distributions
t = tg.tensor
nan = math.nan


REFUSED: list[tuple[str, Any, type[Exception], str]] = [
    (
        "negative scale",
        lambda: D.Normal(0.0, t([1.0, -2.0])),
        ValueError,
        r"\[Normal\] parameter scale, of shape \(2,\), must satisfy "
        r"GreaterThan\(lower_bound=0.0\), got -2.0 at \[1\]",
    ),
    ("nan", lambda: D.Normal(t(nan), 1.0), ValueError, r"parameter loc, .* Real\(\), got nan"),
    ("text", lambda: D.Normal("a", 1.0), ValueError, "Tensors and numbers, got str"),
    ("shapes", lambda: D.Normal(tg.zeros(2), tg.ones(3)), RuntimeError, "2.*3"),
    ("neither", lambda: D.Bernoulli(), ValueError, r"\[Bernoulli\] takes either .* got neither"),
    ("both", lambda: D.Bernoulli(0.5, 0.0), ValueError, "got both"),
    ("neither class", lambda: D.Categorical(), ValueError, r"\[Categorical\] .*neither"),
    ("no classes", lambda: D.Categorical(t(1.0)), ValueError, "classes as its last dimension"),
    ("a list", lambda: D.Categorical([1.0, 2.0]), TypeError, "probs must be a Tensor, got list"),
    (
        "negative probability",
        lambda: D.Categorical(t([-1.0, 2.0])),
        ValueError,
        r"parameter probs, .*Simplex\(\), got \[-1.0, 2.0\]",
    ),
    ("probability", lambda: D.Bernoulli(t([0.5, 1.5])), ValueError, r"Interval.*got 1.5 at \[1\]"),
    ("probability 0", lambda: D.Geometric(t(0.0)), ValueError, "parameter probs.*got 0.0"),
    ("probability 1", lambda: D.NegativeBinomial(3, t(1.0)), ValueError, "HalfOpenInterval"),
    ("beyond 1", lambda: D.ContinuousBernoulli(t(1.5)), ValueError, "got 1.5"),
    ("half a trial", lambda: D.Binomial(t(2.5), t(0.5)), ValueError, "total_count.*got 2.5"),
    (
        "low above high",
        lambda: D.Uniform(1.0, 0.0),
        ValueError,
        r"parameter low, .*LessThan\(upper_bound=0.0\)|parameter low",
    ),
    ("degrees of freedom", lambda: D.Chi2(t(-1.0)), ValueError, "df.*got -2.0|df.*got -1.0"),
    ("rate", lambda: D.Poisson(t(-1.0)), ValueError, "rate.*GreaterThanEq"),
    ("0-d concentration", lambda: D.Dirichlet(t(1.0)), ValueError, "last dimension"),
    ("a number", lambda: D.Dirichlet(1.0), TypeError, "must be a Tensor, got float"),
    ("no matrix", lambda: D.MultivariateNormal(tg.zeros(2)), ValueError, "exactly one.*got none"),
    (
        "two matrices",
        lambda: D.MultivariateNormal(tg.zeros(2), tg.eye(2), tg.eye(2)),
        ValueError,
        "got covariance_matrix, precision_matrix",
    ),
    ("0-d mean", lambda: D.MultivariateNormal(t(0.0), tg.eye(2)), ValueError, "loc must be"),
    (
        "a vector",
        lambda: D.MultivariateNormal(tg.zeros(2), tg.ones(2)),
        ValueError,
        r"covariance_matrix must be a matrix .*got \(2,\)",
    ),
    (
        "another size",
        lambda: D.MultivariateNormal(tg.zeros(2), tg.eye(3)),
        ValueError,
        r"\(..., 2, 2\) .*got shape \(3, 3\)",
    ),
    (
        "indefinite",
        lambda: D.MultivariateNormal(tg.zeros(2), t([[1.0, 2], [2, 1]])),
        ValueError,
        r"covariance_matrix.*PositiveDefinite\(\)",
    ),
    (
        "factor",
        lambda: D.MultivariateNormal(tg.zeros(2), scale_tril=t([[1.0, 2], [2, 1]])),
        ValueError,
        r"scale_tril.*LowerCholesky\(\)",
    ),
    (
        "rank",
        lambda: D.LowRankMultivariateNormal(tg.zeros(2), tg.zeros(3, 1), tg.ones(2)),
        ValueError,
        r"cov_factor must be \(..., 2, m\) .* got shape \(3, 1\)",
    ),
    (
        "diagonal",
        lambda: D.LowRankMultivariateNormal(tg.zeros(2), tg.zeros(2, 1), tg.ones(3)),
        ValueError,
        r"cov_diag must be \(..., 2\) .* got shape \(3,\)",
    ),
    (
        "0-d of low rank",
        lambda: D.LowRankMultivariateNormal(t(0.0), tg.zeros(2, 1), tg.ones(2)),
        ValueError,
        "0-d",
    ),
    ("too few degrees", lambda: D.Wishart(t(1.0), tg.eye(3)), ValueError, "greater than n - 1 = 2"),
    ("no matrix of Wishart's", lambda: D.Wishart(t(3.0)), ValueError, "exactly one"),
    ("one variable", lambda: D.LKJCholesky(1), ValueError, "at least 2, got 1"),
    ("a half variable", lambda: D.LKJCholesky(2.5), TypeError, "dim must be an int, got float 2.5"),
    ("no number", lambda: D.LKJCholesky("a"), TypeError, "dim must be an int, got str 'a'"),
    ("counts", lambda: D.Multinomial(t(3), tg.ones(3)), NotImplementedError, "one int"),
    ("negative count", lambda: D.Multinomial(-1, tg.ones(3)), ValueError, "got -1"),
    (
        "several counts",
        lambda: D.Binomial(t([3.0, 4.0]), t(0.3)).enumerate_support(),
        NotImplementedError,
        "one total_count",
    ),
    (
        "entropy of several",
        lambda: D.Binomial(t([3.0, 4.0]), t(0.3)).entropy(),
        NotImplementedError,
        "one total_count",
    ),
    (
        "transforms",
        lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), 3),
        ValueError,
        "a Transform or a list of them, got 3",
    ),
    (
        "a list of no transforms",
        lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), [3]),
        ValueError,
        r"got \[3\]",
    ),
    (
        "dimensions",
        lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform()),
        ValueError,
        r"has shape \(\), the transforms take at least 1",
    ),
    (
        "batch dimensions",
        lambda: D.Independent(D.Normal(0.0, 1.0), 1),
        ValueError,
        r"is 1, the batch of Normal has 0 dimensions: \(\)",
    ),
    (
        "no mixture",
        lambda: D.MixtureSameFamily(D.Normal(0.0, 1.0), D.Normal(0.0, 1.0)),
        ValueError,
        "is a Categorical, got Normal",
    ),
    (
        "no component",
        lambda: D.MixtureSameFamily(D.Categorical(tg.ones(3)), 3),
        ValueError,
        "is a Distribution, got int",
    ),
    (
        "components",
        lambda: D.MixtureSameFamily(D.Categorical(tg.ones(3)), D.Normal(tg.zeros(2), 1.0)),
        ValueError,
        r"mixture_distribution has 3, component_distribution batch_shape \(2,\)",
    ),
    (
        "batches",
        lambda: D.MixtureSameFamily(D.Categorical(tg.ones(4, 3)), D.Normal(tg.zeros(2, 3), 1.0)),
        ValueError,
        r"\(4,\) does not broadcast with component_distribution's, \(2,\)",
    ),
    (
        "a number's probability",
        lambda: D.Normal(0.0, 1.0).log_prob(1.0),
        ValueError,
        r"\[Normal\] value must be a Tensor, got float",
    ),
    (
        "nan's probability",
        lambda: D.Normal(0.0, 1.0).log_prob(t(nan)),
        ValueError,
        r"\[Normal\] value, of shape \(\), must satisfy Real\(\), got nan",
    ),
    (
        "value's shape",
        lambda: D.Normal(tg.zeros(2), 1.0).log_prob(tg.zeros(3)),
        ValueError,
        r"value, of shape \(3,\), does not broadcast with batch_shape \+ event_shape \(2,\)",
    ),
    (
        "event's shape",
        lambda: D.Dirichlet(tg.ones(3)).log_prob(tg.ones(2) / 2),
        ValueError,
        r"value, of shape \(2,\), must end with event_shape \(3,\)",
    ),
    (
        "a class beyond",
        lambda: D.Categorical(tg.ones(3)).log_prob(t([0, 3])),
        ValueError,
        r"IntegerInterval\(lower_bound=0, upper_bound=2\), got 3 at \[1\]",
    ),
    (
        "two hot",
        lambda: D.OneHotCategorical(tg.ones(2)).log_prob(tg.ones(2)),
        ValueError,
        r"OneHot\(\)",
    ),
    ("a cdf's value", lambda: D.Exponential(1.0).cdf(t(-1.0)), ValueError, "got -1.0"),
    (
        "sample shape",
        lambda: D.Normal(0.0, 1.0).sample(3),
        TypeError,
        r"\[Normal\] sample_shape is a tuple of ints, got 3",
    ),
    ("half a sample", lambda: D.Normal(0.0, 1.0).sample((2.5,)), TypeError, "got .2.5"),
    (
        "not reparameterised",
        lambda: D.Poisson(1.0).rsample(),
        NotImplementedError,
        "Poisson does not define rsample: use sample",
    ),
    (
        "values of Normal",
        lambda: D.Normal(0.0, 1.0).enumerate_support(),
        NotImplementedError,
        "Normal does not define enumerate_support",
    ),
    (
        "values across dimensions",
        lambda: D.Independent(D.Bernoulli(tg.ones(2) / 2), 1).enumerate_support(),
        NotImplementedError,
        "itertools.product",
    ),
    ("icdf", lambda: D.Gamma(1.0, 1.0).icdf(t(0.5)), NotImplementedError, "does not define icdf"),
    ("validation", lambda: D.Distribution.set_default_validate_args(3), ValueError, "got 3"),
    (
        "a triangle's length",
        lambda: D.utils.vec_to_tril_matrix(tg.zeros(4)),
        ValueError,
        r"4 elements \(shape \(4,\)\) fill no lower triangle up to diagonal 0: that takes 3 or 6",
    ),
    (
        "diagonal of a triangle",
        lambda: D.utils.tril_matrix_to_vec(tg.zeros(3, 3), 5),
        ValueError,
        r"diag must lie in -3..2 for 3 x 3 matrices, got 5",
    ),
    ("a wrong name", lambda: D.Norml, AttributeError, "did you mean 'Normal'"),
]


@pytest.mark.parametrize(
    ("call", "kind", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_validation_can_be_left_out() -> None:
    d = D.Normal(0.0, -1.0, validate_args=False)
    assert float(d.log_prob(t(nan)).isnan())
    assert not d.expand((2,))._validate_args
    D.Distribution.set_default_validate_args(False)
    try:
        assert math.isnan(float(D.Normal(0.0, -1.0).entropy()))
        with pytest.raises(ValueError, match="scale"):
            D.Normal(0.0, -1.0, validate_args=True)
    finally:
        D.Distribution.set_default_validate_args(True)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_copies_and_pickles(row: Row) -> None:
    parameters = {
        k: t(v) if isinstance(v, (np.ndarray, np.floating)) else v
        for k, v in row.parameters.items()
    }
    d = getattr(D, row.name)(**parameters)
    tg.manual_seed(0)
    x = d.sample((2,))
    expected = d.log_prob(x).tolist()
    for other in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert type(other) is type(d)
        np.testing.assert_array_equal(other.log_prob(x).tolist(), expected)


def test_numbers_take_the_first_tensors_dtype() -> None:
    d = D.Normal(t(0.0, dtype=tg.float64), 2)
    assert d.scale.dtype == tg.float64
    assert D.Normal(0, 2).loc.dtype == tg.get_default_dtype()
    assert D.Normal(np.float64(0), np.float32(2)).scale.dtype == tg.float32


def test_one_mixture_of_a_batch_of_components() -> None:
    """PyTorch's density broadcasts, too, but its sample does not."""
    mixture = D.Categorical(t([0.0, 1.0]))
    d = D.MixtureSameFamily(mixture, D.Normal(t([[0.0, 5], [0, 7]]), 1e-3))
    assert d.batch_shape == (2,)
    assert d.sample((4,)).round().tolist() == [[5, 7]] * 4
    assert d.mean.tolist() == [5, 7]


def test_errors_show_few_of_many_numbers() -> None:
    with pytest.raises(ValueError, match=r"of shape \(500, 500\)") as caught:
        D.MultivariateNormal(tg.zeros(500), -tg.eye(500))
    assert len(str(caught.value)) < 1000


def test_shown() -> None:
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(D.Normal(tg.zeros(3), 1.0)).startswith("Normal(loc: tapegrad.Size([3]), scale")
    assert repr(D.Independent(D.Normal(tg.zeros(1), 1.0), 1)).startswith("Independent(Normal(")
    mixture = D.MixtureSameFamily(D.Categorical(tg.ones(2)), D.Normal(tg.zeros(2), 1.0))
    assert repr(mixture) == (
        "MixtureSameFamily(\n  Categorical(probs: tapegrad.Size([2])),\n"
        "  Normal(loc: tapegrad.Size([2]), scale: tapegrad.Size([2])))"
    )
    both = D.ComposeTransform([D.ExpTransform(), D.AffineTransform(0.0, 1.0)])
    assert repr(both) == "ComposeTransform(\n    ExpTransform(),\n    AffineTransform()\n)"


def test_lazy_values_are_made_once_and_recorded() -> None:
    logits = t([0.5, -1.0], requires_grad=True)
    d = D.Bernoulli(logits=logits)
    assert "probs" not in d.__dict__
    with tg.no_grad():
        probs = d.probs
    assert d.probs is probs
    assert probs.requires_grad
    assert isinstance(D.Bernoulli.probs, D.utils.lazy_property)
    assert D.Bernoulli(logits=logits).expand((3, 2)).probs.shape == (3, 2)


def test_subclasses_of_users() -> None:
    """A constructor of one's own wants an expand of one's own, or its parameters' names."""

    class Plain(D.Normal):
        pass

    class Own(D.Normal):
        def __init__(self, loc: Any) -> None:
            super().__init__(loc, 2.0)

    class Named(Own):
        arg_constraints = {"loc": D.constraints.real, "scale": D.constraints.positive}  # noqa: RUF012

        def __init__(self, loc: Any) -> None:
            super().__init__(loc)

    class Filled(Own):
        def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
            new = self._get_checked_instance(Filled, _instance)
            return super().expand(batch_shape, new)

        def __init__(self, loc: Any) -> None:
            super().__init__(loc)

    assert type(Plain(0.0, 1.0).expand((3,))) is Plain
    with pytest.raises(NotImplementedError, match="Own has a constructor of its own"):
        Own(0.0).expand((3,))
    for kind in (Named, Filled):
        wide = kind(0.0).expand((3,))
        assert type(wide) is kind
        assert wide.scale.tolist() == [2, 2, 2]
    assert float(D.kl_divergence(Own(0.0), D.Normal(0.0, 2.0))) == 0


def test_a_distribution_of_few_words() -> None:
    """What is not said is asked for by a warning, or refused by name."""

    class Die(D.Distribution):
        def sample(self, sample_shape: Any = ()) -> Any:
            return tg.randint(1, 7, self._extended_shape(sample_shape))

        def log_prob(self, value: Any) -> Any:
            self._validate_sample(value)
            return tg.full_like(value, -math.log(6), dtype=tg.float32)

    with pytest.warns(UserWarning, match="arg_constraints = {}"):
        die = Die()
    assert set(die.sample((200,)).tolist()) == {1, 2, 3, 4, 5, 6}
    with pytest.warns(UserWarning, match="does not define support"):
        die.log_prob(t([1, 2]))
    for what in ("mean", "mode", "variance", "support", "arg_constraints"):
        with pytest.raises(NotImplementedError, match=f"Die does not define {what}"):
            getattr(die, what)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Die(validate_args=False)


def test_triangles() -> None:
    x = tg.arange(9.0).reshape(3, 3)
    for diag, expected in ((0, [0, 3, 4, 6, 7, 8]), (-1, [3, 6, 7]), (1, [0, 1, 3, 4, 5, 6, 7, 8])):
        vector = D.utils.tril_matrix_to_vec(x, diag)
        assert vector.tolist() == expected
        assert D.utils.vec_to_tril_matrix(vector, diag).tolist() == x.tril(diag).tolist()
    batch = tg.stack([x, x + 1])
    back = D.utils.vec_to_tril_matrix(D.utils.tril_matrix_to_vec(batch))
    assert back.tolist() == batch.tril().tolist()


def test_extreme_parameters() -> None:
    """Values stay finite where formulas would overflow, cancel or divide 0 by 0."""
    for logits in (-200.0, 200.0):
        d = D.Bernoulli(logits=t(logits))
        assert d.log_prob(t([0.0, 1.0])).tolist() == sorted([-200.0, 0.0], reverse=logits < 0)
        assert D.Binomial(3, logits=t(logits)).log_prob(t([0.0, 3.0])).isfinite().all()
    assert float(D.Poisson(0.0).log_prob(t(0.0))) == 0
    assert float(D.Poisson(0.0).log_prob(t(1.0))) == -math.inf
    assert float(D.Geometric(t(1.0)).log_prob(t(0.0))) == 0
    assert float(D.NegativeBinomial(0, t(0.3)).log_prob(t(0.0))) == 0
    assert float(D.Categorical(t([0.0, 1.0])).entropy()) == pytest.approx(0, abs=1e-5)
    assert float(D.Categorical(logits=t([-math.inf, 0.0])).entropy()) == 0
    counts = D.Multinomial(3, logits=t([-math.inf, 0.0]))
    assert float(counts.log_prob(t([0.0, 3.0]))) == 0
    assert float(D.Uniform(0.0, 1.0).log_prob(t(1.0))) == -math.inf  # the end is not drawn
    p = t(0.5, dtype=tg.float64, requires_grad=True)
    d = D.ContinuousBernoulli(p)
    values = [d.log_prob(t(0.3)), d.cdf(t(0.3)), d.icdf(t(0.3)), d.mean, d.variance, d.entropy()]
    assert [round(v.item(), 6) for v in values] == [0, 0.3, 0.3, 0.5, round(1 / 12, 6), 0]
    assert tg.autograd.grad(sum(values), p)[0].isfinite()
    tiny = D.Dirichlet(t([1e-6, 1e-6, 1e-6])).sample((100,))
    assert tiny.isfinite().all()
    assert np.allclose(tiny.sum(-1).tolist(), 1)
    assert (D.Gamma(1e-6, 1.0).sample((100,)) > 0).all()
    assert D.VonMises(t(0.0), t(1e-8)).sample((50,)).isfinite().all()
    assert D.VonMises(t(0.0), t(1e4)).sample((50,)).abs().max() < 0.2


def test_the_kumaraswamy_mode_is_where_the_density_is_largest() -> None:
    """PyTorch's is nan for all concentrations (see docs/differences.md)."""
    a, b = t([2.0, 3.0, 0.5], dtype=tg.float64), t([3.0, 1.5, 2.0], dtype=tg.float64)
    d = D.Kumaraswamy(a, b)
    grid = tg.linspace(0.0005, 0.9995, 1000, dtype=tg.float64)
    best = grid[d.log_prob(grid.unsqueeze(-1)).argmax(0)]
    np.testing.assert_allclose(d.mode[:2].tolist(), best[:2].tolist(), atol=1e-3)
    assert d.mode[2].isnan()


def test_densities_outside_the_support() -> None:
    """-inf, where nothing is checked."""
    off = {"validate_args": False}
    assert float(D.HalfNormal(1.0, **off).log_prob(t(-1.0))) == -math.inf
    assert float(D.HalfCauchy(1.0, **off).log_prob(t(-1.0))) == -math.inf
    assert D.Uniform(0.0, 1.0, **off).log_prob(t([-1.0, 2.0])).tolist() == [-math.inf] * 2
    assert D.Uniform(0.0, 1.0, **off).cdf(t([-1.0, 2.0])).tolist() == [0, 1]
    assert D.ContinuousBernoulli(t(0.3), **off).cdf(t([-1.0, 2.0])).tolist() == [0, 1]
