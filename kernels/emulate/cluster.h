// Blocks of a cluster, which run at the same time: their barrier (barrier.cluster), at which a thread arrives
// and waits later. Who has exited is not waited for. What it has in shared memory of others is in
// shared_memory.h, mbarrier.h and bulk_copies.h.
#pragma once

#include "runtime.h"

#pragma GCC visibility push(hidden)

namespace emulate {

int rank_in_cluster();
// Between two waits a thread arrives once.
void arrive_at_cluster(Site site);
void wait_at_cluster(Site site);

// The same place in the shared memory of another block.
void* map_to_block(const void* address, int rank, Site site);

// ---- told by the scheduler ----

void begin_cluster_barrier();
void leave_cluster_barrier();  // the thread that runs exits
std::string describe_cluster_barrier();  // that a thread waits at

}  // namespace emulate

#pragma GCC visibility pop
