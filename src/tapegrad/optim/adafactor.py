"""Adafactor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.type_info import finfo

from .number import Number, is_number
from .optimizer import Optimizer, Params, alike, options
from .saved import MASTER


class Adafactor(Optimizer):
    """p -= rate * u, where u = g / sqrt(v) and v is the running mean of the squared gradient, of
    which, for matrices, only the means over rows and over columns are kept: their product is v's
    nearest one of rank 1 (Shazeer & Stern 2018).

    rate is the smaller of lr and 1 / sqrt(steps), times the larger of eps[1] and the root mean
    square of p. Step t keeps the part 1 - t ** ``beta2_decay`` of v, which is at least eps[0]² (by
    default, None: the dtype's eps). u is shrunk until its root mean square is at most ``d``.
    ``weight_decay`` shrinks the parameters directly: p -= lr * weight_decay * p. ``maximize`` goes
    up. Of more than two dimensions, the last two are the matrix's. Raises ValueError for options
    that are negative, a positive beta2_decay, and a d below 1.
    """

    step_name = "adafactor_step"
    counts_steps = True
    kept_arrays = ("row_var", "col_var", "variance")
    not_negative = ("lr", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        master_weights: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        self._require(group, "beta2_decay", bool(group["beta2_decay"] <= 0), "at most 0")
        self._require(group, "d", bool(group["d"] >= 1), "at least 1")
        eps = group["eps"]
        valid = (
            isinstance(eps, Sequence)
            and len(eps) == 2
            and all(is_number(x) and x >= 0 for x in ([*eps] if eps[0] is not None else eps[1:]))
        )
        self._require(group, "eps", valid, "two numbers of at least 0, the first one may be None")

    def _shape(self, key: str, p: Tensor) -> Sequence[int] | None:
        if p.ndim < 2:
            return p.shape if key == "variance" else None
        *batch, rows, columns = p.shape
        return {"row_var": (*batch, rows, 1), "col_var": (*batch, 1, columns)}.get(key)

    def _fits(self, key: str, value: Tensor, p: Tensor, dtype: Any) -> bool:
        shape = p.shape if key == MASTER else self._shape(key, p)
        return alike(value, p, dtype, shape)

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        eps1, eps2 = group["eps"]
        return super()._options({**group, "eps1": eps1, "eps2": eps2})

    def _prepared(self, p: Tensor, *how: Any) -> tuple[list, dict, Any]:
        kept, options, new = super()._prepared(p, *how)
        if options["eps1"] is None:
            options["eps1"] = finfo(p.dtype).eps
        return kept, options, new
