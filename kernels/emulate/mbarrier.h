// mbarriers: eight bytes of shared memory at which threads arrive and wait, and to which bulk copies report
// the bytes that have come. A phase ends when neither arrivals nor bytes are missing; the next begins at
// once. In the memory are the phase's parity, the arrivals missing, those of a phase, and the bytes missing.
#pragma once

#include "runtime.h"

#pragma GCC visibility push(hidden)

namespace emulate {

void init_mbarrier(uint64_t* barrier, int arrivals, Site site);
// Counts one arrival; before it, the phase waits for so many bytes more.
void arrive_at_mbarrier(uint64_t* barrier, int64_t bytes, Site site);
// At the one that another block of the cluster has at this place.
void arrive_at_mbarrier_of(uint64_t* barrier, int rank, Site site);
// Until the phase with this parity has ended.
void wait_at_mbarrier(uint64_t* barrier, unsigned parity, Site site);

// ---- told by bulk copies ----

// Fails where no mbarrier is there, or none that was made visible to them.
void require_mbarrier(uint64_t* barrier, Site site);
void complete_bytes(uint64_t* barrier, int64_t bytes);
// For the checks, its phase: who is slow has not seen what comes in the next one.
const void* phase_of_mbarrier(const uint64_t* barrier);

// ---- told by the scheduler ----

void begin_mbarriers_of_block();
void publish_mbarriers();  // of the block that runs, by a fence, to bulk copies and other blocks
std::string describe_mbarrier(int thread);  // that it waits at

}  // namespace emulate

#pragma GCC visibility pop
