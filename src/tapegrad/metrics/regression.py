"""How far numbers are from those that would be right, from sums that add up over batches.

Where nothing was seen, a score is nan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import from_numpy

from .metric import Metric, host, measured, require_tensors


class _OfNumbers(Metric):
    """Base: float64 sums of every output, all positions but the first being outputs."""

    _name = ""
    _averages: tuple[str | None, ...] = ("macro", None)

    def __init__(self, average: str | None = "macro"):
        if average not in self._averages:
            raise ValueError(
                f"[{self._name}] average must be one of {self._averages}, got {average!r}"
            )
        self.average = average
        super().__init__()

    def _empty(self) -> dict[str, Any]:
        return {"count": 0, "errors": np.zeros(())}

    def update(self, input: Tensor, target: Tensor) -> None:
        """Add a batch."""
        require_tensors(self._name, input=input, target=target)
        shape = tuple(input.shape)
        if shape != tuple(target.shape) or not shape:
            raise ValueError(
                f"[{self._name}] shapes {shape} and {tuple(target.shape)}: both have the same, "
                "(n,) or (n, outputs, ...); squeeze(1) makes (n,) of (n, 1)"
            )
        if self.state["count"] and np.shape(self.state["errors"]) != shape[1:]:
            raise ValueError(
                f"[{self._name}] the batches have outputs of different shapes: "
                f"{np.shape(self.state['errors'])} and {shape[1:]}"
            )
        self._add(*(host(x).astype(np.float64) for x in (input, target)))

    def _add(self, input: np.ndarray, target: np.ndarray) -> None:
        self.state["count"] += len(input)
        self.state["errors"] = np.asarray(self.state["errors"] + self._error(input - target).sum(0))

    @staticmethod
    def _error(difference: np.ndarray) -> np.ndarray:
        return difference * difference

    def compute(self) -> Any:
        """The score: a float, or of every output (average=None) a float64 tensor."""
        scores = np.asarray(self._scores())
        if self.average is None:
            return from_numpy(scores)
        return float(np.average(scores, weights=self._weights())) if scores.size else math.nan

    def _scores(self) -> Any:
        count, errors = self.state["count"], self.state["errors"]
        return errors / count if count else np.full(np.shape(errors), math.nan)

    def _weights(self) -> Any:
        return None


class MeanSquaredError(_OfNumbers):
    """The mean of the squares of errors; see ``mean_squared_error``."""

    _name = "mean_squared_error"


class MeanAbsoluteError(_OfNumbers):
    """The mean of the absolute values of errors; see ``mean_absolute_error``."""

    _name = "mean_absolute_error"

    @staticmethod
    def _error(difference: np.ndarray) -> np.ndarray:
        return np.abs(difference)


class R2(_OfNumbers):
    """The share of the variance that is explained; see ``r2``."""

    _name = "r2"
    _averages = ("macro", "weighted", None)

    def _empty(self) -> dict[str, Any]:
        return {**super()._empty(), "mean": np.zeros(()), "spread": np.zeros(())}

    def _add(self, input: np.ndarray, target: np.ndarray) -> None:
        """The targets' mean and squared distances from it, of parts that are put together (Chan,
        Golub & LeVeque 1983)."""
        before, more = self.state["count"], len(target)
        super()._add(input, target)
        if more:
            mean = target.mean(0)
            apart = mean - self.state["mean"]
            spread = ((target - mean) ** 2).sum(0) + apart**2 * (before * more / (before + more))
            self.state["mean"] = np.asarray(self.state["mean"] + apart * (more / (before + more)))
            self.state["spread"] = np.asarray(self.state["spread"] + spread)

    def merge(self, state_dict: Mapping[str, Any]) -> None:
        """Add what another one has gathered."""
        one = self.state
        super().merge(state_dict)
        other, both = type(self)(self.average), self.state["count"]
        other.load_state_dict(state_dict)
        if not one["count"] or not other.state["count"]:
            more = other.state if other.state["count"] else one
            self.state.update({name: more[name] for name in ("mean", "spread")})
            return
        share, apart = other.state["count"] / both, other.state["mean"] - one["mean"]
        self.state["mean"] = np.asarray(one["mean"] + apart * share)
        self.state["spread"] = self.state["spread"] + apart**2 * (one["count"] * share)

    def _scores(self) -> Any:
        errors, spread = (np.asarray(self.state[name]) for name in ("errors", "spread"))
        if self.state["count"] < 2:
            return np.full(errors.shape, math.nan)
        constant = spread == 0
        return 1 - np.where(constant, errors != 0, errors / np.where(constant, 1, spread))

    def _weights(self) -> Any:
        spread = self.state["spread"]
        return spread if self.average == "weighted" and np.any(spread) else None


@retelling
def mean_squared_error(input: Tensor, target: Tensor, average: str | None = "macro") -> Any:
    """The mean of (input - target)^2, in float64.

    input, target: numbers of one shape, (n,), or (n, outputs, ...) for several outputs. average:
    "macro", the mean over the outputs; None, of every output, a float64 tensor (outputs, ...). nan
    of no elements. Raises ValueError for shapes that differ and another average.
    """
    return measured(MeanSquaredError(average), input, target)


@retelling
def mean_absolute_error(input: Tensor, target: Tensor, average: str | None = "macro") -> Any:
    """The mean of abs(input - target), in float64; all else as for ``mean_squared_error``."""
    return measured(MeanAbsoluteError(average), input, target)


@retelling
def r2(input: Tensor, target: Tensor, average: str | None = "macro") -> Any:
    """The coefficient of determination, 1 - sum((input - target)^2) / sum((target - mean)^2): 1 for
    answers that are all right, 0 for those of the target's mean, below 0 for worse ones.

    average: also "weighted", by the variance of each output's target. Where a target is constant,
    1 if every answer is right, else 0; nan of less than two elements. Everything else as for
    ``mean_squared_error``.
    """
    return measured(R2(average), input, target)
