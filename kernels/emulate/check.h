// What the scheduler, the device functions and the bindings tell the checks of the checked build
// (checked/), and what they ask of them. In the fast build all of it is empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../launch.h"
#include "types.h"

// Device functions whose calls are to be told apart by where they are: the checks ask for the address
// that they return to, so what calls them must be the kernel itself.
#ifdef TAPEGRAD_CHECKED
#define EMULATE_CALLED_BY_KERNELS __attribute__((always_inline)) inline
#else
#define EMULATE_CALLED_BY_KERNELS inline
#endif

#pragma GCC visibility push(hidden)

namespace emulate {

// An address in the kernel's code.
using CodeAddress = const void*;

constexpr size_t copy_bytes = 16;  // that an asynchronous copy writes

namespace check {

// ---- arrays, told by whoever launches ----

struct GlobalArray {
    uintptr_t address;
    size_t bytes;
    std::string name;
    // A byte for each of its bytes: whether somebody wrote it. Null: it is not asked.
    unsigned char* written = nullptr;
    bool is_gone = false;  // freed: kept for its name
};

// One line of a kernel's accesses to shared memory: how often a warp made one, and how many passes over
// the 32 banks these took; without conflicts, as many as bytes need.
struct BankConflicts {
    std::string place;
    uint64_t requests, passes, passes_without_conflict;
};

// Where shared arrays are placed, and the dynamic shared memory, of which a launch declares a part; those of
// a cluster's blocks follow each other, and in front of the first nothing lies for some bytes.
constexpr size_t before_shared = 1024;
struct SharedMemory {
    void* fixed;
    size_t fixed_bytes;
    void* sized;
    size_t sized_bytes, declared_bytes;
    int blocks;
};

#ifdef TAPEGRAD_CHECKED

// The arrays that launches may reach, until the next call. Unless `are_all`, kernels may have the
// addresses of others, too, and what lies outside of these is not looked at.
void set_arrays(std::vector<GlobalArray> arrays, bool are_all);

// Where the arguments of the launches to come are, on the host. Until it is told, anywhere near the
// frame that launches.
void set_arguments(const void* address, size_t bytes);

// What is told of the accesses of code that runs on the host and was compiled like kernels. Null, as it is
// at first: nobody asks.
using SeeHostAccess = void(uintptr_t address, size_t bytes, bool writes, CodeAddress site);
void set_host_watch(SeeHostAccess* see);

// Whether a race is told once in all launches, and not once in each.
void set_reports_once(bool once);

// Whether to count the bank conflicts of the launches to come, and those counted since.
void count_bank_conflicts(bool wanted);
std::vector<BankConflicts> bank_conflicts();

// ---- told by the scheduler ----

void begin_launch(const void* host_frame, int threads_of_block, int blocks_of_cluster);
void begin_cluster(const uint3& first_block, const SharedMemory& memory);
void resume_block(const uint3& block, const SharedMemory& memory);  // with what it has in shared memory
void place_shared_array(const char* name, void* address, size_t bytes);
void run_thread(int thread, const char* stack);
void exit_block(int rank);  // the last of its threads has exited
void end_cluster();
void meet_in_grid();
void end_launch();  // throws a RaceError or an AccessError that tells what was found

void meet_at_barrier(int rank);
void meet_in_warp(int warp, unsigned lanes, bool is_whole_warp);
void exit_thread();

// ---- told by device functions ----

enum class Scope { block, device };
void fence(Scope scope);

// Before and after an atomic operation on memory that only these functions look at. overwrites: it does
// not matter what was there before.
void begin_atomic(const void* address, size_t bytes, bool overwrites, CodeAddress site);
void end_atomic(const void* address, bool has_changed, CodeAddress site);

// The next atomic operation is one only for the threads of its block.
void narrow_next_atomic();

// By a compare-and-swap: what the thread read there before, by plain reads, is looked at again now, and
// these cannot do harm.
void confirm_reads(const void* address, size_t bytes);

// A read by a device function, such as of a row by ldmatrix.
void see_read(const void* address, size_t bytes, CodeAddress site);

// An asynchronous copy to copy_bytes, of so many from its source, is begun, and waited for: between the
// two nobody may access its destination, nor change its source.
void begin_copy(const void* destination, const void* source, size_t bytes, CodeAddress site);
void end_copy(const void* destination, const void* source, size_t bytes, CodeAddress site);

// A write by a device function.
void see_write(const void* address, size_t bytes, CodeAddress site);
// A read by a bulk copy.
void see_bulk_read(const void* address, size_t bytes, CodeAddress site);

// At a phase of an mbarrier, or a named barrier, or that of a cluster, an arriving thread releases what it has seen and done; who passes it
// acquires that. What a bulk copy writes is released by who begins it, and nobody may access it until it has
// landed.
void arrive_at_mbarrier(const void* phase);
void pass_mbarrier(const void* phase);
void begin_bulk_copy(const void* destination, size_t bytes, const void* phase, CodeAddress site);
void land_bulk_copy(const void* destination, size_t bytes);

// The thread that runs uses shared memory of a block of its cluster, which must not end before.
void reach_block(int rank, CodeAddress site);

#else

inline void begin_launch(const void*, int, int) {}
inline void begin_cluster(const uint3&, const SharedMemory&) {}
inline void resume_block(const uint3&, const SharedMemory&) {}
inline void meet_in_grid() {}
inline void place_shared_array(const char*, void*, size_t) {}
inline void run_thread(int, const char*) {}
inline void exit_block(int) {}
inline void end_cluster() {}
inline void end_launch() {}
inline void meet_at_barrier(int) {}
inline void meet_in_warp(int, unsigned, bool) {}
inline void exit_thread() {}
enum class Scope { block, device };
inline void fence(Scope) {}
inline void confirm_reads(const void*, size_t) {}
inline void narrow_next_atomic() {}
inline void see_read(const void*, size_t, CodeAddress) {}
inline void begin_copy(const void*, const void*, size_t, CodeAddress) {}
inline void end_copy(const void*, const void*, size_t, CodeAddress) {}
inline void see_write(const void*, size_t, CodeAddress) {}
inline void see_bulk_read(const void*, size_t, CodeAddress) {}
inline void arrive_at_mbarrier(const void*) {}
inline void pass_mbarrier(const void*) {}
inline void begin_bulk_copy(const void*, size_t, const void*, CodeAddress) {}
inline void land_bulk_copy(const void*, size_t) {}
inline void reach_block(int, CodeAddress) {}

#endif

}  // namespace check
}  // namespace emulate

#pragma GCC visibility pop
