#include "mbarrier.h"

#include <deque>

#include "block.h"
#include "errors.h"
#include "ready.h"
#include "scheduler.h"
#include "shared_memory.h"
#include "turns.h"
#include "warps.h"

namespace emulate {

namespace {

constexpr int64_t most_arrivals = (1 << 20) - 1, most_bytes = (1 << 20) - 1;  // PTX ISA

struct Phase {
    uint64_t parity : 1;
    uint64_t missing : 20;   // arrivals
    uint64_t arrivals : 20;  // of every phase
    int64_t bytes : 21;      // missing; below zero where they came before they were expected
    uint64_t unused : 2;
};
static_assert(sizeof(Phase) == sizeof(uint64_t), "an mbarrier has eight bytes");

struct Mbarrier {
    uint64_t* address;
    Phase phase;  // which the memory has, too, unless somebody wrote there
    bool is_published;
};

std::deque<Mbarrier> mbarriers;  // of the cluster
const Mbarrier* waited_for[max_threads];

void write_phase(const Mbarrier& barrier) {
    std::memcpy(static_cast<void*>(barrier.address), &barrier.phase, sizeof barrier.phase);
}

Mbarrier* find_mbarrier(const uint64_t* address) {
    for (Mbarrier& barrier : mbarriers) {
        if (barrier.address == address) {
            return &barrier;
        }
    }
    return nullptr;
}

Mbarrier& mbarrier_at(uint64_t* address, const char* what, Site site) {
    Mbarrier* barrier = find_mbarrier(address);
    if (barrier == nullptr) {
        fail(std::string(what) + " at " + place(site) + ": no mbarrier was initialised there");
    }
    if (std::memcmp(address, &barrier->phase, sizeof barrier->phase) != 0) {
        fail(std::string(what) + " at " + place(site) + ": something was written over the mbarrier");
    }
    return *barrier;
}

void require_own(const uint64_t* address, const char* what, Site site) {
    if (!is_shared(address)) {
        fail(std::string(what) + " at " + place(site) + ": not in shared memory of this block");
    }
}

void require_published(const Mbarrier& barrier, const char* what, const char* reports, Site site) {
    if (!barrier.is_published) {
        fail(std::string(what) + " at " + place(site) + reports +
             " an mbarrier that no fence made visible to it since it was initialised: "
             "fence_mbarrier_init()");
    }
}

void end_phase_if_complete(Mbarrier& barrier) {
    Phase& phase = barrier.phase;
    if (phase.missing == 0 && phase.bytes == 0) {
        ++current_progress.met;
        phase.parity ^= 1;
        phase.missing = phase.arrivals;
        for (int thread = 0; thread < thread_total; ++thread) {
            if (threads[thread].state == State::at_mbarrier && waited_for[thread] == &barrier) {
                threads[thread].state = State::ready;
                ready.insert(thread);
            }
        }
    }
    write_phase(barrier);
}

}  // namespace

void init_mbarrier(uint64_t* address, int arrivals, Site site) {
    leave_kernel();
    if (reinterpret_cast<uintptr_t>(address) % sizeof(uint64_t) != 0 || !is_shared(address)) {
        fail("mbarrier.init at " + place(site) + ": not eight aligned bytes of shared memory");
    }
    if (arrivals < 1 || arrivals > most_arrivals) {
        fail("mbarrier.init at " + place(site) + ": " + std::to_string(arrivals) +
             " arrivals; it can be 1 to " + std::to_string(most_arrivals));
    }
    if (find_mbarrier(address) != nullptr) {
        fail("mbarrier.init at " + place(site) + ": there is an mbarrier already");
    }
    mbarriers.push_back({address, {0, uint64_t(arrivals), uint64_t(arrivals), 0, 0}, false});
    write_phase(mbarriers.back());
    return_to_kernel();
}

namespace {

void arrive(Mbarrier& barrier, int64_t bytes, Site site) {
    if (bytes < 0 || bytes + barrier.phase.bytes > most_bytes) {
        fail("mbarrier.arrive at " + place(site) + " expects " + std::to_string(bytes) +
             " bytes; a phase has at most " + std::to_string(most_bytes));
    }
    if (barrier.phase.missing == 0) {
        fail("mbarrier.arrive at " + place(site) + ": all " + std::to_string(barrier.phase.arrivals) +
             " arrivals of the phase have come already; " + std::to_string(barrier.phase.bytes) +
             " bytes are missing");
    }
    barrier.phase.bytes += bytes;
    --barrier.phase.missing;
    end_phase_if_complete(barrier);
}

}  // namespace

void arrive_at_mbarrier(uint64_t* address, int64_t bytes, Site site) {
    leave_kernel();
    require_own(address, "mbarrier.arrive", site);
    Mbarrier& barrier = mbarrier_at(address, "mbarrier.arrive", site);
    return_to_kernel();
    check::arrive_at_mbarrier(phase_of_mbarrier(address));
    leave_kernel();
    arrive(barrier, bytes, site);
    return_to_kernel();
}

void arrive_at_mbarrier_of(uint64_t* address, int rank, Site site) {
    note_code(site, __builtin_return_address(0));
    leave_kernel();
    auto* const there = static_cast<uint64_t*>(map_shared(address, rank, "mbarrier.arrive", site));
    Mbarrier& barrier = mbarrier_at(there, "mbarrier.arrive", site);
    if (rank != current_rank) {
        require_published(barrier, "mbarrier.arrive", ", of another block, is at", site);
    }
    return_to_kernel();
    check::reach_block(rank, site.code);
    check::arrive_at_mbarrier(phase_of_mbarrier(there));
    leave_kernel();
    arrive(barrier, 0, site);
    return_to_kernel();
}

void wait_at_mbarrier(uint64_t* address, unsigned parity, Site site) {
    leave_kernel();
    note_code(site, __builtin_return_address(0));
    require_own(address, "mbarrier.try_wait", site);
    Mbarrier& barrier = mbarrier_at(address, "mbarrier.try_wait", site);
    if (parity > 1) {
        fail("mbarrier.try_wait at " + place(site) + ": parity " + std::to_string(parity));
    }
    // Whoever comes late, when the next phase has ended, too, waits for the one after: as on a GPU.
    while (barrier.phase.parity == parity) {
        threads[current].state = State::at_mbarrier;
        threads[current].site = site;
        waited_for[current] = &barrier;
        answer_gathering(current / warpSize);
        wait_for_turn();
    }
    return_to_kernel();
    check::pass_mbarrier(reinterpret_cast<char*>(address) + parity);
}

void require_mbarrier(uint64_t* address, Site site) {
    require_published(mbarrier_at(address, "the bulk copy", site), "the bulk copy", " reports to", site);
}

void complete_bytes(uint64_t* address, int64_t bytes) {
    Mbarrier& barrier = *find_mbarrier(address);
    barrier.phase.bytes -= bytes;
    end_phase_if_complete(barrier);
}

const void* phase_of_mbarrier(const uint64_t* address) {
    return reinterpret_cast<const char*>(address) + find_mbarrier(address)->phase.parity;
}

void begin_mbarriers_of_block() { mbarriers.clear(); }

void publish_mbarriers() {
    for (Mbarrier& barrier : mbarriers) {
        barrier.is_published |= is_shared(barrier.address);
    }
}

std::string describe_mbarrier(int thread) {
    const Phase& phase = waited_for[thread]->phase;
    std::string text = "an mbarrier that lacks " + std::to_string(phase.missing) + " of " +
                       std::to_string(phase.arrivals) + " arrivals";
    if (phase.bytes > 0) {
        text += " and " + std::to_string(phase.bytes) + " bytes";
    } else if (phase.bytes < 0) {
        text += ", to which " + std::to_string(-phase.bytes) + " bytes more came than were expected";
    }
    return text;
}

}  // namespace emulate
