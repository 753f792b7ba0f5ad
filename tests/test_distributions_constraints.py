"""Constraints: what lies in each, as PyTorch says it, and the transforms to each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

D = tg.distributions
C = D.constraints

nan, inf = math.nan, math.inf
EYE = [[1.0, 0.0], [0.0, 1.0]]
LOWER = [[1.0, 0.0], [0.6, 0.8]]
UPPER = [[1.0, 0.5], [0.0, 1.0]]
INDEFINITE = [[1.0, 2.0], [2.0, 1.0]]
SINGULAR = [[1.0, 1.0], [1.0, 1.0]]
MATRICES = [EYE, LOWER, UPPER, INDEFINITE, SINGULAR, [[2.0, 0.1], [0.1, 0.5]], [[-1.0, 0], [0, 1]]]

# expression -> values, and which of them lie in the region
CASES: dict[str, tuple[Any, Any]] = {
    "boolean": ([0, 1, 2, 0.5, nan], [1, 1, 0, 0, 0]),
    "real": ([0, -5.0, inf, nan], [1, 1, 1, 0]),
    "positive": ([0, 1e-9, -1, inf, nan], [0, 1, 0, 1, 0]),
    "nonnegative": ([0, 1e-9, -1, inf, nan], [1, 1, 0, 1, 0]),
    "greater_than(2)": ([1, 2, 3, nan], [0, 0, 1, 0]),
    "greater_than_eq(2)": ([1, 2, 3, nan], [0, 1, 1, 0]),
    "less_than(2)": ([1, 2, 3, nan], [1, 0, 0, 0]),
    "unit_interval": ([-0.1, 0, 0.5, 1, 1.1, nan], [0, 1, 1, 1, 0, 0]),
    "interval(-1, 2)": ([-2, -1, 0, 2, 3, nan], [0, 1, 1, 1, 0, 0]),
    "half_open_interval(-1, 2)": ([-2, -1, 0, 2, 3, nan], [0, 1, 1, 0, 0, 0]),
    "integer_interval(-1, 2)": ([-2, -1, 0.5, 2, 3, nan], [0, 1, 0, 1, 0, 0]),
    "nonnegative_integer": ([-1, 0, 0.5, 3, nan], [0, 1, 0, 1, 0]),
    "positive_integer": ([-1, 0, 0.5, 3, nan], [0, 0, 0, 1, 0]),
    "simplex": ([[0.2, 0.8], [0.2, 0.7], [-0.1, 1.1], [1, 0], [nan, 1]], [1, 0, 0, 1, 0]),
    "one_hot": ([[0, 1], [1, 1], [0, 0], [0.5, 0.5], [1, 0]], [1, 0, 0, 0, 1]),
    "multinomial(3)": ([[1, 2], [3, 1], [-1, 2], [0, 0]], [1, 0, 0, 1]),
    "real_vector": ([[0, 1], [nan, 0], [inf, 1]], [1, 0, 1]),
    "square": (MATRICES, [1, 1, 1, 1, 1, 1, 1]),
    "symmetric": (MATRICES, [1, 0, 0, 1, 1, 1, 1]),
    "positive_semidefinite": ([EYE, INDEFINITE, [[2.0, 0], [0, 0]]], [1, 0, 1]),
    "positive_definite": ([EYE, INDEFINITE, [[2.0, 0.1], [0.1, 0.5]]], [1, 0, 1]),
    "lower_triangular": (MATRICES, [1, 1, 0, 0, 0, 0, 1]),
    "lower_cholesky": (MATRICES, [1, 1, 0, 0, 0, 0, 0]),
    "corr_cholesky": (MATRICES, [1, 1, 0, 0, 0, 0, 0]),
    "independent(positive, 1)": ([[1, 2], [0, 1], [nan, 1]], [1, 0, 0]),
    "independent(positive, 2)": ([EYE, SINGULAR], [0, 1]),
    "independent(simplex, 1)": ([[[0.5, 0.5], [1, 0]], [[0.5, 0.5], [1, 1]]], [1, 0]),
    "cat([positive, real], 1)": ([[1, -1], [-1, 1]], [[1, 1], [0, 1]]),
    "cat([positive, real], 0, [1, 2])": ([-1, -1, 2], [0, 1, 1]),
    "cat([positive, real], -1, [2, 1])": ([-1, 1, -2], [0, 1, 1]),
    "stack([positive, real], 1)": ([[1, -1], [-1, 1]], [[1, 1], [0, 1]]),
    "stack([simplex, real_vector])": ([[0.3, 0.7], [4, 5]], [1, 1]),
    "MixtureSameFamilyConstraint(positive)": ([1, 0, 2], [1, 0, 1]),
}


def constraint(library: Any, expression: str) -> Any:
    return eval(expression, vars(library.distributions.constraints).copy())


@pytest.mark.parametrize("expression", CASES)
def test_what_lies_in_a_constraint(expression: str) -> None:
    values, expected = CASES[expression]
    c = constraint(tg, expression)
    got = c.check(tg.tensor(values, dtype=tg.float64))
    assert got.dtype == tg.bool
    np.testing.assert_array_equal(got.tolist(), np.array(expected, dtype=bool))
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    theirs = constraint(torch, expression)
    np.testing.assert_array_equal(
        got.tolist(), theirs.check(torch.tensor(values, dtype=torch.float64)).tolist()
    )
    assert (c.event_dim, c.is_discrete) == (theirs.event_dim, theirs.is_discrete)
    assert repr(c) == repr(theirs)


def test_every_constraint_has_a_case() -> None:
    other = {"Constraint", "dependent", "dependent_property", "is_dependent"}
    tested = {expression.split("(")[0] for expression in CASES}
    assert set(C.__all__) == tested | other


def test_all_of_pytorchs_constraints_are_here() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    theirs = torch.distributions
    assert set(theirs.constraints.__all__) == set(C.__all__)
    assert set(theirs.transforms.__all__) == set(D.transforms.__all__)
    assert set(theirs.__all__) <= set(dir(D))
    assert set(theirs.utils.__all__) <= set(dir(D.utils))
    assert set(theirs.constraint_registry.__all__) <= set(dir(D.constraint_registry))


def test_parts_of_one_dimension_of_the_event() -> None:
    assert C.stack([C.real_vector, C.real_vector], -1).event_dim == 1
    assert C.stack([C.real_vector, C.real_vector], -2).event_dim == 2
    assert C.cat([C.boolean, C.real]).is_discrete


def test_dependent_constraints() -> None:
    """Of a class nothing is known but what was said; of an instance everything."""

    class Thing:
        @C.dependent_property(is_discrete=False, event_dim=2)
        def support(self) -> Any:
            return C.greater_than(3)

        @C.dependent_property
        def other(self) -> Any:
            return C.boolean

    assert C.is_dependent(Thing.support)
    assert (Thing.support.event_dim, Thing.support.is_discrete) == (2, False)
    assert repr(Thing().support) == "GreaterThan(lower_bound=3)"
    assert Thing().other is C.boolean
    with pytest.raises(NotImplementedError, match="event_dim of a dependent constraint"):
        Thing.other.event_dim  # noqa: B018
    assert C.is_dependent(C.dependent)
    assert not C.is_dependent(C.real)
    assert C.dependent(event_dim=1).event_dim == 1
    with pytest.raises(ValueError, match="checks nothing"):
        C.dependent.check(tg.zeros(2))


REFUSED: list[tuple[str, Any, type[Exception], str]] = [
    ("cat of no constraint", lambda: C.cat([3]), AssertionError, "cat takes Constraints, got int"),
    ("stack of no constraint", lambda: C.stack([3]), AssertionError, "stack takes Constraints"),
    (
        "cat's lengths",
        lambda: C.cat([C.real], lengths=[1, 2]),
        AssertionError,
        "a length for each of its 1 constraints, got 2",
    ),
    (
        "cat's dim",
        lambda: C.cat([C.real], 3).check(tg.zeros(2)),
        AssertionError,
        r"dimension 3, which shape \(2,\) lacks",
    ),
    (
        "stack's dim",
        lambda: C.stack([C.real], 3).check(tg.zeros(2)),
        AssertionError,
        r"dimension 3, which shape \(2,\) lacks",
    ),
    ("independent of nothing", lambda: C.independent(3, 1), AssertionError, "got int"),
    ("less than 0 dimensions", lambda: C.independent(C.real, -1), AssertionError, "got -1"),
    ("half a dimension", lambda: C.independent(C.real, 1.0), AssertionError, "got 1.0"),
    (
        "too few dimensions",
        lambda: C.real_vector.check(tg.tensor(1.0)),
        ValueError,
        r"IndependentConstraint\(Real\(\), 1\) .*1 dimensions, got shape \(\)",
    ),
    ("mixture of nothing", lambda: C.MixtureSameFamilyConstraint(3), AssertionError, "got int"),
    (
        "no matrix",
        lambda: C.lower_cholesky.check(tg.zeros(3)),
        RuntimeError,
        r"LowerCholesky\(\) is of matrices, \(..., n, n\), got shape \(3,\)",
    ),
    (
        "no check",
        lambda: C.Constraint().check(tg.zeros(3)),
        NotImplementedError,
        "defines no check",
    ),
    (
        "no transform",
        lambda: D.biject_to(C.lower_cholesky),
        NotImplementedError,
        r"no transform to LowerCholesky\(\) is known",
    ),
    ("no constraint", lambda: D.biject_to(3), NotImplementedError, "no transform to 3"),
    ("registering nothing", lambda: D.biject_to.register(3, print), TypeError, "got 3"),
]


@pytest.mark.parametrize(
    ("call", "kind", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


# ---------------------------------------------------------------------- the registry

REGIONS: dict[str, tuple[int, ...]] = {
    "real": (3,),
    "positive": (3,),
    "nonnegative": (3,),
    "greater_than(-1)": (3,),
    "greater_than_eq(-1)": (3,),
    "less_than(2.5)": (3,),
    "interval(-1, 2.5)": (3,),
    "unit_interval": (3,),
    "half_open_interval(-1, 2.5)": (3,),
    "simplex": (2, 3),
    "real_vector": (2, 3),
    "corr_cholesky": (2, 6),
    "lower_cholesky": (2, 3, 3),
    "positive_definite": (2, 3, 3),
    "positive_semidefinite": (2, 3, 3),
    "independent(positive, 1)": (2, 3),
    "cat([positive, unit_interval], 0, [1, 2])": (3, 2),
    "stack([positive, real], 1)": (3, 2),
}


@pytest.mark.parametrize("expression", REGIONS)
@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
def test_transforms_to_constraints(registry: str, expression: str) -> None:
    """They reach the region, and their inverse leads back; as PyTorch's."""
    c = constraint(tg, expression)
    if registry == "biject_to" and expression in (
        "lower_cholesky",
        "positive_definite",
        "positive_semidefinite",
    ):
        with pytest.raises(NotImplementedError):
            D.biject_to(c)
        return
    transform = getattr(D, registry)(c)
    x = np.random.default_rng(0).standard_normal(REGIONS[expression])
    y = transform(tg.tensor(x))
    assert bool(c.check(y).all())
    back = transform(transform.inv(y))
    np.testing.assert_allclose(back.tolist(), y.tolist(), rtol=1e-9, atol=1e-12)
    if registry == "biject_to":
        assert transform.bijective
        assert transform.log_abs_det_jacobian(tg.tensor(x), y).shape == c.check(y).shape
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    theirs = getattr(torch.distributions, registry)(constraint(torch, expression))
    np.testing.assert_allclose(y.tolist(), theirs(torch.tensor(x)).tolist(), rtol=1e-9, atol=1e-12)


def test_own_constraints_are_registered() -> None:
    class Even(C.Constraint):
        pass

    registry = D.constraint_registry.ConstraintRegistry()

    @registry.register(Even)
    def factory(constraint: Any) -> Any:
        return D.ExpTransform()

    assert registry(Even()) == D.ExpTransform()
    assert registry.register(Even(), factory) is factory
