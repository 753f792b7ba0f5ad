#include "cluster.h"

#include "block.h"
#include "errors.h"
#include "ready.h"
#include "scheduler.h"
#include "shared_memory.h"
#include "turns.h"
#include "warps.h"

namespace emulate {

namespace {

// Threads that have not exited, and those of them that have arrived in this phase.
int present = 0, arrived = 0;
uint64_t phase = 0;
char phases[2];  // for the checks: who is slow has not seen what comes in the next
struct Arrival {
    bool is_waited_for;
    uint64_t phase;
} arrivals[max_threads];

void end_phase_if_complete() {
    if (arrived == 0 || arrived < present) {
        return;
    }
    ++current_progress.met;
    ++phase;
    arrived = 0;
    for (int thread = 0; thread < thread_total; ++thread) {
        if (threads[thread].state == State::at_cluster) {
            threads[thread].state = State::ready;
            ready.insert(thread);
        }
    }
}

}  // namespace

int rank_in_cluster() { return current_rank; }

void arrive_at_cluster(Site site) {
    check::arrive_at_mbarrier(phases + phase % 2);
    leave_kernel();
    Arrival& mine = arrivals[current];
    if (mine.is_waited_for) {
        fail("arrives at the cluster's barrier at " + place(site) +
             " for the second time without having waited for the first");
    }
    mine = {true, phase};
    ++arrived;
    end_phase_if_complete();
    return_to_kernel();
}

void wait_at_cluster(Site site) {
    leave_kernel();
    note_code(site, __builtin_return_address(0));
    Arrival& mine = arrivals[current];
    if (!mine.is_waited_for) {
        fail("waits at the cluster's barrier at " + place(site) + " without having arrived there");
    }
    const uint64_t waited_for = mine.phase;
    while (waited_for == phase) {
        threads[current].state = State::at_cluster;
        threads[current].site = site;
        answer_gathering(current / warpSize);
        wait_for_turn();
    }
    mine.is_waited_for = false;
    return_to_kernel();
    check::pass_mbarrier(phases + waited_for % 2);
}

void* map_to_block(const void* address, int rank, Site site) {
    leave_kernel();
    void* const there = map_shared(address, rank, "mapa", site);
    return_to_kernel();
    return there;
}

void begin_cluster_barrier() {
    present = thread_total;
    arrived = 0;
    for (int thread = 0; thread < thread_total; ++thread) {
        arrivals[thread].is_waited_for = false;
    }
}

void leave_cluster_barrier() {
    --present;
    arrived -= arrivals[current].is_waited_for && arrivals[current].phase == phase;
    end_phase_if_complete();
}

std::string describe_cluster_barrier() {
    return "the cluster's barrier, at which " + std::to_string(arrived) + " of " + std::to_string(present) +
           " threads have arrived";
}

}  // namespace emulate
