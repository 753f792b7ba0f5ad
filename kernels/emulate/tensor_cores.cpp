#include "tensor_cores.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "float16.h"
#include "runtime.h"

namespace emulate {

namespace {

const TensorCores* chosen = nullptr;

// ---- numbers ----

constexpr int16_t none = -10000;  // the exponent of zero, which is aligned with nothing

// |value| = significand * 2^exponent with a significand in [1, 2); below the least exponent of its type,
// with that one and a smaller significand, as the products of such are aligned.
struct Number {
    float value;
    int16_t exponent;
};

template <int fraction_bits, int exponent_bits>
int16_t exponent_of(uint32_t bits) {
    constexpr int bias = (1 << (exponent_bits - 1)) - 1;
    const int field = int(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    const uint32_t magnitude = bits & ((uint32_t(1) << (fraction_bits + exponent_bits)) - 1);
    return int16_t(magnitude == 0 ? int(none) : std::max(field, 1) - bias);
}

int16_t exponent_of(float x) { return exponent_of<23, 8>(__float_as_uint(x)); }

template <Multiplicand type>
Number read(uint32_t bits) {
    if constexpr (type == Multiplicand::half) {
        return {__half2float(half{uint16_t(bits)}), exponent_of<10, 5>(bits)};
    } else {  // as a float with fewer bits
        const uint32_t kept = type == Multiplicand::bfloat16 ? bits << 16 : bits & 0xFFFFE000u;
        return {__uint_as_float(kept), exponent_of<23, 8>(kept)};
    }
}

struct Numbers {
    float a[mma_rows][mma_most_depth];
    int16_t a_exponents[mma_rows][mma_most_depth];
    float b[mma_most_depth][mma_columns];
    int16_t b_exponents[mma_most_depth][mma_columns];
};

// ---- one sum, whatever is in it ----

float power_of_two(int exponent) { return __uint_as_float(uint32_t(exponent + 127) << 23); }

// Towards zero; beyond the largest number, infinity.
float cut_to_float(double value) {
    const double size = std::fabs(value);
    if (size >= std::ldexp(1.0, 128)) {
        return value < 0 ? -INFINITY : INFINITY;
    }
    const float nearest = float(value);
    return std::fabs(double(nearest)) > size ? std::nextafter(nearest, 0.0f) : nearest;
}

float add_special(float c, const double* products, int count) {
    double sum = double(c);
    for (int k = 0; k < count; ++k) {
        sum += products[k];
    }
    return std::isnan(sum) ? __uint_as_float(0x7FFFFFFFu) : float(sum);
}

float add_block(float c, int column, int row, int first, int count, const Numbers& numbers,
                const TensorCores& cores) {
    double products[mma_most_depth];
    int largest = none;
    bool is_finite = std::isfinite(c);
    for (int k = 0; k < count; ++k) {
        products[k] = double(numbers.a[row][first + k]) * double(numbers.b[first + k][column]);
        is_finite = is_finite && std::isfinite(products[k]);
        largest = std::max(largest, int(numbers.a_exponents[row][first + k]) +
                                        int(numbers.b_exponents[first + k][column]));
    }
    if (!is_finite) {
        return add_special(c, products, count);
    }
    largest = std::max(largest, int(exponent_of(c)));
    if (largest < none / 2) {
        return 0.0f;
    }
    // In units of the last bit that is kept: each below 2^28, so that all are exact.
    const int unit = std::max(largest, cores.least_exponent) - 23 - cores.extra_bits;
    double sum = std::trunc(std::ldexp(double(c), -unit));
    for (int k = 0; k < count; ++k) {
        sum += std::trunc(std::ldexp(products[k], -unit));
    }
    return sum == 0 ? 0.0f : cut_to_float(std::ldexp(sum, unit));
}

// ---- a row of sums, where exponents are moderate ----

constexpr int most = 100;  // so that nothing that counts is beyond fp32's exponents on the way
constexpr int part = 8;    // products whose sum an int32_t holds

// The same as add_block for the columns of a row, and whether it was: in loops that compilers make
// vectors of.
bool add_blocks(float* c, int row, int first, int count, const Numbers& numbers,
                const TensorCores& cores) {
    int16_t largest[mma_columns];
    for (int j = 0; j < mma_columns; ++j) {
        largest[j] = exponent_of(c[j]);
    }
    for (int k = first; k < first + count; ++k) {
        const int16_t exponent = numbers.a_exponents[row][k];
        const int16_t* others = numbers.b_exponents[k];
        for (int j = 0; j < mma_columns; ++j) {
            largest[j] = std::max(largest[j], int16_t(exponent + others[j]));
        }
    }
    float scale[mma_columns], unit[mma_columns];
    for (int j = 0; j < mma_columns; ++j) {
        if (largest[j] < -most || largest[j] > most) {
            if (largest[j] > none / 2) {
                return false;
            }
            largest[j] = 0;  // zeros only
        }
        scale[j] = power_of_two(23 + cores.extra_bits - largest[j]);
        unit[j] = power_of_two(largest[j] - 23 - cores.extra_bits);
    }
    double sums[mma_columns];
    for (int j = 0; j < mma_columns; ++j) {
        sums[j] = double(int32_t(c[j] * scale[j]));
    }
    for (int begin = first; begin < first + count; begin += part) {
        int32_t parts[mma_columns] = {};
        for (int k = begin; k < std::min(begin + part, first + count); ++k) {
            const float a = numbers.a[row][k];
            const float* b = numbers.b[k];
            for (int j = 0; j < mma_columns; ++j) {
                parts[j] += int32_t(a * b[j] * scale[j]);
            }
        }
        for (int j = 0; j < mma_columns; ++j) {
            sums[j] += double(parts[j]);
        }
    }
    for (int j = 0; j < mma_columns; ++j) {
        uint64_t bits;
        std::memcpy(&bits, &sums[j], sizeof bits);
        bits &= ~uint64_t(0) << 29;  // of 53 bits, 24
        std::memcpy(&sums[j], &bits, sizeof bits);
        c[j] = float(sums[j]) * unit[j];
    }
    return true;
}

template <Multiplicand type>
void multiply(MmaOperands& operands, int depth, int block, const TensorCores& cores) {
    Numbers numbers;
    bool is_finite = true;
    const auto note = [&](uint32_t bits, float& value, int16_t& exponent) {
        const Number number = read<type>(bits);
        value = number.value;
        exponent = number.exponent;
        is_finite &= (__float_as_uint(value) & 0x7F800000u) != 0x7F800000u;
    };
    for (int k = 0; k < depth; ++k) {
        for (int row = 0; row < mma_rows; ++row) {
            note(operands.a[row][k], numbers.a[row][k], numbers.a_exponents[row][k]);
        }
        for (int column = 0; column < mma_columns; ++column) {
            note(operands.b[k][column], numbers.b[k][column], numbers.b_exponents[k][column]);
        }
    }
    for (int row = 0; row < mma_rows; ++row) {
        float* c = operands.c[row];
        for (int first = 0; first < depth; first += block) {
            if (is_finite && add_blocks(c, row, first, block, numbers, cores)) {
                continue;
            }
            for (int column = 0; column < mma_columns; ++column) {
                c[column] = add_block(c[column], column, row, first, block, numbers, cores);
            }
        }
    }
}

}  // namespace

const TensorCores& tensor_cores() {
    if (chosen == nullptr) {
        const char* name = std::getenv("TAPEGRAD_EMULATOR_TENSOR_CORES");
        for (const TensorCores* cores : {&hopper, &ampere}) {
            // (By no string, which would copy the name: the checks would see the kernel do it.)
            if (name == nullptr || std::strcmp(name, cores->name) == 0) {
                chosen = cores;
                return *chosen;
            }
        }
        fail("TAPEGRAD_EMULATOR_TENSOR_CORES must be hopper or ampere, not '" + std::string(name) + "'");
    }
    return *chosen;
}

void set_tensor_cores(const TensorCores& cores) { chosen = &cores; }

bool hopper_was_chosen() {
    const char* name = std::getenv("TAPEGRAD_EMULATOR_TENSOR_CORES");
    return name != nullptr && std::string(name) == hopper.name;
}

void multiply(MmaOperands& operands, Multiplicand type, int depth, const TensorCores& cores) {
    switch (type) {
        case Multiplicand::half:
            return multiply<Multiplicand::half>(operands, depth, cores.depth_16_bits, cores);
        case Multiplicand::bfloat16:
            return multiply<Multiplicand::bfloat16>(operands, depth, cores.depth_16_bits, cores);
        case Multiplicand::tfloat32:
            return multiply<Multiplicand::tfloat32>(operands, depth, cores.depth_tfloat32, cores);
    }
}

}  // namespace emulate
