"""Functions of one and two numbers, and chains of them."""

from __future__ import annotations

import math
from typing import Any

from .base import FAR, ONE, case, distinct, f, given, ints, mask, pos, unit, values

# One row reads best on one line.
# fmt: off

_ONE_POSITIVE = [(pos(2, 3),), (pos(),), (pos(0, 3),)]

UNARY = ["exp", "expm1", "sin", "cos", "tanh", "sigmoid", "erf", "neg", "abs", "square", "relu"]
for _name in UNARY:
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *ONE, (f(2, 1, 5),))
for _name in ("log", "sqrt", "rsqrt", "reciprocal", "log1p"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *_ONE_POSITIVE, (pos(2, 1, 5),))
for _name in ("sign", "floor", "ceil", "trunc", "round"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), (distinct(2, 3),), *ONE)
for _name in ("isnan", "isinf", "isfinite"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x),
         (values([1.0, math.nan, math.inf, -math.inf]),), *ONE, grad=False)
case("logical_not", lambda t, x: t.logical_not(x > 0), *ONE, grad=False)
case("bitwise_not", lambda t, x: ~x, (ints(2, 3, high=9),), (mask(4),), (ints(),), (mask(),),
     (ints(0, 3),), grad=False)

case("leaky_relu", lambda t, x: t.nn.functional.leaky_relu(x, 0.2), *ONE)
case("elu", lambda t, x: t.nn.functional.elu(x, 1.3), *ONE)
case("gelu", lambda t, x: t.nn.functional.gelu(x), *ONE, (f(9, 130),))
case("gelu_tanh", lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), *ONE)
case("silu", lambda t, x: t.nn.functional.silu(x), *ONE)
case("softplus", lambda t, x: t.nn.functional.softplus(x, 1.5, 2.0), *ONE)
for _name in ("sigmoid", "tanh", "erf", "relu"):
    case(f"{_name}_far", lambda t, x, n=_name: getattr(t, n)(x), (FAR,))
for _name in ("leaky_relu", "elu", "gelu", "silu", "softplus"):
    case(f"{_name}_far", lambda t, x, n=_name: getattr(t.nn.functional, n)(x), (FAR,))
case("gelu_tanh_far", lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), (FAR,))
for _name in ("relu", "abs", "sign", "square"):
    case(f"{_name}_at_zero", lambda t, x, n=_name: getattr(t, n)(x), (values([0.0, -0.0, 1.0]),),
         second=False)
case("leaky_relu_at_zero", lambda t, x: t.nn.functional.leaky_relu(x, 0.2)
     + t.nn.functional.elu(x, 1.3), (values([0.0, -0.0, 1.0]),), second=False)

# A result without dimensions must stay an array between one operation and the next.
for _name in ("relu", "sigmoid", "tanh", "exp"):
    case(f"sum_{_name}_chain", lambda t, x, n=_name: getattr(x.sum(), n)() * 3, (unit(2, 3),), *ONE)
for _name in ("leaky_relu", "elu", "gelu", "silu", "softplus"):
    case(f"sum_{_name}_chain", lambda t, x, n=_name: getattr(t.nn.functional, n)(x.sum()) * 3,
         (unit(2, 3),), *ONE)
case("relu_squared", lambda t, x: x.relu() * x.relu(), *ONE)
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


case("in_place", _in_place, *ONE)
case("in_place_setitem", _filled_in_place, (f(2, 3),), (f(3, 2),), (f(2, 2, 0),))
case("in_place_zero", lambda t, x: (x * 2).zero_() + (x * 3).fill_(2.0) + x, *ONE)
case("in_place_copy", lambda t, x, y: (x * 2).copy_(y) * x, (f(2, 3), f(3)), (f(), f()),
     (f(0, 3), f(3)))
case("in_place_masked", lambda t, x, m: (x * 2).masked_fill_(m, 3.0) * x, (f(2, 3), mask(3)),
     (f(), mask()), (f(0, 3), mask(3)))

_PAIRS = [(f(2, 3), f(2, 3)), (f(), f()), (f(2, 3), f(3)), (f(2, 1), f(1, 3)), (f(0, 3), f(1, 3)),
          (f(4, 1, 3), f(2, 1)), (f(2, 3), f())]
_TIES = [(values([0.0, 1.0, 2.0]), values([0.0, 0.0, 2.0])), (values(1.0), values(1.0))]
for _name in ("add", "sub", "mul", "maximum", "minimum"):
    case(_name, lambda t, a, b, n=_name: getattr(t, n)(a, b), *_PAIRS)
for _name in ("maximum", "minimum"):
    case(f"{_name}_ties", lambda t, a, b, n=_name: getattr(t, n)(a, b), *_TIES, second=False)
    case(f"{_name}_itself", lambda t, a, n=_name: getattr(t, n)(a, a), *ONE, second=False)
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
case("pow_scalar", lambda t, a: a**3, *ONE)
case("pow_square", lambda t, a: a**2, *ONE)
case("pow_zero_base", lambda t, a: a**2.0 + a**1 + a**0, (values([0.0, 1.0, -2.0]),), (values(0.0),),
     (f(0),), second=False)
case("rpow", lambda t, a: 2.0**a, *ONE)
case("scalars", lambda t, a: (2 - a * 3 + 1) / 4 - 1 / (a * a + 1), *ONE)
case("clamp", lambda t, x: t.clamp(x, -0.7, 0.9), *ONE)
case("clamp_min", lambda t, x: t.clamp(x, min=0.1), *ONE)
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
