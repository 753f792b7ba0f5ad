"""Functions of one and two numbers, and chains of them."""

from __future__ import annotations

import math
from typing import Any

from .base import FAR, ONE, case, distinct, f, given, ints, mask, pos, unit, values

# One row reads best on one line.
# fmt: off

_ONE_POSITIVE = [(pos(2, 3),), (pos(),), (pos(0, 3),)]
_INSIDE = [(f(2, 3, low=-0.9, high=0.9),), (f(low=-0.9, high=0.9),), (f(0, 3),)]
_BEYOND_1 = [(f(2, 3, low=1.2, high=4.0),), (f(low=1.2, high=4.0),), (f(0, 3),)]
_ODD = [(values([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf]),), *ONE]

UNARY = ["exp", "expm1", "sin", "cos", "tanh", "sigmoid", "erf", "neg", "abs", "square", "relu",
         "sinh", "cosh", "atan", "asinh", "exp2", "deg2rad", "rad2deg", "positive", "conj_physical"]
for _name in UNARY:
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *ONE, (f(2, 1, 5),))
for _name in ("log", "sqrt", "rsqrt", "reciprocal", "log1p"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *_ONE_POSITIVE, (pos(2, 1, 5),))
for _name in ("log2", "log10", "arctan"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *_ONE_POSITIVE)
for _name in ("tan", "asin", "acos", "atanh", "arcsin"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *_INSIDE)
case("acosh", lambda t, x: t.acosh(x), *_BEYOND_1)
case("sinc", lambda t, x: t.sinc(x), (values([-2.3, -0.26, -0.24, -0.01, 0.0, 0.1, 0.24, 0.26, 1.7]),),
     *ONE)
case("logit", lambda t, x: t.logit(x), (unit(2, 3),), (unit(),), (unit(0, 3),))
case("logit_eps", lambda t, x: t.logit(x, 0.2), (values([0.06, 0.3, 0.7, 0.9, 1.2, -0.3]),),
     (unit(),), (unit(0, 3),))
case("nan_to_num", lambda t, x: t.nan_to_num(x, 1.5, 2.5), *ONE,
     (values([1.0, math.nan, math.inf, 2.0]),), second=False)
case("nan_to_num_plain", lambda t, x: t.nan_to_num(x), (values([1.0, math.nan, -2.0]),), *ONE,
     second=False)
case("angle", lambda t, x: t.angle(x), *ONE)
case("frexp", lambda t, x: t.frexp(x)[0], (f(2, 3),), (f(),), (f(0, 3),))
case("frexp_exponent", lambda t, x: t.frexp(x)[1], (f(2, 3),), (f(),), (f(0, 3),), grad=False)
case("sgn", lambda t, x: t.sgn(x), *ONE, grad=False)
for _name in ("isposinf", "isneginf", "isreal", "signbit"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *_ODD, grad=False)
    case(f"{_name}_of_integers", lambda t, x, n=_name: getattr(t, n)(x), (ints(5, low=-2),),
         (mask(3),), grad=False)
for _name in ("sign", "floor", "ceil", "trunc", "round", "fix", "frac"):
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


def _bias_gelu(t, x, bias, approximate="none"):
    fused = getattr(t.nn.functional, "bias_gelu", None)  # PyTorch has none
    return fused(x, bias, approximate) if fused else t.nn.functional.gelu(
        x + bias, approximate=approximate)


_BIASED = [(f(2, 3), f(3)), (f(4), f(4)), (f(0, 3), f(3)), (f(3, 0), f(0)), (f(2, 3, 37), f(37))]
case("bias_gelu", _bias_gelu, *_BIASED)
case("bias_gelu_tanh", lambda t, x, b: _bias_gelu(t, x, b, "tanh"), *_BIASED)
case("bias_gelu_of_views", lambda t, x, b: _bias_gelu(t, x.T, b[::2]), (f(3, 4), f(6)))
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
_CLAMPED = [(f(2, 3), values([-0.5, -0.4, -0.3])), (f(), values(-0.5)), (f(0, 3), f(3))]
case("clamp_min_tensor", lambda t, x, low: t.clamp(x, min=low), *_CLAMPED)
case("clamp_max_tensor", lambda t, x, high: t.clamp_max(x, high), *_CLAMPED)
case("clamp_crossed", lambda t, x, lo, hi: t.clamp(x, lo, hi),
     (values([-1.0, 0.5, 0.2, math.nan]), values([0.5, 0.4, 0.3, 0.0]), values(-0.5)),
     second=False, low=False)

# Functions of two and three tensors, and of a tensor and a number.
_AWAY = [(distinct(2, 3), pos(2, 3)), (f(), pos()), (f(2, 1), pos(3)), (f(0, 3), pos(3))]
for _name in ("atan2", "hypot", "logaddexp", "logaddexp2", "copysign", "fmax", "fmin"):
    case(_name, lambda t, a, b, n=_name: getattr(t, n)(a, b), *_AWAY)
case("hypot_far", lambda t, a, b: t.hypot(a, b), (values([3e30, 3e-30]), values([4e30, 4e-30])),
     low=False, second=False)
case("copysign_number", lambda t, a: t.copysign(a, -2), *ONE)
case("logaddexp_far", lambda t, a, b: t.logaddexp(a, b),
     (values([1000.0, -1000.0, 0.0]), values([999.0, -1000.0, -1000.0])))
for _name in ("fmax", "fmin"):
    case(f"{_name}_odd", lambda t, a, b, n=_name: getattr(t, n)(a, b), *_TIES,
         (values([math.nan, 1.0, math.nan]), values([1.0, math.nan, math.nan])), second=False)
case("fmod", lambda t, a, b: t.fmod(a, b), (distinct(2, 3), given([[1.9, 2.3, 1.7]])),
     (ints(5, low=-9, high=9), given([1, 2, 3, -2, -3])), (given(-7), given(2)), (f(0, 3), pos(3)),
     low=False)
case("xlogy", lambda t, a, b: t.xlogy(a, b), (f(2, 3), pos(2, 3)), (f(), pos()), (f(0, 3), pos(3)),
     (values([0.0, 1.0, 2.0]), values([0.5, 1.0, 2.0])))
case("xlogy_numbers", lambda t, a: t.xlogy(a, 2) + t.xlogy(2.5, a), *_ONE_POSITIVE)
case("xlogy_odd", lambda t, a, b: t.xlogy(a, b), (values([0.0, 0.0, 0.0, 1.0]),
     values([0.0, -1.0, math.nan, 0.0])), grad=False)
case("ldexp", lambda t, a, b: t.ldexp(a, b), (f(2, 3), values([1.0, 2.0, -3.0])), (f(), f()),
     (f(0, 3), f(3)))
case("ldexp_by_integers", lambda t, a, b: t.ldexp(a, b), (f(2, 3), ints(2, 3, low=-3, high=4)),
     (f(), ints()), (f(0, 3), ints(3)), grad=False, low=False)
case("nextafter", lambda t, a, b: t.nextafter(a, b), (f(2, 3), f(3)), (f(), f()), (f(0, 3), f(3)),
     grad=False, low=False)
case("heaviside", lambda t, a, b: t.heaviside(a, b), (values([-1.0, 0.0, -0.0, 2.0]), f(4)),
     (f(), f()), (f(0, 3), f(3)), grad=False)
case("float_power", lambda t, a, b: t.float_power(a, b), (pos(2, 3), f(2, 3)), (pos(), f()),
     (pos(0, 3), f(3)), low=False)
case("float_power_of_integers", lambda t, a: t.float_power(a, 2), (ints(2, 3),), (ints(),),
     grad=False)
case("rsub", lambda t, a, b: t.rsub(a, b, alpha=2), *_PAIRS)
case("div_rounded_far", lambda t, a, b: t.div(a, b, rounding_mode="floor")
     + t.div(a, b, rounding_mode="trunc"), (distinct(2, 3), pos(2, 3)), (f(), pos()),
     (f(0, 3), pos(3)), low=False, second=False)
_THREE = [(f(2, 3), f(2, 3), pos(3)), (f(), f(), pos()), (f(0, 3), f(3), pos(3))]
case("addcmul", lambda t, a, b, c: t.addcmul(a, b, c, value=-1.5), *_THREE)
case("addcdiv", lambda t, a, b, c: t.addcdiv(a, b, c, value=-1.5), *_THREE)
case("lerp", lambda t, a, b, w: t.lerp(a, b, w), (f(2, 3), f(2, 3), values([0.1, 0.7, 1.4])),
     (f(), f(), values(0.3)), (f(0, 3), f(3), f(3)))
case("lerp_number", lambda t, a, b: t.lerp(a, b, 0.25) + t.lerp(a, b, 0.75), *_PAIRS)
case("isin", lambda t, a, b: t.isin(a, b), (ints(3, 4, high=9), ints(5, high=9)), (ints(), ints(3)),
     (ints(0, 3), ints(2)), (values([1.0, math.nan]), values([math.nan, 2.0])), grad=False)
case("isin_inverted", lambda t, a: t.isin(a, 3, invert=True), (ints(3, 4, high=9),), (ints(),),
     grad=False)
case("isclose", lambda t, a, b: t.isclose(a, b, rtol=1e-2, equal_nan=True),
     (values([1.0, 1.0, math.nan, math.inf, math.inf]), values([1.005, 2.0, math.nan, math.inf, 1.0])),
     (f(), f()), (f(0, 3), f(3)), (ints(5), ints(5)), grad=False)

# Numerical calculus.
case("diff", lambda t, x: t.diff(x, 2, 0) , (f(4, 3),), (f(5),), (f(0, 3),))
case("diff_with_ends", lambda t, x, a, b: t.diff(x, prepend=a, append=b), (f(2, 3), f(2, 1), f(2, 2)),
     (f(3), f(1), f(1)))
case("diff_of_bools", lambda t, x: t.diff(x), (mask(2, 7),), (mask(0, 3),), grad=False)
_SAMPLES = [(f(2, 4), distinct(4)), (f(3), distinct(3)), (f(0, 3), distinct(3)), (f(2, 0), distinct(0))]
case("trapezoid", lambda t, y, x: t.trapezoid(y, x) + t.trapz(y, dx=0.3), *_SAMPLES)
case("cumulative_trapezoid", lambda t, y, x: t.cumulative_trapezoid(y, x)
     + t.cumulative_trapezoid(y, dx=0.3), *_SAMPLES[:3])
for _order in (1, 2):
    case(f"gradient_{_order}", lambda t, x, o=_order: t.cat(t.gradient(
        x, spacing=(0.5, 2.0), edge_order=o), 1), (f(3, 4),), (f(4, 3),))
    case(f"gradient_at_{_order}", lambda t, y, x, o=_order: t.gradient(
        y, spacing=(x,), dim=-1, edge_order=o)[0], (f(2, 4), distinct(4)), (f(3), distinct(3)))

case("where", lambda t, c, a, b: t.where(c, a, b), (mask(2, 3), f(2, 3), f(3)),
     (mask(), f(), f()), (mask(0), f(0), f(0)), (mask(2, 1), f(3), f()))
case("where_zero", lambda t, c, x: t.where(c, x, 0.0) + t.where(c, 0, x),
     (mask(2, 3), f(2, 3)), (mask(30, 70), f(30, 70)))
case("masked_fill", lambda t, x, m: x.masked_fill(m, 1.5), (f(2, 3), mask(2, 3)), (f(2, 3), mask(3)),
     (f(), mask()), (f(0, 3), mask(3)))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    case(_name, lambda t, a, b, n=_name: getattr(t, n)(a, b), (ints(9), ints(9)), (f(2, 1), f(3)),
         (f(), f()), (f(0), f(0)), grad=False)
for _name in ("logical_and", "logical_or", "logical_xor"):
    case(_name, lambda t, a, b, n=_name: getattr(t, n)(a, b), (mask(9), mask(9)), (ints(9), ints(9)),
         (mask(), ints()), (mask(0, 3), mask(3)), grad=False)
case("shifts", lambda t, a, b: (a << b) + (a >> b) + (a << 70) + (a >> -1) + (3 << b) + (90 >> b),
     (ints(9, low=-99, high=99), ints(9, low=-2, high=70)), (ints(high=99), ints(high=9)),
     (ints(0, 3), ints(3)), grad=False)
case("gcd_lcm", lambda t, a, b: t.gcd(a, b) * 1000 + t.lcm(a, b),
     (ints(9, low=-99, high=99), ints(9, low=-9, high=9)), (ints(high=99), ints(high=9)),
     (ints(0, 3), ints(3)), grad=False)
case("integer_powers", lambda t, a, b: a**b, (given([1, -1, 2, 0, 3]), given([-1, -3, -1, 2, 3])),
     (ints(), ints()), (ints(0, 3), ints(3)), grad=False)
case("bitwise", lambda t, a, b: (a & b) + (a | b) - (a ^ b), (ints(9, high=99), ints(9, high=99)),
     (ints(high=99), ints(high=99)), (ints(0, 3), ints(3)), grad=False)
