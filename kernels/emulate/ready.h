// The threads of the block that can run, and whose turn it is.
#pragma once

#include <cstdint>

#include "block.h"

#pragma GCC visibility push(hidden)

namespace emulate {

// How the next decision of the schedule is taken.
Schedule next_decision();

ScheduleChoice take_choice();  // of a launch

// One bit per thread. Under the random schedule any order of turns is possible, but not all are equally
// likely: seven times in eight the next thread is of the warp that just ran. So some warps run far
// ahead of others, which is when a missing barrier shows; and the stacks of one warp stay in the
// cache, which makes kernels with many shuffles several times faster. A thread after a gap of waiting
// ones is drawn more often, which is no harm in a search for bad orders.
class ReadySet {
  public:
    void fill(int count) {
        words_ = (thread_total + 63) / 64;
        for (int word = 0; word < words_; ++word) {
            const int left = count - word * 64;
            bits_[word] = left >= 64 ? ~uint64_t(0) : left > 0 ? (uint64_t(1) << left) - 1 : 0;
        }
    }

    void insert(int thread) { bits_[thread / 64] |= uint64_t(1) << (thread % 64); }

    // The thread whose turn it is, or -1.
    int take() {
        int thread = -1;
        // Drawn for every decision, so that leaving some out does not change the others.
        const uint64_t random = launch.schedule.schedule == Schedule::random ? launch.random.next() : 0;
        switch (next_decision()) {
            case Schedule::ascending:
                thread = first_from(0);
                break;
            case Schedule::descending:
                thread = last();
                break;
            case Schedule::random:
                thread = draw(random);
                break;
        }
        if (thread >= 0) {
            bits_[thread / 64] &= ~(uint64_t(1) << (thread % 64));
        }
        return thread;
    }

    // The next thread in order, beginning again at the first: everybody has a turn.
    int take_after(int thread) {
        const int next = thread + 1 < thread_total ? first_from(thread + 1) : -1;
        const int taken = next < 0 ? first_from(0) : next;
        if (taken >= 0) {
            bits_[taken / 64] &= ~(uint64_t(1) << (taken % 64));
        }
        return taken;
    }

  private:
    int draw(uint64_t random) const {
        const int warp = current / warpSize;
        const uint32_t lanes = uint32_t(bits_[warp / 2] >> (warp % 2 * warpSize));
        if (lanes != 0 && random % 8 != 0) {
            const int start = int((random >> 8) % warpSize);
            const uint32_t later = lanes & (~0u << start);
            return warp * warpSize + __builtin_ctz(later != 0 ? later : lanes);
        }
        const int thread = first_from(int(((random >> 32) * uint32_t(thread_total)) >> 32));
        return thread < 0 ? first_from(0) : thread;
    }

    int first_from(int start) const {
        int word = start / 64;
        uint64_t bits = bits_[word] & (~uint64_t(0) << (start % 64));
        while (bits == 0) {
            if (++word == words_) {
                return -1;
            }
            bits = bits_[word];
        }
        return word * 64 + __builtin_ctzll(bits);
    }

    int last() const {
        for (int word = words_ - 1; word >= 0; --word) {
            if (bits_[word] != 0) {
                return word * 64 + 63 - __builtin_clzll(bits_[word]);
            }
        }
        return -1;
    }

    int words_ = 0;  // that the cluster has
    uint64_t bits_[max_threads / 64];
};

extern ReadySet ready;

}  // namespace emulate

#pragma GCC visibility pop
