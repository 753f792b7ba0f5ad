"""One row an operation: every test in test_ops.py runs over these rows, on every device.

``call(lib, *inputs)`` is written once and run with tapegrad and with PyTorch, the oracle: the names
and semantics are the same. A sample is a tuple of input makers; the first sample of each row is
small, for finite differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Maker = Callable[[np.random.Generator], Any]


def f(*shape: int, low: float = -2.0, high: float = 2.0) -> Maker:
    """Floats between low and high, at least 0.05 from 0 and from each other's kinks."""

    def make(random: np.random.Generator) -> np.ndarray:
        x = random.uniform(low, high, shape)
        return np.asarray(np.where(np.abs(x) < 0.05, 0.3, x))

    return make


def pos(*shape: int) -> Maker:
    """Positive floats."""
    return f(*shape, low=0.2, high=3.0)


def unit(*shape: int) -> Maker:
    """Floats in 0..1."""
    return f(*shape, low=0.06, high=0.94)


def distinct(*shape: int) -> Maker:
    """Floats no two of which are close: maxima are unique under finite differences."""

    def make(random: np.random.Generator) -> np.ndarray:
        n = int(np.prod(shape))
        return (random.permutation(n) - n / 2 + 0.25).reshape(shape) * 0.3

    return make


def values(data: Any) -> Maker:
    """Given numbers, as floats."""
    return lambda random: np.asarray(data, dtype=np.float64)


def constant(make: Maker) -> Maker:
    """An input for which PyTorch has no gradient (class weights, running statistics)."""

    def made(random: np.random.Generator) -> Any:
        return make(random)

    made.constant = True  # type: ignore[attr-defined]
    return made


def ints(*shape: int, low: int = 0, high: int = 3) -> Maker:
    return lambda random: random.integers(low, high, shape)


def given(data: Any) -> Maker:
    """Given integers or bools."""
    return lambda random: np.asarray(data)


def mask(*shape: int) -> Maker:
    return lambda random: random.random(shape) < 0.5


@dataclass
class Case:
    name: str
    call: Callable[..., Any]
    samples: list[tuple[Maker, ...]]
    grad: bool = True  # whether it has a gradient
    second: bool = True  # whether finite differences hold, to the second order
    low: bool = True  # whether float16 and bfloat16 are tried


CASES: list[Case] = []


def case(name: str, call: Callable[..., Any], *samples: tuple[Maker, ...], **options: Any) -> None:
    CASES.append(Case(name, call, list(samples), **options))


# One row reads best on one line.
# fmt: off

# ---------------------------------------------------------------------- elementwise, one input

_ONE = [(f(2, 3),), (f(),), (f(0, 3),)]
_ONE_POSITIVE = [(pos(2, 3),), (pos(),), (pos(0, 3),)]

UNARY = ["exp", "expm1", "sin", "cos", "tanh", "sigmoid", "erf", "neg", "abs", "square", "relu"]
for _name in UNARY:
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *_ONE, (f(2, 1, 5),))
for _name in ("log", "sqrt", "rsqrt", "reciprocal", "log1p"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *_ONE_POSITIVE, (pos(2, 1, 5),))
for _name in ("sign", "floor", "ceil", "trunc", "round"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), (distinct(2, 3),), *_ONE)
for _name in ("isnan", "isinf", "isfinite"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x),
         (values([1.0, math.nan, math.inf, -math.inf]),), *_ONE, grad=False)
case("logical_not", lambda t, x: t.logical_not(x > 0), *_ONE, grad=False)
case("bitwise_not", lambda t, x: ~x, (ints(2, 3, high=9),), (mask(4),), (ints(),), (mask(),),
     (ints(0, 3),), grad=False)

case("leaky_relu", lambda t, x: t.nn.functional.leaky_relu(x, 0.2), *_ONE)
case("elu", lambda t, x: t.nn.functional.elu(x, 1.3), *_ONE)
case("gelu", lambda t, x: t.nn.functional.gelu(x), *_ONE, (f(9, 130),))
case("gelu_tanh", lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), *_ONE)
case("silu", lambda t, x: t.nn.functional.silu(x), *_ONE)
case("softplus", lambda t, x: t.nn.functional.softplus(x, 1.5, 2.0), *_ONE)
# Far from 0 exponentials overflow, and the first and second gradients must not.
_FAR = values([-1000.0, -100.0, -30.0, 30.0, 100.0, 1000.0])
for _name in ("sigmoid", "tanh", "erf", "relu"):
    case(f"{_name}_far", lambda t, x, n=_name: getattr(t, n)(x), (_FAR,))
for _name in ("leaky_relu", "elu", "gelu", "silu", "softplus"):
    case(f"{_name}_far", lambda t, x, n=_name: getattr(t.nn.functional, n)(x), (_FAR,))
case("gelu_tanh_far", lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), (_FAR,))
for _name in ("relu", "abs", "sign", "square"):
    case(f"{_name}_at_zero", lambda t, x, n=_name: getattr(t, n)(x), (values([0.0, -0.0, 1.0]),),
         second=False)
case("leaky_relu_at_zero", lambda t, x: t.nn.functional.leaky_relu(x, 0.2)
     + t.nn.functional.elu(x, 1.3), (values([0.0, -0.0, 1.0]),), second=False)

# A result without dimensions must stay an array between one operation and the next.
for _name in ("relu", "sigmoid", "tanh", "exp"):
    case(f"sum_{_name}_chain", lambda t, x, n=_name: getattr(x.sum(), n)() * 3, (unit(2, 3),), *_ONE)
for _name in ("leaky_relu", "elu", "gelu", "silu", "softplus"):
    case(f"sum_{_name}_chain", lambda t, x, n=_name: getattr(t.nn.functional, n)(x.sum()) * 3,
         (unit(2, 3),), *_ONE)
case("relu_squared", lambda t, x: x.relu() * x.relu(), *_ONE)
case("mean_softmax_chain", lambda t, x: (x.mean().softmax(0) + x.sum().log_softmax(0)) * x.sum(),
     (f(2, 3),), (f(),))
case("loss_chain", lambda t, x, y: t.nn.functional.cross_entropy(x, y).tanh() * 2,
     (f(3, 4), given([1, 3, 0])), (f(4), given(2)))

# The tape keeps the order of what is written in place.
def _in_place(t: Any, x: Any) -> Any:
    y = x * 1
    y.mul_(2).add_(x)
    y -= 0.5
    y /= 3
    return y.neg_().tanh_() * y


def _filled_in_place(t: Any, x: Any) -> Any:
    y = x * x
    y[0] = x[1] * 2
    y[:, 1:] = 0.5
    return y.exp_() * 2


case("in_place", _in_place, *_ONE)
case("in_place_setitem", _filled_in_place, (f(2, 3),), (f(3, 2),), (f(2, 2, 0),))
case("in_place_zero", lambda t, x: (x * 2).zero_() + (x * 3).fill_(2.0) + x, *_ONE)
case("in_place_copy", lambda t, x, y: (x * 2).copy_(y) * x, (f(2, 3), f(3)), (f(), f()),
     (f(0, 3), f(3)))
case("in_place_masked", lambda t, x, m: (x * 2).masked_fill_(m, 3.0) * x, (f(2, 3), mask(3)),
     (f(), mask()), (f(0, 3), mask(3)))

# ---------------------------------------------------------------------- elementwise, two inputs

_PAIRS = [(f(2, 3), f(2, 3)), (f(), f()), (f(2, 3), f(3)), (f(2, 1), f(1, 3)), (f(0, 3), f(1, 3)),
          (f(4, 1, 3), f(2, 1)), (f(2, 3), f())]
_TIES = [(values([0.0, 1.0, 2.0]), values([0.0, 0.0, 2.0])), (values(1.0), values(1.0))]
for _name in ("add", "sub", "mul", "maximum", "minimum"):
    case(_name, lambda t, a, b, n=_name: getattr(t, n)(a, b), *_PAIRS)
for _name in ("maximum", "minimum"):
    case(f"{_name}_ties", lambda t, a, b, n=_name: getattr(t, n)(a, b), *_TIES, second=False)
    case(f"{_name}_itself", lambda t, a, n=_name: getattr(t, n)(a, a), *_ONE, second=False)
case("add_alpha", lambda t, a, b: t.add(a, b, alpha=-2.5), *_PAIRS)
case("div", lambda t, a, b: t.div(a, b), (f(2, 3), pos(2, 3)), (f(), pos()), (f(2, 1), pos(3)),
     (f(0, 3), pos(3)))
case("div_floor", lambda t, a, b: t.div(a, b, rounding_mode="floor"),
     (distinct(2, 3), pos(2, 3)), (ints(5, low=-9, high=9), given([1, 2, 3, -2, -3])),
     (f(), pos()), (given(-7), given(2)), (f(0, 3), pos(3)), (ints(0), given(3)),
     grad=False, low=False)
case("div_trunc", lambda t, a, b: t.div(a, b, rounding_mode="trunc"),
     (ints(5, low=-9, high=9), given([1, 2, 3, -2, -3])), (given(-7), given(2)), (ints(0), given(3)),
     grad=False)
case("remainder", lambda t, a, b: t.remainder(a, b), (distinct(2, 3), given([[1.9, 2.3, 1.7]])),
     (ints(5, low=-9, high=9), given([1, 2, 3, -2, -3])), (given(-7), given(2)),
     (values(2.5), values(1.1)), (f(0, 3), pos(3)), low=False)
case("pow", lambda t, a, b: t.pow(a, b), (pos(2, 3), f(2, 3)), (pos(), f()), (pos(2, 1), f(3)),
     (pos(0, 3), f(3)))
case("pow_scalar", lambda t, a: a**3, *_ONE)
case("pow_square", lambda t, a: a**2, *_ONE)
case("pow_zero_base", lambda t, a: a**2.0 + a**1 + a**0, (values([0.0, 1.0, -2.0]),), (values(0.0),),
     (f(0),), second=False)
case("rpow", lambda t, a: 2.0**a, *_ONE)
case("scalars", lambda t, a: (2 - a * 3 + 1) / 4 - 1 / (a * a + 1), *_ONE)
case("clamp", lambda t, x: t.clamp(x, -0.7, 0.9), *_ONE)
case("clamp_min", lambda t, x: t.clamp(x, min=0.1), *_ONE)
case("clamp_at_bounds", lambda t, x: t.clamp(x, -0.5, 0.5) + t.clamp(x, min=0.5)
     + t.clamp(x, max=-0.5), (values([-0.5, 0.0, 0.5, 1.0]),), (values(0.5),), second=False)
case("clamp_tensors", lambda t, x, lo, hi: t.clamp(x, lo, hi),
     (f(2, 3), values([-0.5, -0.4, -0.3]), values([0.5])), (f(), values(-0.5), values(0.5)),
     (f(0, 3), f(3), values([0.5])))
case("clamp_tensors_at_bounds", lambda t, x, lo, hi: t.clamp(x, lo, hi),
     (values([-0.5, 0.5, 1.0, 2.0]), values([-0.5, 0.0, 1.0, 3.0]), values([0.5, 0.5, 1.0, 1.0])),
     second=False)
case("where", lambda t, c, a, b: t.where(c, a, b), (mask(2, 3), f(2, 3), f(3)),
     (mask(), f(), f()), (mask(0), f(0), f(0)), (mask(2, 1), f(3), f()))
case("masked_fill", lambda t, x, m: x.masked_fill(m, 1.5), (f(2, 3), mask(2, 3)), (f(2, 3), mask(3)),
     (f(), mask()), (f(0, 3), mask(3)))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    case(_name, lambda t, a, b, n=_name: getattr(t, n)(a, b), (ints(9), ints(9)), (f(2, 1), f(3)),
         (f(), f()), (f(0), f(0)), grad=False)
for _name in ("logical_and", "logical_or", "logical_xor"):
    case(_name, lambda t, a, b, n=_name: getattr(t, n)(a, b), (mask(9), mask(9)), (ints(9), ints(9)),
         (mask(), ints()), (mask(0, 3), mask(3)), grad=False)
case("bitwise", lambda t, a, b: (a & b) + (a | b) - (a ^ b), (ints(9, high=99), ints(9, high=99)),
     (ints(high=99), ints(high=99)), (ints(0, 3), ints(3)), grad=False)

# ---------------------------------------------------------------------- reductions

_DIMS: list[dict] = [{}, {"dim": 0}, {"dim": -1, "keepdim": True}, {"dim": (0, 2)}]
for _name in ("sum", "mean", "var", "std", "amax", "amin"):
    for _i, _options in enumerate(_DIMS):
        _more = [(f(2, 0, 2),)] if _options else []  # over what is there; results are empty
        if _name in ("sum", "mean"):
            _more += [(f(0, 3, 2),)]  # sums and means of nothing: 0 and nan
        if _i < 3 and _name not in ("var", "std"):  # whose one element leaves nothing to divide by
            _more += [(f(),)]
        case(f"{_name}_{_i}", lambda t, x, n=_name, o=_options: getattr(t, n)(x, **o)
             if o else getattr(x, n)(), (distinct(2, 3, 2),), (distinct(7, 1, 33),), *_more)
case("sum_0d", lambda t, x: x.sum() + x.sum(0) + x.mean(-1), (f(),))
case("sum_empty", lambda t, x: x.sum(0) + x.sum(1).sum() + x.prod(), (f(0, 3),))
case("mean_empty", lambda t, x: x.mean(), (f(0, 3),), second=False)
case("var_correction", lambda t, x: t.var(x, 1, correction=0), (f(2, 3),), (f(4, 1),), (f(0, 3),))
case("var_0d", lambda t, x: t.var(x, correction=0) + x, (f(),))
case("var_of_too_few", lambda t, x: t.var(x) + t.std(x), (f(),), (f(0),), (f(1),), second=False)
case("std_of_equals", lambda t, x: t.std(x, -1), (values([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]]),),
     second=False)
case("sum_int", lambda t, x: x.sum(0) * x.prod(), (ints(4, 2),), (mask(3, 2),), (ints(0, 2),),
     (ints(),), grad=False)
case("sum_dtype", lambda t, x: t.sum(x, dtype=t.float64), (ints(3),), (f(3),), (f(),), (f(0, 3),),
     low=False)
case("prod", lambda t, x: x.prod(), *_ONE, (values([1.0, 0.0, 3.0]),), (values([0.0, 2.0, 0.0]),))
case("prod_dim", lambda t, x: t.prod(x, 1, keepdim=True), (f(2, 3),),
     (values([[1.0, 0.0, 3.0], [2.0, 4.0, 0.5]]),), (f(0, 3),), (f(3, 0),))
for _name in ("amax", "amin"):
    case(f"{_name}_ties", lambda t, x, n=_name: getattr(x, n)(1),
         (values([[1.0, 1.0, 0.0], [2.0, 3.0, 3.0], [2.0, 2.0, 2.0]]),), second=False)
for _name in ("max", "min"):
    case(f"{_name}_ties", lambda t, x, n=_name: getattr(x, n)(),
         (values([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),), second=False)
    case(f"{_name}_dim_ties", lambda t, x, n=_name: getattr(x, n)(1)[0],
         (values([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),), second=False)
case("max", lambda t, x: x.max() - x.min(), (distinct(2, 3),), (f(),))
case("max_dim", lambda t, x: x.max(1)[0] + x.max(dim=1).values, (distinct(2, 3),), (distinct(5, 40),),
     (f(0, 3),))
case("max_0d", lambda t, x: x.max(0)[0] * x.min(-1)[0], (f(),))
case("min_dim", lambda t, x: x.min(0, keepdim=True)[0], (distinct(2, 3),), (f(),), (f(3, 0),))
case("max_indices", lambda t, x: x.max(1)[1] + x.min(1)[1], (distinct(2, 3),), (f(0, 3),), grad=False)
case("argmax", lambda t, x: x.argmax() + x.argmax(1) + t.argmax(x, dim=0, keepdim=True).sum(),
     (distinct(2, 3),), grad=False)
case("argmin", lambda t, x: x.argmin() + x.argmin(1), (distinct(2, 3),), grad=False)
case("argmax_0d", lambda t, x: x.argmax() + x.argmin(0) + x.argmax(-1), (f(),), grad=False)
case("argmax_empty", lambda t, x: x.argmax(1) + x.argmin(1), (f(0, 3),), grad=False)
case("logsumexp", lambda t, x: t.logsumexp(x, -1), *_ONE, (f(9, 70, low=-900, high=900),))
case("logsumexp_all", lambda t, x: x.logsumexp((0, 1), keepdim=True), (f(2, 3),), (f(0, 3),))
case("any_all", lambda t, x: (x > 0).any(0) ^ (x > 0).all() ^ x.bool().any(-1).all(),
     (f(2, 2),), (f(),), (f(0, 2),), grad=False)

# ---------------------------------------------------------------------- shape

case("reshape", lambda t, x: x.reshape(3, -1), (f(2, 3),), (f(3, 0, 2),))
case("reshape_0d", lambda t, x: x.reshape(()) * x.reshape(1, 1) * x.reshape(-1), (f(),), (f(1, 1),))
case("view", lambda t, x: x.contiguous().view(3, -1) * 2, (f(2, 3),), (f(3, 0, 2),))
case("flatten", lambda t, x: t.flatten(x, 1) + x.flatten(1), (f(2, 3, 2),), (f(2, 0, 2),))
case("flatten_all", lambda t, x: t.flatten(x), *_ONE)
case("transpose", lambda t, x: t.transpose(x, 0, -1), *_ONE, (f(2, 3, 4),))
case("permute", lambda t, x: x.permute(2, 0, 1), (f(2, 3, 2),), (f(2, 0, 2),))
case("permute_0d", lambda t, x: x.permute(()) * x, (f(),))
case("T_mT", lambda t, x: x.T @ x + x.mT @ x, (f(2, 3),), (f(0, 3),), (f(3, 0),))
case("movedim", lambda t, x: t.movedim(x, 0, 2), (f(2, 3, 2),), (f(2, 0, 2),))
case("squeeze", lambda t, x: x.squeeze() + x.squeeze(1).squeeze(0), (f(1, 1, 3),), (f(1, 1, 0),))
case("squeeze_0d", lambda t, x: x.squeeze() * x.squeeze(0) * x.squeeze(-1), (f(),), (f(1),))
case("unsqueeze", lambda t, x: x.unsqueeze(0) * x.unsqueeze(-1), (f(3),), (f(),), (f(0),))
case("expand", lambda t, x: x.expand(4, -1, 3), (f(2, 1),), (f(1, 1),), (f(0, 1),))
case("expand_0d", lambda t, x: x.expand(2, 3) * x.expand(()), (f(),))
case("broadcast_to", lambda t, x: t.broadcast_to(x, (4, *x.shape[:-1], 3)), (f(2, 1),), (f(),),
     (f(0, 1),))
case("repeat", lambda t, x: x.repeat(2, 1, 3), (f(2, 2),), (f(3),), (f(),), (f(0, 2),))
case("cat", lambda t, a, b, c: t.cat([a, b, c], 1), (f(2, 3), f(2, 1), f(2, 2)),
     (f(2, 0), f(2, 1), f(2, 2)))
case("cat_twice", lambda t, a: t.cat([a, a * a, a]), (f(2, 2),), (f(0, 2),))
case("stack", lambda t, a, b: t.stack([a, b], -1), (f(2, 3), f(2, 3)), (f(), f()), (f(0, 3), f(0, 3)))
case("split", lambda t, x: sum(p.sum() * (i + 1) for i, p in enumerate(x.split(2, 1))), (f(2, 5),),
     (f(0, 5),), (f(2, 0),))
case("split_sizes", lambda t, x: t.split(x, [1, 0, 3], 1)[2] * 2, (f(2, 4),), (f(0, 4),))
case("chunk", lambda t, x: x.chunk(3)[1] * x.chunk(3)[0], (f(5, 2),), (f(5, 0),), (f(0, 2),))
case("unbind", lambda t, x: x.unbind(1)[0] * x.unbind(1)[2], (f(2, 3),), (f(0, 3),))
case("iterate", lambda t, x: sum(row * i for i, row in enumerate(x)), (f(3, 2),), (f(3),), (f(2, 0),))
case("flip", lambda t, x: x.flip(0, 1) * x, (f(2, 3),), (f(0, 3),))
case("flip_0d", lambda t, x: x.flip(()) * x, (f(),))
case("roll", lambda t, x: x.roll(1) + x.roll((1, -2), (0, 1)), (f(2, 3),), (f(0, 3),))
case("roll_0d", lambda t, x: x.roll(1) * x, (f(),))
case("clone", lambda t, x: x.clone() * x.contiguous(), *_ONE)

# ---------------------------------------------------------------------- indexing

case("slice", lambda t, x: x[1:, ::2] * 2, (f(3, 4),), (f(1, 3),), (f(0, 4),))
case("index_int", lambda t, x: x[1] * x[-1, 0], (f(2, 3),), (f(2, 3, 0),))
case("index_none", lambda t, x: x[None, ..., None, 0] * 1, (f(2, 3),), (f(0, 3),))
case("index_0d", lambda t, x: x[None] * x[()] * x[...] + x[..., None], (f(),))
case("index_list", lambda t, x: x[[0, 2, 0]], (f(3, 2),), (f(3),), (f(3, 0),))
case("index_tensor", lambda t, x, i: x[i], (f(3, 2), given([[0, 2], [2, 2]])), (f(3), ints(0)),
     (f(3, 2), given(2)), (f(3), given(-1)))
case("index_mixed", lambda t, x, i: x[1:, i, None, ::2], (f(3, 4, 3), given([0, 3, 3])),
     (f(3, 4, 3), given(2)), (f(3, 4, 3), ints(0)), (f(3, 4, 0), given([0, 3])))
case("index_pair", lambda t, x, i, j: x[i, j], (f(3, 4), given([[0], [2]]), given([1, 1, 3])),
     (f(3, 4), given(2), given([1, 3])), (f(3, 4), given(2), given(3)), (f(3, 4), ints(0), given(3)))
case("index_split", lambda t, x, i: x[i, :, i], (f(3, 2, 3), given([0, 2])), (f(3, 2, 3), given(1)),
     (f(3, 2, 3), ints(0)))
# An integer beside a list or mask is an index array of its own: it decides where the result's
# dimension goes.
case("index_int_list", lambda t, x: x[0, :, [0, 1]], (f(2, 2, 3),), (f(2, 0, 3),))
case("index_list_int", lambda t, x: x[[0, 1], :, 0], (f(2, 2, 3),), (f(2, 0, 3),))
case("index_int_next_to_list", lambda t, x: x[:, 0, [0, 1, 1]], (f(2, 2, 3),), (f(0, 2, 3),))
case("index_int_mask", lambda t, x, m: x[0, ..., m], (f(2, 2, 3), given([True, False, True])),
     (f(2, 3), given([True, False, True])), (f(2, 2, 3), given([False] * 3)))
case("index_int_tensor", lambda t, x, i: x[1, ..., i], (f(2, 2, 3), given([0, 2])),
     (f(2, 2, 3), given(2)), (f(2, 2, 3), ints(0)))
case("index_none_int_list", lambda t, x: x[None, 0, :, [0, 1]], (f(2, 2, 3),), (f(2, 0, 3),))
case("index_inner_int_list", lambda t, x: x[:, 0, :, [0, 1]], (f(2, 2, 1, 3),), (f(0, 2, 2, 3),))
case("index_bool", lambda t, x, m: x[m], (f(2, 3), given([[True, False, True], [False, True, True]])),
     (f(2, 3), given([True, False])), (f(), given(True)), (f(), given(False)),
     (f(2, 3), given([False, False])), (f(0, 3), mask(0)))
case("index_negative", lambda t, x, i: x[i], (f(3, 2), given([-1, 0, -3])))
case("gather", lambda t, x, i: t.gather(x, 1, i), (f(2, 3), given([[0, 0, 2], [1, 2, 2]])),
     (f(3, 4), given([[1], [3]])), (f(2, 3), ints(0, 3)), (f(2, 3), ints(2, 0)))
case("gather_dim0", lambda t, x, i: x.gather(0, i), (f(3, 2), given([[0, 2], [2, 2]])),
     (f(), given(0)), (f(3, 2), ints(0, 2)))
case("index_select", lambda t, x, i: t.index_select(x, 1, i), (f(2, 3), given([2, 0, 2])),
     (f(2, 3), given(2)), (f(2, 3), ints(0)), (f(0, 3), given([2, 0])))
case("take_along_dim", lambda t, x, i: t.take_along_dim(x, i, 1), (f(2, 3), given([[0, 2, 2, 1]])),
     (f(2, 3), ints(2, 0)))
case("scatter", lambda t, x, i, s: t.scatter(x, 1, i, s),
     (f(2, 3), given([[0, 2], [1, 0]]), f(2, 2)), (f(2, 3), ints(2, 0), f(2, 0)))
case("scatter_value", lambda t, x, i: x.scatter(0, i, 1.5), (f(3, 2), given([[0, 2]])),
     (f(), given(0)), (f(3, 2), ints(0, 2)))
case("scatter_add", lambda t, x, i, s: t.scatter_add(x, 1, i, s),
     (f(2, 3), given([[0, 0, 2], [1, 1, 1]]), f(2, 3)), (f(2, 3), ints(2, 0), f(2, 0)))
case("scatter_add_0d", lambda t, x, i, s: t.scatter_add(x, 0, i, s), (f(), given(0), f()))
case("narrow", lambda t, x: x.narrow(1, 1, 2), (f(2, 4),), (f(0, 4),))
case("nonzero", lambda t, x: t.nonzero(x), (ints(4, 3),), (ints(),), (given(0),), (ints(0, 3),),
     grad=False)

# ---------------------------------------------------------------------- products

case("matmul", lambda t, a, b: a @ b, (f(2, 3), f(3, 2)), (f(3), f(3)), (f(2, 3), f(3)),
     (f(3), f(3, 2)), (f(2, 2, 3), f(3, 2)), (f(2, 3), f(4, 3, 2)), (f(2, 1, 2, 3), f(4, 3, 2)),
     (f(3), f(2, 3, 2)), (f(2, 2, 3), f(3)), (f(0, 3), f(3, 2)), (f(2, 0), f(0, 3)),
     (f(0, 2, 3), f(3, 2)), (f(0), f(0)), (f(65, 130), f(130, 71)))
case("bmm", lambda t, a, b: t.bmm(a, b), (f(2, 2, 3), f(2, 3, 2)), (f(0, 2, 3), f(0, 3, 2)),
     (f(2, 2, 0), f(2, 0, 2)))
case("mm_mv_dot", lambda t, a, b: t.mm(a, a.T) + t.mv(a, b) + t.dot(b, b), (f(2, 3), f(3)),
     (f(2, 0), f(0)), (f(0, 3), f(3)))
case("outer", lambda t, a, b: t.outer(a, b), (f(2), f(3)), (f(0), f(3)))
case("linear", lambda t, x, w, b: t.nn.functional.linear(x, w, b), (f(2, 3), f(4, 3), f(4)),
     (f(3), f(4, 3), f(4)), (f(2, 2, 3), f(4, 3), f(4)), (f(0, 3), f(4, 3), f(4)),
     (f(33, 65), f(70, 65), f(70)))
case("linear_no_bias", lambda t, x, w: t.nn.functional.linear(x, w), (f(2, 3), f(4, 3)),
     (f(0, 3), f(4, 3)), (f(2, 0), f(4, 0)))
for _equation, _shapes in (
    ("ij,jk->ik", [(2, 3), (3, 2)]), ("ij,ij->", [(2, 3), (2, 3)]), ("bij,bjk->bik", [(2, 2, 3), (2, 3, 2)]),
    ("ii->i", [(3, 3)]), ("ii", [(3, 3)]), ("ij->ji", [(2, 3)]), ("i,j->ij", [(2,), (3,)]),
    ("ij,kj,lk->il", [(2, 3), (2, 3), (2, 2)]), ("...ij,...jk->...ik", [(2, 2, 3), (1, 3, 2)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 2, 3), (2, 2, 3, 3)]), ("ijk->k", [(2, 3, 2)]), ("i,i,i->i", [(3,)] * 3),
    (",i->i", [(), (3,)]), ("i,i->", [(3,), (3,)]),
):
    case(f"einsum[{_equation}]", lambda t, *xs, e=_equation: t.einsum(e, *xs),
         tuple(f(*s) for s in _shapes), tuple(f(*(0 if n == 3 else n for n in s)) for s in _shapes))

# ---------------------------------------------------------------------- convolution and pooling

case("conv2d", lambda t, x, w, b: t.nn.functional.conv2d(x, w, b, padding=1),
     (f(1, 2, 3, 3), f(2, 2, 2, 2), f(2)), (f(2, 3, 8, 9), f(4, 3, 3, 3), f(4)),
     (f(0, 2, 4, 4), f(2, 2, 3, 3), f(2)))
case("conv2d_stride", lambda t, x, w: t.nn.functional.conv2d(x, w, stride=2, dilation=(2, 1)),
     (f(1, 1, 5, 4), f(2, 1, 2, 2)), (f(2, 3, 11, 10), f(4, 3, 3, 2)), (f(0, 1, 5, 4), f(2, 1, 2, 2)))
case("conv2d_groups", lambda t, x, w: t.nn.functional.conv2d(x, w, padding=(1, 0), groups=2),
     (f(1, 2, 3, 3), f(4, 1, 2, 2)), (f(2, 4, 6, 7), f(6, 2, 3, 3)), (f(0, 2, 3, 3), f(4, 1, 2, 2)))
case("conv2d_same", lambda t, x, w: t.nn.functional.conv2d(x, w, padding="same"),
     (f(1, 1, 3, 3), f(1, 1, 2, 2)), (f(2, 4, 4), f(3, 2, 3, 3)), (f(0, 1, 3, 3), f(1, 1, 2, 2)))
case("max_pool2d", lambda t, x: t.nn.functional.max_pool2d(x, 2), (distinct(1, 1, 4, 4),),
     (distinct(2, 3, 9, 7),), (distinct(3, 4, 4),), (f(0, 1, 4, 4),))
case("max_pool2d_ties", lambda t, x: t.nn.functional.max_pool2d(x, 2, 1), (values([[[1.0] * 3] * 3]),),
     second=False)
case("max_pool2d_padded", lambda t, x: t.nn.functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
     (distinct(1, 1, 4, 4),), (distinct(2, 2, 7, 8),), (f(0, 1, 4, 4),))
case("max_pool2d_dilated", lambda t, x: t.nn.functional.max_pool2d(x, 2, 1, 0, 2),
     (distinct(1, 1, 4, 4),), (f(0, 1, 4, 4),))
case("avg_pool2d", lambda t, x: t.nn.functional.avg_pool2d(x, 2), (f(1, 1, 4, 4),), (f(2, 3, 9, 7),),
     (f(0, 1, 4, 4),))
case("avg_pool2d_padded", lambda t, x: t.nn.functional.avg_pool2d(
    x, 3, 2, 1, ceil_mode=True, count_include_pad=False), (f(1, 1, 4, 4),), (f(2, 2, 7, 8),),
    (f(0, 1, 4, 4),))
case("avg_pool2d_divisor", lambda t, x: t.nn.functional.avg_pool2d(x, (2, 3), divisor_override=2),
     (f(1, 1, 4, 4),), (f(0, 1, 4, 4),))

# ---------------------------------------------------------------------- softmax, losses

for _name in ("softmax", "log_softmax"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x, -1), *_ONE, (f(2, 0),), (f(5, 40),),
         (f(3, 1100),))
    case(_name + "_dim0", lambda t, x, n=_name: getattr(x, n)(0), *_ONE, (f(3, 2, 2),))
    case(_name + "_large", lambda t, x, n=_name: getattr(x, n)(1),
         (values([[1e4, -1e4, 9.9e3], [-math.inf, 1.0, 2.0]]),), grad=False, low=False)
case("log_softmax_inf", lambda t, x: t.nn.functional.log_softmax(x, 1)[:, 1:],
     (values([[-math.inf, 1.0, 2.0]]),), second=False, low=False)

_CE = (f(3, 4), given([1, 3, 0]))
_CE_MORE = [(f(4), given(2)), (f(0, 4), ints(0))]
for _reduction in ("mean", "sum", "none"):
    case(f"cross_entropy_{_reduction}", lambda t, x, y, r=_reduction: t.nn.functional.cross_entropy(
        x, y, reduction=r), _CE, *_CE_MORE, (f(2, 3, 2), given([[0, 2], [1, 1]])),
        (f(40, 70), ints(40, high=70)), (f(7, 1200), ints(7, high=1200)))
    case(f"cross_entropy_all_{_reduction}", lambda t, x, y, w, r=_reduction:
         t.nn.functional.cross_entropy(x, y, w, ignore_index=3, label_smoothing=0.1, reduction=r),
         *[(*sample, constant(pos(4))) for sample in (_CE, *_CE_MORE)],
         (f(40, 70), ints(40, high=9), constant(pos(70))))
    case(f"cross_entropy_probabilities_{_reduction}", lambda t, x, y, w, r=_reduction:
         t.nn.functional.cross_entropy(x, y, w, label_smoothing=0.2, reduction=r),
         (f(3, 4), unit(3, 4), constant(pos(4))), (f(4), unit(4), constant(pos(4))),
         (f(2, 3, 2), unit(2, 3, 2), constant(pos(3))), (f(0, 4), unit(0, 4), constant(pos(4))))
    case(f"nll_loss_{_reduction}", lambda t, x, y, w, r=_reduction: t.nn.functional.nll_loss(
        x, y, w, ignore_index=3, reduction=r),
        *[(*sample, constant(pos(4))) for sample in (_CE, *_CE_MORE)],
        (f(2, 3, 2), given([[0, 2], [1, 1]]), constant(pos(3))))
    case(f"mse_loss_{_reduction}", lambda t, x, y, r=_reduction: t.nn.functional.mse_loss(
        x, y, reduction=r), (f(2, 3), f(2, 3)), (f(), f()), (f(0, 3), f(0, 3)))
    case(f"l1_loss_{_reduction}", lambda t, x, y, r=_reduction: t.nn.functional.l1_loss(
        x, y, reduction=r), (distinct(2, 3), values([[0.01, 0.02, 0.03]] * 2)), (f(), values(0.01)),
        (f(0, 3), f(0, 3)))
    case(f"bce_with_logits_{_reduction}", lambda t, x, y, w, p, r=_reduction:
         t.nn.functional.binary_cross_entropy_with_logits(x, y, w, reduction=r, pos_weight=p),
         (f(2, 3), unit(2, 3), constant(pos(3)), constant(pos(3))),
         (f(), unit(), constant(pos()), constant(pos())),
         (f(0, 3), unit(0, 3), constant(pos(3)), constant(pos(3))))
case("bce_with_logits_far", lambda t, x, y: t.nn.functional.binary_cross_entropy_with_logits(
    x, y, reduction="none"), (_FAR, unit(6)))
case("cross_entropy_ignored", lambda t, x, y: t.nn.functional.cross_entropy(x, y, ignore_index=1),
     (f(2, 3), given([1, 1])), second=False)
case("cross_entropy_smoothed", lambda t, x, y: t.nn.functional.cross_entropy(
    x, y, label_smoothing=0.3), _CE, *_CE_MORE)

# ---------------------------------------------------------------------- normalisation, embedding

case("layer_norm", lambda t, x, w, b: t.nn.functional.layer_norm(x, (3,), w, b),
     (f(2, 3), f(3), f(3)), (f(0, 3), f(3), f(3)), (f(5, 7, 3), f(3), f(3)))
case("layer_norm_wide", lambda t, x, w, b: t.nn.functional.layer_norm(x, (130,), w, b),
     (f(2, 130), f(130), f(130)), (f(0, 130), f(130), f(130)), second=False)
case("layer_norm_plain", lambda t, x: t.nn.functional.layer_norm(x, (2, 3)), (f(2, 2, 3),),
     (f(0, 2, 3),))
case("rms_norm", lambda t, x, w: t.nn.functional.rms_norm(x, (3,), w, 1e-4), (f(2, 3), f(3)),
     (f(5, 7, 3), f(3)), (f(0, 3), f(3)))
case("rms_norm_plain", lambda t, x: t.nn.functional.rms_norm(x, (3,)), (f(2, 3),), (f(0, 3),))
case("batch_norm", lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
     (f(3, 2), f(2), f(2)), (f(3, 2, 2, 2), f(2), f(2)))
case("batch_norm_eval", lambda t, x, m, v, w, b: t.nn.functional.batch_norm(x, m, v, w, b),
     (f(3, 2), constant(f(2)), constant(pos(2)), f(2), f(2)),
     (f(0, 2), constant(f(2)), constant(pos(2)), f(2), f(2)))
case("embedding", lambda t, i, w: t.nn.functional.embedding(i, w), (given([[0, 2], [2, 1]]), f(3, 2)),
     (ints(0), f(3, 2)), (given(1), f(3, 2)), (ints(50, high=7), f(7, 33)))
case("embedding_padding", lambda t, i, w: t.nn.functional.embedding(i, w, padding_idx=-1),
     (given([[0, 2], [2, 1]]), f(3, 2)), (ints(0), f(3, 2)), (given(2), f(3, 2)), second=False)
