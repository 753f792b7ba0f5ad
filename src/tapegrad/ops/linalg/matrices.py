"""What the factorisations share: parts of matrices as primitives, and checks of arguments."""

from __future__ import annotations

from typing import Any

from tapegrad.core.dtypes import is_floating, is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor

# ---------------------------------------------------------------------- parts


@primitive(vjp="lower_part")
def lower_part(xp: Any, x: Array, *, k: int) -> Array:
    """Zeros above the k-th diagonal."""
    return xp.library.tril(x, k)


@primitive(vjp="upper_part")
def upper_part(xp: Any, x: Array, *, k: int) -> Array:
    """Zeros below the k-th diagonal."""
    return xp.library.triu(x, k)


@primitive(
    vjp=(
        lambda xp, g, input_shape: xp.matrix_of_diagonal(
            g, rows=input_shape[-2], columns=input_shape[-1]
        ),
    )
)
def diagonal_part(xp: Any, x: Array) -> Array:
    """(..., m, n) -> (..., min(m, n))."""
    return x.diagonal(0, -2, -1).copy()


@primitive(vjp="diagonal_part")
def matrix_of_diagonal(xp: Any, x: Array, *, rows: int, columns: int) -> Array:
    """(..., min(rows, columns)) -> (..., rows, columns), zero elsewhere."""
    y = xp.zeros((*x.shape[:-1], rows, columns), dtype=x.dtype)
    steps = xp.arange(x.shape[-1])
    y[..., steps, steps] = x
    return y


def halved_diagonal(xp: Any, x: Array) -> Any:
    """The lower triangle with half of the diagonal: x + x.T of it is the symmetric completion."""
    return xp.lower_part(x, k=0) - xp.matrix_of_diagonal(
        xp.diagonal_part(x) * 0.5, rows=x.shape[-1], columns=x.shape[-1]
    )


def product(xp: Any, *matrices: Array) -> Any:
    """From the left."""
    result = matrices[0]
    for m in matrices[1:]:
        result = xp.matmul(result, m)
    return result


def plus(a: Any, b: Any) -> Any:
    """The sum of two gradients, either of which may be None."""
    return b if a is None else a if b is None else a + b


def identity(like: Tensor, n: int | None = None) -> Tensor:
    """The identity of a matrix's rows (or of size n), in its dtype."""
    size = like.shape[-2] if n is None else n
    return wrap(like._device.ops["eye"](size, dtype=like.dtype), like._device)


# ---------------------------------------------------------------------- arguments


def require_matrices(op: str, *tensors: Tensor) -> None:
    """Raise unless these are float32 or float64 matrices, or batches of them, of one dtype on one
    device."""
    for x in tensors:
        require_numbers(op, x)
        if x.ndim < 2:
            raise RuntimeError(
                f"[{op}] expects matrices, with at least 2 dimensions, got shape {tuple(x.shape)}"
            )
    require_alike(op, *tensors)


def require_alike(op: str, *tensors: Tensor) -> None:
    """Raise RuntimeError unless all tensors are of one dtype and device."""
    first = tensors[0]
    for x in tensors:
        if x.dtype != first.dtype:
            raise RuntimeError(
                f"[{op}] dtypes {first.dtype.name} and {x.dtype.name} do not mix: convert one "
                "with .to()"
            )
        if x._device is not first._device:
            raise RuntimeError(
                f"[{op}] all tensors must be on one device, got {first._device} and {x._device}"
            )


def require_square(op: str, *tensors: Tensor) -> None:
    """``require_matrices`` that are square."""
    require_matrices(op, *tensors)
    for x in tensors:
        if x.shape[-1] != x.shape[-2]:
            raise RuntimeError(f"[{op}] expects square matrices, got shape {tuple(x.shape)}")


def require_numbers(op: str, x: Any) -> None:
    """Raise unless ``x`` is a float32 or float64 tensor."""
    require_tensor(op, x)
    if not is_floating(x.dtype):
        raise RuntimeError(
            f"[{op}] needs a floating-point tensor, got {x.dtype.name}: convert with .float()"
        )
    if is_low_precision(x.dtype):
        raise RuntimeError(
            f"[{op}] {x.dtype.name} is too narrow to compute in: convert with .float()"
        )


def flat_batch(x: Any) -> Any:
    """Arrays: (..., m, n) -> (batch, m, n)."""
    return x.reshape(-1 if x.size else _count(x.shape[:-2]), *x.shape[-2:])


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n


class LinAlgError(RuntimeError):
    """A matrix for which there is no result: singular, not positive definite, or not finite."""


def check_info(op: str, info: Tensor, what: str) -> None:
    """Raise LinAlgError for the first matrix whose ``info`` is not 0."""
    if not bool((info._array != 0).any()):
        return
    host = info.reshape(-1).tolist()
    i = next(i for i, n in enumerate(host) if n)
    where = f"batch element {i}: " if info.ndim else ""
    raise LinAlgError(f"[{op}] {where}{what.format(host[i])}")
