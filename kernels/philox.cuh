// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
// random bits as a function of a key and a counter, with no state to carry. Element i of the stream
// (seed, offset) is word i % 4 of the block with counter (i / 4, offset) under the key `seed`, so every
// device and every grid draws the same bits.
#pragma once

#include "device.cuh"

constexpr int philox_words = 4;  // per block

__device__ inline uint4 philox4x32_10(uint4 counter, uint2 key) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned high_0 = __umulhi(0xD2511F53u, counter.x);
        const unsigned low_0 = 0xD2511F53u * counter.x;
        const unsigned high_1 = __umulhi(0xCD9E8D57u, counter.z);
        const unsigned low_1 = 0xCD9E8D57u * counter.z;
        counter = make_uint4(high_1 ^ counter.y ^ key.x, low_1, high_0 ^ counter.w ^ key.y, low_0);
        key.x += 0x9E3779B9u;  // the golden ratio
        key.y += 0xBB67AE85u;  // sqrt(3) - 1
    }
    return counter;
}

__device__ inline uint4 philox_block(uint64_t block, uint64_t seed, uint64_t offset) {
    return philox4x32_10(make_uint4(unsigned(block), unsigned(block >> 32), unsigned(offset),
                                    unsigned(offset >> 32)),
                         make_uint2(unsigned(seed), unsigned(seed >> 32)));
}
