#include "shared_memory.h"

#include <cstring>

#include "errors.h"
#include "interruption.h"

namespace emulate {

uint64_t cluster_serial = 0;
unsigned char* static_memory = nullptr;

namespace {

// In front of each is room for what a kernel accesses before its first array.
struct {
    alignas(128) unsigned char before_static[check::before_shared];
    unsigned char static_arenas[max_blocks_of_cluster][static_arena_bytes];
    unsigned char before_dynamic[check::before_shared];
    unsigned char dynamic_arenas[max_blocks_of_cluster][dynamic_arena_bytes];
} memory;

}  // namespace

unsigned char (&static_arenas)[max_blocks_of_cluster][static_arena_bytes] = memory.static_arenas;
unsigned char (&dynamic_arenas)[max_blocks_of_cluster][dynamic_arena_bytes] = memory.dynamic_arenas;
unsigned char* dynamic_arena = dynamic_arenas[0];
size_t static_arena_used;
size_t static_bytes_used;
std::vector<PlacedArray> placed_arrays;

namespace {

void require_guard(int rank, const char* name, const unsigned char* end) {
    for (size_t i = 0; i < guard_bytes; ++i) {
        if (end[i] != guard_value) {
            enter_block(rank);
            fail_in_block("", "wrote " + std::to_string(i + 1) + " bytes or more past the end of " + name);
        }
    }
}

}  // namespace

void prepare_shared_memory() {
    static uint64_t begun = 0;  // cluster_serial goes back where a block goes on
    cluster_serial = ++begun;
    static_arena_used = 0;
    static_bytes_used = 0;
    placed_arrays.clear();
    for (int rank = 0; rank < cluster_blocks; ++rank) {
        std::memset(dynamic_arenas[rank], poison_value, launch.shared_bytes);
        std::memset(dynamic_arenas[rank] + launch.shared_bytes, guard_value, guard_bytes);
    }
}

void enter_shared_memory(int rank) {
    static_memory = static_arenas[rank];
    dynamic_arena = dynamic_arenas[rank];
}

check::SharedMemory shared_memory() {
    return {static_arenas[0],   static_arena_bytes,  dynamic_arenas[0],
            dynamic_arena_bytes, launch.shared_bytes, cluster_blocks};
}

void check_guards() {
    for (int rank = 0; rank < cluster_blocks; ++rank) {
        if (launch.shared_bytes > 0) {
            require_guard(rank, "dynamic shared memory", dynamic_arenas[rank] + launch.shared_bytes);
        }
        for (const PlacedArray& array : placed_arrays) {
            require_guard(rank, array.name, static_arenas[rank] + array.end);
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
    if (static_bytes_used + launch.shared_bytes > launch.most_shared_bytes) {
        fail("static and dynamic shared memory together exceed " +
             std::to_string(launch.most_shared_bytes) + " bytes");
    }
    constexpr size_t placement = 128;  // at least the alignment of anything a kernel may declare
    const size_t begin = static_arena_used, end = begin + bytes;
    static_arena_used += (bytes + guard_bytes + placement - 1) / placement * placement;
    placed_arrays.push_back({array.name, begin, end, &array});
    for (int rank = 0; rank < cluster_blocks; ++rank) {
        std::memset(static_arenas[rank] + begin, poison_value, bytes);
        std::memset(static_arenas[rank] + end, guard_value, guard_bytes);
        check::place_shared_array(array.name, static_arenas[rank] + begin, bytes);
    }
    array.offset = begin;
    array.cluster_serial = cluster_serial;
    return_to_kernel();
}

void* dynamic_shared_memory() { return dynamic_arena; }

int rank_of_shared(const void* address) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    for (int rank = 0; rank < cluster_blocks; ++rank) {
        if (at - reinterpret_cast<uintptr_t>(static_arenas[rank]) < static_arena_used ||
            at - reinterpret_cast<uintptr_t>(dynamic_arenas[rank]) < launch.shared_bytes) {
            return rank;
        }
    }
    return -1;
}

bool is_shared(const void* address) { return rank_of_shared(address) == current_rank; }

void* map_shared(const void* address, int rank, const char* what, Site site) {
    const std::string where = std::string(what) + " at " + place(site);
    if (!is_shared(address)) {
        fail(where + ": not an address in shared memory of this block");
    }
    if (rank < 0 || rank >= cluster_blocks) {
        fail(where + ": the cluster has no block " + std::to_string(rank) + ", but " +
             std::to_string(cluster_blocks));
    }
    if (has_exited(rank)) {
        fail(where + " reaches for the shared memory of block " + place(block_indices[rank]) +
             ", which has exited: all blocks of a cluster wait for each other before they end "
             "(cluster_arrive(), cluster_wait())");
    }
    const auto* const at = static_cast<const unsigned char*>(address);
    const size_t offset = size_t(at - static_memory);
    return offset < static_arena_bytes ? static_arenas[rank] + offset
                                       : dynamic_arenas[rank] + (at - dynamic_arena);
}

}  // namespace emulate
