// Losses of float, element by element, their sums, and their gradients.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/sums.h"
#include "csrc/native/loops/vector.h"
#include "csrc/native/loops/near.h"

struct Square {
    explicit Square(double) {}
    float value(float x, float t) const { return (x - t) * (x - t); }
    float slope(float x, float t) const { return 2.0f * (x - t); }
};

struct Absolute {
    explicit Absolute(double) {}
    float value(float x, float t) const { return std::fabs(x - t); }
    float slope(float x, float t) const {
        const float d = x - t;
        return d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : 0.0f;
    }
};

// With s the difference, cut off at delta: s (d - s / 2).
struct Huber {
    float delta;

    explicit Huber(double number) : delta(float(number)) {}
    float value(float x, float t) const {
        const float s = slope(x, t);
        return s * ((x - t) - 0.5f * s);
    }
    float slope(float x, float t) const {
        const float d = x - t, least = d < -delta ? -delta : d;
        return least > delta ? delta : least;
    }
};

// Binary cross-entropy of logits: (1 - t) softplus(x) + t softplus(-x).
struct OfLogits {
    explicit OfLogits(double) {}
    float value(float x, float t) const {
        const float size = std::fabs(x), away = x > 0.0f ? 1.0f - t : t;
        const float grown = away == 0.0f ? 0.0f : away * size;
        return grown + (1.0f - t + t) * log1p_to_1(exp(-size));
    }
    float slope(float x, float t) const {
        const float e = exp(-std::fabs(x)), large = 1.0f / (1.0f + e), small = e * large;
        return (1.0f - t) * (x > 0.0f ? large : small) - t * (x > 0.0f ? small : large);
    }
};

// Kullback-Leibler divergence of two logarithms of probabilities.
struct OfLogarithms {
    explicit OfLogarithms(double) {}
    float value(float x, float t) const {
        const float p = exp(t), d = t - x;
        return p * (p == 0.0f ? 0.0f : d);
    }
    float slope(float, float t) const { return -exp(t); }
};

// y of x and t; numbers are the loss's own, and whether sums of pieces, in double, are wanted instead.
template <class Loss>
void forward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const Loss loss(numbers[0]);
    const float* __restrict x = static_cast<const float*>(arrays[1]);
    const float* __restrict t = static_cast<const float*>(arrays[2]);
    if (numbers[1] != 0) {
        double* total = static_cast<double*>(arrays[0]) + begin / int64_t(numbers[1]);
        *total = sum_of(end - begin,
                        [=](int64_t i) { return loss.value(x[begin + i], t[begin + i]); });
        return;
    }
    float* __restrict y = static_cast<float*>(arrays[0]);
    for (int64_t i = begin; i < end; ++i) {
        y[i] = loss.value(x[i], t[i]);
    }
}

// dx of g, x and t; numbers are the loss's own, and the one g of all, divided by their number, if not
// each has its own.
template <class Loss>
void backward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const Loss loss(numbers[0]);
    float* __restrict dx = static_cast<float*>(arrays[0]);
    const float* __restrict g = static_cast<const float*>(arrays[1]);
    const float* __restrict x = static_cast<const float*>(arrays[2]);
    const float* __restrict t = static_cast<const float*>(arrays[3]);
    if (g == nullptr) {
        const float all = float(numbers[1]);
        for (int64_t i = begin; i < end; ++i) {
            dx[i] = all * loss.slope(x[i], t[i]);
        }
    } else {
        for (int64_t i = begin; i < end; ++i) {
            dx[i] = g[i] * loss.slope(x[i], t[i]);
        }
    }
}

constexpr Loops all() {
    Loops found{};
    const auto add = [&](const char* name, int arrays, Loop loop) {
        found.each[found.count++] = {name, arrays, 2, loop, nullptr, "number"};
    };
#define ADD(name, Loss)              \
    add(#name, 3, forward<Loss>);    \
    add(#name "_backward", 4, backward<Loss>)
    ADD(squared_distance, Square);
    ADD(absolute_distance, Absolute);
    ADD(huber_distance, Huber);
    ADD(bce_of_two, OfLogits);
    ADD(kl_of_logarithms, OfLogarithms);
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(losses);
const Loops OF_LEVEL(losses) = all();
