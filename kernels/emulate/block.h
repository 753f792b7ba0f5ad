// The launch that runs, and the blocks of it, a cluster, which run at the same time; what their threads are
// at: the state that the emulator's files share. That of barriers, warps and shared memory is in files of
// their own. Mostly a cluster is one block.
#pragma once

#include <exception>

#include "fiber.h"
#include "runtime.h"

#pragma GCC visibility push(hidden)

namespace emulate {

constexpr int max_threads = int(max_blocks_of_cluster * max_threads_per_block);
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
    Grid grid{1};
    Extent block{1};
    size_t shared_bytes;
    size_t most_shared_bytes;  // static and dynamic together
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

enum class State : uint8_t { ready, at_barrier, at_warp, gathering, at_grid, at_mbarrier, at_named_barrier, at_cluster, exited };

struct ThreadRecord {
    State state;
    Fiber* fiber;  // null until it starts and after it ended
    Site site;     // where it waits
    uint64_t answer;
};

// Those of the first block come first: in clusters, blocks are whole warps.
extern uint3 coordinates[max_threads];
extern ThreadRecord threads[max_threads];
extern int thread_total, block_threads;
extern int current;  // the thread that runs

extern uint3 block_indices[max_blocks_of_cluster];
extern int cluster_blocks;
extern int current_rank;  // of its block in the cluster
inline int rank_of(int thread) { return cluster_blocks == 1 ? 0 : thread / block_threads; }
inline int warp_in_block(int warp) { return warp - rank_of(warp * warpSize) * block_threads / warpSize; }
bool has_exited(int rank);     // all threads of that block
void enter_block(int rank);    // one of its threads is to run

extern Fiber* host;
extern Fiber* running;
extern std::exception_ptr failure;

// Thrown into every suspended thread after a failure, so that its stack unwinds.
struct Cancelled {};

void prepare_threads();  // of a launch
void begin_cluster(const uint3& first_block);
void run_cluster();  // until its threads have ended, or all wait for the grid

}  // namespace emulate

#pragma GCC visibility pop
