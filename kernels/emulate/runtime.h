// What a kernel sees of the emulator: its coordinates, shared memory, barriers and warp operations;
// and what the host sees: launches and schedules.
#pragma once

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "../launch.h"
#include "check.h"
#include "math.h"
#include "types.h"

// Hidden, so that every access is one instruction even in a shared library.
#pragma GCC visibility push(hidden)

extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
constexpr int warpSize = 32;

namespace emulate {

// The order in which the threads of a block, and the blocks of a grid, get their turn.
enum class Schedule { random, ascending, descending };

constexpr uint64_t all_decisions = ~uint64_t(0);

struct ScheduleChoice {
    Schedule schedule;
    uint64_t seed;  // of the next launch, which adds one
    // Of the decisions to come, whose turn it is, the first `skipped` are taken in ascending order, the
    // `count` after them as `schedule` says, and all others in ascending order.
    uint64_t skipped = 0, count = all_decisions;
};

void set_schedule(ScheduleChoice choice);
ScheduleChoice current_schedule();
const char* schedule_name(Schedule schedule);

// ---- launch ----

// Cooperative: the blocks may wait for each other, by `wait_for_grid`. most_shared_bytes: of static and
// dynamic shared memory together.
void run_kernel(const char* kernel, const Grid& grid, const Extent& block, size_t shared_bytes,
                void (*body)(void*), void* context, bool is_cooperative = false,
                size_t most_shared_bytes = max_shared_bytes);

template <class... Parameters>
void launch_kernel(const char* name, void (*kernel)(Parameters...), Grid grid, Extent block,
                   size_t shared_bytes, cudaStream_t, typename Same<Parameters>::type... arguments) {
    auto call = [&] { kernel(arguments...); };
    run_kernel(
        name, grid, block, shared_bytes,
        [](void* context) { (*static_cast<decltype(call)*>(context))(); }, &call);
}

// Asked about twenty times a second while one launch runs: whether to go on. Where it says no, the
// launch ends in Interrupted. Null, as it is at first: nobody is asked.
void ask_whether_to_go_on(bool (*question)());

struct Interrupted {};

// The signal by which that is asked, where this emulator answers it now.
bool answers_knocks();
constexpr int knock = SIGURG;  // ignored unless somebody waits for it, and sent by hardly anybody

// What has run since the program began.
struct Work {
    uint64_t launches, threads;
    uint64_t completed;  // of the launches: all threads came to their end
};
Work work_done();

// How far the launch that runs has come: threads that ended, barriers and warp operations that were
// met. launch: its number, 0 where none runs. A launch in which no number grows has no end, or is slow.
struct Progress {
    uint64_t launch, ended, met;
};
Progress progress();
std::string describe_progress();  // where the last question found it

// Whether barriers wait for all threads of a block, as they do at first, or for those that have not
// exited, as on GPUs from Volta on.
void set_barriers_wait_for_exited(bool wait);

// Stops the kernel with an error at the current thread, by an exception; `stop` without one, for calls
// that are declared to throw none.
[[noreturn]] void fail(const std::string& message);
[[noreturn]] void stop(const std::string& message);

// ---- shared memory ----

// One SHARED declaration in one kernel. Its place, the same in all blocks of a cluster, is chosen by the
// first of their threads that comes by; constant-initialised, so that the static variable it lives in needs
// no guard.
struct SharedArray {
    const char* name;
    uint64_t cluster_serial = 0;
    size_t offset = 0;
    constexpr explicit SharedArray(const char* name) : name(name) {}
};

extern uint64_t cluster_serial;  // counts the clusters ever run
extern unsigned char* static_memory;  // of the block whose turn it is

void place_shared_array(SharedArray& array, size_t bytes, size_t alignment);
void* dynamic_shared_memory();

template <class T>
inline T& shared_array(SharedArray& array) {
    if (array.cluster_serial != cluster_serial) {
        place_shared_array(array, sizeof(T), alignof(T));
    }
    return *reinterpret_cast<T*>(static_memory + array.offset);
}

// ---- barriers and warp operations ----

struct Site {
    const char* file;
    int line;
    CodeAddress code = nullptr;  // known in the checked build only
};

enum class BarrierKind { plain, all, any, count };
int wait_at_barrier(BarrierKind kind, bool predicate, Site site);

enum class WarpOperation { sync, shuffle, shuffle_up, shuffle_down, shuffle_xor, ballot, together };
struct WarpRequest {
    WarpOperation operation;
    unsigned mask;
    uint64_t value;
    int lane;  // source lane, distance, or xor mask of a shuffle
    int width;
    Site site;
};
uint64_t meet_warp(const WarpRequest& request);

// What all 32 lanes of a warp do as one, such as mma.sync: the last to come calls `work` with what each
// has handed over. It is an error where lanes are missing, call something else or another variant, or
// are at another place. Orders no accesses to memory.
struct WarpWork {
    const char* name;
    void (*work)(void* const* lanes);
    int variant;
};
void meet_together(const WarpWork& work, void* mine, Site site);

// The lanes of the warp that are at the same place when none of its lanes can go on otherwise.
unsigned active_lanes(Site site);

// Until every thread of the grid is here. The launch must be cooperative.
void wait_for_grid();
bool is_cooperative();

template <class T>
inline T shuffle(WarpOperation operation, unsigned mask, T value, int lane, int width, Site site) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "not a shuffle's type");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = meet_warp({operation, mask, bits, lane, width, site});
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

[[noreturn]] void fail_misaligned(const void* address);

inline void require_16_byte_alignment(const void* address) {
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) {
        fail_misaligned(address);
    }
}

}  // namespace emulate

#pragma GCC visibility pop

#define SHARED(name, ...)                                    \
    static emulate::SharedArray shared_array_##name(#name);  \
    auto& name = emulate::shared_array<__VA_ARGS__>(shared_array_##name)

#define DYNAMIC_SHARED(name, ...) \
    __VA_ARGS__* name = static_cast<__VA_ARGS__*>(emulate::dynamic_shared_memory())

// The place of a call, for the errors; the compiler fills it in where the default argument is used.
#define EMULATE_SITE const char* file = __builtin_FILE(), int line = __builtin_LINE()

EMULATE_CALLED_BY_KERNELS void __syncthreads(EMULATE_SITE) {
    emulate::wait_at_barrier(emulate::BarrierKind::plain, false, {file, line});
}
EMULATE_CALLED_BY_KERNELS int __syncthreads_and(int predicate, EMULATE_SITE) {
    return emulate::wait_at_barrier(emulate::BarrierKind::all, predicate != 0, {file, line});
}
EMULATE_CALLED_BY_KERNELS int __syncthreads_or(int predicate, EMULATE_SITE) {
    return emulate::wait_at_barrier(emulate::BarrierKind::any, predicate != 0, {file, line});
}
EMULATE_CALLED_BY_KERNELS int __syncthreads_count(int predicate, EMULATE_SITE) {
    return emulate::wait_at_barrier(emulate::BarrierKind::count, predicate != 0, {file, line});
}

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, EMULATE_SITE) {
    emulate::meet_warp({emulate::WarpOperation::sync, mask, 0, 0, warpSize, {file, line}});
}

template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, EMULATE_SITE) {
    return emulate::shuffle(emulate::WarpOperation::shuffle, mask, value, source, width,
                            {file, line});
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                        EMULATE_SITE) {
    return emulate::shuffle(emulate::WarpOperation::shuffle_up, mask, value, int(distance), width,
                            {file, line});
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                          EMULATE_SITE) {
    return emulate::shuffle(emulate::WarpOperation::shuffle_down, mask, value, int(distance), width,
                            {file, line});
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize, EMULATE_SITE) {
    return emulate::shuffle(emulate::WarpOperation::shuffle_xor, mask, value, lanes, width,
                            {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATE_SITE) {
    return unsigned(emulate::meet_warp({emulate::WarpOperation::ballot, mask, predicate != 0, 0,
                                        warpSize, {file, line}}));
}
inline int __any_sync(unsigned mask, int predicate, EMULATE_SITE) {
    return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMULATE_SITE) {
    return __ballot_sync(mask, predicate == 0, file, line) == 0;
}

__attribute__((always_inline)) inline unsigned __activemask(EMULATE_SITE) {
    return emulate::active_lanes({file, line});
}

#undef EMULATE_SITE

template <class T>
inline uint4 load_128_bits(const T* source) {
    emulate::require_16_byte_alignment(source);
    uint4 bits;
    std::memcpy(&bits, source, sizeof bits);
    return bits;
}

template <class T>
inline void store_128_bits(T* destination, uint4 bits) {
    emulate::require_16_byte_alignment(destination);
    std::memcpy(static_cast<void*>(destination), &bits, sizeof bits);
}
