"""What random programs are made of: operations as data, so that they can be printed and shrunk.

An operation draws its arguments for tensors it is given (``draw``, None where it does not apply)
and runs with either library (``run``): both only see shapes, dtypes and plain values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Random = np.random.Generator
FLOATS = ("float64", "float32", "float16", "bfloat16")


@dataclass
class Operation:
    name: str
    arity: int
    run: Callable  # (lib, tensors, arguments) -> a tensor, or several
    draw: Callable  # (random, shapes, dtypes) -> arguments or None
    steps: bool = False  # whether its result jumps, or its gradient does: see ``fuzz.is_stable``
    writes: bool = False  # whether it changes its first tensor


OPERATIONS: dict[str, Operation] = {}


def operation(name: str, arity: int = 1, **options: Any) -> Callable:
    """Register ``run``; its ``draw`` comes from ``@name.draws`` or applies always."""

    def register(run: Callable) -> Callable:
        OPERATIONS[name] = Operation(name, arity, run, options.pop("draw", _always), **options)
        return run

    return register


def _always(random: Random, shapes: list, dtypes: list) -> Any:
    return ()


def floating(random: Random, shapes: list, dtypes: list) -> Any:
    return () if all(d in FLOATS for d in dtypes) else None


def dim_of(random: Random, shapes: list, dtypes: list) -> Any:
    n = len(shapes[0])
    return (int(random.integers(-n, n)),) if n else None


def floating_dim(random: Random, shapes: list, dtypes: list) -> Any:
    return dim_of(random, shapes, dtypes) if dtypes[0] in FLOATS else None


def dims_keepdim(random: Random, shapes: list, dtypes: list) -> Any:
    n = len(shapes[0])
    if dtypes[0] not in FLOATS:
        return None
    dims = [d for d in range(n) if random.integers(2)]
    return (tuple(dims) or None, bool(random.integers(2)))


# ---------------------------------------------------------------------- one number

for _name in ("sin", "cos", "tanh", "sigmoid", "neg", "square", "erf", "atan", "asinh"):
    operation(_name, draw=floating)(lambda lib, t, a, n=_name: getattr(t[0], n)())
# (PyTorch's gradient of sinc near 0 is off by half in float16.)
operation("sinc", draw=lambda r, s, d: () if d[0] in ("float64", "float32") else None)(
    lambda lib, t, a: t[0].sinc()
)
for _name in ("abs", "relu", "sign", "floor", "round", "trunc", "frac"):
    operation(_name, draw=floating, steps=True)(lambda lib, t, a, n=_name: getattr(t[0], n)())
operation("sqrt", draw=floating)(lambda lib, t, a: (t[0] * t[0] + 0.5).sqrt())
operation("log", draw=floating)(lambda lib, t, a: (t[0] * t[0] + 0.5).log())
operation("exp", draw=floating)(lambda lib, t, a: (t[0] * 0.25).exp())
operation("logical_not", steps=True)(lambda lib, t, a: t[0].logical_not() if a == () else None)
operation("clone")(lambda lib, t, a: t[0].clone())
operation("detach")(lambda lib, t, a: t[0].detach().clone())
operation("gelu", draw=floating)(lambda lib, t, a: lib.nn.functional.gelu(t[0]))
operation("silu", draw=floating)(lambda lib, t, a: lib.nn.functional.silu(t[0]))


@operation("clamp", steps=True, draw=lambda r, s, d: (float(r.uniform(-1, 0)),
           float(r.uniform(0, 1))) if d[0] in FLOATS else None)  # fmt: skip
def _clamp(lib: Any, t: list, a: tuple) -> Any:
    return t[0].clamp(*a)


@operation("to", steps=True, draw=lambda r, s, d: (
           str(r.choice([*FLOATS, "float64", "int64", "int32", "bool"])),))  # fmt: skip
def _to(lib: Any, t: list, a: tuple) -> Any:
    return t[0].to(getattr(lib, a[0]))


@operation("scalar", draw=lambda r, s, d: (str(r.choice(["add", "sub", "mul", "rsub", "div"])),
                                           r.choice([2, -1, 0.5, 1.5, 3]).item()))  # fmt: skip
def _scalar(lib: Any, t: list, a: tuple) -> Any:
    name, number = a
    if name == "rsub":
        return number - t[0] if str(t[0].dtype).split(".")[-1] != "bool" else t[0] | False
    if name == "sub" and str(t[0].dtype).split(".")[-1] == "bool":
        return t[0] & True
    return getattr(t[0], name)(number)


# ---------------------------------------------------------------------- two and three

for _name in ("add", "mul", "logaddexp"):
    operation(_name, 2, draw=floating if _name not in ("add", "mul") else _always)(
        lambda lib, t, a, n=_name: getattr(lib, n)(t[0], t[1])
    )
# (Of two zeros the slope of hypot is nan; and zeros may differ in sign, half a turn for atan2.)
for _name in ("hypot", "atan2"):
    operation(_name, 2, draw=floating, steps=True)(
        lambda lib, t, a, n=_name: getattr(lib, n)(t[0], t[1])
    )
operation("sub", 2, draw=floating)(lambda lib, t, a: t[0] - t[1])
operation("div", 2, draw=floating)(lambda lib, t, a: t[0] / (t[1] * t[1] + 0.5))
operation("pow", 2, draw=floating)(lambda lib, t, a: (t[0] * t[0] + 0.5) ** t[1].clamp(-2, 2))
OPERATIONS["pow"].steps = True
for _name in ("maximum", "minimum", "gt", "le", "eq", "fmax"):
    operation(_name, 2, steps=True)(lambda lib, t, a, n=_name: getattr(lib, n)(t[0], t[1]))
operation("lerp", 3, draw=lambda r, s, d: () if len(set(d)) == 1 and d[0] in FLOATS else None)(
    lambda lib, t, a: lib.lerp(t[0], t[1], t[2])
)
operation("addcmul", 3, draw=floating)(lambda lib, t, a: lib.addcmul(t[0], t[1], t[2], value=0.5))


@operation("where", 3, steps=True)
def _where(lib: Any, t: list, a: tuple) -> Any:
    return lib.where(t[0] > 0, t[1], t[2])


@operation("add_alpha", 2, draw=floating)
def _add_alpha(lib: Any, t: list, a: tuple) -> Any:
    return lib.sub(lib.add(t[0], t[1], alpha=2), t[1], alpha=0.5)


# ---------------------------------------------------------------------- reductions, scans, sorting

for _name in ("sum", "mean", "logsumexp", "var", "std", "amax", "amin"):
    operation(_name, draw=dims_keepdim, steps=_name in ("amax", "amin", "std"))(
        lambda lib, t, a, n=_name: getattr(t[0], n)(
            a[0] if a[0] is not None else tuple(range(t[0].ndim)), keepdim=a[1]
        )
    )
for _name in ("prod", "cumsum", "cumprod", "softmax", "log_softmax", "logcumsumexp"):
    operation(_name, draw=floating_dim)(lambda lib, t, a, n=_name: getattr(t[0], n)(*a))
for _name in ("argmax", "argmin"):
    operation(_name, draw=floating_dim, steps=True)(lambda lib, t, a, n=_name: getattr(t[0], n)(*a))
for _name in ("max", "min", "sort", "cummax"):
    operation(_name, draw=floating_dim, steps=True)(
        lambda lib, t, a, n=_name: getattr(t[0], n)(*a)[0]
    )
# (PyTorch's median of an expanded tensor differs from run to run.)
operation("median", draw=floating_dim, steps=True)(
    lambda lib, t, a: t[0].contiguous().median(*a)[0]
)
operation("norm", draw=floating_dim)(lambda lib, t, a: lib.linalg.vector_norm(t[0] + 3, dim=a[0]))
operation("any", draw=dim_of, steps=True)(lambda lib, t, a: (t[0] > 0).any(*a))
operation("count_nonzero", draw=dim_of, steps=True)(
    lambda lib, t, a: (t[0] > 0.5).count_nonzero(*a)  # (what is 0 but for rounding must not count)
)

# ---------------------------------------------------------------------- shapes and views

for _name in ("squeeze", "t"):
    operation(_name)(lambda lib, t, a, n=_name: getattr(t[0], n)())
# Whether these are views depends on the order in memory, which need not be PyTorch's.
for _name in ("flatten", "ravel", "contiguous"):
    operation(_name)(lambda lib, t, a, n=_name: getattr(t[0], n)().clone())
operation("flip", draw=dim_of)(lambda lib, t, a: t[0].flip(*a))
operation("unsqueeze", draw=lambda r, s, d: (int(r.integers(-len(s[0]) - 1, len(s[0]) + 1)),))(
    lambda lib, t, a: t[0].unsqueeze(*a)
)
operation("roll", draw=lambda r, s, d: (int(r.integers(-3, 4)), *(dim_of(r, s, d) or (None,))))(
    lambda lib, t, a: t[0].roll(*a)
)
operation("permute", draw=lambda r, s, d: (tuple(r.permutation(len(s[0])).tolist()),))(
    lambda lib, t, a: t[0].permute(*a)
)
operation("expand", draw=lambda r, s, d: ((int(r.integers(1, 3)), *s[0]),))(
    lambda lib, t, a: t[0].expand(*a)
)
operation("tril", draw=lambda r, s, d: (int(r.integers(-2, 3)),) if len(s[0]) > 1 else None)(
    lambda lib, t, a: t[0].tril(*a)
)
operation("diagonal", draw=lambda r, s, d: (int(r.integers(-1, 2)),) if len(s[0]) > 1 else None)(
    lambda lib, t, a: t[0].diagonal(*a)
)
operation("repeat_interleave", draw=lambda r, s, d: (2, *(dim_of(r, s, d) or (None,))))(
    lambda lib, t, a: t[0].repeat_interleave(*a).clone()  # (PyTorch's is a view of what it made)
)
operation("unfold", draw=lambda r, s, d: (0, min(2, s[0][0]), 1) if s[0] else None)(
    lambda lib, t, a: t[0].unfold(*a)
)
operation("cat", 2, draw=dim_of)(lambda lib, t, a: lib.cat([t[0], t[1]], *a))
operation("stack", 2)(lambda lib, t, a: lib.stack([t[0], t[1]]))


@operation("reshape", draw=lambda r, s, d: (_factors(r, math.prod(s[0])),))
def _reshape(lib: Any, t: list, a: tuple) -> Any:
    return t[0].reshape(a[0]).clone()


def _factors(random: Random, n: int) -> tuple[int, ...]:
    if n == 0:
        return (0, 2)
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    first = int(random.choice(divisors))
    return (first, -1) if random.integers(2) else (first, n // first)


@operation("split", draw=dim_of)
def _split(lib: Any, t: list, a: tuple) -> Any:
    return tuple(t[0].split(2, *a))[-1]


@operation("unbind", draw=lambda r, s, d: dim_of(r, s, d) if s[0] and 0 not in s[0] else None)
def _unbind(lib: Any, t: list, a: tuple) -> Any:
    return t[0].unbind(*a)[0]


# ---------------------------------------------------------------------- indexing


def _index(random: Random, shapes: list, dtypes: list) -> Any:
    """A tuple of ints, slices, None, ..., lists and masks, as plain data."""
    parts: list = []
    lists = False
    for n in shapes[0]:
        kind = int(random.integers(6))
        if kind == 0 and n:
            parts.append(int(random.integers(-n, n)))
        elif kind == 1 and n and not lists:
            parts.append(random.integers(0, n, int(random.integers(1, 4))).tolist())
            lists = True
        elif kind == 2:
            parts.append(None)
            parts.append(slice(None))
        elif kind == 3:
            start = int(random.integers(0, n + 1))
            parts.append(slice(start, None, int(random.integers(1, 3))))
        else:
            parts.append(slice(None))
    cut = int(random.integers(len(parts) + 1))
    return (tuple(parts[:cut]),)


operation("getitem", draw=_index)(lambda lib, t, a: t[0][a[0]])


def _indices(random: Random, shapes: list, dtypes: list) -> Any:
    found = dim_of(random, shapes, dtypes)
    if found is None or 0 in shapes[0]:
        return None
    n = shapes[0][found[0]]
    return (*found, random.integers(0, n, int(random.integers(1, 5))).tolist())


@operation("index_select", draw=_indices)
def _index_select(lib: Any, t: list, a: tuple) -> Any:
    return t[0].index_select(a[0], lib.tensor(a[1]))


def _along(lib: Any, t: Any, a: tuple) -> Any:
    """An index tensor of t's number of dimensions, for gather and scatter."""
    dim, places = a
    shape = [1] * t.ndim
    shape[dim] = len(places)
    full = list(t.shape)
    full[dim] = len(places)
    return lib.tensor(places).reshape(tuple(shape)).expand(tuple(full))


operation("gather", draw=_indices)(lambda lib, t, a: t[0].gather(a[0], _along(lib, t[0], a)))
operation("scatter_add", draw=_indices)(
    lambda lib, t, a: t[0].scatter_add(
        a[0], _along(lib, t[0], a), t[0].gather(a[0], _along(lib, t[0], a))
    )
)
operation("index_add", draw=_indices)(
    lambda lib, t, a: t[0].index_add(
        a[0], lib.tensor(a[1]), t[0].index_select(a[0], lib.tensor(a[1]))
    )
)
operation("masked_fill", 2, steps=True)(lambda lib, t, a: t[0].masked_fill(t[1] > 0, 2))
operation("masked_select", 2, steps=True)(lambda lib, t, a: t[0].masked_select(t[1] > 0))
operation("take", draw=lambda r, s, d: (r.integers(0, math.prod(s[0]), 3).tolist(),)
          if math.prod(s[0]) else None)(lambda lib, t, a: t[0].take(lib.tensor(a[0])))  # fmt: skip

# ---------------------------------------------------------------------- products, networks


def _same_floats(random: Random, shapes: list, dtypes: list) -> Any:
    wide = dtypes[0] in ("float64", "float32") and len(set(dtypes)) == 1
    return () if wide and all(shapes) else None


operation("matmul", 2, draw=_same_floats)(lambda lib, t, a: t[0] @ t[1])
operation("matmul_T", 2, draw=_same_floats)(
    lambda lib, t, a: t[0] @ (t[1].mT if t[1].ndim > 1 else t[1])
)
operation("einsum", draw=lambda r, s, d: () if len(s[0]) == 2 and d[0] == "float64" else None)(
    lambda lib, t, a: lib.einsum("ij,kj->ik", t[0], t[0])
)
operation(
    "layer_norm", draw=lambda r, s, d: () if s[0] and s[0][-1] > 1 and d[0] in FLOATS else None
)(lambda lib, t, a: lib.nn.functional.layer_norm(t[0], (t[0].shape[-1],), eps=0.1))
operation("pad", draw=lambda r, s, d: (tuple(r.integers(-1, 3, 2).tolist()),)
          if s[0] and s[0][-1] > 2 else None)(
    lambda lib, t, a: lib.nn.functional.pad(t[0], a[0], value=1.5))  # fmt: skip
operation("cross_entropy", draw=lambda r, s, d: (r.integers(0, s[0][1], s[0][0]).tolist(),)
          if len(s[0]) == 2 and 0 not in s[0] and d[0] in FLOATS else None)(
    lambda lib, t, a: lib.nn.functional.cross_entropy(t[0], lib.tensor(a[0])))  # fmt: skip
operation("conv1d", draw=lambda r, s, d: () if len(s[0]) == 3 and 0 not in s[0] and s[0][-1] > 1
          and d[0] == "float64" else None)(
    lambda lib, t, a: lib.nn.functional.conv1d(
        t[0], lib.ones(2, t[0].shape[1], 2, dtype=lib.float64), padding=1))  # fmt: skip

# ---------------------------------------------------------------------- in place

for _name in ("add_", "mul_", "copy_", "sub_"):
    operation(_name, 2, writes=True)(lambda lib, t, a, n=_name: getattr(t[0], n)(t[1]))
for _name in ("sin_", "tanh_", "neg_", "sigmoid_", "square_"):
    operation(_name, writes=True, draw=floating)(lambda lib, t, a, n=_name: getattr(t[0], n)())
operation("relu_", writes=True, draw=floating, steps=True)(lambda lib, t, a: t[0].relu_())
operation("zero_", writes=True)(lambda lib, t, a: t[0].zero_())
operation("fill_", writes=True)(lambda lib, t, a: t[0].fill_(1))
operation("masked_fill_", 2, writes=True, steps=True)(
    lambda lib, t, a: t[0].masked_fill_(t[1] > 0, 1)
)


def _index_once(random: Random, shapes: list, dtypes: list) -> Any:
    """An index that names no position twice: PyTorch's gradient of overwritten values is not 0."""
    parts = _index(random, shapes, dtypes)[0]
    return (tuple(sorted(set(p)) if isinstance(p, list) else p for p in parts),)


@operation("setitem", 2, writes=True, draw=_index_once)
def _setitem(lib: Any, t: list, a: tuple) -> Any:
    t[0][a[0]] = t[1]
    return t[0]


@operation("setitem_number", writes=True, draw=_index)
def _setitem_number(lib: Any, t: list, a: tuple) -> Any:
    t[0][a[0]] = 1
    return t[0]


@operation("view_add_", 2, writes=True, draw=_index)
def _view_add(lib: Any, t: list, a: tuple) -> Any:
    t[0][a[0]].add_(t[1])
    return t[0]


# ---------------------------------------------------------------------- aliases off the tape

operation("detached")(lambda lib, t, a: t[0].detach())
operation("data")(lambda lib, t, a: t[0].data)
operation("detach_", writes=True)(lambda lib, t, a: t[0].detach_())


@operation("detached_view", draw=_index)
def _detached_view(lib: Any, t: list, a: tuple) -> Any:
    return t[0].detach()[a[0]]


@operation("viewed_and_detached", draw=_index)
def _viewed_and_detached(lib: Any, t: list, a: tuple) -> Any:
    alias = t[0].detach()
    alias[a[0]]  # a view that dies at once
    return alias


@operation("set_data", 2, writes=True, draw=lambda r, s, d: () if d[0] == d[1] and s[0] == s[1]
           else None)  # fmt: skip
def _set_data(lib: Any, t: list, a: tuple) -> Any:
    if t[0]._base is None:  # PyTorch goes on taking a view for one
        t[0].data = t[1].detach().clone()
    return t[0]


# ---------------------------------------------------------------------- shapes changed in place


def _in_place_shape(random: Random, shapes: list, dtypes: list) -> Any:
    n = len(shapes[0])
    name = str(random.choice(["unsqueeze_", "squeeze_", "transpose_", "t_"]))
    if name == "t_":
        return (name,) if n <= 2 else None
    dims = (int(random.integers(-n, n)),) if n else (0,)
    if name == "transpose_":
        dims += (int(random.integers(-n, n)),) if n else (0,)
    return (name, *dims)


@operation("shape_", writes=True, draw=_in_place_shape)
def _shape(lib: Any, t: list, a: tuple) -> Any:
    return getattr(t[0], a[0])(*a[1:])


@operation("shape_unrecorded", writes=True, draw=_in_place_shape)
def _shape_unrecorded(lib: Any, t: list, a: tuple) -> Any:
    if not t[0].is_leaf and a[0] in ("t_", "transpose_"):
        return t[0]  # PyTorch hands the gradient on as it is, in the wrong order
    with lib.no_grad():
        return getattr(t[0], a[0])(*a[1:])


@operation("mul_unrecorded", writes=True, draw=floating)
def _mul_unrecorded(lib: Any, t: list, a: tuple) -> Any:
    with lib.no_grad():
        return t[0].mul_(2)


# ---------------------------------------------------------------------- hooks


# Of a tensor that is new: PyTorch's register_hook crashes for some views whose base has changed.


def _hooked(y: Any, hook: Callable) -> Any:
    if y.requires_grad:
        y.register_hook(hook)
    return y


operation("hook", draw=floating)(lambda lib, t, a: _hooked(t[0].clone(), lambda g: g * 2))
operation("hook_copy", draw=floating)(
    lambda lib, t, a: _hooked(t[0] * 1, lambda g: g.clone().neg_())
)
operation("hook_of_base", draw=floating)(
    lambda lib, t, a: _hooked(t[0].clone(), lambda g: g.sin())[..., None]
)  # (of the view itself PyTorch forgets the hook when it is changed)


# ---------------------------------------------------------------------- views of views, and arrays

operation("transposed", draw=dim_of)(lambda lib, t, a: t[0].transpose(0, *a))
operation(
    "select", draw=lambda r, s, d: (0, int(r.integers(s[0][0]))) if s[0] and s[0][0] else None
)(lambda lib, t, a: t[0].select(*a))


@operation("view_of_view_mul_", 2, writes=True, draw=_index)
def _view_of_view_mul(lib: Any, t: list, a: tuple) -> Any:
    t[0][a[0]].unsqueeze(0)[..., None].mul_(t[1])
    return t[0]


@operation("two_views_", writes=True, draw=lambda r, s, d: (*(_index(r, s, d)), *(_index(r, s, d)))
           if d[0] in FLOATS else None)  # fmt: skip
def _two_views(lib: Any, t: list, a: tuple) -> Any:
    first, second = t[0][a[0]], t[0][a[1]]
    first.mul_(2)
    second.add_(1)
    return t[0]


operation("getitem_mask", 2, steps=True)(lambda lib, t, a: t[0][t[1] > 0])
operation("getitem_ints", draw=_indices)(
    lambda lib, t, a: t[0].transpose(0, a[0])[lib.tensor(a[1])]
)


@operation("setitem_mask", 2, writes=True, steps=True)
def _setitem_mask(lib: Any, t: list, a: tuple) -> Any:
    t[0][t[1] > 0] = 1
    return t[0]


def _distinct(random: Random, shapes: list, dtypes: list) -> Any:
    found = _indices(random, shapes, dtypes)
    return None if found is None else (found[0], sorted(set(found[1])))


@operation("setitem_ints", 2, writes=True, draw=_distinct)
def _setitem_ints(lib: Any, t: list, a: tuple) -> Any:
    t[0].transpose(0, a[0])[lib.tensor(a[1])] = t[1]
    return t[0]


@operation("index_put_", 2, writes=True, draw=_indices)
def _index_put(lib: Any, t: list, a: tuple) -> Any:
    return t[0].transpose(0, a[0]).index_put_((lib.tensor(a[1]),), t[1], accumulate=True)
