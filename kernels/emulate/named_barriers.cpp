#include "named_barriers.h"

#include <algorithm>

#include "block.h"
#include "errors.h"
#include "ready.h"
#include "scheduler.h"
#include "turns.h"
#include "warps.h"

namespace emulate {

namespace {

constexpr int named_barrier_count = 16, warps_of_group = 4;
constexpr int least_registers = 24, most_registers = 256, registers_of_block = 65536;

struct NamedBarrier {
    int waiting, count;
    Site site;  // of the first that came
};

NamedBarrier named_barriers[max_blocks_of_cluster][named_barrier_count];
int named_barrier_of[max_threads];
int registers_of_warp[max_warps];  // 0: as the launch gave them

struct RegistersOfLane {
    int count;
    bool increases;
};

void set_together(void* const* lanes) {
    const RegistersOfLane& set = *static_cast<const RegistersOfLane*>(lanes[0]);
    int& mine = registers_of_warp[current / warpSize];
    if (mine != 0 && (set.increases ? set.count < mine : set.count > mine)) {
        fail("setmaxnreg from " + std::to_string(mine) + " to " + std::to_string(set.count) +
             " registers in the wrong direction");
    }
    mine = set.count;
    int total = 0;
    for (int warp = 0; warp * warpSize < thread_total; ++warp) {
        total += rank_of(warp * warpSize) == current_rank ? registers_of_warp[warp] * warpSize : 0;
    }
    if (total > registers_of_block) {
        fail("setmaxnreg brings the block to " + std::to_string(total) + " registers; there are " +
             std::to_string(registers_of_block));
    }
}

}  // namespace

void wait_at_named_barrier(int id, int count, Site site) {
    NamedBarrier* const of_block = named_barriers[current_rank];
    check::arrive_at_mbarrier(of_block + id);
    leave_kernel();
    note_code(site, __builtin_return_address(0));
    if (id < 1 || id >= named_barrier_count || count < warpSize || count % warpSize != 0 ||
        count > block_threads) {
        fail("named barrier " + std::to_string(id) + " of " + std::to_string(count) + " threads at " +
             place(site) + ": numbers are 1 to 15, threads a multiple of 32 up to those of the block");
    }
    NamedBarrier& barrier = of_block[id];
    if (barrier.waiting == 0) {
        barrier = {0, count, site};
    } else if (barrier.count != count) {
        fail("waits at named barrier " + std::to_string(id) + " of " + std::to_string(count) +
             " threads at " + place(site) + ", others at one of " + std::to_string(barrier.count) +
             " at " + place(barrier.site));
    }
    threads[current].state = State::at_named_barrier;
    threads[current].site = site;
    named_barrier_of[current] = id;
    if (++barrier.waiting == barrier.count) {
        ++current_progress.met;
        barrier.waiting = 0;
        for (int thread = 0; thread < thread_total; ++thread) {
            if (threads[thread].state == State::at_named_barrier && named_barrier_of[thread] == id &&
                rank_of(thread) == current_rank) {
                threads[thread].state = State::ready;
                ready.insert(thread);
            }
        }
    }
    answer_gathering(current / warpSize);
    wait_for_turn();
    return_to_kernel();
    check::pass_mbarrier(&barrier);
}

void set_registers(int count, bool increases, Site site) {
    if (count < least_registers || count > most_registers || count % 8 != 0) {
        fail("setmaxnreg at " + place(site) + ": " + std::to_string(count) +
             " registers; it can be a multiple of 8 from 24 to 256");
    }
    RegistersOfLane mine{count, increases};
    meet_together({"setmaxnreg", set_together, count * 2 + increases}, &mine, site);
}

void begin_named_barriers_of_block() {
    for (auto& of_block : named_barriers) {
        for (NamedBarrier& barrier : of_block) {
            barrier.waiting = 0;
        }
    }
    std::fill(registers_of_warp, registers_of_warp + max_warps, 0);
}

void require_same_registers() {
    for (int warp = 0; warp * warpSize < thread_total; ++warp) {
        const int first = warp - warp_in_block(warp) % warps_of_group;
        if (registers_of_warp[warp] != registers_of_warp[first]) {
            enter_block(rank_of(warp * warpSize));
            fail_in_block("", "warps " + std::to_string(first) + " and " + std::to_string(warp) +
                                  " of a warpgroup have set " + std::to_string(registers_of_warp[first]) +
                                  " and " + std::to_string(registers_of_warp[warp]) +
                                  " registers (0: none): setmaxnreg is called by all of it");
        }
    }
}

std::string describe_named_barrier(int thread) {
    const int id = named_barrier_of[thread];
    const NamedBarrier& barrier = named_barriers[rank_of(thread)][id];
    return "named barrier " + std::to_string(id) + ", where " + std::to_string(barrier.waiting) +
           " of " + std::to_string(barrier.count) + " threads are";
}

}  // namespace emulate
