// Maxima of windows along one axis, and means of windows, of float.
#include <cstdint>
#include <cstring>

#include "csrc/native/loops.h"
#include "csrc/native/pool_windows.h"

namespace {  // each level has its own, whether inlined or not

// ---- maxima ----

// Takes, of ``count`` windows, element k where it is larger, or not a number.
template <int64_t step>
void take_larger(float* __restrict best, uint8_t* __restrict which, const float* __restrict x,
                 int64_t stride, int64_t count, uint8_t k) {
    if (step != 0) {
        stride = step;
    }
    for (int64_t i = 0; i < count; ++i) {
        const float value = x[i * stride];
        const bool better = !(value <= best[i]);
        best[i] = better ? value : best[i];
        which[i] = better ? k : which[i];
    }
}

void take(float* best, uint8_t* which, const float* x, int64_t stride, int64_t count, int64_t k) {
    const auto run = stride == 1   ? take_larger<1>
                     : stride == 2 ? take_larger<2>
                                   : take_larger<0>;
    run(best, which, x, stride, count, uint8_t(k));
}

// One window, with the edges of the image.
void maxima_of(const MaximaAlong& of, int64_t window, const float* x, float* best, uint8_t* which) {
    const Windows& w = of.windows;
    const int64_t first = w.first(window), end = w.end(window);
    for (int64_t i = 0; i < of.inner; ++i) {
        best[i] = first < end ? x[(w.start(window) + first * w.dilation) * of.inner + i]
                              : -__builtin_inff();
        which[i] = uint8_t(first);
    }
    for (int64_t k = first + 1; k < end; ++k) {
        take(best, which, x + (w.start(window) + k * w.dilation) * of.inner, 1, of.inner, k);
    }
}

void maxima(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const MaximaAlong& of = *static_cast<const MaximaAlong*>(arrays[3]);
    const Windows& w = of.windows;
    const int64_t found = w.out * of.inner;
    for (int64_t row = begin; row < end; ++row) {
        float* best = static_cast<float*>(arrays[0]) + row * found;
        uint8_t* which = static_cast<uint8_t*>(arrays[1]) + row * found;
        const float* x = static_cast<const float*>(arrays[2]) + row * w.size * of.inner;
        int64_t i = 0;
        const auto whole = [&](int64_t window) {
            return w.first(window) == 0 && w.end(window) == w.kernel;
        };
        for (; i < w.out && (of.inner > 1 || !whole(i)); ++i) {
            maxima_of(of, i, x, best + i * of.inner, which + i * of.inner);
        }
        int64_t last = w.out;
        for (; last > i && !whole(last - 1); --last) {
            maxima_of(of, last - 1, x, best + last - 1, which + last - 1);
        }
        if (i < last) {  // along the last axis, all windows at once
            const float* start = x + w.start(i);
            for (int64_t j = 0; j < last - i; ++j) {
                best[i + j] = start[j * w.stride];
                which[i + j] = 0;
            }
            for (int64_t k = 1; k < w.kernel; ++k) {
                take(best + i, which + i, start + k * w.dilation, w.stride, last - i, k);
            }
        }
    }
}

void maxima_backward(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const MaximaAlong& of = *static_cast<const MaximaAlong*>(arrays[3]);
    const Windows& w = of.windows;
    const int64_t inner = of.inner, found = w.out * inner, size = w.size * inner;
    for (int64_t row = begin; row < end; ++row) {
        float* __restrict dx = static_cast<float*>(arrays[0]) + row * size;
        const float* __restrict g = static_cast<const float*>(arrays[1]) + row * found;
        const uint8_t* __restrict which = static_cast<const uint8_t*>(arrays[2]) + row * found;
        std::memset(dx, 0, size_t(size) * sizeof(float));
        for (int64_t window = 0; window < w.out; ++window) {
            const int64_t start = w.start(window);
            if (inner == 1) {
                const int64_t place = start + which[window] * w.dilation;
                if (uint64_t(place) < uint64_t(w.size)) {
                    dx[place] += g[window];
                }
                continue;
            }
            for (int64_t k = w.first(window); k < w.end(window); ++k) {
                float* __restrict to = dx + (start + k * w.dilation) * inner;
                const float* __restrict from = g + window * inner;
                const uint8_t* __restrict came = which + window * inner;
                for (int64_t i = 0; i < inner; ++i) {
                    to[i] += came[i] == k ? from[i] : 0.0f;
                }
            }
        }
    }
}

// ---- means ----

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
    found.each[found.count++] = {"max_along", 4, 0, maxima, nullptr, nullptr};
    found.each[found.count++] = {"max_along_backward", 4, 0, maxima_backward, nullptr, "size"};
    found.each[found.count++] = {"avg_pool", 3, 0, means, nullptr, nullptr};
    found.each[found.count++] = {"avg_pool_backward", 3, 0, means_backward, nullptr, "size"};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(pool);
const Loops OF_LEVEL(pool) = all();
