// The launch and the block of it that run, and what its threads are at: the state that the emulator's files
// share. The state of barriers, warps and shared memory is in files of their own.
#pragma once

#include <exception>

#include "fiber.h"
#include "runtime.h"

#pragma GCC visibility push(hidden)

namespace emulate {

constexpr int max_threads = int(max_threads_per_block);
constexpr int max_warps = max_threads / warpSize;

struct Random {
    uint64_t state;

    uint64_t next() {  // splitmix64
        state += 0x9E3779B97F4A7C15u;
        uint64_t z = state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
};

struct Launch {
    const char* kernel;
    Extent grid{1}, block{1};
    size_t shared_bytes;
    void (*body)(void*);
    void* context;
    bool is_cooperative;
    ScheduleChoice schedule;
    Random random;
};

extern Launch launch;
extern Progress current_progress;
extern bool barriers_wait_for_exited;

// ---- the block ----

enum class State : uint8_t { ready, at_barrier, at_warp, gathering, at_grid, at_mbarrier, at_named_barrier, exited };

struct ThreadRecord {
    State state;
    Fiber* fiber;  // null until it starts and after it ended
    Site site;     // where it waits
    uint64_t answer;
};

extern uint3 coordinates[max_threads];
extern ThreadRecord threads[max_threads];
extern int thread_total;
extern int current;  // the thread that runs

extern Fiber* host;
extern Fiber* running;
extern std::exception_ptr failure;

// Thrown into every suspended thread after a failure, so that its stack unwinds.
struct Cancelled {};

void prepare_threads();  // of a launch
void begin_block();
void run_block();  // until its threads have ended, or all wait for the grid

}  // namespace emulate

#pragma GCC visibility pop
