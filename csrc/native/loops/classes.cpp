// Softmax cross-entropy of rows of float with their classes, the negative log likelihood of classes, and
// their gradients.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/sums.h"
#include "csrc/native/loops/vector.h"

double sum_of_exp(const float* x, float largest, int64_t count) {
    double total = 0;
    float part[block];
    for (int64_t begin = 0; begin < count; begin += block) {
        const int64_t size = count - begin < block ? count - begin : block;
        for_each(size, [&](int64_t i) { part[i] = exp(x[begin + i] - largest); });
        total += sum_of(size, [&](int64_t i) { return part[i]; });
    }
    return total;
}

// loss and dlogits (or null) of logits, targets and weight (or null). Numbers are the classes, that
// which is ignored, the smoothing, what all is divided by, and the sum of the weights.
//
// With the target q = a onehot(t) + b w, the loss is -sum(q log p), and its gradient sum(q) p - q.
void forward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t classes = int64_t(numbers[0]), ignored = int64_t(numbers[1]);
    const double smoothing = numbers[2], total = numbers[3], weights = numbers[4];
    const float* weight = static_cast<const float*>(arrays[4]);
    for (int64_t row = begin; row < end; ++row) {
        const int64_t target = static_cast<const int64_t*>(arrays[3])[row];
        const float* __restrict x = static_cast<const float*>(arrays[2]) + row * classes;
        float* __restrict dx =
            arrays[1] == nullptr ? nullptr : static_cast<float*>(arrays[1]) + row * classes;
        float& loss = static_cast<float*>(arrays[0])[row];
        if (target == ignored) {
            loss = 0;
            for (int64_t i = 0; dx != nullptr && i < classes; ++i) {
                dx[i] = 0;
            }
            continue;
        }
        const float largest = largest_of(x, classes);
        double norm;
        if (dx == nullptr) {
            norm = sum_of_exp(x, largest, classes);
        } else {
            for_each(classes, [=](int64_t i) { dx[i] = exp(x[i] - largest); });
            norm = sum_of(classes, [=](int64_t i) { return dx[i]; });
        }
        const double a = (1 - smoothing) * (weight == nullptr ? 1.0 : double(weight[target])) / total;
        const double b = smoothing / double(classes) / total;
        const double mass = a + b * weights;
        double everywhere = 0;
        if (smoothing != 0) {
            everywhere = weight == nullptr
                             ? sum_of(classes, [=](int64_t i) { return x[i] - largest; })
                             : sum_of(classes, [=](int64_t i) { return weight[i] * (x[i] - largest); });
        }
        const double at_target = double(x[target] - largest);
        loss = float(mass * std::log(norm) - a * at_target - (smoothing != 0 ? b * everywhere : 0.0));
        if (dx == nullptr) {
            continue;
        }
        const float scale = float(mass / norm), share = float(b);
        if (smoothing == 0) {
            for (int64_t i = 0; i < classes; ++i) {
                dx[i] *= scale;
            }
        } else if (weight == nullptr) {
            for (int64_t i = 0; i < classes; ++i) {
                dx[i] = dx[i] * scale - share;
            }
        } else {
            for (int64_t i = 0; i < classes; ++i) {
                dx[i] = dx[i] * scale - share * weight[i];
            }
        }
        dx[target] -= float(a);
    }
}

// dx = dlogits g, with one g a row; numbers are the classes and how far apart those are.
void backward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t classes = int64_t(numbers[0]), step = int64_t(numbers[1]);
    for (int64_t row = begin; row < end; ++row) {
        float* __restrict dx = static_cast<float*>(arrays[0]) + row * classes;
        const float* __restrict dlogits = static_cast<const float*>(arrays[1]) + row * classes;
        const float g = static_cast<const float*>(arrays[2])[row * step];
        for (int64_t i = 0; i < classes; ++i) {
            dx[i] = dlogits[i] * g;
        }
    }
}

// losses and factors, the weights of the targets or 0, of x, targets and weight (or null). Numbers are
// the classes, the pixels that have one each, and that which is ignored.
void pick(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t classes = int64_t(numbers[0]), pixels = int64_t(numbers[1]);
    const int64_t ignored = int64_t(numbers[2]);
    const float* x = static_cast<const float*>(arrays[2]);
    const float* weight = static_cast<const float*>(arrays[4]);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t target = static_cast<const int64_t*>(arrays[3])[i];
        float factor = 0, loss = 0;
        if (target != ignored) {
            factor = weight == nullptr ? 1.0f : weight[target];
            loss = -x[(i / pixels * classes + target) * pixels + i % pixels] * factor;
        }
        static_cast<float*>(arrays[0])[i] = loss;
        static_cast<float*>(arrays[1])[i] = factor;
    }
}

// Into dx, which is 0, the gradients of g, factors and targets. Numbers are the classes, the pixels, how
// far the g lie apart, what all is divided by, and the class that is ignored.
void put(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t classes = int64_t(numbers[0]), pixels = int64_t(numbers[1]);
    const int64_t step = int64_t(numbers[2]), ignored = int64_t(numbers[4]);
    const float total = float(numbers[3]);
    float* dx = static_cast<float*>(arrays[0]);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t target = static_cast<const int64_t*>(arrays[3])[i];
        if (target != ignored) {
            const float g = static_cast<const float*>(arrays[1])[i * step];
            const float factor = static_cast<const float*>(arrays[2])[i];
            dx[(i / pixels * classes + target) * pixels + i % pixels] = -(g * factor) / total;
        }
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"cross_entropy", 5, 5, forward, nullptr, nullptr};
    found.each[found.count++] = {"cross_entropy_backward", 3, 2, backward, nullptr, nullptr};
    found.each[found.count++] = {"nll", 5, 3, pick, nullptr, nullptr};
    found.each[found.count++] = {"nll_backward", 4, 5, put, nullptr, nullptr};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(classes);
const Loops OF_LEVEL(classes) = all();
