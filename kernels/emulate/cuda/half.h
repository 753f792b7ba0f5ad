// __half and __half2 with their arithmetic: each operation is computed in fp32 and rounded to nearest even,
// which for one operation is what a GPU gives.
#pragma once

#include "../math.h"

struct __half {
    uint16_t bits;

    __half() = default;
    __half(float x);
    __half(double x) : __half(float(x)) {}
    __half(int x) : __half(float(x)) {}
    operator float() const;
};
using half = __half;

struct alignas(4) __half2 {
    __half x, y;
};
using half2 = __half2;

inline float __half2float(__half x) {
    const uint32_t sign = uint32_t(x.bits & 0x8000u) << 16;
    const uint32_t magnitude = x.bits & 0x7FFFu;
    if (magnitude >= 0x7C00u) {  // infinity or NaN
        return __uint_as_float(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
    }
    // The exponent's bias by a product, which is right for subnormals, too.
    const float scaled = __uint_as_float(magnitude << 13) * __uint_as_float(0x77800000u);
    return __uint_as_float(sign | __float_as_uint(scaled));
}

inline __half __float2half_rn(float x) {
    const uint32_t bits = __float_as_uint(x), magnitude = bits & 0x7FFFFFFFu;
    uint32_t result;
    if (magnitude > 0x7F800000u) {
        result = 0x7FFFu;
    } else if (magnitude >= 0x477FF000u) {  // rounds to 2^16 or more
        result = 0x7C00u;
    } else if (magnitude < 0x38800000u) {  // subnormal: adding 1/2 leaves the rounded rest in the last bits
        result = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3F000000u;
    } else {
        result = (magnitude - (112u << 23) + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
    }
    __half h;
    h.bits = uint16_t(bits >> 16 & 0x8000u | result);
    return h;
}

inline __half::__half(float x) : __half(__float2half_rn(x)) {}
inline __half::operator float() const { return __half2float(*this); }

inline __half __float2half(float x) { return __float2half_rn(x); }
inline __half __double2half(double x) { return __float2half_rn(float(x)); }
inline __half __int2half_rn(int x) { return __float2half_rn(float(x)); }
inline int __half2int_rn(__half x) { return int(std::nearbyint(__half2float(x))); }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline __half2 __float2half2_rn(float x) { return __floats2half2_rn(x, x); }
inline float2 __half22float2(__half2 v) { return {__half2float(v.x), __half2float(v.y)}; }
inline __half2 __float22half2_rn(float2 v) { return __floats2half2_rn(v.x, v.y); }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 __half2half2(__half x) { return {x, x}; }
inline __half2 make_half2(__half x, __half y) { return {x, y}; }
inline __half __low2half(__half2 v) { return v.x; }
inline __half __high2half(__half2 v) { return v.y; }
inline float __low2float(__half2 v) { return v.x; }
inline float __high2float(__half2 v) { return v.y; }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline __half __ushort_as_half(unsigned short bits) {
    __half h;
    h.bits = bits;
    return h;
}

#define EMULATE_HALF(operation, name)                                                                   \
    inline __half operator operation(__half a, __half b) { return float(a) operation float(b); }        \
    inline __half& operator operation##=(__half& a, __half b) { return a = a operation b; }             \
    inline __half name(__half a, __half b) { return a operation b; }                                    \
    inline __half2 operator operation(__half2 a, __half2 b) { return {a.x operation b.x, a.y operation b.y}; } \
    inline __half2 name##2(__half2 a, __half2 b) { return a operation b; }
EMULATE_HALF(+, __hadd)
EMULATE_HALF(-, __hsub)
EMULATE_HALF(*, __hmul)
EMULATE_HALF(/, __hdiv)
#undef EMULATE_HALF

inline __half operator-(__half a) { return -float(a); }
inline __half __hneg(__half a) { return -a; }
inline __half __habs(__half a) { return std::fabs(float(a)); }
inline __half __hfma(__half a, __half b, __half c) { return std::fma(float(a), float(b), float(c)); }
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
    return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
inline bool __heq(__half a, __half b) { return float(a) == float(b); }
inline bool __hne(__half a, __half b) { return float(a) != float(b); }
inline bool __hlt(__half a, __half b) { return float(a) < float(b); }
inline bool __hle(__half a, __half b) { return float(a) <= float(b); }
inline bool __hgt(__half a, __half b) { return float(a) > float(b); }
inline bool __hge(__half a, __half b) { return float(a) >= float(b); }
inline __half __hmax(__half a, __half b) { return std::fmax(float(a), float(b)); }
inline __half __hmin(__half a, __half b) { return std::fmin(float(a), float(b)); }
inline bool __hisnan(__half a) { return std::isnan(float(a)); }
inline bool __hisinf(__half a) { return std::isinf(float(a)); }
inline __half hexp(__half x) { return std::exp(float(x)); }
inline __half hlog(__half x) { return std::log(float(x)); }
inline __half hsqrt(__half x) { return std::sqrt(float(x)); }
inline __half hrsqrt(__half x) { return 1.0f / std::sqrt(float(x)); }
inline __half hrcp(__half x) { return 1.0f / float(x); }
