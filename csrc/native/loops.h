// What the loops (loops/), compiled once for every level of instructions, show the module. A file's
// table has the level's name behind its own: steps_v3.
#pragma once

#include <cstdint>

#define TAPEGRAD_JOIN(table, level) table##_##level
#define TAPEGRAD_JOINED(table, level) TAPEGRAD_JOIN(table, level)
#define OF_LEVEL(table) TAPEGRAD_JOINED(table, TAPEGRAD_LEVEL)

// A step of an optimizer (kernels/steps.h) on elements begin..end: of the parameter, its gradient and
// what is kept beside it.
using StepLoop = void (*)(void* const* arrays, const double* numbers, int64_t begin, int64_t end);

constexpr int max_arrays = 5;
constexpr int max_numbers = 8;

struct Step {
    const char* name;  // as its launcher's
    int arrays, numbers;
    StepLoop float32, float64;
};

struct Steps {
    int count;
    Step each[24];
};
