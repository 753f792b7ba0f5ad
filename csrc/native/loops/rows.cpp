// Softmax, log-softmax and their gradients, on rows of float, and along other dimensions than the last.
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

// Along columns, of which some that lie side by side are done at once: (count, stride) of them.
constexpr int64_t width = 32;

struct Columns {
    int64_t count, stride, width;

    template <class Work>
    void for_each(Work work) const {
        for (int64_t row = 0; row < count; ++row) {
            for (int64_t j = 0; j < width; ++j) {
                work(row * stride + j, j);
            }
        }
    }
    void find_largest(const float* x, float* largest) const {
        for (int64_t j = 0; j < width; ++j) {
            largest[j] = -INFINITY;
        }
        for_each([=](int64_t i, int64_t j) { largest[j] = larger(x[i], largest[j]); });
    }
};

void forward_of(Softmax, float* __restrict y, const float* __restrict x, const Columns& columns) {
    float largest[width], share[width];
    double total[width] = {};
    columns.find_largest(x, largest);
    columns.for_each([&](int64_t i, int64_t j) {
        y[i] = exp(x[i] - largest[j]);
        total[j] += y[i];
    });
    for (int64_t j = 0; j < columns.width; ++j) {
        share[j] = float(1 / total[j]);
    }
    columns.for_each([&](int64_t i, int64_t j) { y[i] *= share[j]; });
}

void forward_of(LogSoftmax, float* __restrict y, const float* __restrict x,
                const Columns& columns) {
    float largest[width], log_total[width];
    double total[width] = {};
    columns.find_largest(x, largest);
    columns.for_each([&](int64_t i, int64_t j) {
        y[i] = exp(x[i] - largest[j]);  // for now
        total[j] += y[i];
    });
    for (int64_t j = 0; j < columns.width; ++j) {
        log_total[j] = float(std::log(total[j]));
    }
    columns.for_each([&](int64_t i, int64_t j) { y[i] = (x[i] - largest[j]) - log_total[j]; });
}

void backward_of(Softmax, float* __restrict dx, const float* __restrict dy,
                 const float* __restrict y, const Columns& columns) {
    double dot[width] = {};
    float narrow[width];
    columns.for_each([&](int64_t i, int64_t j) { dot[j] += dy[i] * y[i]; });
    for (int64_t j = 0; j < columns.width; ++j) {
        narrow[j] = float(dot[j]);
    }
    columns.for_each([&](int64_t i, int64_t j) { dx[i] = y[i] * (dy[i] - narrow[j]); });
}

void backward_of(LogSoftmax, float* __restrict dx, const float* __restrict dy,
                 const float* __restrict y, const Columns& columns) {
    double total[width] = {};
    float narrow[width];
    columns.for_each([&](int64_t i, int64_t j) { total[j] += dy[i]; });
    for (int64_t j = 0; j < columns.width; ++j) {
        narrow[j] = float(total[j]);
    }
    columns.for_each([&](int64_t i, int64_t j) { dx[i] = dy[i] - exp(y[i]) * narrow[j]; });
}

// work(start, columns) for the blocks begin..end of columns. Numbers are how long those are, and how
// many lie side by side.
template <class Work>
void for_each_block(const double* numbers, int64_t begin, int64_t end, Work work) {
    const int64_t count = int64_t(numbers[0]), stride = int64_t(numbers[1]);
    const int64_t blocks = (stride + width - 1) / width;
    for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i % blocks * width, left = stride - first;
        work(i / blocks * count * stride + first,
             Columns{count, stride, left < width ? left : width});
    }
}

// Of rows begin..end, or, where there are several columns side by side, of such blocks of columns.
template <class Function>
void forward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    float* y = static_cast<float*>(arrays[0]);
    const float* x = static_cast<const float*>(arrays[1]);
    if (numbers[1] != 1) {
        for_each_block(numbers, begin, end, [=](int64_t start, const Columns& columns) {
            forward_of(Function(), y + start, x + start, columns);
        });
        return;
    }
    const int64_t count = int64_t(numbers[0]);
    for (int64_t start = begin * count; start < end * count; start += count) {
        Function::forward(y + start, x + start, count);
    }
}

template <class Function>
void backward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    float* dx = static_cast<float*>(arrays[0]);
    const float* dy = static_cast<const float*>(arrays[1]);
    const float* y = static_cast<const float*>(arrays[2]);
    if (numbers[1] != 1) {
        for_each_block(numbers, begin, end, [=](int64_t start, const Columns& columns) {
            backward_of(Function(), dx + start, dy + start, y + start, columns);
        });
        return;
    }
    const int64_t count = int64_t(numbers[0]);
    for (int64_t start = begin * count; start < end * count; start += count) {
        Function::backward(dx + start, dy + start, y + start, count);
    }
}

constexpr Loops all() {
    Loops found{};
    const auto add = [&](const char* name, int arrays, Loop loop) {
        found.each[found.count++] = {name, arrays, 2, loop, nullptr, "axis"};
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
