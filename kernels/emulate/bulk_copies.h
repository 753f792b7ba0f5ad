// Copies of boxes of a tensor between global and shared memory, which one thread begins and the tensor
// memory accelerator carries out (cp.async.bulk.tensor). Until a load has landed its destination reads as
// NaN. In the ascending schedule all land when nobody can run without them, in the descending one at
// once, in the random one at a random later turn, in any order.
#pragma once

#include "tensor_map.h"

#pragma GCC visibility push(hidden)

namespace emulate {

// The box that begins at these coordinates, of which there are map.rank; zeros for what is outside of the
// array. All bytes of the box are reported to the mbarrier.
void load_box(void* destination, const TensorMap& map, uint64_t* barrier, const int* at, Site site);
// The same to this place in each block of the cluster whose rank's bit is set, each of whose mbarriers, at
// this place, hears of it.
void load_box_for(unsigned ranks, void* destination, const TensorMap& map, uint64_t* barrier, const int* at,
                  Site site);

// The other way round; what is outside is not stored. Waited for by groups of this thread, as cp.async is.
void store_box(const TensorMap& map, const int* at, const void* source, Site site);
void commit_stores();
void wait_for_stores(int groups_left);  // until they have read their source

// Fails where a load that has not landed writes there.
void require_landed(const void* address, size_t bytes, const char* what, Site site);

// ---- told by the scheduler ----

void begin_bulk_copies_of_block();
void land_by_chance();
bool land_one_bulk_copy();  // whether there was one
void land_bulk_copies();    // all: the block waits for the grid
void require_no_stores(int thread);  // it exits
void require_no_loads();             // the last thread of its block exits

}  // namespace emulate

#pragma GCC visibility pop
