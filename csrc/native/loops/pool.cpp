// Means of windows, of float.
#include <cstdint>
#include <cstring>

#include "csrc/native/loops.h"
#include "csrc/native/pool_windows.h"

namespace {  // each level has its own, whether inlined or not

// The rows of an image that a row of windows has elements in.
template <class Use>
void for_rows(const Windows* w, int64_t depth, int64_t height, Use use) {
    for (int64_t d = w[0].first(depth); d < w[0].end(depth); ++d) {
        const int64_t z = w[0].start(depth) + d * w[0].dilation;
        for (int64_t h = w[1].first(height); h < w[1].end(height); ++h) {
            use((z * w[1].size + w[1].start(height) + h * w[1].dilation) * w[2].size);
        }
    }
}

template <int64_t step>
void add_elements(float* __restrict to, const float* __restrict row, int64_t stride, int64_t count) {
    if (step != 0) {
        stride = step;
    }
    for (int64_t i = 0; i < count; ++i) {
        to[i] += row[i * stride];
    }
}

template <int64_t step>
void spread(float* __restrict row, const float* __restrict from, int64_t stride, int64_t count) {
    if (step != 0) {
        stride = step;
    }
    for (int64_t i = 0; i < count; ++i) {
        row[i * stride] += from[i];
    }
}

void means(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const Means& of = *static_cast<const Means*>(arrays[2]);
    const Windows* w = of.windows;
    const int64_t size = w[0].size * w[1].size * w[2].size;
    float row[longest_row];
    std::memset(row, 0, sizeof row);
    const auto add = w[2].stride == 1   ? add_elements<1>
                     : w[2].stride == 2 ? add_elements<2>
                                        : add_elements<0>;
    float* y = static_cast<float*>(arrays[0]) + begin * w[0].out * w[1].out * w[2].out;
    for (int64_t image = begin; image < end; ++image) {
        const float* x = static_cast<const float*>(arrays[1]) + image * size;
        for (int64_t i = 0; i < w[0].out * w[1].out; ++i, y += w[2].out) {
            float* const inside = row + w[2].padding;
            std::memset(inside, 0, size_t(w[2].size) * sizeof(float));
            for_rows(w, i / w[1].out, i % w[1].out,
                     [&](int64_t place) { add_elements<1>(inside, x + place, 1, w[2].size); });
            std::memset(y, 0, size_t(w[2].out) * sizeof(float));
            for (int64_t k = 0; k < w[2].kernel; ++k) {
                add(y, row + k * w[2].dilation, w[2].stride, w[2].out);
            }
            for (int64_t j = 0; j < w[2].out; ++j) {
                y[j] /= of.divisor;
            }
        }
    }
}

void means_backward(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const Means& of = *static_cast<const Means*>(arrays[2]);
    const Windows* w = of.windows;
    const int64_t size = w[0].size * w[1].size * w[2].size;
    float row[longest_row], each[longest_row];
    const auto add = w[2].stride == 1   ? spread<1>
                     : w[2].stride == 2 ? spread<2>
                                        : spread<0>;
    const int64_t length = w[2].size + 2 * w[2].padding;
    const size_t used = size_t(length > w[2].reach() ? length : w[2].reach());
    const float* g = static_cast<const float*>(arrays[1]) + begin * w[0].out * w[1].out * w[2].out;
    for (int64_t image = begin; image < end; ++image) {
        float* dx = static_cast<float*>(arrays[0]) + image * size;
        std::memset(dx, 0, size_t(size) * sizeof(float));
        for (int64_t i = 0; i < w[0].out * w[1].out; ++i, g += w[2].out) {
            std::memset(row, 0, used * sizeof(float));
            for (int64_t j = 0; j < w[2].out; ++j) {
                each[j] = g[j] / of.divisor;
            }
            for (int64_t k = 0; k < w[2].kernel; ++k) {
                add(row + k * w[2].dilation, each, w[2].stride, w[2].out);
            }
            for_rows(w, i / w[1].out, i % w[1].out, [&](int64_t place) {
                add_elements<1>(dx + place, row + w[2].padding, 1, w[2].size);
            });
        }
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"avg_pool", 3, 0, means, nullptr, nullptr};
    found.each[found.count++] = {"avg_pool_backward", 3, 0, means_backward, nullptr, "size"};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(pool);
const Loops OF_LEVEL(pool) = all();
