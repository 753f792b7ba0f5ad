// Which accesses come before which, whatever the schedule.
//
// Time is counted in stamps: every barrier, warp operation and cluster of blocks begins a new one. As the emulator
// runs one thread at a time, what a thread has seen of another is all that this one did up to a stamp:
//
//   barrier       every thread has seen every other of the block
//   mbarrier and  who passes it has seen what those had seen, and done, who arrived there: across the
//   cluster's     blocks of a cluster, too
//   warp          the lanes that met have seen each other, and what each had seen
//   fence, then   a release: who acquires by an atomic operation on the same address has seen what the
//   atomic        thread had seen, and done, at the fence
//   launch        everything before it
//
// A fence after the acquiring operation is not asked for: programs that CUDA's guide shows have none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "../check.h"

#pragma GCC visibility push(hidden)

namespace emulate {
namespace check {

using Stamp = uint32_t;
constexpr Stamp most_stamps = 1u << 31;  // of all launches, before they begin anew

constexpr int lanes_per_warp = 32;
constexpr int most_threads = int(max_blocks_of_cluster * max_threads_per_block);
constexpr int most_warps = most_threads / lanes_per_warp;

struct Location;

// The first so many releases at a location.
struct Acquired {
    const Location* location;
    size_t releases;
};

// What a thread had seen when it called a fence.
struct Release {
    Scope scope;
    int thread;
    Stamp block_start, end;
    Stamp barrier, warp;    // all of the block, and of the warp, up to these
    std::shared_ptr<const std::vector<Stamp>> fenced;  // each of the block up to its own fence
    std::vector<Stamp> lanes;  // of each lane of the warp, where it is not the same for all
    std::vector<Acquired> acquired;
};

struct Location {
    std::vector<Release> releases;
};

struct WarpOrder {
    Stamp all;          // every lane has seen every other up to this
    bool has_parts;     // `seen` has more
    Stamp seen[lanes_per_warp][lanes_per_warp];
};

// The state that the checks of every access look at.
struct Order {
    Stamp now = 1, launch_start = 1, block_start = 1;  // of all blocks of the cluster
    Stamp barrier = 0;  // the last of the block that runs
    int thread = 0, warp = 0;
    int first_thread = 0, rank = 0;  // of that block, in the cluster
    int block_threads = 1, blocks = 1;  // of each block, of each cluster
    unsigned lane_bit = 1;
    bool any_acquired = false;  // by a thread of this block
    WarpOrder warps[most_warps];

    bool is_of_block(int other) const { return unsigned(other - first_thread) < unsigned(block_threads); }
    int rank_of(int other) const { return other / block_threads; }
};

extern Order order;

bool has_acquired(int thread, int other, Stamp stamp);

// Whether the thread that runs has seen what thread `other` of the block of that stamp did at it.
inline bool has_seen(int other, Stamp stamp) {
    if (stamp >= order.block_start) {
        if (other == order.thread || (stamp <= order.barrier && order.is_of_block(other))) {
            return true;
        }
        if (other / lanes_per_warp == order.warp) {
            const WarpOrder& warp = order.warps[order.warp];
            if (stamp <= warp.all ||
                (warp.has_parts &&
                 stamp <= warp.seen[order.thread % lanes_per_warp][other % lanes_per_warp])) {
                return true;
            }
        }
    } else if (stamp < order.launch_start) {
        return true;
    }
    return order.any_acquired && has_acquired(order.thread, other, stamp);
}

void begin_order_of_launch(int threads_of_block, int blocks_of_cluster);
void begin_order_of_cluster();
void run_thread_in_order(int thread);

// By an atomic operation of the thread that runs: acquires what was released there, and releases what
// it fenced.
void synchronise_at(uintptr_t address);

// As __threadfence() and a relaxed operation in one.
void release_at(uintptr_t address);

}  // namespace check
}  // namespace emulate

#pragma GCC visibility pop
