// What the loops (loops/), compiled once for every level of instructions, show the module: tables,
// each with the level's name behind its own, such as steps_v3.
#pragma once

#include <cstdint>

#define TAPEGRAD_JOIN(table, level) table##_##level
#define TAPEGRAD_JOINED(table, level) TAPEGRAD_JOIN(table, level)
#define OF_LEVEL(table) TAPEGRAD_JOINED(table, TAPEGRAD_LEVEL)

// Floats of a vector register.
#if defined(__AVX512F__)
#define TAPEGRAD_VECTOR_WIDTH 16
#elif defined(__AVX__)
#define TAPEGRAD_VECTOR_WIDTH 8
#else
#define TAPEGRAD_VECTOR_WIDTH 4
#endif

// Elements begin..end. Arrays are contiguous and share no memory.
using Loop = void (*)(void* const* arrays, const double* numbers, int64_t begin, int64_t end);

constexpr int max_arrays = 7;
constexpr int max_numbers = 8;

struct Entry {
    const char* name;
    int arrays, numbers;
    Loop float32, float64;  // null where NumPy's body serves
    const char* keyword;    // of what is given by keyword, if anything; of several, one by one
    Loop float16 = nullptr, bfloat16 = nullptr;
};

struct Loops {
    int count;
    Entry each[40];
};
