// Tensor maps: what bulk copies are told of an array in global memory, checked as the driver's encoder does
// (cuTensorMapEncodeTiled), and how a swizzle moves what is copied.
#pragma once

#include "runtime.h"

// As the driver numbers them: 16-byte packs are exchanged within spans of 32, 64 or 128 bytes.
enum class Swizzle : int { none, within_32, within_64, within_128 };

constexpr int most_tensor_rank = 5;

struct alignas(64) TensorMap {
    unsigned char* base;
    uint64_t sizes[most_tensor_rank];    // elements, the innermost dimension first
    uint64_t strides[most_tensor_rank];  // bytes; the first is that of an element
    int box[most_tensor_rank];
    int rank;
    Swizzle swizzle;
};
static_assert(sizeof(TensorMap) == 128, "as large as CUDA's");

#pragma GCC visibility push(hidden)

namespace emulate {

// Raises KernelError where the driver would refuse it.
void check_tensor_map(const TensorMap& map);

// 0 without a swizzle.
constexpr int span_of(Swizzle swizzle) {
    return swizzle == Swizzle::none ? 0 : 16 << int(swizzle);
}
// So many bytes on, it begins anew.
constexpr unsigned pattern_of(Swizzle swizzle) {
    return swizzle == Swizzle::none ? 128 : 8 * unsigned(span_of(swizzle));
}

// Of addresses in shared memory: the bits from the fourth on, one for spans of 32 bytes to three, are
// changed by those three above them.
constexpr unsigned swizzled(unsigned address, Swizzle swizzle) {
    const unsigned packs = (1u << int(swizzle)) - 1;
    return address ^ ((address >> 3) & (packs << 4));
}

}  // namespace emulate

#pragma GCC visibility pop
