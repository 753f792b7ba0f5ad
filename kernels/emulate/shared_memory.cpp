#include "shared_memory.h"

#include <cstring>

#include "errors.h"
#include "interruption.h"

namespace emulate {

uint64_t block_serial = 0;

alignas(128) unsigned char static_arena[2 * max_static_shared_bytes];
alignas(128) unsigned char dynamic_arena[max_shared_bytes + guard_bytes];
size_t static_arena_used;
size_t static_bytes_used;
std::vector<PlacedArray> placed_arrays;

namespace {

void place_guard(const char* name, unsigned char* begin, unsigned char* end, SharedArray* array) {
    std::memset(end, guard_value, guard_bytes);
    placed_arrays.push_back({name, begin, end, array});
}

}  // namespace

void prepare_shared_memory() {
    static uint64_t begun = 0;  // block_serial goes back where a block goes on
    block_serial = ++begun;
    static_arena_used = 0;
    static_bytes_used = 0;
    placed_arrays.clear();
    if (launch.shared_bytes > 0) {
        std::memset(dynamic_arena, poison_value, launch.shared_bytes);
        place_guard("dynamic shared memory", dynamic_arena, dynamic_arena + launch.shared_bytes, nullptr);
    }
}

check::SharedMemory shared_memory() {
    return {static_arena, sizeof static_arena, dynamic_arena, sizeof dynamic_arena, launch.shared_bytes};
}

void check_guards() {
    for (const PlacedArray& array : placed_arrays) {
        for (size_t i = 0; i < guard_bytes; ++i) {
            if (array.end[i] != guard_value) {
                fail_in_block("", "wrote " + std::to_string(i + 1) + " bytes or more past the end of " +
                                      array.name);
            }
        }
    }
}

void place_shared_array(SharedArray& array, size_t bytes, size_t alignment) {
    leave_kernel();
    static_bytes_used = (static_bytes_used + alignment - 1) / alignment * alignment + bytes;
    if (static_bytes_used > max_static_shared_bytes) {
        fail("shared array " + std::string(array.name) + " brings the static shared memory to " +
             std::to_string(static_bytes_used) + " bytes; the limit is " +
             std::to_string(max_static_shared_bytes));
    }
    if (static_bytes_used + launch.shared_bytes > max_shared_bytes) {
        fail("static and dynamic shared memory together exceed " + std::to_string(max_shared_bytes) +
             " bytes");
    }
    constexpr size_t placement = 128;  // at least the alignment of anything a kernel may declare
    unsigned char* address = static_arena + static_arena_used;
    static_arena_used += (bytes + guard_bytes + placement - 1) / placement * placement;
    std::memset(address, poison_value, bytes);
    place_guard(array.name, address, address + bytes, &array);
    check::place_shared_array(array.name, address, bytes);
    array.address = address;
    array.block_serial = block_serial;
    return_to_kernel();
}

void* dynamic_shared_memory() { return dynamic_arena; }

bool is_shared(const void* address) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    return at - reinterpret_cast<uintptr_t>(static_arena) < static_arena_used ||
           at - reinterpret_cast<uintptr_t>(dynamic_arena) < launch.shared_bytes;
}

}  // namespace emulate
