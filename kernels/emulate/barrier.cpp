#include "barrier.h"

#include "block.h"
#include "errors.h"
#include "ready.h"
#include "scheduler.h"
#include "turns.h"
#include "warps.h"

namespace emulate {

Barrier barriers[max_blocks_of_cluster];

void end_barrier_if_complete(int rank) {
    Barrier& barrier = barriers[rank];
    if (barrier.waiting + barrier.exited != block_threads) {
        return;
    }
    ++current_progress.met;
    barrier.result = barrier.kind == BarrierKind::all   ? barrier.votes == barrier.waiting
                     : barrier.kind == BarrierKind::any ? barrier.votes > 0
                                                        : barrier.votes;
    barrier.waiting = 0;
    for (int thread = rank * block_threads; thread < (rank + 1) * block_threads; ++thread) {
        if (threads[thread].state == State::at_barrier) {
            threads[thread].state = State::ready;
            ready.insert(thread);
        }
    }
    check::meet_at_barrier(rank);
}

void set_barriers_wait_for_exited(bool wait) { barriers_wait_for_exited = wait; }

int wait_at_barrier(BarrierKind kind, bool predicate, Site site) {
    leave_kernel();
    note_code(site, __builtin_return_address(0));
    const int rank = current_rank;
    Barrier& barrier = barriers[rank];
    if (barrier.exited > 0 && barriers_wait_for_exited) {
        fail("waits at the barrier " + place(site) + ", but other threads of the block have exited");
    }
    if (barrier.waiting == 0) {
        barrier.first = current;
        barrier.site = site;
        barrier.kind = kind;
        barrier.votes = 0;
    } else if (is_elsewhere(site, barrier.site)) {
        const std::string other = place(barrier.site);
        fail("waits at the barrier " + place(site) + " while " + thread_name(barrier.first) +
             " waits at " + other + (other == place(site) ? ", at another barrier of the line" : ""));
    } else if (kind != barrier.kind) {
        fail("and " + thread_name(barrier.first) + " wait at different kinds of barrier at " +
             place(site));
    }
    threads[current].state = State::at_barrier;
    threads[current].site = site;
    barrier.votes += predicate;
    ++barrier.waiting;
    end_barrier_if_complete(rank);
    answer_gathering(current / warpSize);
    wait_for_turn();
    const int result = barrier.result;
    return_to_kernel();
    return result;
}

}  // namespace emulate
