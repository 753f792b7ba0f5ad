// Device functions that C++ does not have: CUDA's arithmetic, bit and atomic intrinsics.
#pragma once

#include <math.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrtf(float x) { return rsqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }

// CUDA's min and max of floating point numbers are fmin and fmax: a NaN loses against a number.
#define EMULATE_MIN_MAX(type, smaller, larger)                 \
    inline type min(type a, type b) { return smaller; }        \
    inline type max(type a, type b) { return larger; }

EMULATE_MIN_MAX(int, a < b ? a : b, a < b ? b : a)
EMULATE_MIN_MAX(unsigned, a < b ? a : b, a < b ? b : a)
EMULATE_MIN_MAX(long, a < b ? a : b, a < b ? b : a)
EMULATE_MIN_MAX(unsigned long, a < b ? a : b, a < b ? b : a)
EMULATE_MIN_MAX(long long, a < b ? a : b, a < b ? b : a)
EMULATE_MIN_MAX(unsigned long long, a < b ? a : b, a < b ? b : a)
EMULATE_MIN_MAX(float, std::fmin(a, b), std::fmax(a, b))
EMULATE_MIN_MAX(double, std::fmin(a, b), std::fmax(a, b))

#undef EMULATE_MIN_MAX

namespace emulate {

template <class To, class From>
inline To reinterpret_bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "a change of type, not of size");
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}

}  // namespace emulate

inline int __float_as_int(float x) { return emulate::reinterpret_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulate::reinterpret_bits<unsigned>(x); }
inline float __int_as_float(int x) { return emulate::reinterpret_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulate::reinterpret_bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulate::reinterpret_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulate::reinterpret_bits<double>(x); }

inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }

template <class T>
inline T __ldg(const T* address) {
    return *address;
}

inline void __threadfence_system() {}  // memory is as it was last written

// Fibers switch only at barriers and warp operations, so a plain read-modify-write is atomic.
template <class T>
inline T atomicAdd(T* address, T value) {
    return std::exchange(*address, *address + value);
}
template <class T>
inline T atomicMax(T* address, T value) {
    return std::exchange(*address, std::max(*address, value));
}
template <class T>
inline T atomicMin(T* address, T value) {
    return std::exchange(*address, std::min(*address, value));
}
template <class T>
inline T atomicExch(T* address, T value) {
    return std::exchange(*address, value);
}
template <class T>
inline T atomicCAS(T* address, T expected, T value) {
    return std::exchange(*address, *address == expected ? value : *address);
}
