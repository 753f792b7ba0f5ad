// What kernels use of the C++ library, for NVRTC, which has none and compiles no code for the host:
// there, functions that launch kernels are read and left out, and LAUNCH is nothing.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

using int8_t = signed char;
using uint8_t = unsigned char;
using int16_t = short;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned int;
using int64_t = long;
using uint64_t = unsigned long;
using uintptr_t = unsigned long;

using half = __half;
using bfloat16 = __nv_bfloat16;
using cudaStream_t = struct CUstream_st*;

namespace std {

template <class A, class B>
struct is_same {
    static constexpr bool value = false;
};
template <class A>
struct is_same<A, A> {
    static constexpr bool value = true;
};
template <class T>
struct is_trivially_copyable {
    static constexpr bool value = __is_trivially_copyable(T);
};

template <bool choice, class A, class B>
struct conditional {
    using type = A;
};
template <class A, class B>
struct conditional<false, A, B> {
    using type = B;
};
template <bool choice, class A, class B>
using conditional_t = typename conditional<choice, A, B>::type;

// Of whole numbers, then of floats.
template <class T>
struct numeric_limits {
    static constexpr bool has_infinity = false;
    static constexpr T sign = T(T(1) << (8 * sizeof(T) - 1));
    static constexpr bool is_signed = T(-1) < T(0);
    __host__ __device__ static constexpr T infinity() { return T(); }
    __host__ __device__ static constexpr T lowest() { return is_signed ? sign : T(0); }
    __host__ __device__ static constexpr T max() { return is_signed ? T(~sign) : T(-1); }
};
template <>
struct numeric_limits<float> {
    static constexpr bool has_infinity = true;
    __host__ __device__ static constexpr float infinity() { return __builtin_bit_cast(float, 0x7F800000); }
    __host__ __device__ static constexpr float lowest() { return -0x1.fffffep+127f; }
    __host__ __device__ static constexpr float max() { return 0x1.fffffep+127f; }
};
template <>
struct numeric_limits<double> {
    static constexpr bool has_infinity = true;
    __host__ __device__ static constexpr double infinity() { return __builtin_bit_cast(double, 0x7FF0000000000000); }
    __host__ __device__ static constexpr double lowest() { return -0x1.fffffffffffffp+1023; }
    __host__ __device__ static constexpr double max() { return 0x1.fffffffffffffp+1023; }
};

}  // namespace std

#define LAUNCH_AS(...)
