// The words of kernels/row.cuh that bodies of rows are written in (Row, columns.each, write, reduce,
// lane and cols; Sum, Max) for the CPU, where a team is one thread: both compile the bodies. Everything is computed in double, as one thread adds up whole rows; but
// of floats (``OF_FLOATS``) the long functions are those that there are vectors of.
#pragma once

#include <cmath>
#include <type_traits>

#include "csrc/fused/loop.h"

#define __device__
#define __host__

namespace loop::rows {

using std::abs, std::isfinite, std::isinf, std::isnan;

// Of floats the one that is a number, as on GPUs.
#define EXTREME(name, of_floats, comes_first)                             \
    template <class X, class Y>                                           \
    inline std::common_type_t<X, Y> name(X a, Y b) {                      \
        if constexpr (std::is_integral_v<X> && std::is_integral_v<Y>) {   \
            return comes_first ? a : b;                                   \
        } else {                                                          \
            return std::of_floats(double(a), double(b));                  \
        }                                                                 \
    }
EXTREME(max, fmax, b < a)
EXTREME(min, fmin, a < b)
#undef EXTREME
#ifdef OF_FLOATS
#define FUNCTION(name) \
    inline double name(double x) { return loop::name(float(x)); }
#else
#define FUNCTION(name) \
    inline double name(double x) { return loop::name(x); }
#endif
FUNCTION(erf)
FUNCTION(exp)
FUNCTION(expm1)
FUNCTION(log)
FUNCTION(log1p)
FUNCTION(tanh)
#undef FUNCTION
using half = Float16;
using bfloat16 = BFloat16;

template <class T>
using acc_t = double;
template <class T>
inline double to_acc(T x) {
    return x;
}
inline double to_acc(Float16 x) { return float(x); }
inline double to_acc(BFloat16 x) { return float(x); }
template <class T>
inline T from_acc(double x) {
    return T(x);
}
inline double rsqrt(double x) { return 1 / sqrt(x); }

struct Sum {
    template <class V>
    V operator()(V a, V b) const {
        return a + b;
    }
};
struct Max {
    template <class V>
    V operator()(V a, V b) const {
        return max(a, b);
    }
};

template <class T_>
struct Columns {
    using T = T_;
    using A = double;
    using Index = int64_t;

    struct Place {
        Index pack;
        int element;
        Index column;
    };

    Index cols;

    static int lane() { return 0; }

    template <class Use, class... Rows>
    void each(Use use, const Rows&... rows) const {
        for (Index j = 0; j < cols; ++j) {
            use(Place{j, 0, j}, rows[j]...);
        }
    }
    template <class Compute, class... Rows>
    void write(T* destination, Compute compute, const Rows&... rows) const {
#pragma GCC ivdep
        for (Index j = 0; j < cols; ++j) {
            destination[j] = from_acc<T>(compute(Place{j, 0, j}, rows[j]...));
        }
    }
    template <class V, class Combine>
    static V reduce(V value, Combine) {
        return value;
    }
};

template <class Own>
struct Row {
    using T = typename Own::T;
    using A = double;

    const T* source;
    A absent;

    Row(const Own&, const T* source, A absent = 0) : source(source), absent(absent) {}
    A operator[](int64_t column) const { return source ? to_acc(source[column]) : absent; }
};

// In the place of a stream: the rows that are this thread's.
struct cudaStream_t {
    int64_t begin, end;
};

template <class T, int bytes, class Body, class... Matrices>
void for_each_row(const char*, int64_t, int64_t cols, cudaStream_t mine, Body body, Matrices...) {
    const Columns<T> columns{cols};
    for (int64_t row = mine.begin; row < mine.end; ++row) {
        body(columns, row, row * cols);
    }
}

}  // namespace loop::rows
