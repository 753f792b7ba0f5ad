#include "cooperative.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "async_copies.h"
#include "barrier.h"
#include "bulk_copies.h"
#include "errors.h"
#include "ready.h"
#include "scheduler.h"
#include "shared_memory.h"
#include "turns.h"
#include "warps.h"

namespace emulate {

int waiting_for_grid = 0;
bool is_suspended = false;

namespace {

// A block that waits for the grid, while others run in its place.
struct SuspendedBlock {
    uint3 index;
    uint64_t serial;
    std::vector<ThreadRecord> threads;
    std::vector<Warp> warps;
    Barrier barrier;
    std::vector<PlacedArray> placed_arrays;
    size_t static_arena_used, static_bytes_used;
    std::vector<unsigned char> fixed, sized;  // its shared memory
};

SuspendedBlock suspend_block() {
    const int warp_total = (thread_total + warpSize - 1) / warpSize;
    return {blockIdx,
            cluster_serial,
            {threads, threads + thread_total},
            {warps, warps + warp_total},
            barriers[0],
            placed_arrays,
            static_arena_used,
            static_bytes_used,
            {static_memory, static_memory + static_arena_used},
            {dynamic_arena, dynamic_arena + launch.shared_bytes + guard_bytes}};
}

void resume_block(const SuspendedBlock& block) {
    block_indices[0] = block.index;
    enter_block(0);
    cluster_serial = block.serial;
    std::copy(block.threads.begin(), block.threads.end(), threads);
    std::copy(block.warps.begin(), block.warps.end(), warps);
    barriers[0] = block.barrier;
    placed_arrays = block.placed_arrays;
    static_arena_used = block.static_arena_used;
    static_bytes_used = block.static_bytes_used;
    std::copy(block.fixed.begin(), block.fixed.end(), static_memory);
    std::copy(block.sized.begin(), block.sized.end(), dynamic_arena);
    check::resume_block(blockIdx, shared_memory());
    for (const PlacedArray& placed : placed_arrays) {
        placed.array->cluster_serial = cluster_serial;
        placed.array->offset = placed.begin;
        check::place_shared_array(placed.name, static_memory + placed.begin, placed.end - placed.begin);
    }
    ready.fill(0);
    for (int thread = 0; thread < thread_total; ++thread) {
        if (threads[thread].state == State::at_grid) {
            threads[thread].state = State::ready;
            ready.insert(thread);
        }
    }
    waiting_for_grid = 0;
}

// The others of a grid in which one block failed: their stacks unwind.
void cancel_blocks(const std::vector<SuspendedBlock>& blocks) {
    for (const SuspendedBlock& block : blocks) {
        resume_block(block);
        failure = std::make_exception_ptr(Cancelled());
        running = host;
        switch_to(find_suspended_thread());
        failure = nullptr;
    }
}

}  // namespace

bool suspends_block() {
    is_suspended = waiting_for_grid > 0 && waiting_for_grid + barriers[0].exited == thread_total;
    return is_suspended;
}

void run_cooperative_grid() {
    std::vector<SuspendedBlock> waiting, next;
    const auto run = [&] {
        run_cluster();
        if (is_suspended) {
            next.push_back(suspend_block());
        }
    };
    try {
        for (unsigned z = 0; z < gridDim.z; ++z) {
            for (unsigned y = 0; y < gridDim.y; ++y) {
                for (unsigned x = 0; x < gridDim.x; ++x) {
                    begin_cluster({x, y, z});
                    run();
                }
            }
        }
        for (size_t blocks = size_t(gridDim.x) * gridDim.y * gridDim.z; !next.empty();) {
            if (next.size() < blocks) {
                fail_in_block("", "has ended, but others wait for the whole grid");
            }
            waiting.swap(next);
            check::meet_in_grid();
            while (!waiting.empty()) {
                const SuspendedBlock block = std::move(waiting.front());
                waiting.erase(waiting.begin());
                resume_block(block);
                run();
            }
        }
    } catch (...) {
        cancel_blocks(waiting);
        cancel_blocks(next);
        throw;
    }
}

bool is_cooperative() { return launch.is_cooperative; }

void wait_for_grid() {
    land_copies(current);
    land_bulk_copies();
    leave_kernel();
    if (!launch.is_cooperative) {
        fail("waits for the grid in a launch that is not cooperative");
    }
    threads[current].state = State::at_grid;
    ++waiting_for_grid;
    answer_gathering(current / warpSize);
    const int next = ready.take();
    if (next >= 0) {
        switch_to(next);
    } else if (suspends_block()) {
        switch_fiber(std::exchange(running, host), host);
    } else {
        fail("waits for the grid while others of its block wait elsewhere");
    }
    if (failure) {
        throw Cancelled();
    }
    return_to_kernel();
}

}  // namespace emulate
