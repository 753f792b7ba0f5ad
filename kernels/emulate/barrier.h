// The barrier of a block.
#pragma once

#include "block.h"

#pragma GCC visibility push(hidden)

namespace emulate {

struct Barrier {
    int waiting = 0;
    int exited = 0;
    int first = 0;  // the thread that came first
    Site site{};
    BarrierKind kind{};
    int votes = 0;
    int result = 0;
};

extern Barrier barriers[max_blocks_of_cluster];

void end_barrier_if_complete(int rank);

}  // namespace emulate

#pragma GCC visibility pop
