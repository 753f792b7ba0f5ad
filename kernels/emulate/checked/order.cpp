#include "order.h"

#include <algorithm>
#include <memory>

#include "../scheduler.h"

namespace emulate {
namespace check {

Order order;

namespace {

// With all that had been acquired elsewhere by those who released there.
struct KnownLocation : Location {
    std::vector<Acquired> acquired;
};

std::unordered_map<uintptr_t, std::unique_ptr<KnownLocation>> locations;

// Of the block that runs.
std::vector<Acquired> acquired[most_threads];
std::unique_ptr<Release> fences[most_threads];  // the last of each thread
Stamp fenced_at[most_threads];
bool any_fence = false;
std::shared_ptr<const std::vector<Stamp>> all_fenced[max_blocks_of_cluster];  // at the last barrier
Stamp last_barriers[max_blocks_of_cluster];

void join(std::vector<Acquired>& to, const std::vector<Acquired>& from) {
    for (const Acquired& item : from) {
        auto same = std::find_if(to.begin(), to.end(), [&](const Acquired& known) {
            return known.location == item.location;
        });
        if (same == to.end()) {
            to.push_back(item);
        } else {
            same->releases = std::max(same->releases, item.releases);
        }
    }
}

bool covers(const Release& release, int other, Stamp stamp) {
    const bool is_of_block = order.rank_of(other) == order.rank_of(release.thread);
    if (is_of_block && release.fenced != nullptr &&
        stamp <= (*release.fenced)[size_t(other % order.block_threads)]) {
        return true;
    }
    if (stamp > release.end) {
        return false;
    }
    if (other == release.thread || (is_of_block && stamp <= release.barrier)) {
        return true;
    }
    return other / lanes_per_warp == release.thread / lanes_per_warp &&
           (stamp <= release.warp ||
            (!release.lanes.empty() && stamp <= release.lanes[other % lanes_per_warp]));
}

bool is_seen_here(const Release& release) {
    return release.scope == Scope::device ||
           (release.block_start == order.block_start && order.is_of_block(release.thread));
}

// By the releases of the block of that stamp, which are neighbours: blocks run one after another.
bool covers(const std::vector<Acquired>& known, int other, Stamp stamp) {
    for (const Acquired& item : known) {
        const Release* const begin = item.location->releases.data();
        const Release* const end = begin + item.releases;
        const Release* release = std::upper_bound(
            begin, end, stamp, [](Stamp s, const Release& r) { return s < r.block_start; });
        const Stamp block_start = release == begin ? 0 : release[-1].block_start;
        while (release != begin && (--release)->block_start == block_start) {
            if (is_seen_here(*release) && covers(*release, other, stamp)) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace

bool has_acquired(int thread, int other, Stamp stamp) {
    return covers(acquired[thread], other, stamp);
}

void begin_order_of_launch(int threads_of_block, int blocks_of_cluster) {
    order.block_threads = threads_of_block;
    order.blocks = blocks_of_cluster;
    order.rank = order.first_thread = 0;
    order.launch_start = ++order.now;
    locations.clear();
}

void meet_in_grid() { order.launch_start = ++order.now; }

void begin_order_of_cluster() {
    order.block_start = ++order.now;
    order.barrier = 0;
    std::fill(last_barriers, last_barriers + order.blocks, 0);
    for (int warp = 0; warp * lanes_per_warp < order.blocks * order.block_threads; ++warp) {
        order.warps[warp].all = 0;
        order.warps[warp].has_parts = false;
    }
    if (order.any_acquired) {
        for (std::vector<Acquired>& list : acquired) {
            list.clear();
        }
    }
    order.any_acquired = false;
    if (any_fence) {
        std::fill(fenced_at, fenced_at + most_threads, 0);
        for (auto& fence : fences) {
            fence.reset();
        }
    }
    any_fence = false;
    std::fill(all_fenced, all_fenced + order.blocks, nullptr);
}

void run_thread_in_order(int thread) {
    order.thread = thread;
    order.warp = thread / lanes_per_warp;
    order.lane_bit = 1u << (thread % lanes_per_warp);
    if (!order.is_of_block(thread)) {
        order.rank = order.rank_of(thread);
        order.first_thread = order.rank * order.block_threads;
        order.barrier = last_barriers[order.rank];
    }
}

void meet_at_barrier(int rank) {
    const int first = rank * order.block_threads, end = first + order.block_threads;
    if (any_fence) {
        all_fenced[rank] = std::make_shared<std::vector<Stamp>>(fenced_at + first, fenced_at + end);
    }
    order.barrier = last_barriers[rank] = order.now++;
    if (order.any_acquired) {
        std::vector<Acquired> all;
        for (int thread = first; thread < end; ++thread) {
            join(all, acquired[thread]);
        }
        std::fill(acquired + first, acquired + end, all);
    }
}

void meet_in_warp(int index, unsigned lanes, bool is_whole_warp) {
    WarpOrder& warp = order.warps[index];
    const Stamp now = order.now++;
    if (order.any_acquired) {
        std::vector<Acquired> all;
        for (unsigned left = lanes; left != 0; left &= left - 1) {
            join(all, acquired[index * lanes_per_warp + __builtin_ctz(left)]);
        }
        for (unsigned left = lanes; left != 0; left &= left - 1) {
            acquired[index * lanes_per_warp + __builtin_ctz(left)] = all;
        }
    }
    if (is_whole_warp) {
        warp.all = now;
        warp.has_parts = false;
        return;
    }
    if (!warp.has_parts) {
        warp.has_parts = true;
        std::fill(&warp.seen[0][0], &warp.seen[0][0] + lanes_per_warp * lanes_per_warp, warp.all);
    }
    Stamp together[lanes_per_warp] = {};
    for (unsigned left = lanes; left != 0; left &= left - 1) {
        const Stamp* row = warp.seen[__builtin_ctz(left)];
        for (int lane = 0; lane < lanes_per_warp; ++lane) {
            together[lane] = std::max(together[lane], row[lane]);
        }
    }
    for (unsigned left = lanes; left != 0; left &= left - 1) {
        together[__builtin_ctz(left)] = now;
    }
    for (unsigned left = lanes; left != 0; left &= left - 1) {
        std::copy(together, together + lanes_per_warp, warp.seen[__builtin_ctz(left)]);
    }
}

void fence(Scope scope) {
    leave_kernel();
    const WarpOrder& warp = order.warps[order.warp];
    const Stamp* row = warp.seen[order.thread % lanes_per_warp];
    any_fence = true;
    fenced_at[order.thread] = order.now;
    fences[order.thread].reset(new Release{
        scope, order.thread, order.block_start, order.now, order.barrier, warp.all, nullptr,
        warp.has_parts ? std::vector<Stamp>(row, row + lanes_per_warp) : std::vector<Stamp>(),
        acquired[order.thread]});
    ++order.now;  // what the thread does from here on is not fenced
    return_to_kernel();
}

void synchronise_at(uintptr_t address) {
    const bool releases = any_fence && fences[order.thread] != nullptr;
    if (locations.empty() && !releases) {
        return;
    }
    leave_kernel();
    auto found = locations.find(address);
    if (found != locations.end()) {
        join(acquired[order.thread], {{found->second.get(), found->second->releases.size()}});
        join(acquired[order.thread], found->second->acquired);
        order.any_acquired = true;
    }
    if (releases) {
        if (found == locations.end()) {
            found = locations.emplace(address, new KnownLocation()).first;
        }
        join(found->second->acquired, fences[order.thread]->acquired);
        found->second->releases.push_back(*fences[order.thread]);
        found->second->releases.back().fenced = all_fenced[order.rank];
        ++order.now;  // what the thread does from here on was not released
    }
    return_to_kernel();
}

void release_at(uintptr_t address) {
    fence(Scope::device);
    synchronise_at(address);
}

}  // namespace check
}  // namespace emulate
