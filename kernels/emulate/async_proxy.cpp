#include "async_proxy.h"

#include "block.h"
#include "errors.h"
#include "mbarrier.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulate {

namespace {

constexpr size_t proxy_pack = 16;
constexpr size_t all_bytes = sizeof dynamic_arenas;
unsigned char seen_by_proxy[all_bytes];
unsigned char swizzle_of_pack[all_bytes / proxy_pack];  // and 1; 0: no bulk copy brought it
bool is_proxy_used = false;  // by the cluster, so that others pay nothing

constexpr uintptr_t pattern_bytes = 1024;  // after which every swizzle begins anew

unsigned char* published_at(const void* address) {
    if (!is_proxy_used) {
        const size_t bytes = size_t(cluster_blocks) * dynamic_arena_bytes;
        std::memset(seen_by_proxy, poison_value, bytes);
        std::memset(swizzle_of_pack, 0, bytes / proxy_pack);
        is_proxy_used = true;
    }
    return seen_by_proxy + (static_cast<const unsigned char*>(address) - dynamic_arenas[0]);
}

unsigned char& swizzle_at(const void* address) {
    return swizzle_of_pack[size_t(published_at(address) - seen_by_proxy) / proxy_pack];
}

// From where the dynamic shared memory of its block begins, or, of others, that of the block that runs.
uintptr_t offset_in_arena(const void* address) {
    const uintptr_t offset = reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(dynamic_arenas[0]);
    return offset < all_bytes ? offset % dynamic_arena_bytes
                              : reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(dynamic_arena);
}

}  // namespace

void fence_proxy_async() {
    leave_kernel();
    for (size_t byte = 0; byte < launch.shared_bytes; byte += proxy_pack) {
        unsigned char* const seen = published_at(dynamic_arena + byte);
        if (std::memcmp(seen, dynamic_arena + byte, proxy_pack) != 0) {
            std::memcpy(seen, dynamic_arena + byte, proxy_pack);
            swizzle_at(dynamic_arena + byte) = 0;
        }
    }
    publish_mbarriers();
    return_to_kernel();
}

unsigned shared_window_address(const void* address) {
    const uintptr_t offset = offset_in_arena(address);
    return unsigned(offset + reinterpret_cast<uintptr_t>(dynamic_arena) % pattern_bytes);
}

unsigned char* at_shared_window(unsigned address, int rank) {
    unsigned char* const arena = dynamic_arenas[rank];
    return arena - reinterpret_cast<uintptr_t>(arena) % pattern_bytes + address;
}

void require_dynamic_shared(const void* address, size_t bytes, const char* what, Site site) {
    const uintptr_t offset = offset_in_arena(address);
    if (offset > launch.shared_bytes || bytes > launch.shared_bytes - offset) {
        fail(std::string(what) + " at " + place(site) + " reaches out of the " +
             std::to_string(launch.shared_bytes) + " bytes of dynamic shared memory");
    }
}

void require_published(const void* address, size_t bytes, const char* what, Site site) {
    if (std::memcmp(published_at(address), address, bytes) != 0) {
        fail(std::string(what) + " at " + place(site) +
             " reads what threads have written to shared memory, and no fence_proxy_async() since");
    }
}

void note_bulk_write(const void* address, size_t bytes, Swizzle swizzle) {
    std::memcpy(published_at(address), address, bytes);
    std::memset(&swizzle_at(address), int(swizzle) + 1, bytes / proxy_pack);
}

void require_swizzle(const void* pack, Swizzle swizzle, const char* what, Site site) {
    const int own = swizzle_at(pack);
    if (own != 0 && own != int(swizzle) + 1) {
        fail(std::string(what) + " at " + place(site) +
             " reads what a bulk copy has brought with another swizzle");
    }
}

void begin_async_proxy_of_block() { is_proxy_used = false; }

}  // namespace emulate
