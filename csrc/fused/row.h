// The words of kernels/row.cuh for the CPU, where a team is one thread: bodies of rows that are written
// for them are compiled by both. Everything is computed in double, as one thread adds up whole rows; but
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
template <class X, class Y>
inline std::common_type_t<X, Y> max(X a, Y b) {
    if constexpr (std::is_integral_v<X> && std::is_integral_v<Y>) {
        return a < b ? b : a;
    } else {
        return std::fmax(double(a), double(b));
    }
}
template <class X, class Y>
inline std::common_type_t<X, Y> min(X a, Y b) {
    if constexpr (std::is_integral_v<X> && std::is_integral_v<Y>) {
        return b < a ? b : a;
    } else {
        return std::fmin(double(a), double(b));
    }
}
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

template <class T>
struct Elements {
    double value;
    double& operator[](int) { return value; }
    const double& operator[](int) const { return value; }
};

template <class T_>
struct Columns {
    using T = T_;
    using A = double;
    using Index = int64_t;
    static constexpr int width = 1, lanes = 1, packs = 0;
    static constexpr bool kept = false;

    struct Place {
        Index pack;
        int element;
        Index column;
    };

    Index cols;

    static int lane() { return 0; }
    Index pack_count() const { return cols; }
    static Index column(Index pack, int) { return pack; }
    static Elements<T> load(const T* source, Index pack, A absent) {
        return {source ? to_acc(source[pack]) : absent};
    }
    static void store(T* destination, Index pack, const Elements<T>& elements) {
        destination[pack] = from_acc<T>(elements.value);
    }

    template <class Use, class... Rows>
    void each(Use use, const Rows&... rows) const {
        for (Index j = 0; j < cols; ++j) {
            use(Place{j, 0, j}, rows.pack(j)[0]...);
        }
    }
    template <class Compute, class... Rows>
    void write(T* destination, Compute compute, const Rows&... rows) const {
#pragma GCC ivdep
        for (Index j = 0; j < cols; ++j) {
            destination[j] = from_acc<T>(compute(Place{j, 0, j}, rows.pack(j)[0]...));
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
    Elements<T> pack(int64_t index) const { return Own::load(source, index, absent); }
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
