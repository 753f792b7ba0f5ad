// Random numbers (kernels/philox.h), and dropout: the bits of ops/sampling/philox.py, whose operations
// these are one by one. Nothing here may be fused or reordered.
#include <cmath>
#include <cstdint>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "kernels/philox.h"

// The stream of the numbers {seed, seed >> 32, offset, offset >> 32, the first word's index}.
struct Stream {
    uint32_t key[2], offset[2];
    uint64_t start;

    explicit Stream(const double* numbers)
        : key{uint32_t(numbers[0]), uint32_t(numbers[1])},
          offset{uint32_t(numbers[2]), uint32_t(numbers[3])},
          start(uint64_t(numbers[4])) {}
};

constexpr int blocks_at_once = 64;
constexpr int words_at_once = 4 * blocks_at_once;

// Words first..first + words_at_once, first being a multiple of 4.
void draw(const Stream& stream, uint64_t first, uint32_t* __restrict words) {
    const uint64_t block = (stream.start + first) / 4;
    uint32_t mixed[4][blocks_at_once];  // put in order at the end: vectors hold words of one kind
    for (int i = 0; i < blocks_at_once; ++i) {
        const uint64_t at = block + uint64_t(i);
        uint32_t c0 = uint32_t(at), c1 = uint32_t(at >> 32);
        uint32_t c2 = stream.offset[0], c3 = stream.offset[1];
        uint32_t k0 = stream.key[0], k1 = stream.key[1];
#pragma GCC unroll 10
        for (int round = 0; round < 10; ++round) {
            philox_round(c0, c1, c2, c3, k0, k1);
        }
        mixed[0][i] = c0;
        mixed[1][i] = c1;
        mixed[2][i] = c2;
        mixed[3][i] = c3;
    }
    for (int i = 0; i < blocks_at_once; ++i) {
        for (int kind = 0; kind < 4; ++kind) {
            words[4 * i + kind] = mixed[kind][i];
        }
    }
}

// number(words, i) for i in begin..end, each made of `each` words; `at_once` of them are made of the
// words of one draw.
template <int each, class Function>
void for_words(const double* numbers, int64_t begin, int64_t end, Function function) {
    constexpr int64_t at_once = words_at_once / each;
    const Stream stream(numbers);
    uint32_t words[words_at_once];
    for (int64_t start = begin; start < end; start += at_once) {
        draw(stream, uint64_t(start) * each, words);
        function(words, start, end - start < at_once ? end - start : at_once);
    }
}

void philox(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    uint32_t* result = static_cast<uint32_t*>(arrays[0]);
    for_words<1>(numbers, begin, end, [=](const uint32_t* words, int64_t start, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            result[start + i] = words[i];
        }
    });
}

// Below numbers[5] + 2^32 numbers[6].
void integers_below(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    int64_t* result = static_cast<int64_t*>(arrays[0]);
    const uint64_t span = uint64_t(numbers[6]) << 32 | uint64_t(numbers[5]), mask = span - 1;
    const bool is_power = (span & mask) == 0;
    for_words<2>(numbers, begin, end, [=](const uint32_t* words, int64_t start, int64_t count) {
        const auto at = [=](int64_t i) { return uint64_t(words[2 * i]) << 32 | words[2 * i + 1]; };
        for (int64_t i = 0; is_power && i < count; ++i) {
            result[start + i] = int64_t(at(i) & mask);
        }
        for (int64_t i = 0; !is_power && i < count; ++i) {
            result[start + i] = int64_t(at(i) % span);
        }
    });
}

inline double unit(uint32_t high, uint32_t low) {
    return double((uint64_t(high) << 32 | low) >> 11) * 0x1p-53;
}

void uniform_float(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    float* result = static_cast<float*>(arrays[0]);
    for_words<1>(numbers, begin, end, [=](const uint32_t* words, int64_t start, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            result[start + i] = float(int32_t(words[i] >> 8)) * 0x1p-24f;
        }
    });
}

void uniform_double(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    double* result = static_cast<double*>(arrays[0]);
    for_words<2>(numbers, begin, end, [=](const uint32_t* words, int64_t start, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            result[start + i] = unit(words[2 * i], words[2 * i + 1]);
        }
    });
}

// Of a positive number, as ``log`` in philox.py.
inline double log(double u) {
    const uint64_t bits = __builtin_bit_cast(uint64_t, u);
    double mantissa =
        __builtin_bit_cast(double, (bits & 0x000FFFFFFFFFFFFFu) | 0x3FE0000000000000u);
    const bool small = mantissa < 0.70710678118654757;
    mantissa = small ? 2 * mantissa : mantissa;
    const double exponent = double(int32_t(bits >> 52) - 1022 - int32_t(small));
    const double s = (mantissa - 1) / (mantissa + 1), square = s * s;
    double p = 0.14809710360655277;
    p = p * square + 0.15312528148364191;
    p = p * square + 0.18183631680229329;
    p = p * square + 0.22222197056726047;
    p = p * square + 0.2857142876064168;
    p = p * square + 0.39999999999302338;
    p = p * square + 0.66666666666667646;
    p = p * square + 2.0;
    return exponent * 0.69314718055994529 + s * p;
}

// A pair of normal numbers of a pair of uniform ones, as ``normal`` in philox.py.
inline void pair(double u, double v, double& first, double& second) {
    const double squared = -2 * log(u);
    const double r = std::sqrt(squared > 0 ? squared : 0);
    const double turns = 4 * v;
    const double quarter = std::floor(turns + 0.5);
    const double f = turns - quarter, square = f * f;
    double sine = -6.6276249389924724e-10;
    sine = sine * square + 5.6919278504896334e-8;
    sine = sine * square - 3.5988427171448578e-6;
    sine = sine * square + 0.0001604411847266723;
    sine = sine * square - 0.0046817541353148271;
    sine = sine * square + 0.079692626246166924;
    sine = sine * square - 0.64596409750624625;
    sine = sine * square + 1.5707963267948966;
    sine = f * sine;
    double cosine = -6.3212568696285884e-9;
    cosine = cosine * square + 4.710609726757823e-7;
    cosine = cosine * square - 2.5202036770460258e-5;
    cosine = cosine * square + 0.00091926027418315572;
    cosine = cosine * square - 0.020863480763311209;
    cosine = cosine * square + 0.25366950790104671;
    cosine = cosine * square - 1.2337005501361698;
    cosine = cosine * square + 1.0;
    const bool odd = (quarter == 1) | (quarter == 3);
    const bool negative_cos = (quarter == 1) | (quarter == 2);
    const bool negative_sin = (quarter == 2) | (quarter == 3);
    first = r * ((odd ? sine : cosine) * (negative_cos ? -1.0 : 1.0));
    second = r * ((odd ? cosine : sine) * (negative_sin ? -1.0 : 1.0));
}

// Of pairs begin..end.
void normal_float(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    float* result = static_cast<float*>(arrays[0]);
    for_words<2>(numbers, begin, end, [=](const uint32_t* words, int64_t start, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            const double u = (double(words[2 * i]) + 1) * 0x1p-32;
            const double v = double(words[2 * i + 1]) * 0x1p-32;
            double first, second;
            pair(u, v, first, second);
            result[2 * (start + i)] = float(first);
            result[2 * (start + i) + 1] = float(second);
        }
    });
}

void normal_double(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    double* result = static_cast<double*>(arrays[0]);
    for_words<4>(numbers, begin, end, [=](const uint32_t* words, int64_t start, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            const uint32_t* four = words + 4 * i;
            pair(unit(four[0], four[1]) + 0x1p-53, unit(four[2], four[3]),
                 result[2 * (start + i)], result[2 * (start + i) + 1]);
        }
    });
}

// numbers[5] is the least word >> 8 that keeps, numbers[6] what is divided by.
template <class T>
void dropout(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    T* __restrict y = static_cast<T*>(arrays[0]);
    const T* __restrict x = static_cast<const T*>(arrays[1]);
    const int32_t least = int32_t(numbers[5]);
    const T scale = T(1) / T(numbers[6]);
    for_words<1>(numbers, begin, end, [=](const uint32_t* words, int64_t start, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            const T value = x[start + i] * scale;
            y[start + i] = int32_t(words[i] >> 8) >= least ? value : T(0);
        }
    });
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"philox", 1, 5, philox, nullptr, nullptr};
    found.each[found.count++] = {"integers_below", 1, 7, nullptr, integers_below, "span"};
    found.each[found.count++] = {"uniform", 1, 5, uniform_float, uniform_double, nullptr};
    found.each[found.count++] = {"normal", 1, 5, normal_float, normal_double, nullptr};
    found.each[found.count++] = {"dropout", 2, 7, dropout<float>, dropout<double>, nullptr};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(random);
const Loops OF_LEVEL(random) = all();
