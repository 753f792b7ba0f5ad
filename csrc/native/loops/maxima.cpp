// Maxima of windows along one axis, of float.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "csrc/native/loops.h"
#include "csrc/native/pool_windows.h"

namespace {  // each level has its own, whether inlined or not

// n floats, and ints and bytes for them. Rows of images are short, and what the compiler makes of loops over
// them is not vectors, or mostly the ends of loops.
#pragma GCC diagnostic ignored "-Wpsabi"  // nothing outside this file is handed any
template <int n>
struct Vectors {
    typedef float Floats;
    typedef int32_t Ints;
    static float read(const float* at) { return *at; }
    static int32_t read(const uint8_t* at) { return *at; }
    static void write(float* at, float x) { *at = x; }
    static void write(uint8_t* at, int32_t x) { *at = uint8_t(x); }
};

#define VECTORS(n)                                                                                \
    template <>                                                                                   \
    struct Vectors<n> {                                                                           \
        typedef float Floats __attribute__((vector_size(4 * n), aligned(4), may_alias));          \
        typedef int32_t Ints __attribute__((vector_size(4 * n), aligned(4), may_alias));          \
        typedef uint8_t Bytes __attribute__((vector_size(n), aligned(1), may_alias));             \
        static Floats read(const float* at) { return *reinterpret_cast<const Floats*>(at); }      \
        static Ints read(const uint8_t* at) {                                                     \
            return __builtin_convertvector(*reinterpret_cast<const Bytes*>(at), Ints);            \
        }                                                                                         \
        static void write(float* at, Floats x) { *reinterpret_cast<Floats*>(at) = x; }            \
        static void write(uint8_t* at, Ints x) {                                                  \
            *reinterpret_cast<Bytes*>(at) = __builtin_convertvector(x, Bytes);                    \
        }                                                                                         \
    }
VECTORS(4);
VECTORS(8);
VECTORS(16);
#undef VECTORS

// make(i) for pieces of n that cover a row, the last of which may begin within the one before: it must do
// no harm to make a number twice.
template <int n, class Make>
inline void in_pieces(int64_t count, Make make) {
    for (int64_t i = 0; i + n <= count; i += n) {
        make(i);
    }
    if (count % n != 0) {
        make(count - n);
    }
}

// use(n) with the most that fit into a row.
template <class Use>
void by_width(int64_t inner, Use use) {
    if (inner >= 16) {
        use(std::integral_constant<int, 16>());
    } else if (inner >= 8) {
        use(std::integral_constant<int, 8>());
    } else if (inner >= 4) {
        use(std::integral_constant<int, 4>());
    } else {
        use(std::integral_constant<int, 1>());
    }
}

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

// One row of windows, with the edges of the image, n at once.
template <int n>
void maxima_of(const MaximaAlong& of, int64_t window, const float* x, float* best, uint8_t* which) {
    using V = Vectors<n>;
    const typename V::Ints none = {};
    const Windows& w = of.windows;
    const int64_t first = w.first(window), end = w.end(window);
    const float* const from = x + (w.start(window) + first * w.dilation) * of.inner;
    if (end <= first) {
        std::fill_n(best, of.inner, -__builtin_inff());
        std::memset(which, int(first), size_t(of.inner));
        return;
    }
    in_pieces<n>(of.inner, [=, apart = w.dilation * of.inner](int64_t i) {
        typename V::Floats most = V::read(from + i);
        typename V::Ints found = none + int32_t(first);
        for (int64_t k = first + 1; k < end; ++k) {
            const auto value = V::read(from + i + (k - first) * apart);
            const auto better = (value > most) | (value != value);
            most = better ? value : most;
            found = better ? none + int32_t(k) : found;
        }
        V::write(best + i, most);
        V::write(which + i, found);
    });
}

template <int n>
void maxima_of_rows(const MaximaAlong& of, int64_t rows, const float* x, float* best,
                    uint8_t* which) {
    for (int64_t row = 0; row < rows; ++row, x += of.windows.size * of.inner) {
        for (int64_t window = 0; window < of.windows.out; ++window) {
            maxima_of<n>(of, window, x, best, which);
            best += of.inner;
            which += of.inner;
        }
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
    by_width(of.inner, [&](auto n) { maxima_of_rows<n>(of, end - begin, x, best, which); });
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

// What arrives at one row from the windows that reach it, in order, n at once.
template <int n>
void spread_to_rows(const MaximaAlong& of, int64_t rows, float* dx, const float* g,
                    const uint8_t* which) {
    using V = Vectors<n>;
    const typename V::Floats none = {};
    const Windows& w = of.windows;
    const int64_t inner = of.inner;
    struct Part {
        int64_t at;
        int32_t k;
    } parts[largest_kernel];
    for (int64_t row = 0; row < rows; ++row) {
        int64_t low = 0, high = 0;  // the windows that begin before a place, and end behind it
        for (int64_t place = 0; place < w.size; ++place, dx += inner) {
            while (high < w.out && w.start(high) <= place) {
                ++high;
            }
            while (low < high && w.start(low) + w.dilation * (w.kernel - 1) < place) {
                ++low;
            }
            int count = 0;
            for (int64_t window = low; window < high; ++window) {
                const int64_t back = place - w.start(window);
                const int64_t k = w.dilation == 1 ? back : back / w.dilation;
                if (k * w.dilation == back) {
                    parts[count++] = {window * inner, int32_t(k)};
                }
            }
            in_pieces<n>(inner, [&](int64_t i) {
                typename V::Floats sum = none;
                for (int p = 0; p < count; ++p) {
                    const auto is_it = V::read(which + parts[p].at + i) == parts[p].k;
                    sum += is_it ? V::read(g + parts[p].at + i) : none;
                }
                V::write(dx + i, sum);
            });
        }
        g += w.out * inner;
        which += w.out * inner;
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
    by_width(inner, [&](auto n) { spread_to_rows<n>(of, end - begin, dx, g, which); });
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"max_along", 4, 0, maxima, nullptr, nullptr};
    found.each[found.count++] = {"max_along_backward", 4, 0, maxima_backward, nullptr, "size"};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(maxima);
const Loops OF_LEVEL(maxima) = all();
