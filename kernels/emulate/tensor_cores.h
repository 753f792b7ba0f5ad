// The arithmetic of tensor cores: a block of products and a number are added at once. Each is cut to
// so many bits below the largest; these are added exactly, and the sum is cut to fp32. So a sum is
// neither that of fused multiply-adds nor a rounded one, and differs between architectures.
//
// How many products, how many bits: Khattak and Mikaitis 2025, Accurate Models of NVIDIA Tensor Cores
// (arXiv 2512.07004), who compared their models with such GPUs. Taken as likely, as they do not say: a
// sum of zero is +0; a NaN is 0x7FFFFFFF.
#pragma once

#include <cstdint>
#include <string>

#pragma GCC visibility push(hidden)

namespace emulate {

// What is multiplied. A tfloat32 is a float whose last 13 bits do not count.
enum class Multiplicand { half, bfloat16, tfloat32 };

struct TensorCores {
    const char* name;
    int depth_16_bits, depth_tfloat32;  // products added at once
    int extra_bits;                     // kept, below the 24 of fp32
    int least_exponent;                 // below that of the largest, bits are kept as if it were this
};

constexpr TensorCores hopper{"hopper", 16, 8, 2, -133};
constexpr TensorCores ampere{"ampere", 8, 4, 1, -1000};

// Those of TAPEGRAD_EMULATOR_TENSOR_CORES, or hopper. Fails, in a kernel, where that has another name.
const TensorCores& tensor_cores();
void set_tensor_cores(const TensorCores& cores);
// Whether hopper was asked for by name, and not as what is there without: then kernels for it alone are run.
bool hopper_was_chosen();

constexpr int mma_rows = 16, mma_columns = 8, mma_most_depth = 16;

// Operands of one warp's product, as the bits that lanes hold: 16 each, or 32 of tfloat32.
struct MmaOperands {
    uint32_t a[mma_rows][mma_most_depth];
    uint32_t b[mma_most_depth][mma_columns];
    float c[mma_rows][mma_columns];  // and the results
};

// c += a b, along `depth` of 8 (tfloat32) or 16.
void multiply(MmaOperands& operands, Multiplicand type, int depth, const TensorCores& cores);

}  // namespace emulate

#pragma GCC visibility pop
