// Activations of one element: relu, leaky_relu, elu, gelu (exact and tanh), silu, sigmoid, tanh,
// softplus.
//
// Every function is a struct with its value y(x) and its gradient dx, in terms of dy and of what is
// cheapest to have saved: the result y for relu, sigmoid and tanh, x for the others. They call exp,
// expm1, log1p, erf and tanh of whoever includes this, who has declared them before.
#pragma once

#include "function.h"

namespace activation {

template <class A>
ELEMENT_FUNCTION A sigmoid_of(A x) {
    return A(1) / (A(1) + exp(-x));
}

// Beyond +-1000 gelu and silu are relu in every type, and so are their slopes: there x is not
// multiplied by itself, which overflows, or by what is 0, which for infinities is NaN.
template <class A>
ELEMENT_FUNCTION bool is_far(A x) {
    return x > A(1000) || x < A(-1000);
}
template <class A>
ELEMENT_FUNCTION A ramp(A x, A if_positive) {
    return x > A(0) ? if_positive : A(0);
}

// y = max(x, 0), keeping NaN. A choice rather than a product with 0 or 1: 0 * inf would be NaN.
template <class A>
struct Relu {
    ELEMENT_FUNCTION A value(A x) const { return x < A(0) ? A(0) : x; }
    ELEMENT_FUNCTION A gradient(A dy, A y) const { return y <= A(0) ? A(0) : dy; }
};

// y = x where x > 0, else negative_slope * x
template <class A>
struct LeakyRelu {
    A negative_slope;
    ELEMENT_FUNCTION A value(A x) const { return x > A(0) ? x : negative_slope * x; }
    ELEMENT_FUNCTION A gradient(A dy, A x) const { return x > A(0) ? dy : negative_slope * dy; }
};

// y = x where x > 0, else alpha (e^x - 1)
template <class A>
struct Elu {
    A alpha;
    ELEMENT_FUNCTION A value(A x) const { return x > A(0) ? x : alpha * expm1(x); }
    ELEMENT_FUNCTION A gradient(A dy, A x) const { return x > A(0) ? dy : dy * alpha * exp(x); }
};

// y = x Phi(x), Phi the normal distribution function; dy/dx = Phi(x) + x phi(x)
template <class A>
struct Gelu {
    static constexpr A sqrt_half = A(0.70710678118654752440);
    static constexpr A inverse_sqrt_two_pi = A(0.39894228040143267794);
    ELEMENT_FUNCTION A value(A x) const { return is_far(x) ? ramp(x, x) : x * distribution(x); }
    ELEMENT_FUNCTION A gradient(A dy, A x) const {
        if (is_far(x)) {
            return ramp(x, dy);
        }
        return dy * (distribution(x) + x * inverse_sqrt_two_pi * exp(A(-0.5) * x * x));
    }
    ELEMENT_FUNCTION A distribution(A x) const { return A(0.5) * (A(1) + erf(x * sqrt_half)); }
};

// y = x (1 + tanh(u)) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3)
template <class A>
struct GeluTanh {
    static constexpr A scale = A(0.79788456080286535588);
    static constexpr A cubic = A(0.044715);
    ELEMENT_FUNCTION A value(A x) const {
        return is_far(x) ? ramp(x, x) : A(0.5) * x * (A(1) + tanh(inner(x)));
    }
    ELEMENT_FUNCTION A gradient(A dy, A x) const {
        if (is_far(x)) {
            return ramp(x, dy);
        }
        const A t = tanh(inner(x));
        const A inner_slope = scale * (A(1) + A(3) * cubic * x * x);
        return dy * (A(0.5) * (A(1) + t) + A(0.5) * x * (A(1) - t * t) * inner_slope);
    }
    ELEMENT_FUNCTION A inner(A x) const { return scale * (x + cubic * x * x * x); }
};

// y = x s(x), s the sigmoid; dy/dx = s (1 + x (1 - s))
template <class A>
struct Silu {
    ELEMENT_FUNCTION A value(A x) const { return is_far(x) ? ramp(x, x) : x / (A(1) + exp(-x)); }
    ELEMENT_FUNCTION A gradient(A dy, A x) const {
        if (is_far(x)) {
            return ramp(x, dy);
        }
        const A s = sigmoid_of(x);
        return dy * s * (A(1) + x * (A(1) - s));
    }
};

template <class A>
struct Sigmoid {
    ELEMENT_FUNCTION A value(A x) const { return sigmoid_of(x); }
    ELEMENT_FUNCTION A gradient(A dy, A y) const { return dy * y * (A(1) - y); }
};

template <class A>
struct Tanh {
    ELEMENT_FUNCTION A value(A x) const { return tanh(x); }
    ELEMENT_FUNCTION A gradient(A dy, A y) const { return dy * (A(1) - y * y); }
};

// y = log(1 + e^(beta x)) / beta, and x itself where beta x > threshold
template <class A>
struct Softplus {
    A beta, threshold;
    ELEMENT_FUNCTION A value(A x) const {
        return beta * x > threshold ? x : log1p(exp(beta * x)) / beta;
    }
    ELEMENT_FUNCTION A gradient(A dy, A x) const {
        return beta * x > threshold ? dy : dy * sigmoid_of(beta * x);
    }
};

}  // namespace activation
