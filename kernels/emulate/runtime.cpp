// Launches: a grid's blocks run one after another.
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

// Blocks run in the order start, start + stride, ... modulo their number; a stride that shares no
// factor with it visits every block once, in an order that looks random and needs no list.
void run_grid() {
    const uint64_t total = uint64_t(launch.grid.x) * uint64_t(launch.grid.y) * uint64_t(launch.grid.z);
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
        const uint64_t row = position / uint64_t(launch.grid.x);
        blockIdx.x = unsigned(position % uint64_t(launch.grid.x));
        blockIdx.y = unsigned(row % uint64_t(launch.grid.y));
        blockIdx.z = unsigned(row / uint64_t(launch.grid.y));
        begin_block();
        run_block();
        position = (position + stride) % total;
    }
}

}  // namespace

void run_kernel(const char* kernel, const Extent& grid, const Extent& block, size_t shared_bytes,
                void (*body)(void*), void* context, bool is_cooperative) {
    check_launch(kernel, grid, block, shared_bytes);
    if (is_interrupted()) {
        throw KernelError(describe_launch(kernel, grid, block, shared_bytes) +
                          ": launched while a signal handler interrupts another kernel");
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
    launch.body = body;
    launch.context = context;
    launch.is_cooperative = is_cooperative;
    launch.schedule = take_choice();
    launch.random.state = launch.schedule.seed;
    ++work.launches;
    work.threads += uint64_t(grid.x * grid.y * grid.z) * uint64_t(block.x * block.y * block.z);
    prepare_threads();
    check::begin_launch(__builtin_frame_address(0), thread_total);
    is_cooperative ? run_cooperative_grid() : run_grid();
    ++work.completed;
    check::end_launch();
}

Work work_done() { return work; }

Progress progress() { return current_progress; }

}  // namespace emulate
