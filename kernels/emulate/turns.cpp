#include "turns.h"

#include "async_copies.h"
#include "barrier.h"
#include "cooperative.h"
#include "errors.h"
#include "interruption.h"
#include "ready.h"
#include "scheduler.h"
#include "warps.h"

namespace emulate {

namespace {

std::string describe_deadlock() {
    for (int thread = 0; thread < thread_total; ++thread) {
        if (threads[thread].state == State::at_warp) {
            return "deadlock: " + thread_name(thread) + " waits at " + place(threads[thread].site) +
                   " for lanes of its warp that never come";
        }
    }
    return "deadlock";
}

void become(int thread) {
    current = thread;
    threadIdx = coordinates[thread];
    check::run_thread(thread, stack_of(threads[thread].fiber));
}

void exit_thread() {
    const int warp_index = current / warpSize;
    require_no_copies(current);
    threads[current].state = State::exited;
    check::exit_thread();
    ++barrier.exited;
    ++current_progress.ended;
    if (barrier.waiting > 0) {
        if (barriers_wait_for_exited) {
            fail("exits while " + thread_name(barrier.first) + " waits at the barrier " +
                 place(barrier.site));
        }
        end_barrier_if_complete();
    }
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
        int next = failure ? -1 : ready.take();
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
    const int next = ready.take();
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
