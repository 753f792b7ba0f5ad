// The shared memory of the block that runs, with a guard behind each of its arrays.
#pragma once

#include <vector>

#include "block.h"

#pragma GCC visibility push(hidden)

namespace emulate {

constexpr size_t guard_bytes = 64;
constexpr unsigned char guard_value = 0xA5;
constexpr unsigned char poison_value = 0xFF;  // NaN in every floating point format

struct PlacedArray {
    const char* name;
    unsigned char* begin;
    unsigned char* end;  // where its guard begins
    SharedArray* array;  // null: the dynamic shared memory
};

// Guards and alignment take room of their own; only the arrays count against the limit.
alignas(128) extern unsigned char static_arena[2 * max_static_shared_bytes];
alignas(128) extern unsigned char dynamic_arena[max_shared_bytes + guard_bytes];
extern size_t static_arena_used;
extern size_t static_bytes_used;
extern std::vector<PlacedArray> placed_arrays;

void prepare_shared_memory();  // of a block
check::SharedMemory shared_memory();
void check_guards();

// Whether an address lies in it.
bool is_shared(const void* address);

}  // namespace emulate

#pragma GCC visibility pop
