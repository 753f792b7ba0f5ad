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

// To the nearest, ties to even.
inline uint32_t rounded_to_brain(uint32_t bits) {
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

// What is no number keeps its sign alone.
template <>
inline Brain narrowed(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    const uint32_t none = 0x7fc0u | ((bits >> 16) & 0x8000u);
    return {uint16_t(chosen((bits & 0x7fffffffu) > 0x7f800000u, none, rounded_to_brain(bits)))};
}

// Rounded likewise; what is no number keeps the digits that there is room for, or one.
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

#if defined(__F16C__)
// Processors convert halves themselves, but g++ makes no vectors of it (up to version 12), so the
// instructions are named here; nothing else in the loops is. They make other digits of what is no
// number, which is therefore left to the functions above.
#if defined(__AVX512F__)
constexpr int64_t halves_at_once = 16;
#else
constexpr int64_t halves_at_once = 8;
#endif
typedef short Halves __attribute__((vector_size(2 * halves_at_once)));
typedef long long Words __attribute__((vector_size(2 * halves_at_once)));
typedef float Floats __attribute__((vector_size(4 * halves_at_once)));

// Both return the halves.
inline Halves convert(float* y, const Half* x) {
    Halves from;
    __builtin_memcpy(&from, x, sizeof from);
#if defined(__AVX512F__)
    constexpr int as_set = 4;  // the rounding, of which there is none
    const Floats to = __builtin_ia32_vcvtph2ps512_mask(from, Floats{}, 0xffff, as_set);
#else
    const Floats to = __builtin_ia32_vcvtph2ps256(from);
#endif
    __builtin_memcpy(y, &to, sizeof to);
    return from;
}
inline Halves convert(Half* y, const float* x) {
    Floats from;
    __builtin_memcpy(&from, x, sizeof from);
    constexpr int to_even = 0;
#if defined(__AVX512F__)
    const Halves to = __builtin_ia32_vcvtps2ph512_mask(from, to_even, Halves{}, 0xffff);
#else
    const Halves to = __builtin_ia32_vcvtps2ph256(from, to_even);
#endif
    __builtin_memcpy(y, &to, sizeof to);
    return to;
}

// Vectors of begin..end, of which there is at least one: the last may lie over the one before. False
// where anything is no number.
template <class To, class From>
inline bool convert_block(To* y, const From* x, int64_t begin, int64_t end) {
    Halves most{};
    const auto convert_at = [&](int64_t i) {
        const Halves sizes = convert(y + i, x + i) & 0x7fff;
        most = sizes > most ? sizes : most;
    };
#pragma GCC unroll 4
    for (int64_t i = begin; i + halves_at_once <= end; i += halves_at_once) {
        convert_at(i);
    }
    convert_at(end - halves_at_once);
    const Words beyond = (Words)(most > 0x7c00);
    long long any = 0;
    for (int j = 0; j < halves_at_once / 4; ++j) {
        any |= beyond[j];
    }
    return any == 0;
}
template <class To, class From>
inline int64_t convert_blocks(To* y, const From* x, int64_t count) {
    constexpr int64_t together = 512;
    int64_t done = 0;
    while (count >= halves_at_once && done < count) {
        const int64_t end = count - done < together ? count : done + together;
        if (!convert_block(y, x, done, end)) {
            break;
        }
        done = end;
    }
    return done;
}
inline int64_t convert_first(float* y, const Half* x, int64_t count) {
    return convert_blocks(y, x, count);
}
inline int64_t convert_first(Half* y, const float* x, int64_t count) {
    return convert_blocks(y, x, count);
}
#endif

// Rounded as above, block by block, up to the first in which anything is no number: to look for it takes
// half as long as to choose.
inline int64_t convert_first(Brain* __restrict y, const float* __restrict x, int64_t count) {
    constexpr int64_t together = 512;
    int64_t done = 0;
    while (done < count) {
        const int64_t end = count - done < together ? count : done + together;
        uint32_t none = 0;
        for (int64_t i = done; i < end; ++i) {
            none |= x[i] != x[i] ? ~0u : 0u;
            y[i] = {uint16_t(rounded_to_brain(__builtin_bit_cast(uint32_t, x[i])))};
        }
        if (none != 0) {
            break;
        }
        done = end;
    }
    return done;
}

// How many of the first ones are converted.
template <class To, class From>
inline int64_t convert_first(To*, const From*, int64_t) {
    return 0;
}

// (Not inlined, so that they become vectors wherever they are called.)
template <class S>
[[gnu::noinline]] void widen(float* __restrict y, const S* __restrict x, int64_t count) {
    for (int64_t i = convert_first(y, x, count); i < count; ++i) {
        y[i] = widened(x[i]);
    }
}
template <class S>
[[gnu::noinline]] void narrow(S* __restrict y, const float* __restrict x, int64_t count) {
    for (int64_t i = convert_first(y, x, count); i < count; ++i) {
        y[i] = narrowed<S>(x[i]);
    }
}

// each(j, number) for so many numbers as floats, for sums: of what is no number, the digits may be
// others.
template <int count, class S, class Each>
inline void each_widened(const S* x, Each each) {
#if defined(__F16C__)
    if constexpr (std::is_same_v<S, Half>) {
        static_assert(count % halves_at_once == 0);
        float y[count];
        for (int i = 0; i < count; i += halves_at_once) {
            convert(y + i, x + i);
        }
        for (int j = 0; j < count; ++j) {
            each(j, y[j]);
        }
        return;
    }
#endif
    for (int j = 0; j < count; ++j) {
        each(j, widened(x[j]));
    }
}
