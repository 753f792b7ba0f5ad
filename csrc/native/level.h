// The loops in use, and how they are run.
#pragma once

#include "loops.h"

struct Level {
    const char* name;
    const Loops &steps, &elementwise, &random, &rows;
};

extern const Level* level;

constexpr int64_t piece = 1 << 15;  // elements that a thread takes at once

// The loop over 0..size, on several threads where there is much to do: each of ``size`` is, for example,
// a row of ``each`` elements.
void run(Loop loop, void* const* arrays, const double* numbers, int64_t size, int64_t each = 1);
