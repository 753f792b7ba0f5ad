// Random bits as a function of a key and a counter, with no state to carry (philox.h). Element i of the
// stream (seed, offset) is word i % 4 of the block with counter (i / 4, offset) under the key `seed`, so
// every device and every grid draws the same bits.
#pragma once

#include "device.cuh"
#include "philox.h"

constexpr int philox_words = 4;  // per block

__device__ inline uint4 philox4x32_10(uint4 counter, uint2 key) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        philox_round(counter.x, counter.y, counter.z, counter.w, key.x, key.y);
    }
    return counter;
}

// A launch that is recorded and replayed draws other numbers every time: its seed is start[0], and its
// offset counts from start[1]. Null for others.
__device__ inline void begin_stream(const uint64_t* start, uint64_t& seed, uint64_t& offset) {
    if (start != nullptr) {
        seed = start[0];
        offset += start[1];
    }
}

__device__ inline uint4 philox_block(uint64_t block, uint64_t seed, uint64_t offset) {
    return philox4x32_10(make_uint4(unsigned(block), unsigned(block >> 32), unsigned(offset),
                                    unsigned(offset >> 32)),
                         make_uint2(unsigned(seed), unsigned(seed >> 32)));
}
