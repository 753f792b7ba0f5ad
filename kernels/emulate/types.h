// CUDA's keywords, index types and vector types.
#pragma once

#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
    constexpr operator uint3() const { return {x, y, z}; }
};

#define EMULATE_VECTOR_TYPES(scalar, name)                                                        \
    struct alignas(2 * sizeof(scalar)) name##2 {                                                  \
        scalar x, y;                                                                              \
    };                                                                                            \
    struct alignas(sizeof(scalar) == 8 ? 16 : 4 * sizeof(scalar)) name##4 {                       \
        scalar x, y, z, w;                                                                        \
    };                                                                                            \
    inline name##2 make_##name##2(scalar x, scalar y) { return {x, y}; }                          \
    inline name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }

EMULATE_VECTOR_TYPES(int, int)
EMULATE_VECTOR_TYPES(unsigned, uint)
EMULATE_VECTOR_TYPES(float, float)
EMULATE_VECTOR_TYPES(double, double)

#undef EMULATE_VECTOR_TYPES
