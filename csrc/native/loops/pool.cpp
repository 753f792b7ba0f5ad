// Maxima of windows along one axis, and means of windows, of float.
#include <cstdint>
#include <cstring>

#include "csrc/native/loops.h"
#include "csrc/native/pool_windows.h"

namespace {  // each level has its own, whether inlined or not

// ---- maxima ----

inline bool is_better(float value, float best) { return value > best || value != value; }

// The first two elements of ``count`` windows.
template <int64_t step>
void take_two(float* __restrict best, uint8_t* __restrict which, const float* __restrict x,
              const float* __restrict y, int64_t stride, int64_t count, uint8_t first) {
    if (step != 0) {
        stride = step;
    }
    for (int64_t i = 0; i < count; ++i) {
        const float one = x[i * stride], other = y[i * stride];
        const bool better = is_better(other, one);
        best[i] = better ? other : one;
        which[i] = uint8_t(better ? first + 1 : first);
    }
}

// Element k, where it is larger than those before it, or not a number.
template <int64_t step>
void take_larger(float* __restrict best, uint8_t* __restrict which, const float* __restrict x,
                 int64_t stride, int64_t count, uint8_t k) {
    if (step != 0) {
        stride = step;
    }
    for (int64_t i = 0; i < count; ++i) {
        const float value = x[i * stride];
        const bool better = is_better(value, best[i]);
        best[i] = better ? value : best[i];
        which[i] = better ? k : which[i];
    }
}

// Of ``count`` windows ``stride`` apart, elements first..end, which lie ``dilation`` apart; there are two
// or more.
template <int64_t step>
void take_all(float* best, uint8_t* which, const float* x, int64_t stride, int64_t dilation,
              int64_t count, int64_t first, int64_t end) {
    take_two<step>(best, which, x, x + dilation, stride, count, uint8_t(first));
    for (int64_t k = first + 2; k < end; ++k) {
        take_larger<step>(best, which, x + (k - first) * dilation, stride, count, uint8_t(k));
    }
}

// One row of windows, with the edges of the image.
void maxima_of(const MaximaAlong& of, int64_t window, const float* x, float* best, uint8_t* which) {
    const Windows& w = of.windows;
    const int64_t first = w.first(window), end = w.end(window);
    const float* from = x + (w.start(window) + first * w.dilation) * of.inner;
    if (end - first > 1) {
        take_all<1>(best, which, from, 1, w.dilation * of.inner, of.inner, first, end);
        return;
    }
    for (int64_t i = 0; i < of.inner; ++i) {
        best[i] = first < end ? from[i] : -__builtin_inff();
        which[i] = uint8_t(first);
    }
}

// One window along the last axis.
void maximum_of(const Windows& w, int64_t window, const float* x, float& best, uint8_t& which) {
    int64_t k = w.first(window);
    const float* at = x + w.start(window) + k * w.dilation;
    best = k < w.end(window) ? *at : -__builtin_inff();
    which = uint8_t(k);
    while (++k < w.end(window)) {
        at += w.dilation;
        which = is_better(*at, best) ? uint8_t(k) : which;
        best = is_better(*at, best) ? *at : best;
    }
}

// Many windows along the last axis, all of them inside an image.
void maxima_inside(const Windows& w, const float* x, float* best, uint8_t* which, int64_t count) {
    constexpr int64_t some = 1024;  // that stay in the first cache
    if (w.kernel == 1) {
        for (int64_t i = 0; i < count; ++i) {
            best[i] = x[i * w.stride];
        }
        std::memset(which, 0, size_t(count));
        return;
    }
    const auto take = w.stride == 1   ? take_all<1>
                      : w.stride == 2 ? take_all<2>
                                      : take_all<0>;
    for (int64_t begin = 0; begin < count; begin += some) {
        take(best + begin, which + begin, x + begin * w.stride, w.stride, w.dilation,
             count - begin < some ? count - begin : some, 0, w.kernel);
    }
}

// Along the last axis. Where windows follow each other from row to row as they do in one, all rows are
// one, but for the windows at its edges.
void maxima_in_rows(const MaximaAlong& of, int64_t rows, const float* x, float* best,
                    uint8_t* which) {
    const Windows& w = of.windows;
    const bool even = w.size == w.out * w.stride;
    const int64_t together = even ? rows : 1;
    int64_t left = 0, right = w.out;  // those between them are inside
    while (left < w.out && w.first(left) > 0) {
        ++left;
    }
    while (right > left && w.end(right - 1) < w.kernel) {
        --right;
    }
    const int64_t count = (together - 1) * w.out + right - left;
    for (int64_t row = 0; row < rows; ++row) {
        if (row % together == 0 && right > left) {
            maxima_inside(w, x + w.start(left), best + left, which + left, count);
        }
        for (int64_t i = 0; i < left; ++i) {
            maximum_of(w, i, x, best[i], which[i]);
        }
        for (int64_t i = right; i < w.out; ++i) {
            maximum_of(w, i, x, best[i], which[i]);
        }
        x += w.size;
        best += w.out;
        which += w.out;
    }
}

void maxima(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const MaximaAlong& of = *static_cast<const MaximaAlong*>(arrays[3]);
    const Windows& w = of.windows;
    const int64_t found = w.out * of.inner, size = w.size * of.inner;
    float* best = static_cast<float*>(arrays[0]) + begin * found;
    uint8_t* which = static_cast<uint8_t*>(arrays[1]) + begin * found;
    const float* x = static_cast<const float*>(arrays[2]) + begin * size;
    if (of.inner == 1) {
        maxima_in_rows(of, end - begin, x, best, which);
        return;
    }
    for (int64_t i = 0; i < (end - begin) * w.out; ++i) {
        maxima_of(of, i % w.out, x + i / w.out * size, best + i * of.inner, which + i * of.inner);
    }
}

// What arrives at an element of the border and the row within it, of ``count`` windows along the row.
float arriving(const Windows& w, const float* g, const uint8_t* which, int64_t count, int64_t place) {
    float sum = 0;
    for (int64_t k = 0; k < w.kernel; ++k) {
        const int64_t back = place - k * w.dilation, window = back / w.stride;
        if (back >= 0 && window * w.stride == back && window < count) {
            sum += which[window] == k ? g[window] : 0.0f;
        }
    }
    return sum;
}

// The same of all of them, for kernels and strides that are usual: an element of windows ``stride``
// apart is reached from few of them, in order.
template <int kernel, int stride>
void spread_maxima(const Windows& w, float* __restrict dx, const float* __restrict g,
                   const uint8_t* __restrict which, int64_t count, int64_t size) {
    constexpr int64_t before = (kernel - 1) / stride;
    const int64_t first = before * stride, end = count * stride;
    dx -= w.padding;
    int64_t place = w.padding;
    for (; place < first; ++place) {
        dx[place] = arriving(w, g, which, count, place);
    }
    const int64_t begin = (place + stride - 1) / stride;
    const int64_t last = end < size + w.padding ? count : (size + w.padding) / stride;
    for (; place < begin * stride; ++place) {
        dx[place] = arriving(w, g, which, count, place);
    }
    for (int64_t window = begin; window < last; ++window) {
#pragma GCC unroll 4
        for (int r = 0; r < stride; ++r) {
            float sum = 0;
#pragma GCC unroll 4
            for (int k = r; k < kernel; k += stride) {
                sum += which[window - k / stride] == k ? g[window - k / stride] : 0.0f;
            }
            dx[window * stride + r] = sum;
        }
    }
    place = place < last * stride ? last * stride : place;
    for (; place < size + w.padding; ++place) {
        dx[place] = arriving(w, g, which, count, place);
    }
}

void scatter_maxima(const Windows& w, float* dx, const float* g, const uint8_t* which) {
    std::memset(dx, 0, size_t(w.size) * sizeof(float));
    for (int64_t window = 0; window < w.out; ++window) {
        const int64_t place = w.start(window) + which[window] * w.dilation;
        if (uint64_t(place) < uint64_t(w.size)) {
            dx[place] += g[window];
        }
    }
}

void maxima_backward_in_rows(const Windows& w, int64_t rows, float* dx, const float* g,
                             const uint8_t* which) {
    const int64_t together = w.size == w.out * w.stride ? rows : 1;  // as above
    for (int64_t row = 0; row < rows; row += together) {
        float* to = dx + row * w.size;
        const int64_t windows = row * w.out;
        if (w.stride == 2 && w.dilation == 1 && (w.kernel == 2 || w.kernel == 3)) {
            (w.kernel == 2 ? spread_maxima<2, 2> : spread_maxima<3, 2>)(
                w, to, g + windows, which + windows, together * w.out, together * w.size);
            continue;
        }
        for (int64_t i = 0; i < together; ++i) {
            scatter_maxima(w, to + i * w.size, g + windows + i * w.out, which + windows + i * w.out);
        }
    }
}

void maxima_backward(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const MaximaAlong& of = *static_cast<const MaximaAlong*>(arrays[3]);
    const Windows& w = of.windows;
    const int64_t inner = of.inner, found = w.out * inner, size = w.size * inner;
    float* dx = static_cast<float*>(arrays[0]) + begin * size;
    const float* g = static_cast<const float*>(arrays[1]) + begin * found;
    const uint8_t* which = static_cast<const uint8_t*>(arrays[2]) + begin * found;
    if (inner == 1) {
        maxima_backward_in_rows(w, end - begin, dx, g, which);
        return;
    }
    std::memset(dx, 0, size_t((end - begin) * size) * sizeof(float));
    for (int64_t row = begin; row < end; ++row, dx += size) {
        for (int64_t window = 0; window < w.out; ++window, g += inner, which += inner) {
            for (int64_t k = w.first(window); k < w.end(window); ++k) {
                float* __restrict to = dx + (w.start(window) + k * w.dilation) * inner;
                for (int64_t i = 0; i < inner; ++i) {
                    to[i] += which[i] == k ? g[i] : 0.0f;
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
