// What kernels that tapegrad.fusion writes are made of: each row is walked over by a block, or each
// element by a thread; sums and extremes are those of reduce.cuh.
#pragma once

#ifndef __CUDACC_RTC__
#include <limits>
#endif

#include "function.h"
#include "reduce.cuh"

namespace fused_kernels {

ELEMENT_FUNCTION float widened(half x) { return to_acc(x); }
ELEMENT_FUNCTION float widened(bfloat16 x) { return to_acc(x); }
template <class S>
ELEMENT_FUNCTION S narrowed(float x) {
    return from_acc<S>(x);
}

#include "fused.h"

using Float16 = Narrow<half>;
using BFloat16 = Narrow<bfloat16>;

constexpr int threads_of_row = 256;

// Of a table with one row for each of several kernels, the row of the one whose block this is: its
// first block, how many it has, and what it is told.
__device__ inline const int64_t* row_of_block(const int64_t* table, int64_t count, int64_t width) {
    int64_t low = 0, high = count;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        (table[middle * width] <= blockIdx.x ? low : high) = middle;
    }
    return table + low * width;
}

struct Larger {
    template <class A>
    __device__ A operator()(A a, A b) const {
        return larger_of(a, b);
    }
};
struct Smaller {
    template <class A>
    __device__ A operator()(A a, A b) const {
        return smaller_of(a, b);
    }
};

// What a reduction begins with, and how it goes on.
template <class A>
struct RowSum {
    static constexpr A nothing = A(0);
    static __device__ A of(A a, A b) { return a + b; }
    static __device__ A over_row(A part) { return block_reduce<threads_of_row>(part, ::Sum()); }
};
template <class A>
struct RowMax {
    static constexpr A nothing = std::numeric_limits<A>::has_infinity
                                     ? -std::numeric_limits<A>::infinity()
                                     : std::numeric_limits<A>::lowest();
    static __device__ A of(A a, A b) { return larger_of(a, b); }
    static __device__ A over_row(A part) { return block_reduce<threads_of_row>(part, Larger()); }
};
template <class A>
struct RowMin {
    static constexpr A nothing = std::numeric_limits<A>::has_infinity
                                     ? std::numeric_limits<A>::infinity()
                                     : std::numeric_limits<A>::max();
    static __device__ A of(A a, A b) { return smaller_of(a, b); }
    static __device__ A over_row(A part) { return block_reduce<threads_of_row>(part, Smaller()); }
};

}  // namespace fused_kernels
