// Device functions that ../math.h lacks: arithmetic with its rounding named, bits, loads and stores with
// cache hints. Rounding is to nearest wherever C++ has no other; "fast" functions are exact ones.
#pragma once

#include <cmath>

#include "../math.h"

// CUDA's of mixed types.
inline unsigned min(unsigned a, int b) { return min(a, unsigned(b)); }
inline unsigned min(int a, unsigned b) { return min(unsigned(a), b); }
inline unsigned max(unsigned a, int b) { return max(a, unsigned(b)); }
inline unsigned max(int a, unsigned b) { return max(unsigned(a), b); }
inline double min(float a, double b) { return std::fmin(double(a), b); }
inline double min(double a, float b) { return std::fmin(a, double(b)); }
inline double max(float a, double b) { return std::fmax(double(a), b); }
inline double max(double a, float b) { return std::fmax(a, double(b)); }
#define EMULATE_MIXED(narrow, wide)                                    \
    inline wide min(narrow a, wide b) { return min((wide)a, b); }      \
    inline wide min(wide a, narrow b) { return min(a, (wide)b); }      \
    inline wide max(narrow a, wide b) { return max((wide)a, b); }      \
    inline wide max(wide a, narrow b) { return max(a, (wide)b); }
EMULATE_MIXED(long long, unsigned long long)
EMULATE_MIXED(long, unsigned long)
EMULATE_MIXED(int, long long)
EMULATE_MIXED(int, unsigned long long)
EMULATE_MIXED(int, long)
EMULATE_MIXED(int, unsigned long)
EMULATE_MIXED(unsigned, long long)
EMULATE_MIXED(unsigned, unsigned long long)
EMULATE_MIXED(unsigned, long)
EMULATE_MIXED(unsigned, unsigned long)
#undef EMULATE_MIXED

inline int umin(unsigned a, unsigned b) { return int(min(a, b)); }
inline int umax(unsigned a, unsigned b) { return int(max(a, b)); }
inline float __saturatef(float x) { return std::fmin(std::fmax(x, 0.0f), 1.0f); }

// ---- arithmetic ----

#define EMULATE_BINARY(type, name, expression)                                   \
    inline type name##_rn(type a, type b) { return expression; }                 \
    inline type name##_rz(type a, type b) { return expression; }                 \
    inline type name##_ru(type a, type b) { return expression; }                 \
    inline type name##_rd(type a, type b) { return expression; }
EMULATE_BINARY(float, __fadd, a + b)
EMULATE_BINARY(float, __fsub, a - b)
EMULATE_BINARY(float, __fmul, a * b)
EMULATE_BINARY(float, __fdiv, a / b)
EMULATE_BINARY(double, __dadd, a + b)
EMULATE_BINARY(double, __dsub, a - b)
EMULATE_BINARY(double, __dmul, a * b)
EMULATE_BINARY(double, __ddiv, a / b)
#undef EMULATE_BINARY

inline double __fma_rn(double x, double y, double z) { return std::fma(x, y, z); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline double __dsqrt_rn(double x) { return std::sqrt(x); }
inline double __drcp_rn(double x) { return 1.0 / x; }
inline float __frsqrt_rn(float x) { return 1.0f / std::sqrt(x); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __tanf(float x) { return std::tan(x); }
inline float __exp10f(float x) { return std::pow(10.0f, x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __log10f(float x) { return std::log10(x); }
inline void __sincosf(float x, float* s, float* c) { *s = std::sin(x), *c = std::cos(x); }
inline float rcbrtf(float x) { return 1.0f / std::cbrt(x); }
inline double rcbrt(double x) { return 1.0 / std::cbrt(x); }
inline float norm3df(float x, float y, float z) { return std::hypot(x, y, z); }
inline double norm3d(double x, double y, double z) { return std::hypot(x, y, z); }
inline float rhypotf(float x, float y) { return 1.0f / std::hypot(x, y); }
inline double rhypot(double x, double y) { return 1.0 / std::hypot(x, y); }
inline float sinpif(float x) { return std::sin(float(M_PI) * x); }
inline double sinpi(double x) { return std::sin(M_PI * x); }
inline float cospif(float x) { return std::cos(float(M_PI) * x); }
inline double cospi(double x) { return std::cos(M_PI * x); }
inline float normcdff(float x) { return 0.5f * std::erfc(-x * float(M_SQRT1_2)); }
inline double normcdf(double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); }

// ---- integers and bits ----

inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
inline long long __mul64hi(long long a, long long b) { return (long long)((__int128(a) * b) >> 64); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)(a)*b) >> 64);
}
inline int __mul24(int a, int b) { return (a << 8 >> 8) * (b << 8 >> 8); }
inline unsigned __umul24(unsigned a, unsigned b) { return (a & 0xFFFFFF) * (b & 0xFFFFFF); }
inline unsigned __sad(int a, int b, unsigned c) { return c + unsigned(a > b ? a - b : b - a); }
inline unsigned __usad(unsigned a, unsigned b, unsigned c) { return c + (a > b ? a - b : b - a); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; ++bit, x >>= 1) {
        reversed = reversed << 1 | (x & 1u);
    }
    return reversed;
}
inline unsigned long long __brevll(unsigned long long x) {
    return (unsigned long long)(__brev(unsigned(x))) << 32 | __brev(unsigned(x >> 32));
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    const uint64_t bytes = uint64_t(y) << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i, selector >>= 4) {
        result |= unsigned(bytes >> (8 * (selector & 7u)) & 0xFFu) << (8 * i);
    }
    return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return unsigned(((uint64_t(high) << 32 | low) << (shift & 31u)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return unsigned((uint64_t(high) << 32 | low) >> (shift & 31u));
}

// ---- conversions ----

#define EMULATE_TO_INTEGER(of, from, to, result)                                            \
    inline result __##of##2##to##_rn(from x) { return (result)(std::nearbyint(x)); }          \
    inline result __##of##2##to##_rz(from x) { return (result)(std::trunc(x)); }              \
    inline result __##of##2##to##_ru(from x) { return (result)(std::ceil(x)); }               \
    inline result __##of##2##to##_rd(from x) { return (result)(std::floor(x)); }
EMULATE_TO_INTEGER(float, float, int, int)
EMULATE_TO_INTEGER(float, float, uint, unsigned)
EMULATE_TO_INTEGER(float, float, ll, long long)
EMULATE_TO_INTEGER(float, float, ull, unsigned long long)
EMULATE_TO_INTEGER(double, double, int, int)
EMULATE_TO_INTEGER(double, double, uint, unsigned)
EMULATE_TO_INTEGER(double, double, ll, long long)
EMULATE_TO_INTEGER(double, double, ull, unsigned long long)
#undef EMULATE_TO_INTEGER
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline float __ll2float_rn(long long x) { return float(x); }
inline double __int2double_rn(int x) { return double(x); }
inline double __ll2double_rn(long long x) { return double(x); }
inline float __double2float_rn(double x) { return float(x); }
inline int __double2hiint(double x) { return int(__double_as_longlong(x) >> 32); }
inline int __double2loint(double x) { return int(__double_as_longlong(x)); }
inline double __hiloint2double(int high, int low) {
    return __longlong_as_double((long long)(uint64_t(uint32_t(high)) << 32 | uint32_t(low)));
}

// ---- memory ----

#define EMULATE_LOAD(name)                 \
    template <class T>                     \
    inline T name(const T* address) {      \
        return *address;                   \
    }
EMULATE_LOAD(__ldcg)
EMULATE_LOAD(__ldca)
EMULATE_LOAD(__ldcs)
EMULATE_LOAD(__ldlu)
EMULATE_LOAD(__ldcv)
#undef EMULATE_LOAD
#define EMULATE_STORE(name)                                            \
    template <class T>                                                 \
    inline void name(T* address, typename emulate::Same<T>::type x) {  \
        *address = x;                                                  \
    }
EMULATE_STORE(__stwb)
EMULATE_STORE(__stcg)
EMULATE_STORE(__stcs)
EMULATE_STORE(__stwt)
#undef EMULATE_STORE

// ---- control ----

inline void __nanosleep(unsigned) {}
[[noreturn]] inline void __trap() { emulate::stop("__trap()"); }
inline long long clock64() { return (long long)(::clock()); }

// ---- lanes of a warp ----

#define EMULATE_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

// The lanes of the mask whose value is the same.
template <class T>
inline unsigned __match_any_sync(unsigned mask, T value, EMULATE_SITE) {
    unsigned same = 0;
    for (int lane = 0; lane < warpSize; ++lane) {
        if ((mask >> lane) & 1u) {
            same |= unsigned(__shfl_sync(mask, value, lane, warpSize, file, line) == value) << lane;
        }
    }
    return same;
}
template <class T>
inline unsigned __match_all_sync(unsigned mask, T value, int* all, EMULATE_SITE) {
    const unsigned same = __match_any_sync(mask, value, file, line);
    *all = __all_sync(mask, same == mask, file, line);
    return *all ? mask : 0;
}

#define EMULATE_REDUCE(name, operation)                                                      \
    template <class T>                                                                       \
    inline T name(unsigned mask, T value, EMULATE_SITE) {                                    \
        bool is_first = true;                                                                \
        T result = value;                                                                    \
        for (int lane = 0; lane < warpSize; ++lane) {                                        \
            if ((mask >> lane) & 1u) {                                                       \
                const T other = __shfl_sync(mask, value, lane, warpSize, file, line);        \
                result = is_first ? other : T(operation);                                    \
                is_first = false;                                                            \
            }                                                                                \
        }                                                                                    \
        return result;                                                                       \
    }
EMULATE_REDUCE(__reduce_add_sync, result + other)
EMULATE_REDUCE(__reduce_min_sync, other < result ? other : result)
EMULATE_REDUCE(__reduce_max_sync, result < other ? other : result)
EMULATE_REDUCE(__reduce_and_sync, result & other)
EMULATE_REDUCE(__reduce_or_sync, result | other)
EMULATE_REDUCE(__reduce_xor_sync, result ^ other)
#undef EMULATE_REDUCE
#undef EMULATE_SITE
