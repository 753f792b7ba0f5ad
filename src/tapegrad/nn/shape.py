"""Changes of shape as modules."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.core.tensor import Tensor

from .layer import check_kinds
from .module import Module


class Flatten(Module):
    """Joins the dimensions from start_dim to end_dim; by default all but the batch:
    (N, a, b, ...) -> (N, a * b * ...)."""

    _shown = "start_dim=, end_dim="

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        check_kinds(self, locals())
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)


class Unflatten(Module):
    """Dimension ``dim`` as several, of sizes ``unflattened_size`` (one may be -1):
    (N, a * b) -> (N, a, b). Raises TypeError for sizes that are no ints."""

    _shown = "dim=, unflattened_size="

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)) or not all(
            isinstance(n, int) and not isinstance(n, bool) for n in unflattened_size
        ):
            raise TypeError(
                f"Unflatten: unflattened_size must be a tuple of ints, not {unflattened_size!r}"
            )
        check_kinds(self, locals())
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        return input.unflatten(self.dim, self.unflattened_size)
