// ldmatrix, mma.sync and cp.async as kernels call them (tensor.cuh): warp operations of all 32 lanes,
// and a thread's own copies.
#pragma once

#include "async_copies.h"
#include "runtime.h"
#include "tensor_cores.h"

#pragma GCC visibility push(hidden)

namespace emulate {

// Each lane's address is that of a row of 16 bytes; of 8 * count lanes they are looked at. Matrix i
// comes into register i.
void load_matrices(unsigned* registers, int count, bool transposed, const void* row, Site site);

// d += a b for the warp's fragments.
void multiply_fragments(float* d, const unsigned* a, const unsigned* b, Multiplicand type, Site site);

template <class T>
constexpr Multiplicand multiplicand() {
    static_assert(std::is_same<T, half>::value || std::is_same<T, bfloat16>::value,
                  "mma_m16n8k16 multiplies half or bfloat16");
    return std::is_same<T, half>::value ? Multiplicand::half : Multiplicand::bfloat16;
}

}  // namespace emulate

#pragma GCC visibility pop

#define EMULATE_SITE const char* file = __builtin_FILE(), int line = __builtin_LINE()

template <int count>
EMULATE_CALLED_BY_KERNELS void ldmatrix(unsigned (&registers)[count], const void* row, EMULATE_SITE) {
    emulate::load_matrices(registers, count, false, row, {file, line});
}
template <int count>
EMULATE_CALLED_BY_KERNELS void ldmatrix_trans(unsigned (&registers)[count], const void* row,
                                              EMULATE_SITE) {
    emulate::load_matrices(registers, count, true, row, {file, line});
}

template <class T>
EMULATE_CALLED_BY_KERNELS void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4],
                                            const unsigned (&b)[2], EMULATE_SITE) {
    emulate::multiply_fragments(d, a, b, emulate::multiplicand<T>(), {file, line});
}
EMULATE_CALLED_BY_KERNELS void mma_m16n8k8(float (&d)[4], const unsigned (&a)[4],
                                           const unsigned (&b)[2], EMULATE_SITE) {
    emulate::multiply_fragments(d, a, b, emulate::Multiplicand::tfloat32, {file, line});
}

EMULATE_CALLED_BY_KERNELS void copy_async(void* destination, const void* source, int bytes,
                                          EMULATE_SITE) {
    emulate::copy_async(destination, source, bytes, {file, line});
}
inline void commit_copies() { emulate::commit_copies(); }
template <int groups_left>
inline void wait_for_copies() {
    emulate::wait_for_copies(groups_left);
}
// What a launch is refused beyond.
inline int64_t shared_bytes_for_copies() { return max_shared_bytes; }

// Rounded to nearest, ties away from zero, as cvt.rna.tf32 does; the last 13 bits are zero, but for those of NaN.
inline unsigned round_to_tfloat32(float x) {
    const unsigned bits = __float_as_uint(x);
    const bool is_finite = (bits & 0x7F800000u) != 0x7F800000u;
    return is_finite ? (bits + 0x1000u) & 0xFFFFE000u : bits;
}

#undef EMULATE_SITE
