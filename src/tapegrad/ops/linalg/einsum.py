"""Sums of products in Einstein's notation, computed pair by pair as batched matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from tapegrad.core.tape import align
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.movement.diagonal import diagonal
from tapegrad.ops.movement.shape import expand, permute, reshape
from tapegrad.ops.pointwise.elementwise import multiply
from tapegrad.ops.reduction.reduce import sum

from .matmul import product


def einsum(equation: Any, *operands: Any) -> Tensor:
    """``einsum("bij,bjk->bik", a, b)``, with ``...`` for leading dimensions that broadcast and
    repeated letters for diagonals. Without an output, the letters that occur once, in order.
    ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` says the same in numbers from 0 to 51 and ``...``.

    The result has the output's dimensions; a size of 1 goes with any other. Operands, of one dtype
    or promoted, are contracted in pairs, cheap pairs first. Raises RuntimeError where labels and
    shapes disagree.
    """
    if isinstance(equation, Tensor):
        equation, operands = _spelled((equation, *operands))
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
    if len(operands) == 2:
        return _combined(terms, operands, output, sizes)
    return _combined_several(terms, operands, output, sizes)


def _combined(
    terms: list[str], operands: Sequence[Tensor], output: str, sizes: dict[str, int]
) -> Tensor:
    parts = [_diagonal(labels, x) for labels, x in zip(terms, operands, strict=True)]
    while len(parts) > 1:
        i, j = _cheapest([labels for labels, _ in parts], sizes)
        pair, parts = (parts[i], parts[j]), [p for k, p in enumerate(parts) if k not in (i, j)]
        parts.append(_contract(*pair, output, set(output).union(*(labels for labels, _ in parts))))
    labels, y = parts[0]
    labels, y = _sum_out(labels, y, set(output))
    return permute(y, [labels.index(label) for label in output])


_combined_several = compute_in_float32(_combined)


def _cheapest(terms: list[str], sizes: dict[str, int]) -> tuple[int, int]:
    """The pair of operands whose product takes the fewest multiplications; of equals the first."""

    def cost(pair: tuple[int, int]) -> int:
        return math.prod(sizes[label] for label in set(terms[pair[0]] + terms[pair[1]]))

    return min(combinations(range(len(terms)), 2), key=cost)


def _spelled(given: tuple) -> tuple[str, tuple]:
    """Operands with lists of numbers as an equation and operands."""
    operands, lists = given[0::2], given[1::2]
    output = None
    if len(given) % 2:
        operands, output = operands[:-1], operands[-1]
    letters = ascii_uppercase + ascii_lowercase

    def spell(numbers: Any) -> str:
        if not isinstance(numbers, (list, tuple)):
            raise TypeError(
                f"[einsum] each operand is followed by a list of its labels, got "
                f"{type(numbers).__name__}"
            )
        if not all(n is Ellipsis or (isinstance(n, int) and 0 <= n < 52) for n in numbers):
            raise RuntimeError(f"[einsum] labels are numbers from 0 to 51 or ..., got {numbers}")
        return "".join("..." if n is Ellipsis else letters[n] for n in numbers)

    equation = ",".join(spell(numbers) for numbers in lists)
    return equation if output is None else f"{equation}->{spell(output)}", operands


def _parse(equation: str, operands: tuple) -> tuple[list[str], str]:
    """One string of labels per operand, and the output's; ``...`` is spelled out in digits."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(f"[einsum] {equation!r} has {len(terms)} operands, got {len(operands)}")
    spans = []
    for term, x in zip(terms, operands, strict=True):
        require_tensor("einsum", x)
        named = _letters(term, equation)
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
    known = "".join(full)
    if arrow:
        _letters(right, equation)
        output = right.replace("...", dots)
    else:
        output = dots + "".join(sorted(c for c in set(known) - set(dots) if known.count(c) == 1))
    if len(set(output)) != len(output) or not set(output) <= set(known):
        raise RuntimeError(f"[einsum] the output {right!r} repeats or invents a label")
    return full, output


def _letters(term: str, equation: str) -> str:
    """The labels of a term without its "..."."""
    named = term.replace("...", "", 1)
    if named and not (named.isascii() and named.isalpha()):
        raise RuntimeError(f"[einsum] {term!r} in {equation!r} may hold letters and one '...'")
    return named


def _diagonal(labels: str, x: Tensor) -> tuple[str, Tensor]:
    """An operand whose label repeats ("ii") is its diagonal in these dimensions."""
    for label in labels:
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(f"[einsum] {label!r} names sizes {x.shape[i]} and {x.shape[j]}")
            x = diagonal(x, 0, i, j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + label
    return labels, x


def _sum_out(labels: str, x: Tensor, keep: set[str]) -> tuple[str, Tensor]:
    gone = [i for i, label in enumerate(labels) if label not in keep]
    if gone:
        x = sum(x, gone, dtype=x.dtype)
    return "".join(label for label in labels if label in keep), x


def _contract(
    first: tuple[str, Tensor], second: tuple[str, Tensor], output: str, later: set[str]
) -> tuple[str, Tensor]:
    """Two operands as one batched matrix product: batch labels stay, contracted ones are summed.
    (Or as an elementwise product, where nothing is summed and one has all labels.)
    The rows are those of the operand whose labels the output has first, so that most often it need
    not be permuted."""
    (la, a), (lb, b) = first, second
    la, a = _sum_out(la, a, set(lb) | later)
    lb, b = _sum_out(lb, b, set(la) | later)
    shared = [c for c in la if c in lb]
    if next((c in lb for c in output if (c in la) != (c in lb)), False):
        la, a, lb, b = lb, b, la, a
    size = dict(zip(la, a.shape, strict=True))
    for c, n in zip(lb, b.shape, strict=True):
        if size.get(c, 1) == 1:
            size[c] = n  # which may be 0
    # A size of 1 broadcasts, which sizes in a matrix product do not.
    wide_a, wide_b = ([size[c] for c in labels] for labels in (la, lb))
    a = a if list(a.shape) == wide_a else expand(a, wide_a)
    b = b if list(b.shape) == wide_b else expand(b, wide_b)
    batch = [c for c in shared if c in later]
    inner = [c for c in shared if c not in later]
    rows = [c for c in la if c not in shared]
    columns = [c for c in lb if c not in shared]

    if not inner and not (rows and columns):  # one of them is spread over the other
        order = sorted(size, key=f"{output}{la}{lb}".index)
        return "".join(order), multiply(_placed(la, a, order), _placed(lb, b, order))

    def group(*labels: list[str]) -> list[int]:
        return [math.prod(size[c] for c in ls) for ls in labels]

    left = reshape(
        permute(a, [la.index(c) for c in batch + rows + inner]), group(batch, rows, inner)
    )
    right = reshape(
        permute(b, [lb.index(c) for c in batch + inner + columns]), group(batch, inner, columns)
    )
    left, right = align("einsum", left, right)
    order = batch + rows + columns
    return "".join(order), reshape(product("einsum", left, right), [size[c] for c in order])


def _placed(labels: str, x: Tensor, order: list[str]) -> Tensor:
    """x with its dimensions in an order, of size 1 for labels that it does not have."""
    there = [c for c in order if c in labels]
    sizes = iter([x.shape[labels.index(c)] for c in there])
    x = permute(x, [labels.index(c) for c in there])
    return reshape(x, [next(sizes) if c in labels else 1 for c in order])
