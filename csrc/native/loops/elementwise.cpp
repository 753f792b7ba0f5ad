// Activations, their gradients, and erf, on float.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/vector.h"
#include "kernels/activation.h"

struct Erf {
    float value(float x) const { return erf(x); }
};

template <class Function>
Function with(const double* numbers) {
    if constexpr (std::is_empty_v<Function>) {
        return Function{};
    } else {
        return Function{float(*numbers)};
    }
}

template <class Function>
void value(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const Function function = with<Function>(numbers);
    float* __restrict y = static_cast<float*>(arrays[0]);
    const float* __restrict x = static_cast<const float*>(arrays[1]);
    for (int64_t i = begin; i < end; ++i) {
        y[i] = function.value(x[i]);
    }
}

template <class Function>
void gradient(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const Function function = with<Function>(numbers);
    float* __restrict dx = static_cast<float*>(arrays[0]);
    const float* __restrict dy = static_cast<const float*>(arrays[1]);
    const float* __restrict saved = static_cast<const float*>(arrays[2]);
    for (int64_t i = begin; i < end; ++i) {
        dx[i] = function.gradient(dy[i], saved[i]);
    }
}

constexpr Loops all() {
    Loops found{};
    const auto add = [&](const char* name, int arrays, Loop loop, const char* keyword) {
        found.each[found.count++] = {name, arrays, keyword == nullptr ? 0 : 1, loop, nullptr,
                                     keyword};
    };
#define ADD(name, Function, keyword)                                             \
    add(#name, 2, value<activation::Function<float>>, keyword);                  \
    add(#name "_backward", 3, gradient<activation::Function<float>>, keyword)
    ADD(relu, Relu, nullptr);
    ADD(leaky_relu, LeakyRelu, "negative_slope");
    ADD(gelu, Gelu, nullptr);
    ADD(gelu_tanh, GeluTanh, nullptr);
    ADD(silu, Silu, nullptr);
    ADD(sigmoid, Sigmoid, nullptr);
    add("erf", 2, value<Erf>, nullptr);
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(elementwise);
const Loops OF_LEVEL(elementwise) = all();
