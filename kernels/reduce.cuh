// Reductions over a warp and over a block. The order of the additions depends only on the block size,
// so results are the same bits in every run, and all threads receive the same bits.
#pragma once

#include "device.cuh"

struct Sum {
    template <class V>
    __device__ V operator()(V a, V b) const {
        return a + b;
    }
};

struct Max {
    template <class V>
    __device__ V operator()(V a, V b) const {
        return max(a, b);
    }
};

constexpr unsigned full_warp = 0xFFFFFFFFu;

// Shuffles any plain value whose size is a multiple of 4 bytes, such as a struct of two floats.
template <class V>
__device__ inline V shuffle_xor(V value, int lanes) {
    static_assert(sizeof(V) % 4 == 0 && std::is_trivially_copyable<V>::value, "plain 4-byte words");
    constexpr int count = sizeof(V) / 4;
    unsigned words[count];
    memcpy(words, &value, sizeof value);
#pragma unroll
    for (int i = 0; i < count; ++i) {
        words[i] = __shfl_xor_sync(full_warp, words[i], lanes);
    }
    memcpy(&value, words, sizeof value);
    return value;
}

// Combines the values of groups of `width` neighbouring lanes (a power of two; all 32 by default). A
// butterfly, so every lane gets the result. `combine` must give the same bits for (a, b) and (b, a).
template <int width = 32, class V, class Combine>
__device__ inline V warp_reduce(V value, Combine combine) {
#pragma unroll
    for (int lanes = width / 2; lanes > 0; lanes /= 2) {
        value = combine(value, shuffle_xor(value, lanes));
    }
    return value;
}

// Combines the values of all threads of a one-dimensional block of `threads` threads, a power of two
// from 32 to 1024. Every thread must call it, and every thread gets the result.
template <int threads, class V, class Combine>
__device__ inline V block_reduce(V value, Combine combine) {
    static_assert(threads >= 32 && threads <= 1024 && (threads & (threads - 1)) == 0,
                  "a power of two of whole warps");
    constexpr int warps = threads / 32;
    value = warp_reduce(value, combine);
    if constexpr (warps > 1) {
        SHARED(partial, V[warps]);
        __syncthreads();  // an earlier reduction may still be reading `partial`
        if (threadIdx.x % 32 == 0) {
            partial[threadIdx.x / 32] = value;
        }
        __syncthreads();
        value = warp_reduce<warps>(partial[threadIdx.x % warps], combine);
    }
    return value;
}

template <int threads, class V>
__device__ inline V block_sum(V value) {
    return block_reduce<threads>(value, Sum());
}

template <int threads, class V>
__device__ inline V block_max(V value) {
    return block_reduce<threads>(value, Max());
}
