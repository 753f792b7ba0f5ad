// The loops in use, and how they are run.
#pragma once

#include "loops.h"

struct Level {
    const char* name;
    const Loops &steps, &elementwise, &random;
};

extern const Level* level;

constexpr int64_t piece = 1 << 15;  // elements that a thread takes at once

// The loop over elements 0..size, on several threads where there are many.
void run(Loop loop, void* const* arrays, const double* numbers, int64_t size);
