// Device functions that C++ does not have: CUDA's arithmetic, bit and atomic intrinsics.
#pragma once

#include <math.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "check.h"

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

// Memory is as it was last written; fences matter to the checked build, which follows what they order.
inline void __threadfence_block() { emulate::check::fence(emulate::check::Scope::block); }
inline void __threadfence() { emulate::check::fence(emulate::check::Scope::device); }
inline void __threadfence_system() { emulate::check::fence(emulate::check::Scope::device); }

namespace emulate {

template <class T>
struct Same {
    using type = T;
};

// Replaces a value by what `change` makes of it, and returns what it was. Fibers switch only at barriers
// and warp operations, so plain accesses are atomic.
#ifdef TAPEGRAD_CHECKED
template <bool overwrites = false, class T, class Change>
__attribute__((noinline, no_sanitize("thread"))) T change_atomically(T* address, Change change) {
    const CodeAddress site = __builtin_return_address(0);
    check::begin_atomic(address, sizeof(T), overwrites, site);
    const T before = *address;
    const T after = change(before);
    *address = after;
    check::end_atomic(address, std::memcmp(&before, &after, sizeof(T)) != 0, site);
    return before;
}
#else
template <bool overwrites = false, class T, class Change>
inline T change_atomically(T* address, Change change) {
    return std::exchange(*address, change(*address));
}
#endif

}  // namespace emulate

// What `change_atomically` makes of a value, with the type of the others given by the address.
#define EMULATE_ATOMIC(name, expression)                                                              \
    template <class T>                                                                                \
    EMULATE_CALLED_BY_KERNELS T name(T* address, typename emulate::Same<T>::type value) {             \
        return emulate::change_atomically(address, [=](T before) { return T(expression); });          \
    }
EMULATE_ATOMIC(atomicAdd, before + value)
EMULATE_ATOMIC(atomicMax, std::max(before, value))
EMULATE_ATOMIC(atomicMin, std::min(before, value))

template <class T>
EMULATE_CALLED_BY_KERNELS T atomicExch(T* address, typename emulate::Same<T>::type value) {
    return emulate::change_atomically<true>(address, [=](T) { return value; });
}
template <class T>
EMULATE_CALLED_BY_KERNELS T atomicCAS(T* address, typename emulate::Same<T>::type expected,
                                      typename emulate::Same<T>::type value) {
    emulate::check::confirm_reads(address, sizeof(T));
    return emulate::change_atomically(
        address, [=](T before) { return before == expected ? value : before; });
}
