// The vocabulary that every kernel is written in. Under nvcc it is CUDA; under any other compiler it
// is kernels/emulate.h, which runs the same source on the CPU with one fiber per thread. Three things
// C++ cannot spell go through macros: SHARED, DYNAMIC_SHARED and LAUNCH.
//
// A .cu file reads: header comment -> kernels and helpers, in an anonymous namespace, so that two
// files may use the same name -> launchers, each with LAUNCHER(name) below it. A launcher takes outputs
// first, then inputs (and behind them `invalid`, which it may write), sizes, scalars, and the stream last.
#pragma once

#ifdef __CUDACC_RTC__
#include "nvrtc.h"
#else
#include <string.h>

#include <cstdint>
#include <type_traits>

#include "launch.h"
#endif

#ifdef __CUDACC__

// Lets `typename Same<float[8][4]>::type tile` declare an array from a single macro argument.
template <class T>
struct Same {
    using type = T;
};

#define SHARED(name, ...) __shared__ typename Same<__VA_ARGS__>::type name

#define DYNAMIC_SHARED(name, ...)                                           \
    extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[];   \
    __VA_ARGS__* name = reinterpret_cast<__VA_ARGS__*>(dynamic_shared_bytes)

#ifndef __CUDACC_RTC__

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

// Checked launch: a refusal names the kernel and its shape. More than 48 KB of shared memory, dynamic and
// a kernel's own arrays together, has to be asked for kernel by kernel, which is done here so that launchers
// need not know.
template <class... Parameters>
void launch_kernel(const char* name, void (*kernel)(Parameters...), Grid grid, Extent block,
                   size_t shared_bytes, cudaStream_t stream,
                   typename Same<Parameters>::type... arguments) {
    check_launch(name, grid, block, shared_bytes);
    const void* entry = reinterpret_cast<const void*>(kernel);
    cudaError_t status = cudaSuccess;
    if (shared_bytes > 0) {
        status = cudaFuncSetAttribute(entry, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shared_bytes));
    }
    if (status == cudaSuccess) {
        // One element more than there are parameters: a kernel without any is still an array.
        void* pointers[sizeof...(Parameters) + 1] = {const_cast<void*>(
            reinterpret_cast<const volatile void*>(&arguments))...};
        cudaLaunchConfig_t config{};
        config.gridDim = dim3(grid.x, grid.y, grid.z);
        config.blockDim = dim3(block.x, block.y, block.z);
        config.dynamicSmemBytes = shared_bytes;
        config.stream = stream;
        cudaLaunchAttribute cluster{};
        cluster.id = cudaLaunchAttributeClusterDimension;
        cluster.val.clusterDim = {static_cast<unsigned>(grid.cluster), 1, 1};
        config.attrs = &cluster;
        config.numAttrs = grid.cluster > 1;
        status = cudaLaunchKernelExC(&config, entry, pointers);
    }
    if (status != cudaSuccess) {
        cudaGetLastError();  // clears the error, else the next launch would report it again
        throw KernelError(describe_launch(name, grid, block, shared_bytes) + ": " +
                          cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")");
    }
}

#define LAUNCH_AS launch_kernel

#endif

template <class T>
__device__ inline uint4 load_128_bits(const T* source) {
    return *reinterpret_cast<const uint4*>(source);
}

template <class T>
__device__ inline void store_128_bits(T* destination, uint4 bits) {
    *reinterpret_cast<uint4*>(destination) = bits;
}

// Enough blocks to fill any GPU several times over; grid-stride loops cover the rest.
constexpr int64_t grid_limit = 16384;

#else

#include "emulate.h"

#define LAUNCH_AS emulate::launch_kernel

// So low that grid-stride loops run more than once at the sizes tests use.
constexpr int64_t grid_limit = 8;

#endif

// Errors name the kernel as it is written here, LAUNCH_AS's by its first argument. The stream and the
// kernel's arguments, if any, are the dots.
#define LAUNCH(kernel, grid, block, shared_bytes, ...) \
    LAUNCH_AS(#kernel, kernel, grid, block, shared_bytes, __VA_ARGS__)

// ---- arithmetic type: half and bfloat16 are storage only, all arithmetic is at least fp32 ----

template <class T>
struct Accumulator {
    using type = float;
};
template <>
struct Accumulator<double> {
    using type = double;
};
template <class T>
using acc_t = typename Accumulator<T>::type;

__host__ __device__ inline float to_acc(float x) { return x; }
__host__ __device__ inline double to_acc(double x) { return x; }
__host__ __device__ inline float to_acc(half x) { return __half2float(x); }
__host__ __device__ inline float to_acc(bfloat16 x) { return __bfloat162float(x); }

template <class T, class A>
__host__ __device__ inline T from_acc(A x) {
    static_assert(std::is_same<A, acc_t<T>>::value, "from_acc takes the accumulator type of T");
    if constexpr (std::is_same<T, half>::value) {
        return __float2half_rn(x);
    } else if constexpr (std::is_same<T, bfloat16>::value) {
        return __float2bfloat16_rn(x);
    } else {
        return x;
    }
}

// e^x, for results that are rounded to T, and sums of such. For 16 bits two instructions are enough, which
// are off by less than 2^-17 of it: ex2 by 2^-22 (PTX ISA), the rest is the product's rounding; what is
// below 2^-126 becomes 0. (exp is eight.)
template <class T>
__device__ inline acc_t<T> exp_for(acc_t<T> x) {
#ifdef __CUDACC__
    if constexpr (sizeof(T) == 2) {
        float y;
        asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.44269504f));
        return y;
    }
#endif
    return exp(x);
}

// ---- 128-bit access ----

template <class T>
struct alignas(16) Pack {
    static constexpr int size = 16 / sizeof(T);
    T values[size];
    __device__ T& operator[](int i) { return values[i]; }
    __device__ const T& operator[](int i) const { return values[i]; }
};

// Whether 128-bit accesses from these addresses are legal. A null pointer never stands in the way.
template <class... Pointers>
__host__ __device__ inline bool aligned_for_packs(Pointers... pointers) {
    return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

// Two 16-bit numbers, rounded by one instruction, as the bits of a register.
template <class T>
__device__ inline unsigned pair_of(float first, float second) {
    unsigned bits;
#ifdef __CUDACC__
    if constexpr (std::is_same<T, half>::value) {
        const half2 pair = __floats2half2_rn(first, second);
        memcpy(&bits, &pair, sizeof bits);
    } else {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
        memcpy(&bits, &pair, sizeof bits);
    }
#else
    const T pair[] = {from_acc<T>(first), from_acc<T>(second)};
    memcpy(&bits, pair, sizeof bits);
#endif
    return bits;
}

// A pack of these values. In 16 bits they are rounded two by two.
template <class T>
__device__ inline Pack<T> pack_of(const acc_t<T> (&values)[Pack<T>::size]) {
    Pack<T> pack;
    if constexpr (sizeof(T) == 2) {
#pragma unroll
        for (int i = 0; i < Pack<T>::size; i += 2) {
            const unsigned pair = pair_of<T>(values[i], values[i + 1]);
            memcpy(&pack[i], &pair, sizeof pair);
        }
    } else {
#pragma unroll
        for (int i = 0; i < Pack<T>::size; ++i) {
            pack[i] = values[i];
        }
    }
    return pack;
}

// The values of a pack. Two of 16 bits are taken out of a register by an instruction each.
template <class T>
__device__ inline void unpack(acc_t<T> (&values)[Pack<T>::size], const Pack<T>& pack) {
#ifdef __CUDACC__
    if constexpr (sizeof(T) == 2) {
#pragma unroll
        for (int i = 0; i < Pack<T>::size; i += 2) {
            if constexpr (std::is_same<T, half>::value) {
                half2 pair;
                memcpy(&pair, &pack[i], sizeof pair);
                const float2 both = __half22float2(pair);
                values[i] = both.x;
                values[i + 1] = both.y;
            } else {
                unsigned pair;
                memcpy(&pair, &pack[i], sizeof pair);
                values[i] = __uint_as_float(pair << 16);
                values[i + 1] = __uint_as_float(pair & 0xffff0000u);
            }
        }
        return;
    }
#endif
#pragma unroll
    for (int i = 0; i < Pack<T>::size; ++i) {
        values[i] = to_acc(pack[i]);
    }
}

// One 128-bit load; `source` must be 16-byte aligned.
template <class T>
__device__ inline Pack<T> load_pack(const T* source) {
    Pack<T> pack;
    const uint4 bits = load_128_bits(source);
    memcpy(&pack, &bits, sizeof bits);
    return pack;
}

template <class T>
__device__ inline void store_pack(T* destination, const Pack<T>& pack) {
    uint4 bits;
    memcpy(&bits, &pack, sizeof bits);
    store_128_bits(destination, bits);
}

// Elements [start, start + Pack::size) of an array of `end` elements, whatever its alignment: one
// 128-bit access where the array is aligned and the pack is whole, else element by element, with
// zeros for what lies past the end. `start` is a multiple of Pack::size.
template <class T>
__device__ inline Pack<T> load_pack(const T* array, int64_t start, int64_t end, bool aligned) {
    if (!aligned || start + Pack<T>::size > end) {  // loaded one by one
        Pack<T> pack;
#pragma unroll
        for (int i = 0; i < Pack<T>::size; ++i) {
            pack[i] = start + i < end ? array[start + i] : from_acc<T>(acc_t<T>(0));
        }
        return pack;
    }
    return load_pack(array + start);
}

template <class T>
__device__ inline void store_pack(T* array, const Pack<T>& pack, int64_t start, int64_t end,
                                  bool aligned) {
    if (!aligned || start + Pack<T>::size > end) {  // stored one by one
#pragma unroll
        for (int i = 0; i < Pack<T>::size; ++i) {
            if (start + i < end) {
                array[start + i] = pack[i];
            }
        }
        return;
    }
    store_pack(array + start, pack);
}

// ---- sizes ----

__host__ __device__ constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks for `items` units of work at `items_per_block`, for kernels whose blocks stride over the grid.
inline int64_t blocks_for(int64_t items, int64_t items_per_block) {
    const int64_t blocks = ceil_div(items, items_per_block);
    return blocks < grid_limit ? blocks : grid_limit;
}

// This thread's place in a one-dimensional grid, and the number of threads in it.
__device__ inline int64_t global_thread() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t thread_count() { return int64_t(gridDim.x) * blockDim.x; }

// ---- errors that only a kernel can see ----

// Notes an index that is out of range: sets invalid[0] to 1 and invalid[1], 0 at first, to the index;
// to the largest of several, where negative ones count as larger, so that it does not depend on the
// order of threads. The memory may be the host's.
__device__ inline void report_invalid(int64_t* invalid, int64_t index) {
    auto* words = reinterpret_cast<unsigned long long*>(invalid);
    atomicMax(words + 1, static_cast<unsigned long long>(index));
    __threadfence_system();  // the host may look at any time
    atomicExch(words, 1ull);
}
