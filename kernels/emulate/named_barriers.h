// Barriers of a part of the block (bar.sync with a number), and how a warpgroup's registers are set.
#pragma once

#include "runtime.h"

#pragma GCC visibility push(hidden)

namespace emulate {

// Until so many threads are there; 1 to 15: 0 is __syncthreads().
void wait_at_named_barrier(int id, int count, Site site);

// All warps of a warpgroup must set the same number, and all together have no more than there are.
void set_registers(int count, bool increases, Site site);

// ---- told by the scheduler ----

void begin_named_barriers_of_block();
void require_same_registers();  // of the warps of each warpgroup: the block ends
std::string describe_named_barrier(int thread);  // that it waits at

}  // namespace emulate

#pragma GCC visibility pop
