// Activations, their gradients, and erf, on floats.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "csrc/native/loops.h"
#include "csrc/native/spread.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/vector.h"
#include "csrc/native/loops/near.h"
#include "csrc/native/loops/narrow.h"
#include "csrc/native/loops/spread.h"
#include "kernels/activation.h"

// One of the kernels' functions, and its gradient; its numbers are inputs, too.
template <template <class> class Function>
struct Of {
    template <class... Numbers>
    static float value(float x, Numbers... numbers) {
        return Function<float>{numbers...}.value(x);
    }
};
template <template <class> class Function>
struct Slope {
    template <class... Numbers>
    static float value(float dy, float saved, Numbers... numbers) {
        return Function<float>{numbers...}.gradient(dy, saved);
    }
};

// The kernels' functions, of the tail T beyond |x|: y = max(x, 0) - |x| T, and dy/dx, for x < 0, is
// T - |x| phi(x), with phi the density; that of -x is 1 less that.
struct Gelu {
    static float value(float x) {
        const float size = size_up_to(16.0f, x);
        return (x < 0.0f ? 0.0f : x) - size * normal_tail(size);
    }
};
struct GeluSlope {
    static float value(float dy, float x) {
        constexpr float half_per_log2 = 0.72134752f, log2_of_root = 1.32574806f;  // of 2 pi
        const float whole = std::fabs(x), size = whole > 16.0f ? 16.0f : whole;
        const float density = exp2_minus(half_per_log2 * size * size + log2_of_root);
        const float below = normal_tail(size) - size * density;
        return dy * (x < 0.0f ? below : 1.0f - below);
    }
};

// The kernels' function, which divides: of w = e^-|x|, x / (1 + w) or, for x < 0, x w / (1 + w).
struct Silu {
    static float value(float x) {
        const float size = size_up_to(88.0f, x), w = exp_within(-size);  // e^-88 comes out as 0
        return (x < 0.0f ? -size : x) * ((x < 0.0f ? w : 1.0f) * reciprocal_to_2(1.0f + w));
    }
};

struct Exp {
    static float value(float x) { return exp(x); }
};

struct Tanh {
    static float value(float x) { return tanh(x); }
};

struct Erf {
    static float value(float x) { return erf(x); }
};

inline float clamped(float x, float low, float high) {
    const float raised = x < low ? low : x;
    return raised > high ? high : raised;
}
struct Softshrink {
    static float value(float x, float limit) { return x - clamped(x, -limit, limit); }
};
struct Hardsigmoid {
    static float value(float x) { return clamped(x + 3.0f, 0.0f, 6.0f) * (1.0f / 6.0f); }
};
struct Hardswish {
    static float value(float x) {
        const float y = x * Hardsigmoid::value(x);
        return activation::is_far(x) ? activation::ramp(x, x) : y;
    }
};

// The kernels' function, which takes a log1p of all numbers.
struct Softplus {
    static float value(float x, float beta, float threshold) {
        return beta * x > threshold ? x : softplus(beta * x) / beta;
    }
};
struct Logsigmoid {
    static float value(float x) { return -softplus(-x); }
};

// y = x t, with t = tanh(log(1 + e^x)) = v / (v + 2), v = w (w + 2), w = e^x; where w is large, y = x.
// dy/dx = t + x (1 - t) (1 + t) s, with s the sigmoid and 1 - t = 2 / (v + 2).
struct MishParts {
    float t, rest;

    explicit MishParts(float x) {
        const float w = exp(x > 20.0f ? 20.0f : x), v = w * (w + 2.0f);
        t = v / (v + 2.0f);
        rest = 2.0f / (v + 2.0f);
    }
};
struct Mish {
    static float value(float x) {
        return activation::is_far(x) ? activation::ramp(x, x) : x * MishParts(x).t;
    }
};
struct MishSlope {
    static float value(float dy, float x) {
        const MishParts of(x);
        const float near = dy * (of.t + x * of.rest * (1.0f + of.t) * activation::sigmoid_of(x));
        return activation::is_far(x) ? activation::ramp(x, dy) : near;
    }
};

constexpr Loops all() {
    using namespace activation;
    Loops found{};
#define BOTH(name, Function, numbers, keywords)                                  \
    ADD(name, Of<Function>, numbers + 1, keywords, NO, YES)                      \
    ADD(name "_backward", Slope<Function>, numbers + 2, keywords, NO, YES)
    BOTH("relu", Relu, 0, nullptr)
    BOTH("leaky_relu", LeakyRelu, 1, "negative_slope")
    ADD("gelu", ::Gelu, 1, nullptr, NO, YES)
    ADD("gelu_backward", GeluSlope, 2, nullptr, NO, YES)
    BOTH("gelu_tanh", GeluTanh, 0, nullptr)
    ADD("silu", ::Silu, 1, nullptr, NO, YES)
    ADD("silu_backward", Slope<activation::Silu>, 2, nullptr, NO, YES)
    BOTH("sigmoid", Sigmoid, 0, nullptr)
    BOTH("elu", Elu, 1, "alpha")
    ADD("tanh", ::Tanh, 1, nullptr, NO, NO)
    ADD("tanh_backward", Slope<activation::Tanh>, 2, nullptr, NO, YES)
    ADD("softplus", ::Softplus, 3, "beta\0threshold", NO, YES)
    ADD("softplus_backward", Slope<activation::Softplus>, 4, "beta\0threshold", NO, YES)
    ADD("logsigmoid", Logsigmoid, 1, nullptr, NO, YES)
    ADD("mish", Mish, 1, nullptr, NO, YES)
    ADD("mish_backward", MishSlope, 2, nullptr, NO, YES)
    ADD("hardsigmoid", Hardsigmoid, 1, nullptr, NO, YES)
    ADD("hardswish", Hardswish, 1, nullptr, NO, YES)
    ADD("softshrink", Softshrink, 2, "limit", NO, YES)
    ADD("exp", Exp, 1, nullptr, NO, NO)
    ADD("erf", Erf, 1, nullptr, NO, NO)
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(activation);
const Loops OF_LEVEL(activation) = all();
