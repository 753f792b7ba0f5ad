#include "warps.h"

#include <algorithm>

#include "errors.h"
#include "ready.h"
#include "scheduler.h"
#include "turns.h"

namespace emulate {

Warp warps[max_warps];

namespace {

// The lane that `lane` reads from; its own where a shuffle runs off its segment.
int source_lane(const WarpRequest& request, int lane) {
    const int segment = lane & ~(request.width - 1);
    int source = lane;
    switch (request.operation) {
        case WarpOperation::shuffle:
            return segment + (request.lane & (request.width - 1));
        case WarpOperation::shuffle_up:
            source = lane - request.lane;
            return source < segment ? lane : source;
        case WarpOperation::shuffle_down:
            source = lane + request.lane;
            return source >= segment + request.width ? lane : source;
        case WarpOperation::shuffle_xor:
            source = lane ^ request.lane;
            return source >= segment + request.width ? lane : source;
        case WarpOperation::sync:
        case WarpOperation::ballot:
        case WarpOperation::together:
            break;
    }
    return lane;
}

struct Together {
    const WarpWork& work;
    void* mine;
};

void work_together(int warp_index, const Group& group) {
    const WarpRequest* const requests = warps[warp_index].requests;
    const auto of_lane = [&](int lane) { return reinterpret_cast<const Together*>(requests[lane].value); };
    const int first = __builtin_ctz(group.arrived);
    const WarpWork& work = of_lane(first)->work;
    const auto fail_together = [&](int lane, const std::string& message) {
        fail_at(warp_index * warpSize + lane, std::string(of_lane(lane)->work.name) + " at " +
                                                  place(requests[lane].site) + message);
    };
    if (group.arrived != ~0u) {
        fail_together(first, " needs all 32 lanes of its warp; only lanes " + hexadecimal(group.arrived) +
                                 " are there");
    }
    void* lanes[warpSize];
    for (int lane = 0; lane < warpSize; ++lane) {
        const WarpWork& other = of_lane(lane)->work;
        if (other.work != work.work || other.variant != work.variant ||
            is_elsewhere(requests[lane].site, requests[0].site)) {
            fail_together(lane, ", while lane 0 of its warp calls " + std::string(work.name) + " at " +
                                    place(requests[0].site));
        }
        lanes[lane] = of_lane(lane)->mine;
    }
    work.work(lanes);
}

void answer_group(int warp_index, const Group& group) {
    ++current_progress.met;
    Warp& warp = warps[warp_index];
    const int base = warp_index * warpSize;
    uint64_t ballot = 0;
    if (group.operation == WarpOperation::together) {
        work_together(warp_index, group);
    }
    for (int lane = 0; lane < warpSize; ++lane) {
        if ((group.arrived >> lane) & 1u) {
            ballot |= (warp.requests[lane].value & 1u) << lane;
        }
    }
    for (int lane = 0; lane < warpSize; ++lane) {
        if (!((group.arrived >> lane) & 1u)) {
            continue;
        }
        ThreadRecord& thread = threads[base + lane];
        if (group.operation == WarpOperation::ballot) {
            thread.answer = ballot;
        } else if (group.operation != WarpOperation::sync && group.operation != WarpOperation::together) {
            const int source = source_lane(warp.requests[lane], lane);
            if (source < 0 || source >= warpSize || !((group.arrived >> source) & 1u)) {
                fail_at(base + lane, "the shuffle at " + place(thread.site) + " reads lane " +
                                         std::to_string(source) +
                                         ", which has exited or takes no part in it");
            }
            thread.answer = warp.requests[source].value;
        }
        thread.state = State::ready;
        ready.insert(base + lane);
    }
    if (group.operation == WarpOperation::together) {
        return;
    }
    const int existing = thread_total - base;
    check::meet_in_warp(warp_index, group.arrived,
                        group.arrived == (existing >= warpSize ? ~0u : (1u << existing) - 1u));
}

}  // namespace

void answer_gathering(int warp_index) {
    Warp& warp = warps[warp_index];
    ThreadRecord* const lanes = threads + warp_index * warpSize;
    const int count = std::min(warpSize, thread_total - warp_index * warpSize);
    CodeAddress first = nullptr;
    for (int i = 0; i < count && warp.gathering > 0; ++i) {
        if (lanes[i].state == State::ready) {
            return;
        }
        if (lanes[i].state == State::gathering && (first == nullptr || lanes[i].site.code < first)) {
            first = lanes[i].site.code;
        }
    }
    const auto is_there = [&](const ThreadRecord& lane) {
        return lane.state == State::gathering && lane.site.code == first;
    };
    unsigned together = 0;
    for (int i = 0; i < count && first != nullptr; ++i) {
        together |= unsigned(is_there(lanes[i])) << i;
    }
    for (unsigned left = together; left != 0; left &= left - 1) {
        const int lane = __builtin_ctz(left);
        lanes[lane].answer = together;
        lanes[lane].state = State::ready;
        ready.insert(warp_index * warpSize + lane);
        --warp.gathering;
    }
}

bool answer_if_complete(int warp_index, int group_index) {
    Warp& warp = warps[warp_index];
    const Group group = warp.groups[group_index];
    if ((group.mask & warp.present) != group.arrived) {
        return false;
    }
    warp.groups[group_index] = warp.groups[--warp.group_count];
    answer_group(warp_index, group);
    return true;
}

uint64_t meet_warp(const WarpRequest& request) {
    leave_kernel();
    const int warp_index = current / warpSize;
    const int lane = current % warpSize;
    const unsigned own_bit = 1u << lane;
    if (!(request.mask & own_bit)) {
        fail("calls the warp operation at " + place(request.site) + " with mask " +
             hexadecimal(request.mask) + ", which lacks its own lane " + std::to_string(lane));
    }
    if (request.width < 1 || request.width > warpSize || (request.width & (request.width - 1))) {
        fail("width " + std::to_string(request.width) + " of the shuffle at " + place(request.site) +
             " is not a power of two up to 32");
    }
    Warp& warp = warps[warp_index];
    int mine = warp.group_count;
    for (int i = 0; i < warp.group_count; ++i) {
        Group& group = warp.groups[i];
        if (group.mask == request.mask) {
            if (group.operation != request.operation || group.width != request.width) {
                fail("and lanes of its warp with the same mask " + hexadecimal(request.mask) +
                     " call different warp operations; it is at " + place(request.site));
            }
            mine = i;
        } else if ((group.mask & own_bit) && (group.arrived & request.mask)) {
            // Each waits for the other under a mask the other does not use: neither can go on.
            fail("masks disagree: it calls the warp operation at " + place(request.site) +
                 " with mask " + hexadecimal(request.mask) + ", lanes " +
                 hexadecimal(group.arrived) + " of its warp wait with mask " +
                 hexadecimal(group.mask));
        }
    }
    if (mine == warp.group_count) {
        warp.groups[warp.group_count++] = {request.operation, request.mask, 0, request.width};
    }
    warp.groups[mine].arrived |= own_bit;
    warp.requests[lane] = request;
    threads[current].state = State::at_warp;
    threads[current].site = request.site;
    answer_if_complete(warp_index, mine);
    answer_gathering(warp_index);
    wait_for_turn();
    const uint64_t answer = threads[current].answer;
    return_to_kernel();
    return answer;
}

void meet_together(const WarpWork& work, void* mine, Site site) {
    const Together together{work, mine};
    meet_warp({WarpOperation::together, ~0u, reinterpret_cast<uint64_t>(&together), 0, warpSize, site});
}

unsigned active_lanes(Site site) {
    leave_kernel();
    site.code = __builtin_return_address(0);
    const int warp_index = current / warpSize;
    threads[current].state = State::gathering;
    threads[current].site = site;
    ++warps[warp_index].gathering;
    answer_gathering(warp_index);
    wait_for_turn();
    const unsigned answer = unsigned(threads[current].answer);
    return_to_kernel();
    return answer;
}

}  // namespace emulate
