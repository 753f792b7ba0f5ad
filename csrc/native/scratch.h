// Memory for what a loop has to keep for a moment: each thread's own, which its next loop finds warm.
#pragma once

#include <cstdint>

// One at a time on a thread. (No function of it is inline: the loops of all levels share them.)
struct Scratch {
    explicit Scratch(int64_t floats);
    ~Scratch();  // gives back what is large
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    float* const memory;  // the first float at the start of a cache line; null where there is no memory
};
