// CUDA's vector types that ../types.h lacks.
#pragma once

#include "../types.h"

#define EMULATE_VECTOR_1(scalar, name)                                             \
    struct name##1 {                                                               \
        scalar x;                                                                  \
    };                                                                             \
    inline name##1 make_##name##1(scalar x) { return {x}; }

#define EMULATE_VECTOR_2(scalar, name)                                             \
    struct alignas(2 * sizeof(scalar)) name##2 {                                   \
        scalar x, y;                                                               \
    };                                                                             \
    inline name##2 make_##name##2(scalar x, scalar y) { return {x, y}; }

#define EMULATE_VECTOR_3(scalar, name)                                             \
    struct name##3 {                                                               \
        scalar x, y, z;                                                            \
    };                                                                             \
    inline name##3 make_##name##3(scalar x, scalar y, scalar z) { return {x, y, z}; }

#define EMULATE_VECTOR_4(scalar, name)                                             \
    struct alignas(sizeof(scalar) == 8 ? 16 : 4 * sizeof(scalar)) name##4 {        \
        scalar x, y, z, w;                                                         \
    };                                                                             \
    inline name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }

#define EMULATE_VECTORS(scalar, name) \
    EMULATE_VECTOR_1(scalar, name) EMULATE_VECTOR_2(scalar, name) \
    EMULATE_VECTOR_3(scalar, name) EMULATE_VECTOR_4(scalar, name)

EMULATE_VECTORS(signed char, char)
EMULATE_VECTORS(unsigned char, uchar)
EMULATE_VECTORS(short, short)
EMULATE_VECTORS(unsigned short, ushort)
EMULATE_VECTORS(long, long)
EMULATE_VECTORS(unsigned long, ulong)
EMULATE_VECTORS(long long, longlong)
EMULATE_VECTORS(unsigned long long, ulonglong)
EMULATE_VECTOR_1(int, int)
EMULATE_VECTOR_3(int, int)
EMULATE_VECTOR_1(unsigned, uint)
EMULATE_VECTOR_1(float, float)
EMULATE_VECTOR_3(float, float)
EMULATE_VECTOR_1(double, double)
EMULATE_VECTOR_3(double, double)

inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

#undef EMULATE_VECTORS
#undef EMULATE_VECTOR_1
#undef EMULATE_VECTOR_2
#undef EMULATE_VECTOR_3
#undef EMULATE_VECTOR_4
