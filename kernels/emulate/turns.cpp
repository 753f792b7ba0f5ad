#include "turns.h"

#include <algorithm>
#include <vector>

#include "async_copies.h"
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
#include "warps.h"
#include "wgmma.h"

namespace emulate {

namespace {

std::string what_is_waited_for(int thread) {
    switch (threads[thread].state) {
        case State::at_warp:
            return "lanes of its warp that never come";
        case State::at_barrier:
            return "the block's other threads";
        case State::at_mbarrier:
            return describe_mbarrier(thread);
        case State::at_named_barrier:
            return describe_named_barrier(thread);
        case State::at_cluster:
            return describe_cluster_barrier();
        default:
            return "";
    }
}

// Of all that wait for something, one thread for each place.
std::string describe_deadlock() {
    std::string text = "deadlock";
    std::vector<Site> told;
    for (int thread = 0; thread < thread_total; ++thread) {
        const std::string what = what_is_waited_for(thread);
        const Site site = threads[thread].site;
        const auto is_told = [&](const Site& other) { return !is_elsewhere(site, other); };
        if (what.empty() || std::any_of(told.begin(), told.end(), is_told)) {
            continue;
        }
        text += (told.empty() ? ": " : "; ") + thread_name(thread) + " waits at " + place(site) + " for " + what;
        told.push_back(site);
    }
    return text;
}

void become(int thread) {
    current = thread;
    threadIdx = coordinates[thread];
    if (const int rank = rank_of(thread); rank != current_rank) {
        enter_block(rank);
    }
    check::run_thread(thread, stack_of(threads[thread].fiber));
}

void exit_thread() {
    const int warp_index = current / warpSize;
    require_no_copies(current);
    require_no_stores(current);
    require_no_wgmma(current);
    threads[current].state = State::exited;
    check::exit_thread();
    Barrier& barrier = barriers[current_rank];
    if (++barrier.exited == block_threads) {
        require_no_loads();
        check::exit_block(current_rank);
    }
    ++current_progress.ended;
    if (barrier.waiting > 0) {
        if (barriers_wait_for_exited) {
            fail("exits while " + thread_name(barrier.first) + " waits at the barrier " +
                 place(barrier.site));
        }
        end_barrier_if_complete(current_rank);
    }
    leave_cluster_barrier();
    Warp& warp = warps[warp_index];
    warp.present &= ~(1u << (current % warpSize));
    for (int i = 0; i < warp.group_count;) {
        i += answer_if_complete(warp_index, i) ? 0 : 1;  // a group that goes is replaced by the last
    }
    answer_gathering(warp_index);
}

// What every fiber runs: the current thread, then any fresh thread whose turn comes, then, from the
// pool, the threads of later blocks.
void run_threads_forever() {
    for (;;) {
        try {
            return_to_kernel();
            launch.body(launch.context);
            leave_kernel();
            exit_thread();
        } catch (const Cancelled&) {
            leave_kernel();
        } catch (...) {
            leave_kernel();
            if (!failure) {
                failure = std::current_exception();
            }
        }
        threads[current].state = State::exited;
        threads[current].fiber = nullptr;
        int next = failure ? -1 : next_thread();
        if (next >= 0 && threads[next].fiber == nullptr) {
            threads[next].fiber = running;
            become(next);
            continue;
        }
        if (next < 0 && (failure || !suspends_block())) {
            next = find_suspended_thread();
            if (next >= 0 && !failure) {
                try {
                    fail(describe_deadlock());
                } catch (...) {
                    failure = std::current_exception();
                }
            }
        }
        Fiber* self = running;
        give_fiber_back(self);
        if (next >= 0) {
            become(next);
            running = threads[next].fiber;
        } else {
            running = host;
        }
        switch_fiber(self, running);
    }
}

}  // namespace

void switch_to(int thread) {
    Fiber* from = running;
    if (threads[thread].fiber == nullptr) {
        threads[thread].fiber = take_fiber(run_threads_forever);
    }
    become(thread);
    running = threads[thread].fiber;
    switch_fiber(from, running);
}

void wait_for_turn() {
    const int self = current;
    const int next = next_thread();
    if (next < 0) {
        fail(describe_deadlock());
    }
    if (next != self) {
        switch_to(next);
        if (failure) {
            throw Cancelled();
        }
    }
}

int next_thread() {
    land_by_chance();
    int next = ready.take();
    while (next < 0 && land_one_bulk_copy()) {
        next = ready.take();
    }
    return next;
}

int find_suspended_thread() {
    for (int thread = 0; thread < thread_total; ++thread) {
        if (threads[thread].fiber != nullptr) {
            return thread;
        }
    }
    return -1;
}

bool let_others_run() {
    const int next = ready.take_after(current);
    if (next < 0) {
        return false;
    }
    ready.insert(current);
    switch_to(next);
    if (failure) {
        end_block_with(failure);
    }
    return true;
}

}  // namespace emulate
