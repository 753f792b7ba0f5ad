"""Distributions: what PyTorch computes of them, in value, shape, dtype and gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES
from distribution_table import CONTINUOUS, DISCRETE, ROWS, Made, Row

import tapegrad as tg

torch: Any = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)

pytestmark = pytest.mark.filterwarnings("ignore:Singular sample:UserWarning")  # of PyTorch's

EMULATED = [d for d in DEVICES if d != "cpu"]
# what PyTorch computes wrongly: see docs/differences.md, and test_distributions.py
OURS = {("Kumaraswamy", "mode")}


@pytest.fixture(autouse=True)
def _float64() -> Any:
    before = tg.get_default_dtype(), torch.get_default_dtype()
    tg.set_default_dtype(tg.float64)
    torch.set_default_dtype(torch.float64)
    yield
    tg.set_default_dtype(before[0])
    torch.set_default_dtype(before[1])


def values_of(row: Row) -> np.ndarray:
    """Draws of PyTorch's, two for each distribution of the batch."""
    torch.manual_seed(5)
    with torch.no_grad():
        return row.make(torch).distribution.sample((2,)).numpy()


def outcome(library: Any, made: Made, call: Callable, values: list) -> tuple | None:
    """The result and its gradients with respect to the values and the parameters; None where it is
    not defined."""
    d, tensors = made
    for t in tensors:
        t.grad = None
    try:
        result = call(d, *values)
    except NotImplementedError:
        return None
    inputs = [t for t in (*tensors, *values) if t.requires_grad]
    grads: list = []
    if result.requires_grad and inputs:
        weights = library.tensor(
            np.linspace(0.5, 1.5, result.numel()).reshape(tuple(result.shape)), device=result.device
        )
        finite = library.isfinite(result.detach())
        total = library.where(finite, result * weights, library.zeros_like(result)).sum()
        try:
            found = library.autograd.grad(total, inputs, allow_unused=True)
        except NotImplementedError:  # of the incomplete gamma function, in both
            found = [None] * len(inputs)
        grads = [
            library.zeros_like(t) if g is None else g for g, t in zip(found, inputs, strict=True)
        ]
    return tuple(x.detach().cpu().numpy() for x in (result, *grads))


def compare(
    row: Row,
    call: Callable,
    *values: np.ndarray,
    rtol: float = 1e-9,
    device: str = "cpu",
    what: str = "",
) -> None:
    wants = row.name not in DISCRETE
    if row.name == "VonMises":  # whose Bessel functions PyTorch computes to six digits
        rtol = 1e-5
    results = []
    for library, place in ((torch, "cpu"), (tg, device)):
        made = row.make(library, device=place)
        given = [library.tensor(v, device=place) for v in values]
        if wants:
            given = [v.requires_grad_() for v in given]
        results.append(outcome(library, made, call, given))
    expected, got = results
    if expected is None:
        assert got is None
        return
    assert got is not None
    assert got[0].shape == expected[0].shape
    assert got[0].dtype == expected[0].dtype
    np.testing.assert_allclose(got[0], expected[0], rtol=rtol, atol=1e-11)
    if what == "mode":
        return
    assert len(got) == len(expected)
    for a, b in zip(got[1:], expected[1:], strict=True):
        known = np.where(np.isnan(b), a, b)  # PyTorch's 0 * inf
        np.testing.assert_allclose(a, known, rtol=rtol * 10, atol=rtol)


STATISTICS: dict[str, Callable] = {
    "mean": lambda d: d.mean,
    "mode": lambda d: d.mode,
    "variance": lambda d: d.variance,
    "stddev": lambda d: d.stddev,
    "entropy": lambda d: d.entropy(),
    "perplexity": lambda d: d.perplexity(),
    "support": lambda d: d.enumerate_support(),
    "support, not expanded": lambda d: d.enumerate_support(expand=False),
}


@pytest.mark.parametrize("what", STATISTICS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_statistics(row: Row, what: str) -> None:
    if (row.name, what) not in OURS:
        compare(row, STATISTICS[what], what=what)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_log_prob(row: Row, device: str) -> None:
    if device == "cpu" or row.has_tensors:
        compare(row, lambda d, x: d.log_prob(x), values_of(row), device=device)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_cdf(row: Row) -> None:
    compare(row, lambda d, x: d.cdf(x), values_of(row), what="cdf")


@pytest.mark.parametrize("row", CONTINUOUS, ids=str)
def test_icdf(row: Row) -> None:
    d = row.make(torch).distribution
    shape = (4, *d.batch_shape)
    levels = np.broadcast_to(
        np.array([0.05, 0.3, 0.6, 0.98]).reshape(4, *(1 for _ in d.batch_shape)), shape
    )
    compare(row, lambda d, x: d.icdf(x), levels.copy(), what="icdf")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_attributes_and_shapes(row: Row) -> None:
    """The names that a distribution has, its shapes, and those of samples and expansions."""
    ours, theirs = row.make(tg).distribution, row.make(torch).distribution
    for name in ("batch_shape", "event_shape"):
        assert tuple(getattr(ours, name)) == tuple(getattr(theirs, name))
        assert isinstance(getattr(ours, name), tg.Size)
    for name in ("has_rsample", "has_enumerate_support"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.support.event_dim == theirs.support.event_dim
    assert ours.support.is_discrete == theirs.support.is_discrete
    assert set(ours.arg_constraints) == set(theirs.arg_constraints)
    for name in theirs.arg_constraints:
        a, b = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)
    assert {n for n in dir(theirs) if not n.startswith("_")} <= set(dir(ours))
    assert tuple(ours.sample((0,)).shape) == (0, *ours.batch_shape, *ours.event_shape)
    for shape in ((), (1,), (2, 3)):
        sample = ours.sample(shape)
        assert tuple(sample.shape) == (*shape, *ours.batch_shape, *ours.event_shape)
        assert sample.dtype.name == str(theirs.sample(shape).dtype).removeprefix("torch.")
        assert not sample.requires_grad
        if ours.has_rsample:
            drawn = ours.rsample(shape)
            assert drawn.shape == sample.shape
            assert drawn.requires_grad == theirs.rsample(shape).requires_grad
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(ours.sample_n(4)) == 4
    assert [w.category for w in caught] == [FutureWarning]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_expand(row: Row) -> None:
    """An expanded distribution has the values of the first one."""
    d = row.make(tg).distribution
    wide = d.expand((4, *d.batch_shape))
    assert type(wide) is type(d)
    assert tuple(wide.batch_shape) == (4, *d.batch_shape)
    assert wide.event_shape == d.event_shape
    x = d.sample((4,))
    np.testing.assert_allclose(wide.log_prob(x).tolist(), d.log_prob(x).tolist(), rtol=1e-12)
    assert tuple(wide.sample((2,)).shape) == (2, 4, *d.batch_shape, *d.event_shape)
    for what in ("mean", "variance"):
        try:
            narrow = getattr(d, what)
        except NotImplementedError:
            continue
        assert tuple(getattr(wide, what).shape) == (4, *d.batch_shape, *d.event_shape)
        np.testing.assert_array_equal(getattr(wide, what)[2].tolist(), narrow.tolist())
        again = d.expand((4, *d.batch_shape))  # what was made of the parameters is made again
        assert getattr(again, what).shape == getattr(wide, what).shape
    if d.has_enumerate_support:
        assert tuple(wide.enumerate_support().shape[1:]) == (*wide.batch_shape, *wide.event_shape)
    assert repr(d).startswith(f"{row.name}(")


@pytest.mark.parametrize("row", [row for row in ROWS if row.has_tensors], ids=str)
def test_float32(row: Row) -> None:
    """Results are of the parameters' dtype, and near float64's."""
    try:
        d = row.make(tg, "float32").distribution
    except ValueError:  # matrices whose symmetry or positive definiteness float32 has lost
        pytest.skip("the parameters are not valid in float32")
    tg.manual_seed(3)
    x = d.sample((3,))
    if x.dtype != tg.int64:
        assert x.dtype == tg.float32
    got = d.log_prob(x)
    assert got.dtype == tg.float32
    wide = x.double() if x.is_floating_point() else x
    expected = row.make(tg, validate_args=False).distribution.log_prob(wide)
    np.testing.assert_allclose(got.tolist(), expected.tolist(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("row", [row for row in ROWS if row.has_tensors], ids=str)
@pytest.mark.parametrize("device", EMULATED)
def test_samples_are_of_the_parameters_device(row: Row, device: str) -> None:
    """And the same numbers as on the CPU, but for the last digits of its library's functions."""
    draws = []
    for place in ("cpu", device):
        tg.manual_seed(4)
        drawn = row.make(tg, device=place).distribution.sample((3,))
        assert drawn.device == tg.device(place)
        draws.append(drawn.cpu().numpy())
    np.testing.assert_allclose(*draws, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------------- made of others


def parameter(library: Any, *values: Any) -> Any:
    return library.tensor(np.array(values, dtype=np.float64), requires_grad=True)


MADE_OF_OTHERS: dict[str, Callable] = {
    "independent": lambda D, t: D.Independent(D.Normal(t([0.1, 2], [1, 3]), t(0.5, 2)), 1),
    "independent of all": lambda D, t: D.Independent(D.Gamma(t([0.5, 2], [1, 3]), t(1, 2)), 2),
    "independent of none": lambda D, t: D.Independent(D.Bernoulli(t(0.3, 0.6)), 0),
    "independent vectors": lambda D, t: D.Independent(D.Dirichlet(t([0.5, 2], [1, 3])), 1),
    "mixture": lambda D, t: D.MixtureSameFamily(
        D.Categorical(t([0.2, 0.8], [0.5, 0.5])), D.Normal(t([-1, 2], [0, 5]), t(1, 0.3))
    ),
    "mixture of weights": lambda D, t: D.MixtureSameFamily(
        D.Categorical(logits=t([0.2, 0.8, 1], [1, 0, 0])), D.Exponential(t([1, 2, 3], [4, 5, 6]))
    ),
    "mixture of counts": lambda D, t: D.MixtureSameFamily(
        D.Categorical(t([0.2, 0.8], [0.5, 0.5])), D.Poisson(t([1, 20], [3, 6]))
    ),
    "mixture of vectors": lambda D, t: D.MixtureSameFamily(
        D.Categorical(t(0.2, 0.8)),
        D.Independent(D.Normal(t([-1, 2, 0], [0, 5, 1]), t(1, 0.3, 2)), 1),
    ),
    "transformed": lambda D, t: D.TransformedDistribution(
        D.Normal(t(0.3, -1), t(0.5, 2)), [D.AffineTransform(1.0, -2.0), D.ExpTransform()]
    ),
    "transformed by nothing": lambda D, t: D.TransformedDistribution(D.Normal(t(0.3), t(0.5)), []),
    "logistic": lambda D, t: D.TransformedDistribution(
        D.Uniform(t(0), t(1)), [D.SigmoidTransform().inv, D.AffineTransform(t(1, 2), t(0.5, 3))]
    ),
    "transformed vectors": lambda D, t: D.TransformedDistribution(
        D.Normal(t([0.3, -1], [0, 1]), t(0.5, 2)), D.StickBreakingTransform()
    ),
    "transformed events": lambda D, t: D.TransformedDistribution(
        D.Independent(D.Normal(t([0.3, -1], [0, 1]), t(0.5, 2)), 1),
        [D.TanhTransform(), D.AffineTransform(t(1, 2), 2.0, event_dim=1)],
    ),
    "correlations": lambda D, t: D.TransformedDistribution(
        D.Normal(t(0.3, -1, 0.2), t(0.5, 1, 1)), D.CorrCholeskyTransform()
    ),
    "reshaped": lambda D, t: D.TransformedDistribution(
        D.Independent(D.Normal(t(*range(6)), t(1)), 1), D.ReshapeTransform((6,), (2, 3))
    ),
}


@pytest.mark.parametrize("name", MADE_OF_OTHERS)
def test_made_of_others(name: str) -> None:
    """Values, gradients, shapes and expansions."""
    found: list[list[Any]] = []
    values: Any = None
    for library in (torch, tg):
        leaves: list = []

        def t(*values: Any, library: Any = library, leaves: list = leaves) -> Any:
            leaves.append(
                parameter(library, *values)
                if len(values) > 1
                else library.tensor(float(values[0]), requires_grad=True)
            )
            return leaves[-1]

        d = MADE_OF_OTHERS[name](library.distributions, t)
        if values is None:
            torch.manual_seed(0)
            values = d.sample((3,)).numpy()
        x = library.tensor(values)
        log_prob = d.log_prob(x)
        results: list = [log_prob.detach().numpy()]
        results += [g.numpy() for g in library.autograd.grad(log_prob.sum(), leaves)]
        wide = d.expand((3, *d.batch_shape))
        assert tuple(wide.sample((2,)).shape) == (2, 3, *d.batch_shape, *d.event_shape)
        assert wide.sample().shape[0] == 3
        results.append(wide.log_prob(x).detach().numpy())
        for call in (
            lambda d, x: d.mean,
            lambda d, x: d.variance,
            lambda d, x: d.entropy(),
            lambda d, x: d.cdf(x),
            lambda d, x: d.icdf(d.cdf(x)),
            lambda d, x: d.enumerate_support(),
        ):
            try:
                results.append(call(d, x).detach().numpy())
            except NotImplementedError:
                results.append(np.zeros(0))
        results.append(np.array([*d.batch_shape, *d.event_shape, d.has_rsample]))
        results.append(np.array([d.support.event_dim, d.support.is_discrete]))
        found.append(results)
    for theirs, ours in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
