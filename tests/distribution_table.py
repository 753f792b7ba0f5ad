"""One row for each distribution and kind of parameters: how it is made with PyTorch and here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np


def numbers(*values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def positive_definite(*batch: int, n: int = 3, seed: int = 0) -> np.ndarray:
    a = np.random.default_rng(seed).standard_normal((*batch, n, n))
    return a @ np.swapaxes(a, -1, -2) + np.eye(n)


def cholesky(*batch: int, n: int = 3, seed: int = 0) -> np.ndarray:
    return np.linalg.cholesky(positive_definite(*batch, n=n, seed=seed))


LOC = numbers(0.3, -1.2, 2.0)
POSITIVE = numbers(0.4, 1.0, 2.7)
ALSO = numbers([1.6], [0.7])  # broadcasts with three
PROBS = numbers(0.2, 0.5, 0.9)
LOGITS = numbers(-1.3, 0.4, 2.0)
CLASSES = numbers([0.2, 0.5, 0.3], [0.6, 0.1, 0.3])

# name -> its parameters: arrays become tensors that require grad, the rest stays as it is.
PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "Bernoulli": [{"probs": PROBS}, {"logits": LOGITS}, {"probs": 0.3}, {"logits": CLASSES}],
    "Beta": [
        {"concentration1": POSITIVE, "concentration0": ALSO},
        {"concentration1": 2.0, "concentration0": 3.5},
        {"concentration1": numbers(0.5, 3.0, 0.2), "concentration0": numbers(0.5, 3.0, 0.9)},
    ],
    "Binomial": [
        {"total_count": 5, "probs": PROBS},
        {"total_count": 5, "logits": LOGITS},
        {"total_count": 40, "probs": numbers(0.3)},
    ],
    "Categorical": [{"probs": CLASSES}, {"logits": CLASSES}, {"probs": numbers(1, 2, 3, 4)}],
    "Cauchy": [{"loc": LOC, "scale": ALSO}, {"loc": 0.0, "scale": 1.0}],
    "Chi2": [{"df": POSITIVE}, {"df": 3.0}, {"df": ALSO}],
    "ContinuousBernoulli": [
        {"probs": numbers(0.2, 0.4995, 0.9, 0.5)},
        {"logits": LOGITS},
        {"probs": 0.3},
    ],
    "Dirichlet": [{"concentration": POSITIVE}, {"concentration": numbers([2, 3, 1.5], [1, 1, 4])}],
    "Exponential": [{"rate": POSITIVE}, {"rate": 2.0}, {"rate": ALSO}],
    "FisherSnedecor": [
        {"df1": numbers(3, 5, 1.5), "df2": numbers([6.0], [3.0])},
        {"df1": 2.0, "df2": 5.0},
    ],
    "Gamma": [
        {"concentration": POSITIVE, "rate": ALSO},
        {"concentration": 2.0, "rate": 3.0},
        {"concentration": numbers(30.0), "rate": numbers(0.5)},
    ],
    "GeneralizedPareto": [
        {"loc": LOC, "scale": ALSO, "concentration": numbers(0.3, -0.4, 0.7)},
        {"loc": 0.0, "scale": 2.0, "concentration": 0.2},
    ],
    "Geometric": [{"probs": PROBS}, {"logits": LOGITS}, {"probs": 0.3}],
    "Gumbel": [{"loc": LOC, "scale": ALSO}, {"loc": 0.5, "scale": 2.0}],
    "HalfCauchy": [{"scale": POSITIVE}, {"scale": 2.0}, {"scale": ALSO}],
    "HalfNormal": [{"scale": POSITIVE}, {"scale": 2.0}, {"scale": ALSO}],
    "InverseGamma": [
        {"concentration": POSITIVE, "rate": ALSO},
        {"concentration": 4.0, "rate": 3.0},
    ],
    "Kumaraswamy": [
        {"concentration1": POSITIVE, "concentration0": ALSO},
        {"concentration1": 2.0, "concentration0": 3.0},
    ],
    "LKJCholesky": [
        {"dim": 3, "concentration": 1.5},
        {"dim": 4, "concentration": POSITIVE},
        {"dim": 2, "concentration": ALSO},
    ],
    "Laplace": [{"loc": LOC, "scale": ALSO}, {"loc": 0.5, "scale": 2.0}],
    "LogNormal": [{"loc": LOC, "scale": ALSO}, {"loc": 0.5, "scale": 0.7}],
    "LogisticNormal": [
        {"loc": LOC, "scale": POSITIVE},
        {"loc": numbers([0.1, -0.4], [1, 2]), "scale": numbers(0.5, 1)},
    ],
    "LowRankMultivariateNormal": [
        {"loc": LOC, "cov_factor": numbers([1, 0.5], [-0.3, 2], [0, 1]), "cov_diag": POSITIVE},
        {
            "loc": numbers(LOC, LOC + 1),
            "cov_factor": numbers([1], [-0.3], [0.2]),
            "cov_diag": POSITIVE,
        },
    ],
    "Multinomial": [
        {"total_count": 6, "probs": CLASSES},
        {"total_count": 4, "logits": numbers(0.1, -1, 0.7)},
    ],
    "MultivariateNormal": [
        {"loc": LOC, "covariance_matrix": positive_definite()},
        {"loc": LOC, "precision_matrix": positive_definite(2)},
        {"loc": numbers(LOC, LOC + 1), "scale_tril": cholesky(seed=3)},
    ],
    "NegativeBinomial": [
        {"total_count": POSITIVE, "probs": ALSO / 3},
        {"total_count": 5, "logits": LOGITS},
    ],
    "Normal": [{"loc": LOC, "scale": ALSO}, {"loc": 0.5, "scale": 2.0}, {"loc": LOC, "scale": 1.5}],
    "OneHotCategorical": [{"probs": CLASSES}, {"logits": numbers(0.1, -1, 0.7)}],
    "OneHotCategoricalStraightThrough": [{"probs": CLASSES}, {"logits": numbers(0.1, -1, 0.7)}],
    "Pareto": [{"scale": POSITIVE, "alpha": numbers([3.2], [1.7])}, {"scale": 1.0, "alpha": 0.8}],
    "Poisson": [{"rate": POSITIVE}, {"rate": 13.0}, {"rate": ALSO}],
    "RelaxedBernoulli": [
        {"temperature": numbers(0.7)[0], "probs": PROBS},
        {"temperature": numbers(1.5), "logits": LOGITS},
    ],
    "RelaxedOneHotCategorical": [
        {"temperature": numbers(0.7)[0], "probs": CLASSES},
        {"temperature": numbers(1.5)[0], "logits": numbers(0.1, -1, 0.7)},
    ],
    "StudentT": [
        {"df": numbers(0.7, 1.6, 4.5), "loc": LOC, "scale": ALSO},
        {"df": 3.0, "loc": 0.5, "scale": 2.0},
        {"df": POSITIVE},
    ],
    "Uniform": [{"low": LOC, "high": LOC + ALSO}, {"low": -1.0, "high": 2.0}],
    "VonMises": [
        {"loc": LOC, "concentration": ALSO},
        {"loc": numbers(0.5)[0], "concentration": numbers(20.0)[0]},
    ],
    "Weibull": [
        {"scale": POSITIVE, "concentration": numbers([1.6], [2.7])},
        {"scale": 1.5, "concentration": 2.0},
    ],
    "Wishart": [
        {"df": numbers(4.5)[0], "covariance_matrix": positive_definite()},
        {"df": numbers(3.5, 7.0), "precision_matrix": positive_definite(2)},
        {"df": numbers(3.5, 7.0), "scale_tril": cholesky(seed=3)},
    ],
}


class Made(NamedTuple):
    """A distribution, and its tensors that require grad."""

    distribution: Any
    tensors: list


class Row(NamedTuple):
    """A distribution's class and parameters."""

    name: str
    parameters: dict[str, Any]
    number: int

    def make(
        self, library: Any, dtype: str = "float64", device: str = "cpu", **options: Any
    ) -> Made:
        """With PyTorch or tapegrad; Python's numbers become tensors of the default dtype."""
        given = dict(self.parameters)
        tensors = []
        for name, value in given.items():
            if isinstance(value, (np.ndarray, np.floating)):
                leaf = library.tensor(
                    value, dtype=getattr(library, dtype), device=device, requires_grad=True
                )
                tensors.append(leaf)
                # (Above the diagonal PyTorch has gradients, though nothing may change there.)
                given[name] = leaf.tril() if name == "scale_tril" else leaf
        return Made(getattr(library.distributions, self.name)(**given, **options), tensors)

    @property
    def has_tensors(self) -> bool:
        """Whether a parameter is a tensor, which has a dtype and a device."""
        return any(isinstance(v, (np.ndarray, np.floating)) for v in self.parameters.values())

    def __str__(self) -> str:
        return f"{self.name}-{self.number}"


def rows() -> Iterator[Row]:
    """All rows."""
    for name, several in PARAMETERS.items():
        for i, parameters in enumerate(several):
            yield Row(name, parameters, i)


ROWS = list(rows())
DISCRETE = {
    "Bernoulli",
    "Binomial",
    "Categorical",
    "Geometric",
    "Multinomial",
    "NegativeBinomial",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Poisson",
}
CONTINUOUS = [row for row in ROWS if row.name not in DISCRETE]
