// The shared memory of the blocks of the cluster that runs, with a guard behind each of its arrays.
#pragma once

#include <vector>

#include "block.h"

#pragma GCC visibility push(hidden)

namespace emulate {

constexpr size_t guard_bytes = 64;
constexpr unsigned char guard_value = 0xA5;
constexpr unsigned char poison_value = 0xFF;  // NaN in every floating point format

// A static one; where it is in each block.
struct PlacedArray {
    const char* name;
    size_t begin, end;  // where its guard begins
    SharedArray* array;
};

// Guards and alignment take room of their own; only the arrays count against the limit. Those of a cluster's
// blocks are whole patterns of any swizzle apart.
constexpr size_t static_arena_bytes = 2 * max_static_shared_bytes;
constexpr size_t dynamic_arena_bytes = max_shared_bytes + 1024;
extern unsigned char (&static_arenas)[max_blocks_of_cluster][static_arena_bytes];
extern unsigned char (&dynamic_arenas)[max_blocks_of_cluster][dynamic_arena_bytes];
extern unsigned char* dynamic_arena;  // of the block whose turn it is
extern size_t static_arena_used;
extern size_t static_bytes_used;
extern std::vector<PlacedArray> placed_arrays;

void prepare_shared_memory();  // of a cluster
void enter_shared_memory(int rank);
check::SharedMemory shared_memory();
void check_guards();

// Of which block of the cluster it is; -1: of none.
int rank_of_shared(const void* address);
// Whether it is of the block whose turn it is.
bool is_shared(const void* address);

// The same place in another block's. Fails where the address is not in shared memory, or that block is not
// there (any more); what: is said then.
void* map_shared(const void* address, int rank, const char* what, Site site);

}  // namespace emulate

#pragma GCC visibility pop
