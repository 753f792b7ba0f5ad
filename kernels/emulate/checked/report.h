// What the checks found in a launch, and how it is told.
#pragma once

#include "../symbols.h"
#include "shadow.h"

#pragma GCC visibility push(hidden)

namespace emulate {
namespace check {

// One access of a race: what a thread of a block did, and where in the code.
struct Access {
    bool writes, is_atomic;
    int thread;
    Stamp stamp;
    SiteOffset site;
};

void begin_reports_of_launch();
void begin_reports_of_cluster(const uint3& first_block);

// Notes a race once for each pair of sites, until the launch ends.
void report_race(uintptr_t address, const Access& earlier, const Access& later);

// The same for a plain read of what another thread changes atomically. It is no race where the thread
// confirms by a compare-and-swap what it read, which is known later: `forget_suspicions`. Nor is it then at
// the same place in the code by threads that see in the value that there is nothing to swap.
void note_confirmed(SiteOffset site);
bool is_confirmed(SiteOffset site);
void suspect_race(uintptr_t address, const Access& earlier, const Access& later);
void forget_suspicions(uintptr_t address, size_t bytes);  // of the thread that runs
void settle_suspicions();  // of the same: it exits, and confirms no more

// The same for an access to what an asynchronous copy, not yet waited for, writes.
void report_copy_in_flight(uintptr_t address, const Access& copy, const Access& access);

// The same for a use of shared memory in a block of the cluster that may have ended before.
void report_reach(int rank, const Access& access);

// The same for reading memory that nothing wrote.
void report_unwritten(uintptr_t address, SiteOffset site, Kind kind);

// These end the launch at once. Who calls stop_misaligned or stop_wrong_index has left the kernel.
[[noreturn]] void stop_out_of_bounds(uintptr_t address, size_t bytes, bool writes, SiteOffset site);
[[noreturn]] void stop_misaligned(uintptr_t address, size_t alignment, const std::string& place);
[[noreturn]] void stop_wrong_index(int64_t index, const std::string& type, const std::string& place);
[[noreturn]] void stop_spinning(uintptr_t address, SiteOffset site, const Access* last_write);

inline SiteOffset offset_of(CodeAddress site) {
    return SiteOffset(reinterpret_cast<uintptr_t>(site) - 1 - module_start);
}

}  // namespace check
}  // namespace emulate

#pragma GCC visibility pop
