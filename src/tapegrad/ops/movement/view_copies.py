"""Functions that copy what a view would show, and functions that write it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor, same_device
from tapegrad.ops.common.index import index_put
from tapegrad.ops.pointwise.elementwise import cast

from . import diagonal as diagonals
from . import shape, split, unfold


def _copied(view: Callable) -> Callable:
    """The same function with copies for views."""

    @wraps(view)
    def copied(*args: Any, **options: Any) -> Any:
        result = view(*args, **options)
        return tuple(map(shape.copy, result)) if isinstance(result, tuple) else shape.copy(result)

    copied.__doc__ = f"A copy of what ``{view.__name__}`` shows; raises what that does."
    return copied


def detach(input: Tensor) -> Tensor:
    """A view of the whole tensor that is off the tape: no gradient flows through it."""
    require_tensor("detach", input)
    return input.detach()


alias_copy = _copied(shape.alias)
detach_copy = _copied(detach)
diagonal_copy = _copied(diagonals.diagonal)
expand_copy = _copied(shape.expand)
narrow_copy = _copied(split.narrow)
permute_copy = _copied(shape.permute)
select_copy = _copied(split.select)
slice_copy = _copied(split.slice)
split_copy = _copied(split.split)
split_with_sizes_copy = _copied(split.split_with_sizes)
squeeze_copy = _copied(shape.squeeze)
t_copy = _copied(shape.t)
transpose_copy = _copied(shape.transpose)
unbind_copy = _copied(split.unbind)
unfold_copy = _copied(unfold.unfold)
unsqueeze_copy = _copied(shape.unsqueeze)
view_copy = _copied(shape.view)


def _scattered(op: str, input: Tensor, src: Tensor, index: tuple) -> Tensor:
    require_tensor(op, src)
    size = input._array[index].shape
    if tuple(src.shape) != size:
        raise RuntimeError(
            f"[{op}] src has shape {tuple(src.shape)}, the part of the tensor that it replaces "
            f"{size}"
        )
    same_device(op, input, src, "src")
    return index_put(input, cast(src, dtype=input.dtype), index=index)


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of ``input`` in which ``select(dim, index)`` is ``src``. Raises RuntimeError where src
    has another shape than that or is on another device, IndexError for an index out of range."""
    d, i = split.position(input, "select_scatter", dim, index)
    return _scattered("select_scatter", input, src, (slice(None),) * d + (i,))


def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy of ``input`` in which ``input[..., start:end:step, ...]`` along ``dim`` is ``src``.
    Raises RuntimeError where src has another shape than that or is on another device, for step <= 0
    and for a 0-d tensor."""
    index = split.interval(input, "slice_scatter", dim, start, end, step)
    return _scattered("slice_scatter", input, src, index)
