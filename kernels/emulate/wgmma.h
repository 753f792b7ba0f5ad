// wgmma: products of matrices in shared memory, the left of which may be in registers, which the four warps of a warpgroup begin together and wait
// for later. From then until then the accumulators are NaN, and neither they nor the matrices may change.
// Each warp computes its 16 rows by itself; all must have begun the same.
#pragma once

#include "runtime.h"
#include "tensor_cores.h"

#pragma GCC visibility push(hidden)

namespace emulate {

constexpr int wgmma_depth = 16;  // along k, of 16-bit numbers

struct Wgmma {
    int columns;  // of d, which has 64 rows
    Multiplicand type;
    bool a_across_k, b_across_k;  // neighbours in memory are neighbours along m, or n, and not along k
    bool adds;                    // to d; or d is overwritten
    bool a_in_registers = false;
};

// d = a b, or d += a b; d: this thread's columns / 2 sums, as mma.sync's c, from left to right.
void begin_wgmma(const Wgmma& what, float* d, uint64_t a, uint64_t b, Site site);
// The same where a is in four registers of each thread, as mma.sync has it, which are read now: what the
// compiler keeps for them until the wait is not followed.
void begin_wgmma_of_registers(const Wgmma& what, float* d, const unsigned* a, uint64_t b, Site site);

// Orders what was done with registers before those products that use them next.
void fence_wgmma(Site site);
void commit_wgmma(Site site);
void wait_for_wgmma(int groups_left, Site site);

// ---- told by the scheduler ----

void begin_wgmma_of_block();
void require_no_wgmma(int thread);  // it exits
void require_same_wgmma();          // by the warps of each warpgroup: the block ends

}  // namespace emulate

#pragma GCC visibility pop
