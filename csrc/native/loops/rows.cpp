// Softmax, log-softmax and their gradients, on rows of float.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/sums.h"
#include "csrc/native/loops/vector.h"

struct Softmax {
    static void forward(float* __restrict y, const float* __restrict x, int64_t count) {
        const float largest = largest_of(x, count);
        for_each(count, [=](int64_t i) { y[i] = exp(x[i] - largest); });
        const float share = float(1 / sum_of(count, [=](int64_t i) { return y[i]; }));
        for (int64_t i = 0; i < count; ++i) {
            y[i] *= share;
        }
    }
    static void backward(float* __restrict dx, const float* __restrict dy,
                         const float* __restrict y, int64_t count) {
        const float dot = float(sum_of(count, [=](int64_t i) { return dy[i] * y[i]; }));
        for (int64_t i = 0; i < count; ++i) {
            dx[i] = y[i] * (dy[i] - dot);
        }
    }
};

struct LogSoftmax {
    static void forward(float* __restrict y, const float* __restrict x, int64_t count) {
        const float largest = largest_of(x, count);
        const double total =
            sum_of(count, [=](int64_t i) { return exp(x[i] - largest); });
        const float log_total = float(std::log(total));
        for (int64_t i = 0; i < count; ++i) {
            y[i] = (x[i] - largest) - log_total;
        }
    }
    static void backward(float* __restrict dx, const float* __restrict dy,
                         const float* __restrict y, int64_t count) {
        const float total = float(sum_of(count, [=](int64_t i) { return dy[i]; }));
        for_each(count, [=](int64_t i) { dx[i] = dy[i] - exp(y[i]) * total; });
    }
};

// Of rows begin..end; the only number is how long they are.
template <class Function>
void forward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t count = int64_t(numbers[0]);
    for (int64_t start = begin * count; start < end * count; start += count) {
        Function::forward(static_cast<float*>(arrays[0]) + start,
                          static_cast<const float*>(arrays[1]) + start, count);
    }
}

template <class Function>
void backward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t count = int64_t(numbers[0]);
    for (int64_t start = begin * count; start < end * count; start += count) {
        Function::backward(static_cast<float*>(arrays[0]) + start,
                           static_cast<const float*>(arrays[1]) + start,
                           static_cast<const float*>(arrays[2]) + start, count);
    }
}

constexpr Loops all() {
    Loops found{};
    const auto add = [&](const char* name, int arrays, Loop loop) {
        found.each[found.count++] = {name, arrays, 1, loop, nullptr, "axis"};
    };
    add("softmax", 2, forward<Softmax>);
    add("softmax_backward", 3, backward<Softmax>);
    add("log_softmax", 2, forward<LogSoftmax>);
    add("log_softmax_backward", 3, backward<LogSoftmax>);
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(rows);
const Loops OF_LEVEL(rows) = all();
