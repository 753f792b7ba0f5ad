// What loops are made of that tapegrad.fusion writes: functions of one element, and reductions of the
// columns of a row. Each loop is a file of its own, compiled for the processor at hand.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/function.h"

#define FUSED extern "C" __attribute__((visibility("default")))

namespace loop {

namespace of_float {
#include "csrc/native/loops/vector.h"
#include "csrc/native/loops/near.h"
#include "csrc/native/loops/narrow.h"

// log(2^n (1 + f)) for 1 + f between the roots of a half and of 2.
inline float log_of_parts(float n, float f) {
    constexpr float log2_high = 0.693145752f, log2_low = 1.42860677e-6f;
    return n * log2_high + (f + (log1p_less(f) + n * log2_low));
}

// The n with x = 2^n m and m between the roots of a half and of 2, of normal x.
inline int32_t exponent(float x) {
    constexpr int32_t root_of_half = 0x3f3504f3;
    return (__builtin_bit_cast(int32_t, x) - root_of_half) >> 23;
}

inline float outside_logarithm(float x, float log) {
    log = x > std::numeric_limits<float>::max() ? x : log;
    log = x == 0.0f ? -std::numeric_limits<float>::infinity() : log;
    return x >= 0.0f ? log : std::numeric_limits<float>::quiet_NaN();
}

inline float log(float x) {
    const bool small = x < std::numeric_limits<float>::min();
    const float normal = small ? x * 16777216.0f : x;
    const int32_t n = exponent(normal);
    const float m = __builtin_bit_cast(float, __builtin_bit_cast(int32_t, normal) - n * (1 << 23));
    return outside_logarithm(x, log_of_parts(float(n) - (small ? 24.0f : 0.0f), m - 1.0f));
}

// What rounding 1 + x has lost is added to m again.
inline float log1p(float x) {
    const float above = 1.0f + x, lost = x - (above - 1.0f);
    const int32_t n = exponent(above);
    const float m = __builtin_bit_cast(float, __builtin_bit_cast(int32_t, above) - n * (1 << 23));
    const float scale = power_of_two(to_whole, n < 126 ? -n : -126);
    const float log = log_of_parts(float(n), m - 1.0f + lost * scale);
    return x == 0.0f ? x : outside_logarithm(above, log);
}

// sin(x + turns pi / 2), for |x| up to 2^20. The distance r from the nearest multiple of pi / 2 is found
// in double, of which the first part has 33 bits, so that its products are exact; sin r = r + r^3 p(r^2)
// and cos r = 1 - r^2 / 2 + r^4 q(r^2), fitted on Chebyshev nodes with relative errors of 4e-9.
constexpr float furthest_turn = 1048576.0f;
inline float sine(float x, int32_t turns) {
    constexpr double per_turn = 0.63661977236758134, to_integer = 6755399441055744.0;  // 1.5 * 2^52
    constexpr double turn = 1.5707963267341256, turn_low = 6.0771005065061922e-11;
    const double sum = double(x) * per_turn + to_integer, n = sum - to_integer;
    const float r = float((double(x) - n * turn) - n * turn_low), s = r * r;
    float p = -0.0001951445f;
    p = p * s + 0.0083321548f;
    p = p * s - 0.1666665452f;
    float q = 2.4432209106e-5f;
    q = q * s - 0.0013887308f;
    q = q * s + 0.0416666455f;
    const float near = s == 0.0f ? r : r + r * s * p, far = 1.0f - (0.5f * s - s * s * q);
    const int32_t quarter = int32_t(__builtin_bit_cast(int64_t, sum)) + turns;
    const uint32_t sign = uint32_t(quarter & 2) << 30;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, quarter & 1 ? far : near) ^ sign);
}

// Near.h's is for up to 88, and has one zero.
inline float expm1_of_any(float x) {
    const float near = x == 0.0f ? x : expm1(x);
    return x > 88.0f ? exp(x) : near;
}
}  // namespace of_float

using std::acos, std::acosh, std::asin, std::asinh, std::atan, std::atan2, std::atanh, std::ceil,
    std::copysign, std::cos, std::cosh, std::exp2, std::floor, std::hypot,
    std::fmod, std::log10, std::log2, std::pow, std::rint, std::signbit, std::sin, std::sinh,
    std::sqrt, std::tan, std::trunc;

#define FUNCTION(name, of_floats)                               \
    inline float name(float x) { return of_float::of_floats(x); } \
    inline double name(double x) { return std::name(x); }
FUNCTION(erf, erf)
FUNCTION(exp, exp)
FUNCTION(expm1, expm1_of_any)
FUNCTION(log, log)
FUNCTION(log1p, log1p)
FUNCTION(tanh, tanh)
#undef FUNCTION

using of_float::narrowed, of_float::widened;

#include "kernels/fused.h"

// One instruction, where the choice of three that all arrays share takes five.
inline float absolute_of(float x) { return std::fabs(x); }
inline double absolute_of(double x) { return std::fabs(x); }

using Float16 = Narrow<of_float::Half>;
using BFloat16 = Narrow<of_float::Brain>;

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Several loops as one: a table has their number, how many arrays and numbers each is told, and where
// the units of each end. (Of many small ones a thread walks over some.)
template <void (*one)(void* const*, const double*, int64_t, int64_t)>
void each_of_table(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t* const table = static_cast<const int64_t*>(arrays[0]);
    const int64_t count = table[0], given = table[1], told = table[2];
    const int64_t* const ends = table + 3;
    ++arrays;
    for (int64_t i = 0, first = 0; i < count && first < end; first = ends[i++]) {
        if (begin < ends[i]) {
            const int64_t from = begin > first ? begin - first : 0;
            one(arrays + i * given, numbers + i * told, from, least(end, ends[i]) - first);
        }
    }
}

// A loop of NumPy's and the data it is handed, on values that lie side by side or, with a step of 0,
// are the same for all.
template <class A>
struct Operand {
    const A* first;
    intptr_t step;
};
template <class A>
void loop_of_numpy(int64_t function, int64_t data, intptr_t count, A* result, Operand<A> a,
                   Operand<A> b = {nullptr, -1}) {
    using Loop = void (*)(char**, const intptr_t*, const intptr_t*, void*);
    const auto bytes = [](const A* values) { return reinterpret_cast<char*>(const_cast<A*>(values)); };
    constexpr intptr_t step = sizeof(A);
    char* const with_one[] = {bytes(a.first), bytes(result)};
    char* const with_two[] = {bytes(a.first), bytes(b.first), bytes(result)};
    const intptr_t steps_of_one[] = {a.step, step}, steps_of_two[] = {a.step, b.step, step};
    const bool one = b.step == -1;
    reinterpret_cast<Loop>(function)(const_cast<char**>(one ? with_one : with_two), &count,
                                     one ? steps_of_one : steps_of_two,
                                     reinterpret_cast<void*>(data));
}

// sin (turns = 0) or cos (turns = 1) of such values. Those too large for quick vectors, infinities and
// what is no number are few, if there are any: these are computed again, one by one.
inline void sines(int32_t turns, intptr_t count, float* result, Operand<float> a) {
    const auto slow = [turns](float x) { return turns ? std::cos(x) : std::sin(x); };
    if (a.step == 0) {
        std::fill(result, result + count, slow(*a.first));
        return;
    }
    int far = 0;
#pragma GCC ivdep
    for (intptr_t i = 0; i < count; ++i) {
        result[i] = of_float::sine(a.first[i], turns);
        far |= !(std::fabs(a.first[i]) < of_float::furthest_turn);
    }
    for (intptr_t i = 0; far && i < count; ++i) {
        if (!(std::fabs(a.first[i]) < of_float::furthest_turn)) {
            result[i] = slow(a.first[i]);
        }
    }
}

constexpr int lanes = 16;

// Reductions of up to 512 values at once, by lanes, which are vectors. Sums of floats are added up in
// double.
template <class A>
struct RowSum {
    double total = 0;
    void add(const A* values, int64_t count) {
        A sums[lanes] = {};
        int64_t i = 0;
        for (; i + lanes <= count; i += lanes) {
            for (int k = 0; k < lanes; ++k) {
                sums[k] += values[i + k];
            }
        }
        for (int k = 0; k < lanes; ++k) {
            total += sums[k];
        }
        for (; i < count; ++i) {
            total += values[i];
        }
    }
    A value() const { return A(total); }
};
template <>
struct RowSum<int64_t> {
    int64_t total = 0;
    void add(const int64_t* values, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            total += values[i];
        }
    }
    int64_t value() const { return total; }
};

template <class A, class Better>
struct Extreme {
    A best[lanes];
    bool any = false;
    void add(const A* values, int64_t count) {
        if (!any) {
            for (int k = 0; k < lanes; ++k) {
                best[k] = values[0];
            }
            any = true;
        }
        int64_t i = 0;
        for (; i + lanes <= count; i += lanes) {
            for (int k = 0; k < lanes; ++k) {
                best[k] = Better::of(best[k], values[i + k]);
            }
        }
        for (; i < count; ++i) {
            best[0] = Better::of(best[0], values[i]);
        }
    }
    A value() const {
        A found = best[0];
        for (int k = 1; k < lanes; ++k) {
            found = Better::of(found, best[k]);
        }
        return found;
    }
};
struct Larger {
    template <class A>
    static A of(A a, A b) { return larger_of(a, b); }
};
struct Smaller {
    template <class A>
    static A of(A a, A b) { return smaller_of(a, b); }
};
template <class A>
using RowMax = Extreme<A, Larger>;
template <class A>
using RowMin = Extreme<A, Smaller>;

}  // namespace loop
