#include "async_copies.h"

#include <algorithm>
#include <vector>

#include "block.h"
#include "errors.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulate {

namespace {

struct Copy {
    void* destination;
    const void* source;
    size_t bytes;  // of the source; the others are zeros
    Site site;
    int group;
};

struct Copies {
    std::vector<Copy> begun;
    int group = 0;   // that a commit ends
    uint32_t count = 0;
};

Copies copies[max_threads];
uint64_t seed_of_block;
Schedule schedule_of_launch;

void perform(const Copy& copy) {
    unsigned char landed[copy_bytes] = {};
    if (copy.bytes > 0) {
        std::memcpy(landed, copy.source, copy.bytes);
    }
    std::memcpy(copy.destination, landed, copy_bytes);
}

// By a hash, not a draw: the order of threads stays that of the seed.
bool comes_early(int thread, uint32_t count) {
    if (schedule_of_launch != Schedule::random) {
        return schedule_of_launch == Schedule::descending;
    }
    uint64_t x = seed_of_block + (uint64_t(thread) << 32) + count;
    x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDu;
    x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53u;
    return (x ^ (x >> 33)) % 4 == 0;
}

void land(int thread, int groups_before) {
    std::vector<Copy>& begun = copies[thread].begun;
    const auto is_due = [=](const Copy& copy) { return copy.group < groups_before; };
    for (const Copy& copy : begun) {
        if (is_due(copy)) {
            check::end_copy(copy.destination, copy.source, copy.bytes, copy.site.code);
        }
    }
    leave_kernel();
    for (const Copy& copy : begun) {
        if (is_due(copy)) {
            perform(copy);
        }
    }
    begun.erase(std::remove_if(begun.begin(), begun.end(), is_due), begun.end());
    return_to_kernel();
}

}  // namespace

void copy_async(void* destination, const void* source, int bytes, Site site) {
    note_code(site, __builtin_return_address(0));
    const int thread = running_thread();
    if (reinterpret_cast<uintptr_t>(destination) % copy_bytes != 0) {
        fail_misaligned(destination);
    }
    if (reinterpret_cast<uintptr_t>(source) % copy_bytes != 0) {
        fail_misaligned(source);
    }
    if (!is_shared(destination)) {
        fail("copies asynchronously to memory that is not shared memory");
    }
    if (bytes < 0 || bytes > int(copy_bytes)) {
        fail("copies " + std::to_string(bytes) + " bytes asynchronously; it can be 0 to 16");
    }
    Copies& mine = copies[thread];
    const Copy copy{destination, source, size_t(bytes), site, mine.group};
    check::begin_copy(copy.destination, copy.source, copy.bytes, site.code);
    leave_kernel();
    if (comes_early(thread, mine.count++)) {
        perform(copy);
    } else {
        std::memset(destination, 0xFF, copy_bytes);
    }
    mine.begun.push_back(copy);
    return_to_kernel();
}

void commit_copies() { ++copies[running_thread()].group; }

void wait_for_copies(int groups_left) {
    const int thread = running_thread();
    land(thread, copies[thread].group - groups_left);
}

void begin_copies_of_block(int threads, uint64_t seed, Schedule schedule) {
    for (int thread = 0; thread < threads; ++thread) {
        copies[thread].begun.clear();
        copies[thread].group = 0;
        copies[thread].count = 0;
    }
    seed_of_block = seed;
    schedule_of_launch = schedule;
}

void land_copies(int thread) { land(thread, copies[thread].group + 1); }

void require_no_copies(int thread) {
    const std::vector<Copy>& left = copies[thread].begun;
    if (!left.empty()) {
        fail("exits without having waited for a copy that it began at " + place(left.front().site));
    }
}

}  // namespace emulate
