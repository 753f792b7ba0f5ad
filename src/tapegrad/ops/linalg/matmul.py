"""Matrix products. ``matmul`` of stacks of matrices and ``linear`` are primitives with a kernel;
every other product (here and in ``products.py``) is one of them after a change of shape."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.dtypes import float32
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor, same_dtype
from tapegrad.ops.common.precision import in_float32, stable_sum
from tapegrad.ops.movement.shape import reshape, squeeze, unsqueeze

from . import matmul_kernels  # noqa: F401  registers how GPUs compute the primitives below

# ---------------------------------------------------------------------- primitives


def transposed(xp: Any, x: Array) -> Any:
    """Each matrix of a stack transposed: arrays and Tensors alike."""
    n = x.ndim
    return xp.transpose(x, axes=(*range(n - 2), n - 1, n - 2))


def _wide(xp: Any, shape: Any, a: Array, b: Array) -> tuple[Any, Any]:
    """The factors of a gradient: 16-bit floats as float32, if products are still to be summed."""
    if a.itemsize == 2 and max(a.shape[:-2], b.shape[:-2], key=math.prod) != tuple(shape[:-2]):
        return xp.cast(a, dtype=float32), xp.cast(b, dtype=float32)
    return a, b


@primitive(
    "matmul",  # (..., m, k) @ (..., k, n); the engine sums over broadcast leading dimensions
    vjp=(
        lambda xp, g, b, input_shape: xp.matmul(*_wide(xp, input_shape, g, transposed(xp, b))),
        lambda xp, g, a, input_shape: xp.matmul(*_wide(xp, input_shape, transposed(xp, a), g)),
    ),
)
@in_float32
def _matmul(xp: Any, a: Array, b: Array) -> Array:
    return xp.library.matmul(a, b)


@primitive(
    "addmm",
    plain=True,
    vjp=(
        lambda xp, g: g,
        lambda xp, g, b: xp.matmul(g, transposed(xp, b)),
        lambda xp, g, a: xp.matmul(transposed(xp, a), g),
    ),
)
def matmul_added(xp: Any, x: Array, a: Array, b: Array) -> Array:
    """x + a @ b, of matrices, or of stacks of as many; x is of the product's shape, or of its
    rows'."""
    return xp.add(x, xp.matmul(a, b))


@primitive(
    vjp=(
        lambda xp, g, b: xp.matmul(g, xp.cast(transposed(xp, b), dtype=float32)),
        lambda xp, g, a: xp.matmul(xp.cast(transposed(xp, a), dtype=float32), g),
    )
)
def matmul_wide(xp: Any, a: Array, b: Array) -> Array:
    """The product of two matrices of 16-bit floats, in float32."""
    return xp.matmul(xp.cast(a, dtype=float32), xp.cast(b, dtype=float32))


def weight_gradient(xp: Any, g: Array, x: Array, wide: bool) -> Any:
    """Of a linear layer, from that of its result and from its input, both as rows; ``wide``: in
    float32, as the weight's ``grad_dtype`` is, though the weight is of 16 bits."""
    return (xp.matmul_wide if wide else xp.matmul)(transposed(xp, g), x)


def rows_of(xp: Any, x: Array) -> Any:
    """(..., n) as a matrix: arrays and Tensors alike."""
    return x if x.ndim == 2 else xp.reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))


def _linear_input_rule(xp: Any, g: Array, weight: Array, input_shape: Any) -> Any:
    dx = xp.matmul(rows_of(xp, g), weight)
    return dx if g.ndim == 2 else xp.reshape(dx, shape=tuple(input_shape))


@primitive(
    "linear",
    vjp=(
        _linear_input_rule,
        lambda xp, g, x, wide: weight_gradient(xp, rows_of(xp, g), rows_of(xp, x), wide),
        lambda xp, g: xp.column_sum(rows_of(xp, g)),
    ),
)
@in_float32
def _linear(xp: Any, x: Array, weight: Array, bias: Array) -> Array:
    # Flattened to one matrix product, whatever the leading dimensions.
    rows = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = xp.library.matmul(rows, weight.T)
    if bias is not None:
        y += bias
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])


@primitive(vjp=(lambda xp, g, input_shape: xp.broadcast_to(g, shape=input_shape),))
@in_float32
def column_sum(xp: Any, x: Array) -> Array:
    """(rows, columns) -> (columns,): the gradient of a bias."""
    return stable_sum(x, 0)


# ---------------------------------------------------------------------- PyTorch's signatures


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product; vectors are a row on the left and a column on the right, leading
    dimensions broadcast. (..., m, k) @ (..., k, n) -> (..., m, n). dtypes must agree. Raises
    RuntimeError where inner sizes differ, for 0-d tensors and for bools."""
    try:
        a, b = input._array, other._array
        plain = a.ndim == b.ndim == 2 and a.dtype is b.dtype and a.shape[1] == b.shape[0]
    except AttributeError:
        plain = False
    if plain and a.dtype.kind != "b":  # the most frequent case: nothing is left to check
        return _matmul(input, other)
    return product("matmul", input, other)


def product(op: str, a: Tensor, b: Tensor) -> Tensor:
    """``matmul`` in the name of ``op``."""
    same_dtype(op, a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(
            f"[{op}] needs at least 1 dimension each, got shapes {tuple(a.shape)} and "
            f"{tuple(b.shape)}: multiply 0-d tensors with *"
        )
    inner = b.shape[-2 if b.ndim > 1 else 0]
    if a.shape[-1] != inner:
        raise RuntimeError(
            f"[{op}] shapes {tuple(a.shape)} and {tuple(b.shape)}: the inner sizes "
            f"{a.shape[-1]} and {inner} must agree"
        )
    if a.dtype.kind == "b":
        raise RuntimeError(f"[{op}] is not defined for bool tensors: convert with .int()")
    left = unsqueeze(a, 0) if a.ndim == 1 else a
    right = unsqueeze(b, 1) if b.ndim == 1 else b
    if left.ndim > 2 and right.ndim == 2:
        # One product of all rows, rather than one for each matrix of the stack.
        rows, lead = math.prod(left.shape[:-1]), tuple(left.shape[:-1])
        y = _matmul(reshape(left, (rows, left.shape[-1])), right)
        y = reshape(y, (*lead, right.shape[-1]))
    else:
        try:
            y = _matmul(left, right)
        except ValueError as error:
            raise RuntimeError(
                f"[{op}] the leading dimensions of shapes {tuple(a.shape)} and "
                f"{tuple(b.shape)} do not broadcast"
            ) from error
    if a.ndim == 1:
        y = squeeze(y, -2)
    if b.ndim == 1:
        y = squeeze(y, -1)
    y._base = None  # of which nobody else has seen anything
    return y


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The matrix product (m, k) @ (k, n) -> (m, n)."""
    ranks("mm", (input, 2), (mat2, 2))
    return product("mm", input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of matrices, one by one: (batch, m, k) @ (batch, k, n) -> (batch, m, n). Raises
    RuntimeError where shapes do not fit: batches do not broadcast."""
    require_stacks("bmm", input, mat2)
    return product("bmm", input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector: (m, k) @ (k,) -> (m,)."""
    ranks("mv", (input, 2), (vec, 1))
    return product("mv", input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors: (n,) and (n,) -> ()."""
    ranks("dot", (input, 1), (tensor, 1))
    return product("dot", input, tensor)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias: (..., in), (out, in) and (out,) -> (..., out); a weight (in,) gives
    (...). dtypes must agree. Raises RuntimeError where shapes do not fit."""
    same_dtype("linear", input, weight, ("input", "weight"))
    if bias is not None:
        same_dtype("linear", input, bias, ("input", "bias"))
    x, w = input._array.shape, weight._array.shape
    b = None if bias is None else bias._array.shape
    if len(w) == 1:
        y = product("linear", input, weight)
        return y if bias is None else y + bias
    if len(w) != 2 or not x or x[-1] != w[1] or b not in (None, w[:1], ()):
        sizes = ""
        if x and len(w) == 2 and x[-1] != w[1]:
            sizes = f", and the input's last size is {x[-1]}, not {w[1]}"
        raise RuntimeError(
            f"[linear] input {x}, weight {w} and bias {b} do not fit: expected (..., in), "
            f"(out, in) and (out,){sizes}"
        )
    if b == ():
        bias = bias.expand(w[0])  # type: ignore[union-attr]
    return _linear(input, weight, bias)


def require_stacks(op: str, a: Tensor, b: Tensor) -> None:
    """Raise RuntimeError unless a is (batch, m, k) and b (batch, k, n), of one dtype."""
    ranks(op, (a, 3), (b, 3))
    same_dtype(op, a, b)
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(
            f"[{op}] the batches of shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit: "
            "expected (batch, m, k) and (batch, k, n)"
        )


def ranks(op: str, *pairs: tuple[Tensor, int]) -> None:
    """Raise RuntimeError unless each tensor has as many dimensions as it should."""
    for x, _ in pairs:
        require_tensor(op, x)
    if any(x.ndim != rank for x, rank in pairs):
        raise RuntimeError(
            f"[{op}] expects {' and '.join(f'{rank}-d' for _, rank in pairs)} tensors, got shapes "
            + " and ".join(str(tuple(x.shape)) for x, _ in pairs)
        )
