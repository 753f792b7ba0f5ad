// Floats of 16 bits, which are computed with as floats. Included within a namespace.

struct Half {
    uint16_t bits;
};
struct Brain {  // bfloat16: the upper half of a float
    uint16_t bits;
};

// A choice that is no branch, whatever it costs to compute what is not chosen.
inline uint32_t chosen(bool condition, uint32_t a, uint32_t b) {
    return b ^ ((a ^ b) & (0u - uint32_t(condition)));
}

inline float widened(float x) { return x; }
inline double widened(double x) { return x; }

inline float widened(Brain x) { return __builtin_bit_cast(float, uint32_t(x.bits) << 16); }

// Below 2^-14 a half is a whole number of 2^-24, the last place of 0.5.
inline float widened(Half x) {
    const uint32_t size = x.bits & 0x7fffu, sign = uint32_t(x.bits & 0x8000u) << 16;
    const uint32_t half = 0x3f000000u;
    const float tiny = __builtin_bit_cast(float, half | size) - 0.5f;
    const uint32_t bias = chosen(size >= 0x7c00u, 224u << 23, 112u << 23);
    const uint32_t usual = (size << 13) + bias;
    return __builtin_bit_cast(
        float, sign | chosen(size < 0x0400u, __builtin_bit_cast(uint32_t, tiny), usual));
}

template <class S>
S narrowed(float x);

template <>
inline float narrowed(float x) {
    return x;
}

// Rounded to the nearest, ties to even; what is no number keeps its sign alone.
template <>
inline Brain narrowed(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t none = 0x7fc0u | ((bits >> 16) & 0x8000u);
    return {uint16_t(chosen((bits & 0x7fffffffu) > 0x7f800000u, none, rounded))};
}

// Likewise; what is no number keeps the digits that there is room for, or one.
template <>
inline Half narrowed(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x), size = bits & 0x7fffffffu;
    const uint32_t half = 0x3f000000u;
    const float moved = __builtin_bit_cast(float, size) + 0.5f;  // rounds to whole 2^-24
    const uint32_t tiny = __builtin_bit_cast(uint32_t, moved) - half;
    const uint32_t usual = (size - (112u << 23) + 0xfffu + ((size >> 13) & 1u)) >> 13;
    const uint32_t digits = (size >> 13) & 0x3ffu;
    const uint32_t none = 0x7c00u | chosen(digits == 0, 1u, digits);
    uint32_t found = chosen(size < 0x38800000u, tiny, usual);
    found = chosen(size >= 0x47800000u, 0x7c00u, found);
    found = chosen(size > 0x7f800000u, none, found);
    return {uint16_t(found | ((bits >> 16) & 0x8000u))};
}

// (Not inlined, so that they become vectors wherever they are called.)
template <class S>
[[gnu::noinline]] void widen(float* __restrict y, const S* __restrict x, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        y[i] = widened(x[i]);
    }
}
template <class S>
[[gnu::noinline]] void narrow(S* __restrict y, const float* __restrict x, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        y[i] = narrowed<S>(x[i]);
    }
}
