// The barrier of a block.
#pragma once

#include "runtime.h"

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

extern Barrier barrier;

void end_barrier_if_complete();

}  // namespace emulate

#pragma GCC visibility pop
