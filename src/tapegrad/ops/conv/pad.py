"""Borders: constant, reflected, repeated, or wrapped around."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.scalars import fit_number
from tapegrad.ops.movement.cat import cat

Widths = tuple[tuple[int, int], ...]


def _uncovered(xp: Any, g: Array, widths: Widths) -> Any:
    return xp.constant_pad(g, widths=tuple((-a, -b) for a, b in widths), value=0)


@primitive(vjp=(_uncovered,))
def constant_pad(xp: Any, x: Array, *, widths: Widths, value: Any) -> Array:
    """``widths`` (before, after) for each dimension; a negative width cuts."""
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True))
    result = xp.full(shape, value, dtype=x.dtype)
    # Of each dimension what remains, [first, end) of x, and where it goes.
    kept = [(max(-a, 0), min(n, n + b)) for n, (a, b) in zip(x.shape, widths, strict=True)]
    if all(first < end for first, end in kept):
        target = tuple(
            slice(first + a, end + a) for (first, end), (a, _) in zip(kept, widths, strict=True)
        )
        result[target] = x[tuple(slice(first, end) for first, end in kept)]
    return result


def _reflected(x: Tensor, dim: int, before: int, after: int) -> list[Tensor]:
    """What lies before and after, mirrored at the first and last elements."""
    n = x.shape[dim]
    return [x.narrow(dim, 1, before).flip(dim), x.narrow(dim, n - 1 - after, after).flip(dim)]


def _repeated(x: Tensor, dim: int, before: int, after: int) -> list[Tensor]:
    """The first and the last element again and again."""
    n, sizes = x.shape[dim], [-1] * x.ndim
    ends = []
    for start, width in ((0, before), (n - 1, after)):
        sizes[dim] = width
        ends.append(x.narrow(dim, start, 1).expand(sizes))
    return ends


def _wrapped(x: Tensor, dim: int, before: int, after: int) -> list[Tensor]:
    """The end before the start, and the start after the end."""
    return [x.narrow(dim, x.shape[dim] - before, before), x.narrow(dim, 0, after)]


# For each mode: what makes its borders, and how wide they may be beside n elements.
_MODES: dict[str, tuple[Callable, Callable[[int], int | None], str]] = {
    "reflect": (_reflected, lambda n: n - 1, "less than"),
    "replicate": (_repeated, lambda n: None, ""),
    "circular": (_wrapped, lambda n: n, "at most"),
}


def _extended(mode: str, x: Tensor, dim: int, before: int, after: int) -> Tensor:
    """One dimension with its borders."""
    n, shape = x.shape[dim], tuple(x.shape)
    if n < 1 or n + before + after < 0:
        raise RuntimeError(
            f"[pad] mode {mode!r}: widths {(before, after)} cut more than there is of dim {dim} of "
            f"a tensor of shape {shape}"
        )
    if mode == "circular" and (before < 0 or after < 0):  # what is cut does not come round again
        x = x.narrow(dim, min(max(-before, 0), n), max(n + min(before, 0) + min(after, 0), 0))
        n, before, after = x.shape[dim], max(before, 0), max(after, 0)
    borders, limit, relation = _MODES[mode]
    most = limit(n)
    if most is not None and max(before, after) > most:
        raise RuntimeError(
            f"[pad] mode {mode!r}: widths {(before, after)} must be {relation} the size {n} of dim "
            f"{dim} of a tensor of shape {shape}"
        )
    first, last = borders(x, dim, max(before, 0), max(after, 0))
    parts = [part for part, width in ((first, before), (x, 1), (last, after)) if width > 0]
    y = cat(parts, dim) if len(parts) > 1 else x.clone()
    if before >= 0 and after >= 0:
        return y
    return y.narrow(dim, max(-before, 0), n + before + after).clone()


def pad(input: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    """``input`` with borders: ``pad`` lists (before, after) of the last dimension, then of the one
    before it, and so on. A negative width cuts.

    mode: "constant" (``value``, 0 by default; any dimensions), or "reflect", "replicate" or
    "circular", on the last 1, 2 or 3 dimensions of a (batch, channels, ...) tensor, or one without
    the batch. Raises RuntimeError for widths that do not fit the shape, NotImplementedError for
    another mode or number of dimensions, ValueError for a value with another mode than "constant".
    """
    require_tensor("pad", input)
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"[pad] the widths must be a tuple of ints, got {type(pad).__name__}")
    try:
        flat = [w.__index__() for w in pad]
    except AttributeError:
        raise TypeError(f"[pad] the widths must be ints, got {tuple(pad)}") from None
    if len(flat) % 2 or len(flat) > 2 * input.ndim:
        raise RuntimeError(
            f"[pad] needs two widths a dimension, for at most {input.ndim} dimensions, got "
            f"{tuple(flat)} for shape {tuple(input.shape)}"
        )
    widths = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)][::-1]
    lead = input.ndim - len(widths)
    if mode == "constant":
        full: Widths = (*((0, 0),) * lead, *widths)
        if any(n + a + b < 0 for n, (a, b) in zip(input.shape, full, strict=True)):
            raise RuntimeError(
                f"[pad] widths {tuple(flat)} cut more than there is of shape {tuple(input.shape)}"
            )
        number = 0 if value is None else fit_number("pad", value, input.dtype)
        return constant_pad(input, widths=full, value=number)
    if mode not in _MODES:
        names = ", ".join(repr(name) for name in ("constant", *_MODES))
        raise NotImplementedError(f"[pad] mode must be one of {names}, got {mode!r}")
    if value:
        raise ValueError(f"[pad] mode {mode!r} takes no value, got {value!r}")
    if not 1 <= len(widths) <= 3 or lead not in (1, 2):
        raise NotImplementedError(
            f"[pad] mode {mode!r} pads the last 1, 2 or 3 dimensions of a (batch, channels, ...) "
            f"or (channels, ...) tensor, got {len(flat)} widths for shape {tuple(input.shape)}"
        )
    for i, (before, after) in enumerate(widths):
        input = _extended(mode, input, lead + i, before, after)
    return input
