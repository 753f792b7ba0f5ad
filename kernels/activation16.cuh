// GELU, exact and by tanh, for results of 16 bits: by half the instructions that C's erf and tanh take,
// and no branch. They are off by some 2^-21 of what is then rounded to 2^-9, or 2^-12; where that is nearly
// 0, far on the left, too, where 1 + erf(x) has no digits left.
#pragma once

#include "activation.h"
#include "device.cuh"

namespace activation {

// 2^x and 1 / x, off by no more than 2^-22; what is below 2^-126 becomes 0 (PTX ISA: ex2, rcp).
__device__ inline float quick_exp2(float x) {
#ifdef __CUDACC__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return exp2(x);
#endif
}
__device__ inline float quick_reciprocal(float x) {
#ifdef __CUDACC__
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return 1.0f / x;
#endif
}

// The smaller one, or NaN if x is.
__device__ inline float at_most(float x, float limit) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    float y;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(limit));
    return y;
#else
    return x > limit ? limit : x;
#endif
}

// With a = |x|:  y = max(x, 0) - a Q(a),  dy/dx = Q(a) - a phi(a), or 1 minus that where x > 0; Q = 1 - Phi.
// Q(a) exp(a^2 / 2) is a polynomial in 1 / (1 + 0.3 a), as Hastings (1955) has it for less precision: this
// one is off by no more than 2^-21 of it from 0 to 13.4, in float32 (least squares, weighted until no error
// was larger than the others). Beyond, Q is 0.
struct Gelu16 {
    __device__ float value(float x) const {
        const float a = at_most(fabs(x), beyond);
        return max(x, 0.0f) - a * (scaled_tail(a) * bell(a));
    }
    __device__ float gradient(float dy, float x) const {
        const float a = at_most(fabs(x), beyond);
        const float left = (scaled_tail(a) - a * Gelu<float>::inverse_sqrt_two_pi) * bell(a);
        return dy * (x > 0.0f ? 1.0f - left : left);
    }

  private:
    static constexpr float beyond = 14.0f;
    __device__ static float bell(float a) { return quick_exp2(-0.72134752f * a * a); }  // exp(-a^2 / 2)
    __device__ static float scaled_tail(float a) {
        const float t = quick_reciprocal(1.0f + 0.3f * a);
        float p = 0.0359844152f;
        p = p * t - 0.158496283f;
        p = p * t + 0.208587831f;
        p = p * t - 0.0557466105f;
        p = p * t + 0.129657054f;
        p = p * t + 0.0995801136f;
        p = p * t + 0.12080764f;
        p = p * t + 0.119625777f;
        return p * t;
    }
};

// y = x s,  dy/dx = s + x s (1 - s) 2u',  s the sigmoid of 2u, which is (1 + tanh(u)) / 2. Beyond 40, s is
// 0 or 1.
struct GeluTanh16 {
    __device__ float value(float x) const {
        const float right = -at_most(-x, beyond);
        return right * sigmoid(right);
    }
    __device__ float gradient(float dy, float x) const {
        const float near = at_most(-at_most(-x, beyond), beyond), s = sigmoid(near);
        const float slope = twice_scale + 3.0f * twice_cubic * (near * near);
        return dy * (s + near * (1.0f - s) * slope * s);
    }

  private:
    static constexpr float beyond = 40.0f;
    static constexpr float twice_scale = 2.0f * GeluTanh<float>::scale;
    static constexpr float twice_cubic = twice_scale * GeluTanh<float>::cubic;
    __device__ static float sigmoid(float x) {
        constexpr float log2_of_e = 1.44269504f;
        const float u = x * (-twice_scale * log2_of_e - twice_cubic * log2_of_e * (x * x));
        return quick_reciprocal(1.0f + quick_exp2(u));
    }
};

// Function for elements of type T.
template <template <class> class Function, class T, bool is_narrow = sizeof(T) == 2>
struct Chosen {
    using type = Function<acc_t<T>>;
};
template <class T>
struct Chosen<Gelu, T, true> {
    using type = Gelu16;
};
template <class T>
struct Chosen<GeluTanh, T, true> {
    using type = GeluTanh16;
};
template <template <class> class Function, class T>
using function_of = typename Chosen<Function, T>::type;

}  // namespace activation
