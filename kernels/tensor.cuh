// What kernels say to tensor cores, beside device.cuh's words: fragments are loaded from shared memory
// (ldmatrix), multiplied by a warp as one (mma.sync), and shared memory is filled by copies that a
// thread begins and waits for later (cp.async). For GPUs from compute capability 8.0 on.
//
// Fragments, of lane t, in registers of two 16-bit numbers (of one tfloat32: half as many columns):
//   a (16 x 16)  0: row t / 4, columns 2 (t % 4) and the next; 1: 8 rows below; 2, 3: 8 columns further
//   b (16 x 8)   as a's 0 and 2, of b's transpose
//   c (16 x 8)   0, 1: row t / 4, columns 2 (t % 4) and the next; 2, 3: 8 rows below
#pragma once

#include "device.cuh"

#ifdef __CUDACC__

// For GPUs that have none of it the other kernels are compiled beside these, which nobody calls there.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define TENSOR_INSTRUCTION(...) asm volatile(__VA_ARGS__)
#else
#define TENSOR_INSTRUCTION(...) __trap()
#endif

__device__ inline unsigned shared_address(const void* address) {
    return static_cast<unsigned>(__cvta_generic_to_shared(address));
}

// `count` (1, 2 or 4) 8 x 8 matrices of 16-bit numbers: lane 8 i + j has the address of row j of matrix
// i, a multiple of 16, in shared memory; lane t gets the two of row t / 4 that a fragment has there.
// Transposed: of column t / 4.
#define LOAD_MATRICES(trans)                                                                         \
    const unsigned from = shared_address(row);                                                       \
    if constexpr (count == 1) {                                                                      \
        TENSOR_INSTRUCTION("ldmatrix.sync.aligned.m8n8.x1" trans ".shared.b16 {%0}, [%1];"           \
                           : "=r"(r[0]) : "r"(from) : "memory");                                     \
    } else if constexpr (count == 2) {                                                               \
        TENSOR_INSTRUCTION("ldmatrix.sync.aligned.m8n8.x2" trans ".shared.b16 {%0, %1}, [%2];"       \
                           : "=r"(r[0]), "=r"(r[1]) : "r"(from) : "memory");                         \
    } else {                                                                                         \
        static_assert(count == 4, "ldmatrix loads 1, 2 or 4 matrices");                              \
        TENSOR_INSTRUCTION("ldmatrix.sync.aligned.m8n8.x4" trans ".shared.b16 {%0, %1, %2, %3}, [%4];" \
                           : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory"); \
    }

template <int count>
__device__ inline void ldmatrix(unsigned (&r)[count], const void* row) {
    LOAD_MATRICES("")
}

template <int count>
__device__ inline void ldmatrix_trans(unsigned (&r)[count], const void* row) {
    LOAD_MATRICES(".trans")
}

#undef LOAD_MATRICES

#define TENSOR_PRODUCT(instruction)                                                                  \
    TENSOR_INSTRUCTION(instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"      \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                    \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

// d += a b; T: half or bfloat16.
template <class T>
__device__ inline void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    if constexpr (std::is_same<T, bfloat16>::value) {
        TENSOR_PRODUCT("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32");
    } else {
        static_assert(std::is_same<T, half>::value, "mma_m16n8k16 multiplies half or bfloat16");
        TENSOR_PRODUCT("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32");
    }
}

// The same of numbers rounded to tfloat32.
__device__ inline void mma_m16n8k8(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    TENSOR_PRODUCT("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32");
}

#undef TENSOR_PRODUCT

// Rounded to nearest, ties away from zero; the last 13 bits are zero.
__device__ inline unsigned round_to_tfloat32(float x) {
    unsigned bits = 0;
    TENSOR_INSTRUCTION("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

// Begins a copy to 16 bytes of shared memory: of the first `bytes` from there, and zeros. Both addresses
// are multiples of 16; of 0 bytes, the source may be anywhere. What it wrote may be read by this thread
// once it has committed the copy and waited, by others behind a barrier after that.
__device__ inline void copy_async(void* destination, const void* source, int bytes) {
    TENSOR_INSTRUCTION("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(destination)),
                 "l"(source), "r"(bytes)
                 : "memory");
}

// Ends a group: of all copies that this thread began since the last one.
__device__ inline void commit_copies() { TENSOR_INSTRUCTION("cp.async.commit_group;" ::: "memory"); }

// Until at most so many groups of this thread, the latest, are not complete.
template <int groups_left>
__device__ inline void wait_for_copies() {
    TENSOR_INSTRUCTION("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
}

#undef TENSOR_INSTRUCTION

// Bytes of shared memory that a block can have on this device; 0 where copies are not asynchronous.
#ifdef __CUDACC_RTC__
int64_t shared_bytes_for_copies();
#else
inline int64_t shared_bytes_for_copies() {
    int device = 0, major = 0, bytes = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    return major < 8 ? 0 : bytes;
}
#endif

#else
#include "emulate/tensor.h"
#endif
