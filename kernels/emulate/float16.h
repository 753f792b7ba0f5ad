// half and bfloat16: 16 bits of storage and CUDA's conversions, rounding to nearest even. The bits
// are those of NumPy's float16 and of ml_dtypes' bfloat16. There is no arithmetic on purpose: kernels
// compute in their accumulator type.
#pragma once

#include <cstdint>

#include "../launch.h"
#include "math.h"

struct __half {
    uint16_t bits;
};

struct __nv_bfloat16 {
    uint16_t bits;
};

namespace emulate {

// Drops the lowest `count` bits of a significand, rounding to nearest, ties to even. A carry runs
// into the exponent, where it is exactly right: 1.11..1 becomes 10.0, and the largest number infinity.
inline uint32_t round_off(uint32_t bits, int count) {
    const uint32_t half_unit = 1u << (count - 1);
    const uint32_t is_odd = (bits >> count) & 1u;
    return (bits + half_unit - 1u + is_odd) >> count;
}

}  // namespace emulate

inline float __half2float(half x) {
    const uint32_t sign = uint32_t(x.bits & 0x8000u) << 16;
    const uint32_t exponent = (x.bits >> 10) & 0x1Fu;
    const uint32_t significand = x.bits & 0x3FFu;
    if (exponent == 0x1F) {  // infinity, or NaN with its payload
        return __uint_as_float(sign | 0x7F800000u | (significand << 13));
    }
    if (exponent == 0) {  // zero and subnormals: significand * 2^-24, exact in fp32
        const float magnitude = float(significand) * __uint_as_float(0x33800000u);
        return __uint_as_float(sign | __float_as_uint(magnitude));
    }
    return __uint_as_float(sign | ((exponent + 112u) << 23) | (significand << 13));
}

inline half __float2half_rn(float x) {
    const uint32_t bits = __float_as_uint(x);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    uint32_t result;
    if (magnitude > 0x7F800000u) {  // NaN: keep the payload's top bits, and keep it a NaN
        const uint32_t payload = (magnitude >> 13) & 0x3FFu;
        result = 0x7C00u | (payload ? payload : 1u);
    } else if (magnitude >= 0x47800000u) {  // 2^16 and beyond
        result = 0x7C00u;
    } else if (magnitude >= 0x38800000u) {  // normal: move the exponent's bias from 127 to 15
        result = emulate::round_off(magnitude - (112u << 23), 13);
    } else if (magnitude >= 0x33000000u) {  // subnormal: the unit is 2^-24
        const uint32_t significand = (magnitude & 0x7FFFFFu) | 0x800000u;
        result = emulate::round_off(significand, 126 - int(magnitude >> 23));
    } else {  // below half of the smallest subnormal
        result = 0;
    }
    return half{uint16_t(sign | result)};
}

inline float __bfloat162float(bfloat16 x) { return __uint_as_float(uint32_t(x.bits) << 16); }

inline bfloat16 __float2bfloat16_rn(float x) {
    const uint32_t bits = __float_as_uint(x);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {  // one quiet NaN per sign
        return bfloat16{uint16_t(0x7FC0u | ((bits >> 16) & 0x8000u))};
    }
    return bfloat16{uint16_t(emulate::round_off(bits, 16))};
}
