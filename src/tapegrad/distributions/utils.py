"""What distributions share: parameters of one shape, probabilities and their logits, triangles."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from numbers import Real
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.loss.elementwise import binary_cross_entropy_with_logits

from . import operations as tg

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]

euler_constant = 0.5772156649015329


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Tensors and numbers as tensors of one shape. Numbers get the dtype and device of the first
    tensor, or else the default dtype. Raises ValueError for anything else, RuntimeError for shapes
    that do not broadcast."""
    for value in values:
        if not isinstance(value, (Tensor, Real)):
            raise ValueError(
                f"the parameters of a distribution are Tensors and numbers, got "
                f"{type(value).__name__}"
            )
    first = next((v for v in values if isinstance(v, Tensor)), None)
    options: dict[str, Any] = {"dtype": tg.get_default_dtype()}
    if first is not None:
        options = {"dtype": first.dtype, "device": first.device}
    return tg.broadcast_tensors(
        *(v if isinstance(v, Tensor) else tg.tensor(v, **options) for v in values)
    )


def is_number(*values: Any) -> bool:
    """Whether all parameters are Python's numbers: then the distribution has no batch."""
    return all(isinstance(v, Real) for v in values)


def sum_rightmost(value: Any, dim: int) -> Any:
    """``value`` summed over its last ``dim`` dimensions: log densities of dimensions that become
    one event."""
    return value.flatten(-dim).sum(-1) if dim else value


def standard_normal(shape: Any, like: Tensor) -> Tensor:
    """Standard normal numbers of the dtype and device of a parameter."""
    return tg.randn(tuple(shape), dtype=like.dtype, device=like.device)


def open_uniform(shape: Any, like: Tensor) -> Tensor:
    """Numbers uniform in (0, 1), both ends left out, of the dtype and device of a parameter: their
    logarithm and that of 1 - u are finite."""
    drawn = tg.rand(tuple(shape), dtype=like.dtype, device=like.device)
    return clamp_probs(drawn)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept eps away from 0 and 1, eps that of their dtype, so that their logits are
    finite."""
    eps = tg.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of the same shape: the sigmoid of log odds if ``is_binary``, else the softmax
    along the last dimension of unnormalised log probabilities."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """The log odds of probabilities if ``is_binary``, else their logarithms. Probabilities of 0 and
    1 are moved by the dtype's eps first, so that the results are finite."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def binary_log_prob(logits: Tensor, value: Tensor) -> Tensor:
    """The log probability of values 0 and 1 (or of a soft one between) with these log odds."""
    logits, value = tg.broadcast_tensors(logits, value)
    return -binary_cross_entropy_with_logits(logits, value.to(logits.dtype), reduction="none")


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The lower triangles of (..., n, n) matrices, row by row, as vectors: (..., n (n + 1) / 2) for
    the whole triangle; ``diag`` is the last diagonal that is taken. Raises ValueError for a
    diagonal that the matrices do not have."""
    n = mat.shape[-1]
    _check_diagonal("tril_matrix_to_vec", diag, n)
    rows, columns = tg.tril_indices(n, n, diag, device=mat.device)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The lower triangular (..., n, n) matrices of which these are the rows, one after the other,
    up to the diagonal ``diag``; the rest is 0. Raises ValueError for a length that fills no
    triangle."""
    length = vec.shape[-1]
    n = next((n for n in range(1, length + abs(diag) + 2) if _entries(n, diag) >= length), 0)
    if _entries(n, diag) != length:
        raise ValueError(
            f"[vec_to_tril_matrix] {length} elements (shape {tuple(vec.shape)}) fill no lower "
            f"triangle up to diagonal {diag}: that takes {_entries(n - 1, diag)} or "
            f"{_entries(n, diag)}"
        )
    _check_diagonal("vec_to_tril_matrix", diag, n)
    rows, columns = tg.tril_indices(n, n, diag, device=vec.device)
    matrix = vec.new_zeros((*vec.shape[:-1], n * n))
    at = (rows * n + columns).expand(vec.shape)
    return matrix.scatter(-1, at, vec).reshape(*vec.shape[:-1], n, n)


def _entries(n: int, diag: int) -> int:
    return sum(min(max(row + 1 + diag, 0), n) for row in range(n))


def _check_diagonal(op: str, diag: int, n: int) -> None:
    if not -n <= diag < n:
        raise ValueError(
            f"[{op}] diag must lie in {-n}..{n - 1} for {n} x {n} matrices, got {diag}"
        )


class lazy_property:
    """A property that is worked out once, when first asked for, and then is an attribute. It is
    recorded on the tape, also where it is first asked for without."""

    def __init__(self, wrapped: Callable) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with tg.enable_grad():
            value = self.wrapped(instance)
        instance.__dict__[self.wrapped.__name__] = value
        return value


def values_first(count: int, like: Tensor, batch_shape: Any, expand: bool) -> Tensor:
    """0, 1, ..., count - 1 along dimension 0, the batch behind it: expanded, or of ones."""
    values = tg.arange(count, dtype=like.dtype, device=like.device)
    values = values.reshape(-1, *(1 for _ in batch_shape))
    return values.expand(-1, *batch_shape) if expand else values
