"""Matrix products. ``matmul`` of stacks of matrices and ``linear`` are primitives with a kernel;
every other product is one of them after a change of shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Device, override
from ..dtypes import accumulator, is_floating
from ..kernels import ask, launch
from ..tape import align, primitive
from ..tensor import Tensor
from .arguments import require_tensor, same_dtype
from .elementwise import multiply
from .precision import in_float32, total
from .reduce import sum
from .shape import permute, reshape, squeeze, unsqueeze

# ---------------------------------------------------------------------- primitives


def _swap(xp: Any, x: Any) -> Any:
    n = x.ndim
    return xp.transpose(x, axes=(*range(n - 2), n - 1, n - 2))


@primitive(
    "matmul",  # (..., m, k) @ (..., k, n); the engine sums over broadcast leading dimensions
    vjp=(
        lambda xp, g, b: xp.matmul(g, _swap(xp, b)),
        lambda xp, g, a: xp.matmul(_swap(xp, a), g),
    ),
)
@in_float32
def _matmul(xp: Any, a: Any, b: Any) -> Any:
    return xp.library.matmul(a, b)


def _linear_rule(xp: Any, g: Any, x: Any, weight: Any, needs: Any) -> tuple:
    rows = xp.reshape(g, shape=(math.prod(g.shape[:-1]), g.shape[-1]))
    dx = dw = db = None
    if needs[0]:
        dx = xp.reshape(xp.matmul(rows, weight), shape=tuple(x.shape))
    if needs[1]:
        flat = xp.reshape(x, shape=(rows.shape[0], x.shape[-1]))
        dw = xp.matmul(_swap(xp, rows), flat)
    if needs[2]:
        db = xp.column_sum(rows)
    return dx, dw, db


@primitive("linear", vjp_all=_linear_rule)
@in_float32
def _linear(xp: Any, x: Any, weight: Any, bias: Any) -> Any:
    # Flattened to one matrix product, whatever the leading dimensions.
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = xp.library.matmul(rows, weight.T)
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], weight.shape[0])


@primitive(vjp=(lambda xp, g, input_shape: xp.broadcast_to(g, shape=input_shape),))
@in_float32
def column_sum(xp: Any, x: Any) -> Any:
    """(rows, columns) -> (columns,): the gradient of a bias."""
    return total(x, 0)


# ---------------------------------------------------------------------- kernels


def _matrix(device: Device, x: Any) -> tuple[Any, int, int, bool]:
    """A stack of matrices as the kernel reads it: (array, row stride, batch stride, transposed),
    copied only if its last two dimensions are neither row- nor column-major."""
    rows, columns = x.shape[-2:]
    for transposed in (False, True):
        m = x.swapaxes(-1, -2) if transposed else x
        size, (outer, inner) = m.itemsize, m.strides[-2:]
        tight = m.shape[-1] <= 1 or inner == size
        row_ok = m.shape[-2] <= 1 or (outer >= m.shape[-1] * size and outer % size == 0)
        if tight and row_ok and _one_stride(m):
            lead = m.shape[-1] if m.shape[-2] <= 1 else outer // size
            step = m.strides[-3] // size if m.ndim > 2 and m.shape[-3] > 1 else 0
            return m, max(lead, 1), step, transposed
    x = device.ops["contiguous"](x)
    return x, max(columns, 1), rows * columns, False


def _one_stride(m: Any) -> bool:
    """Whether one batch stride reaches every matrix of the stack."""
    return m.ndim <= 3 and all(s >= 0 and s % m.itemsize == 0 for s in m.strides)


def _product(device: Device, a: Any, b: Any, bias: Any) -> Any:
    """c = a @ b + bias by kernels/matmul.cu, for stacks of at most one leading dimension."""
    batch = max(a.shape[0] if a.ndim > 2 else 1, b.shape[0] if b.ndim > 2 else 1)
    if 0 in (*a.shape[:-2], *b.shape[:-2]):
        batch = 0
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    left, lda, a_step, a_transposed = _matrix(device, a)
    right, ldb, b_step, b_transposed = _matrix(device, b)
    if a.ndim < 3 or a.shape[0] == 1:
        a_step = 0
    if b.ndim < 3 or b.shape[0] == 1:
        b_step = 0
    c = device.ops["empty"]((batch, m, n), dtype=a.dtype)
    launch(device, "matmul", a.dtype, c, left, right, bias, batch, m, n, k, a_step, b_step,
           lda, ldb, a_transposed, b_transposed)  # fmt: skip
    return c


@override("matmul", "cuda", "emulated")
def _matmul_kernel(device: Device, a: Any, b: Any) -> Any:
    if a.dtype != b.dtype or not is_floating(a.dtype):
        return NotImplemented
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if len(lead) > 1:  # several leading dimensions become one
        xp, count = device.xp, math.prod(lead)
        a, b = (
            x.reshape(1, *x.shape[-2:])
            if math.prod(x.shape[:-2]) == 1
            else xp.library.broadcast_to(x, lead + x.shape[-2:]).reshape(count, *x.shape[-2:])
            for x in (a, b)
        )
    return _product(device, a, b, None).reshape(*lead, a.shape[-2], b.shape[-1])


@override("linear", "cuda", "emulated")
def _linear_kernel(device: Device, x: Any, weight: Any, bias: Any) -> Any:
    if x.dtype != weight.dtype or not is_floating(x.dtype):
        return NotImplemented
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    if bias is not None:
        bias = device.ops["contiguous"](bias)
    return _product(device, rows, weight.T, bias).reshape(*x.shape[:-1], weight.shape[0])


@override("column_sum", "cuda", "emulated")
def _column_sum_kernel(device: Device, x: Any) -> Any:
    if not is_floating(x.dtype):
        return NotImplemented
    x = device.ops["contiguous"](x)
    rows, columns = x.shape
    out = device.ops["empty"]((columns,), dtype=x.dtype)
    parts = ask(device, "column_sum_partials", rows, columns)
    scratch = device.ops["empty"]((parts * columns,), dtype=accumulator(x.dtype))
    launch(device, "column_sum", x.dtype, out, scratch, x, rows, columns)
    return out


# ---------------------------------------------------------------------- PyTorch's signatures


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product; vectors are a row on the left and a column on the right, leading
    dimensions broadcast. (..., m, k) @ (..., k, n) -> (..., m, n). dtypes must agree."""
    same_dtype("matmul", a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(
            f"[matmul] needs at least 1 dimension each, got shapes {tuple(a.shape)} and "
            f"{tuple(b.shape)}: multiply 0-d tensors with *"
        )
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise RuntimeError(
            f"[matmul] shapes {tuple(a.shape)} and {tuple(b.shape)}: the inner sizes "
            f"{a.shape[-1]} and {b.shape[-2 if b.ndim > 1 else 0]} must agree"
        )
    left = unsqueeze(a, 0) if a.ndim == 1 else a
    right = unsqueeze(b, 1) if b.ndim == 1 else b
    if left.ndim > 2 and right.ndim == 2:
        # One product of all rows, rather than one for each matrix of the stack.
        lead = tuple(left.shape[:-1])
        y = reshape(_matmul(reshape(left, (-1, left.shape[-1]) if left.numel() else
                                    (math.prod(lead), left.shape[-1])), right),
                    (*lead, right.shape[-1]))  # fmt: skip
    else:
        try:
            y = _matmul(left, right)
        except ValueError as error:
            raise RuntimeError(
                f"[matmul] the leading dimensions of shapes {tuple(a.shape)} and "
                f"{tuple(b.shape)} do not broadcast"
            ) from error
    if a.ndim == 1:
        y = squeeze(y, -2)
    return squeeze(y, -1) if b.ndim == 1 else y


def mm(a: Tensor, b: Tensor) -> Tensor:
    """(m, k) @ (k, n)."""
    _ranks("mm", (a, 2), (b, 2))
    return matmul(a, b)


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """(batch, m, k) @ (batch, k, n), without broadcasting."""
    _ranks("bmm", (a, 3), (b, 3))
    if a.shape[0] != b.shape[0]:
        raise RuntimeError(
            f"[bmm] the batch sizes of shapes {tuple(a.shape)} and {tuple(b.shape)} must agree"
        )
    return matmul(a, b)


def mv(a: Tensor, b: Tensor) -> Tensor:
    """(m, k) @ (k,)."""
    _ranks("mv", (a, 2), (b, 1))
    return matmul(a, b)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of two vectors."""
    _ranks("dot", (a, 1), (b, 1))
    return matmul(a, b)


def outer(a: Tensor, b: Tensor) -> Tensor:
    """(m,) and (n,) -> all products, (m, n)."""
    _ranks("outer", (a, 1), (b, 1))
    return multiply(unsqueeze(a, 1), unsqueeze(b, 0))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias. x: (..., in), weight: (out, in), bias: (out,) -> (..., out)."""
    same_dtype("linear", x, weight)
    if weight.ndim == 1:
        return matmul(x, weight) if bias is None else matmul(x, weight) + bias
    fits = x.ndim > 0 and weight.ndim == 2 and x.shape[-1] == weight.shape[1]
    if fits and bias is not None:
        same_dtype("linear", x, bias)
        fits = tuple(bias.shape) in ((weight.shape[0],), ())
    if not fits:
        shape = None if bias is None else tuple(bias.shape)
        raise RuntimeError(
            f"[linear] input {tuple(x.shape)}, weight {tuple(weight.shape)} and bias {shape} do "
            "not fit: expected (..., in), (out, in) and (out,)"
        )
    if bias is not None and bias.ndim == 0:
        bias = bias.expand(weight.shape[0])
    return _linear(x, weight, bias)


def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products in Einstein's notation: ``einsum("bij,bjk->bik", a, b)``; with ``...`` for
    leading dimensions that broadcast. Computed pair by pair, from the left, as matrix products."""
    if not isinstance(equation, str):
        raise TypeError(f"[einsum] the equation comes first, got {type(equation).__name__}")
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    terms, output = _parse(equation, operands)
    sizes: dict[str, int] = {}
    for labels, x in zip(terms, operands, strict=True):
        for label, n in zip(labels, x.shape, strict=True):
            if sizes.setdefault(label, n) != n and n != 1:
                if sizes[label] != 1:
                    raise RuntimeError(
                        f"[einsum] label {label!r} of {equation!r} has sizes {sizes[label]} and "
                        f"{n}, in shapes {[tuple(o.shape) for o in operands]}"
                    )
                sizes[label] = n
    parts = [_diagonal(labels, x) for labels, x in zip(terms, operands, strict=True)]
    labels, y = parts[0]
    for i, (next_labels, x) in enumerate(parts[1:], 1):
        later = set(output).union(*(set(ls) for ls, _ in parts[i + 1 :]))
        labels, y = _contract(labels, y, next_labels, x, later)
    labels, y = _sum_out(labels, y, set(output))
    y = permute(y, [labels.index(label) for label in output if label in labels])
    return y


def _parse(equation: str, operands: tuple) -> tuple[list[str], str]:
    """One string of labels per operand, and the output's; ``...`` is spelled out in digits."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(f"[einsum] {equation!r} has {len(terms)} operands, got {len(operands)}")
    spans = []
    for term, x in zip(terms, operands, strict=True):
        if not isinstance(x, Tensor):
            raise TypeError(f"[einsum] operands must be Tensors, got {type(x).__name__}")
        named = term.replace("...", "")
        if not named.isalpha() and named:
            raise RuntimeError(f"[einsum] {term!r} in {equation!r} may hold letters and one '...'")
        span = x.ndim - len(named)
        if span < 0 or (span and "..." not in term):
            raise RuntimeError(
                f"[einsum] {term!r} has {len(named)} labels for shape {tuple(x.shape)}"
            )
        spans.append(span)
    dots = "".join(chr(0x2460 + i) for i in range(max(spans)))
    full = [
        term.replace("...", dots[len(dots) - span :])
        for term, span in zip(terms, spans, strict=True)
    ]
    if arrow:
        output = right.replace("...", dots)
    else:
        letters = "".join(full)
        output = dots + "".join(
            sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots)
        )
    known = set("".join(full))
    if len(set(output)) != len(output) or not set(output) <= known:
        raise RuntimeError(f"[einsum] the output {right!r} repeats or invents a label")
    return full, output


def _diagonal(labels: str, x: Tensor) -> tuple[str, Tensor]:
    """An operand whose label repeats ("ii") is its diagonal in these dimensions."""
    for label in labels:
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(f"[einsum] {label!r} names sizes {x.shape[i]} and {x.shape[j]}")
            steps = x.device.ops["arange"](x.shape[i])
            x = x.movedim((i, j), (0, 1))[steps, steps]
            labels = label + labels.replace(label, "")
    return labels, x


def _sum_out(labels: str, x: Tensor, keep: set[str]) -> tuple[str, Tensor]:
    gone = [i for i, label in enumerate(labels) if label not in keep]
    if gone:
        x = sum(x, gone)
    return "".join(label for label in labels if label in keep), x


def _contract(la: str, a: Tensor, lb: str, b: Tensor, later: set[str]) -> tuple[str, Tensor]:
    """Two operands as one batched matrix product: batch labels stay, contracted ones are summed."""
    la, a = _sum_out(la, a, set(lb) | later)
    lb, b = _sum_out(lb, b, set(la) | later)
    shared = [c for c in la if c in lb]
    # A size 1 that broadcasts against n is no matrix dimension: sum or multiply it plainly.
    for c in shared:
        n = max(a.shape[la.index(c)], b.shape[lb.index(c)])
        if a.shape[la.index(c)] != n:
            a = a.expand([n if label == c else -1 for label in la])
        if b.shape[lb.index(c)] != n:
            b = b.expand([n if label == c else -1 for label in lb])
    batch = [c for c in shared if c in later]
    inner = [c for c in shared if c not in later]
    rows = [c for c in la if c not in shared]
    columns = [c for c in lb if c not in shared]
    size = {c: n for ls, x in ((la, a), (lb, b)) for c, n in zip(ls, x.shape, strict=True)}

    def group(*labels: list[str]) -> list[int]:
        return [math.prod(size[c] for c in ls) for ls in labels]

    left = reshape(permute(a, [la.index(c) for c in batch + rows + inner]),
                   group(batch, rows, inner))  # fmt: skip
    right = reshape(permute(b, [lb.index(c) for c in batch + inner + columns]),
                    group(batch, inner, columns))  # fmt: skip
    left, right = align("einsum", left, right)
    order = batch + rows + columns
    return "".join(order), reshape(matmul(left, right), [size[c] for c in order])


def _ranks(op: str, *pairs: tuple[Tensor, int]) -> None:
    for x, _ in pairs:
        require_tensor(op, x)
    if any(x.ndim != rank for x, rank in pairs):
        raise RuntimeError(
            f"[{op}] expects {' and '.join(f'{rank}-d' for _, rank in pairs)} tensors, got shapes "
            + " and ".join(str(tuple(x.shape)) for x, _ in pairs)
        )
