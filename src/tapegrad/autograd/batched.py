"""``vmap``: a function of one example, made one of a batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.movement.cat import stack
from tapegrad.ops.sampling.philox import get_rng_state, set_rng_state

from .tree import flatten, structure

__all__ = ["vmap"]


@retelling
def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """A function that calls ``func`` for each example of a batch and stacks what it returns.

    This is a loop over the examples, recorded as one: its results, gradients and second gradients
    are those of PyTorch's ``vmap``, its time is that of the calls. What is no batch to PyTorch's
    (``x.item()``, ``if x > 0``) is allowed.

    in_dims: the dimension of the examples, for all arguments, or a tuple with one for each: an int,
        None for what all examples share, or, of nested arguments, nested alike. Keyword arguments
        are shared.
    out_dims: where the dimension of the examples is in the results: an int, or nested as they are;
        None for what is equal for all examples, which is returned once and need be no tensor.
    randomness: "error" refuses a ``func`` that draws from the default generator; "different" draws
        anew for each example, "same" the same numbers for all.
    chunk_size: for PyTorch, how many examples are computed at once; here it changes nothing.

    The function raises ValueError where dimensions do not suit arguments or results: of other
    structure, no ints, out of range, of several sizes; and for results that are no tensors or
    differ between examples where ``out_dims`` is None. RuntimeError for another ``randomness``, and
    for numbers drawn under "error"; ValueError for a ``chunk_size`` below 1.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"[vmap] randomness must be 'error', 'different' or 'same', got {randomness!r}"
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"[vmap] chunk_size must be None or at least 1, got {chunk_size}")
    if not _is_dims(out_dims):
        raise ValueError(
            f"[vmap] out_dims must be an int, None, or ints and None nested as the results are, "
            f"got {out_dims!r}"
        )

    @wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        size, example = _examples(args, in_dims)
        before = get_rng_state()
        results = []
        for i in range(size or 1):
            if randomness == "same":
                set_rng_state(before)
            results.append(func(*example(i), **kwargs))
        if not size or randomness == "error":
            drawn = not bool((get_rng_state() == before).all())
            set_rng_state(before)
            if drawn and size:
                raise RuntimeError(
                    "[vmap] the function draws random numbers: say randomness='different' (for "
                    "each example) or 'same' (for all)"
                )
        wanted = structure(results[0])
        if any(structure(result) != wanted for result in results):
            raise ValueError("[vmap] the function's results are nested differently by example")
        dims = out_dims
        if isinstance(results[0], Tensor) and isinstance(dims, tuple) and len(dims) == 1:
            dims = dims[0]
        places = _spread("out_dims", dims, results[0])
        columns = zip(*(flatten(result)[0] for result in results), strict=True)
        _, build = flatten(results[0])
        return build([_joined(list(c), d, size) for c, d in zip(columns, places, strict=True)])

    return mapped


def _is_dims(dims: Any) -> bool:
    return all(dim is None or type(dim) is int for dim in flatten(dims)[0])


def _spread(what: str, dims: Any, tree: Any) -> list:
    """A dimension for each leaf of ``tree``: one of ``dims`` holds for all that is below it."""
    if not isinstance(dims, (tuple, list, dict)):
        return [dims] * len(flatten(tree)[0])
    own = _children(dims)
    alike = _children(tree) if type(tree) is type(dims) else None
    if alike is None or own.keys() != alike.keys():
        raise ValueError(
            f"[vmap] {what} says {dims!r} for a {type(tree).__name__}: it must be nested alike"
        )
    return [dim for key in alike for dim in _spread(what, own[key], alike[key])]


def _children(tree: Any) -> dict:
    return tree if isinstance(tree, dict) else dict(enumerate(tree))


def _examples(args: tuple, in_dims: Any) -> tuple[int, Callable[[int], tuple]]:
    """How many examples the arguments hold, and the function that makes the arguments of one (of
    the only one, zeros, where there are none)."""
    if not (isinstance(in_dims, (int, tuple)) and _is_dims(in_dims)):
        raise ValueError(
            f"[vmap] in_dims must be an int, or a tuple of ints and None nested as the arguments "
            f"are, got {in_dims!r}"
        )
    leaves, build = flatten(args)
    dims = _spread("in_dims", in_dims, args)
    sizes = set()
    for x, dim in zip(leaves, dims, strict=True):
        if dim is None:
            continue
        if not isinstance(x, Tensor):
            raise ValueError(
                f"[vmap] in_dims says {dim} for an argument that is no tensor but "
                f"{type(x).__name__}: say None for what all examples share"
            )
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(
                f"[vmap] in_dims says {dim}, and an argument has shape {tuple(x.shape)}"
            )
        sizes.add(x.shape[dim])
    if len(sizes) != 1:
        wrong = f"have different numbers of examples, {sorted(sizes)}" if sizes else "hold no batch"
        raise ValueError(f"[vmap] the arguments {wrong}: in_dims={in_dims!r}")
    (size,) = sizes

    def example(i: int) -> tuple:
        return build([_example(x, dim, i) for x, dim in zip(leaves, dims, strict=True)])

    return size, example


def _example(x: Any, dim: int | None, i: int) -> Any:
    if dim is None:
        return x
    if x.shape[dim]:
        return x.select(dim, i)
    shape = list(x.shape)
    del shape[dim]
    return x.new_zeros(shape)


def _joined(values: list, dim: int | None, size: int) -> Any:
    """The results of all examples, as one."""
    first = values[0]
    if dim is None:
        if not all(_equal(first, value) for value in values[1:]):
            raise ValueError("[vmap] out_dims=None, and the result is another for another example")
        return first
    if not isinstance(first, Tensor):
        raise ValueError(
            f"[vmap] the function must return tensors, got {type(first).__name__}: say "
            "out_dims=None for what is equal for all examples"
        )
    joined = stack(values, dim)
    return joined if size else joined.narrow(dim, 0, 0)


def _equal(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor):
        return bool(a == b)
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
