// Launches: a grid's blocks run one after another, or, of clusters, clusters do.
#include "runtime.h"

#include <mutex>
#include <numeric>

#include "block.h"
#include "cooperative.h"
#include "faults.h"
#include "interruption.h"
#include "ready.h"
#include "scheduler.h"
#include "watcher.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace emulate {

namespace {

Work work{0, 0, 0};
std::mutex one_launch_at_a_time;

// Clusters run in the order start, start + stride, ... modulo their number; a stride that shares no
// factor with it visits every one once, in an order that looks random and needs no list.
void run_grid() {
    const uint64_t total = uint64_t(launch.grid.x) * uint64_t(launch.grid.y) * uint64_t(launch.grid.z) /
                           uint64_t(launch.grid.cluster);
    uint64_t position = 0;
    uint64_t stride = 1;
    if (launch.schedule.schedule == Schedule::descending) {
        position = total - 1;
        stride = total - 1;
    } else if (launch.schedule.schedule == Schedule::random) {
        position = launch.random.next() % total;
        do {
            stride = launch.random.next() % total;
        } while (std::gcd(stride, total) != 1);
    }
    if (next_decision() == Schedule::ascending) {
        position = 0;
        stride = 1;
    }
    for (uint64_t i = 0; i < total; ++i) {
        answer_late_knock();
        const uint64_t block = position * uint64_t(launch.grid.cluster);
        const uint64_t row = block / uint64_t(launch.grid.x);
        begin_cluster({unsigned(block % uint64_t(launch.grid.x)), unsigned(row % uint64_t(launch.grid.y)),
                       unsigned(row / uint64_t(launch.grid.y))});
        run_cluster();
        position = (position + stride) % total;
    }
}

}  // namespace

void run_kernel(const char* kernel, const Grid& grid, const Extent& block, size_t shared_bytes,
                void (*body)(void*), void* context, bool is_cooperative, size_t most_shared_bytes) {
    check_launch(kernel, grid, block, shared_bytes);
    if (is_interrupted()) {
        throw KernelError(describe_launch(kernel, grid, block, shared_bytes) +
                          ": launched while a signal handler interrupts another kernel");
    }
    if (grid.cluster > 1 && (is_cooperative || block.x * block.y * block.z % warpSize != 0)) {
        throw KernelError(describe_launch(kernel, grid, block, shared_bytes) +
                          ": of clusters, those are emulated whose blocks are whole warps, in launches "
                          "that are not cooperative");
    }
    std::lock_guard<std::mutex> lock(one_launch_at_a_time);
    const Watched watching;
    const FaultsAnswered faults(answer_fault);
    if (host == nullptr) {
        host = adopt_current_stack();
    }
    launch.kernel = kernel;
    launch.grid = grid;
    launch.block = block;
    launch.shared_bytes = shared_bytes;
    launch.most_shared_bytes = most_shared_bytes;
    launch.body = body;
    launch.context = context;
    launch.is_cooperative = is_cooperative;
    launch.schedule = take_choice();
    launch.random.state = launch.schedule.seed;
    ++work.launches;
    work.threads += uint64_t(grid.x * grid.y * grid.z) * uint64_t(block.x * block.y * block.z);
    prepare_threads();
    check::begin_launch(__builtin_frame_address(0), block_threads, cluster_blocks);
    is_cooperative ? run_cooperative_grid() : run_grid();
    ++work.completed;
    check::end_launch();
}

Work work_done() { return work; }

Progress progress() { return current_progress; }

}  // namespace emulate
