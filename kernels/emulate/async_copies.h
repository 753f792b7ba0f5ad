// cp.async: copies to shared memory that a thread begins, groups, and waits for later. Until it has
// waited, their destination reads as NaN; or the copy comes at once, as hardware may have it: in the
// ascending schedule all come late, in the descending one early, in the random one as it falls.
#pragma once

#include "runtime.h"

#pragma GCC visibility push(hidden)

namespace emulate {

// Of 16 bytes: the first `bytes` come from `source`, the others are zeros. Both addresses must be
// multiples of 16, and the destination in shared memory.
void copy_async(void* destination, const void* source, int bytes, Site site);
void commit_copies();
void wait_for_copies(int groups_left);

// ---- told by the scheduler ----

void begin_copies_of_block(int threads, uint64_t seed, Schedule schedule);
void land_copies(int thread);        // all that it began: it is about to wait for the grid
void require_no_copies(int thread);  // it exits

}  // namespace emulate

#pragma GCC visibility pop
