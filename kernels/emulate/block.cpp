// The life of a cluster: its threads begin, run, and end together where one of them fails.
#include "block.h"

#include <utility>

#include "async_copies.h"
#include "async_proxy.h"
#include "barrier.h"
#include "bulk_copies.h"
#include "cluster.h"
#include "cooperative.h"
#include "errors.h"
#include "interruption.h"
#include "mbarrier.h"
#include "named_barriers.h"
#include "ready.h"
#include "scheduler.h"
#include "shared_memory.h"
#include "turns.h"
#include "warps.h"
#include "wgmma.h"

namespace emulate {

Launch launch;
Progress current_progress{0, 0, 0};
bool barriers_wait_for_exited = true;

uint3 coordinates[max_threads];
ThreadRecord threads[max_threads];
int thread_total, block_threads;
int current;

uint3 block_indices[max_blocks_of_cluster];
int cluster_blocks = 1;
int current_rank = 0;

Fiber* host = nullptr;
Fiber* running = nullptr;
std::exception_ptr failure;

namespace {

// Ends the block in an exception: the thread that runs where it is, the others by unwinding.
void abandon_block(std::exception_ptr why) {
    failure = why;
    ThreadRecord& thread = threads[current];
    restart_fiber(thread.fiber);
    give_fiber_back(thread.fiber);
    thread.fiber = nullptr;
    thread.state = State::exited;
    const int next = find_suspended_thread();
    if (next >= 0) {
        switch_to(next);
    }
}

}  // namespace

bool has_exited(int rank) { return barriers[rank].exited == block_threads; }

void enter_block(int rank) {
    current_rank = rank;
    blockIdx = block_indices[rank];
    enter_shared_memory(rank);
}

void begin_cluster(const uint3& first_block) {
    for (int rank = 0; rank < cluster_blocks; ++rank) {
        block_indices[rank] = {first_block.x + unsigned(rank), first_block.y, first_block.z};
        barriers[rank] = Barrier();
    }
    enter_block(0);
    for (int thread = 0; thread < thread_total; ++thread) {
        threads[thread].state = State::ready;
        threads[thread].fiber = nullptr;
    }
    ready.fill(thread_total);
    for (int warp = 0; warp * warpSize < thread_total; ++warp) {
        const int lanes = thread_total - warp * warpSize;
        warps[warp].present = lanes >= warpSize ? ~0u : (1u << lanes) - 1u;
        warps[warp].group_count = 0;
        warps[warp].gathering = 0;
    }
    waiting_for_grid = 0;
    begin_copies_of_block(thread_total, launch.random.state, launch.schedule.schedule);
    begin_bulk_copies_of_block();
    begin_mbarriers_of_block();
    begin_async_proxy_of_block();
    begin_named_barriers_of_block();
    begin_wgmma_of_block();
    begin_cluster_barrier();
    prepare_shared_memory();
    check::begin_cluster(first_block, shared_memory());
}

void run_cluster() {
    is_suspended = false;
    running = host;
    switch_to(ready.take());
    while (was_visited()) {
        Fiber* fiber = threads[current].fiber;
        if (const std::exception_ptr why = end_of_visit()) {
            abandon_block(why);
        } else {
            running = fiber;
            switch_fiber(host, fiber);
        }
    }
    if (failure) {
        std::exception_ptr error;
        std::swap(error, failure);
        std::rethrow_exception(error);
    }
    if (!is_suspended) {
        require_same_registers();
        require_same_wgmma();
    }
    check::end_cluster();
    check_guards();
}

int running_thread() { return current; }

void prepare_threads() {
    const Extent& block = launch.block;
    block_threads = int(block.x * block.y * block.z);
    cluster_blocks = int(launch.grid.cluster);
    thread_total = cluster_blocks * block_threads;
    current = 0;  // the random schedule looks at it: a launch must not depend on the one before
    int thread = 0;
    for (int rank = 0; rank < cluster_blocks; ++rank) {
        for (unsigned z = 0; z < block.z; ++z) {
            for (unsigned y = 0; y < block.y; ++y) {
                for (unsigned x = 0; x < block.x; ++x) {
                    coordinates[thread++] = {x, y, z};
                }
            }
        }
    }
    blockDim = dim3(unsigned(block.x), unsigned(block.y), unsigned(block.z));
    gridDim = dim3(unsigned(launch.grid.x), unsigned(launch.grid.y), unsigned(launch.grid.z));
}

}  // namespace emulate
