// The loops in use, and how they are run.
#pragma once

#include "loops.h"

// The files of loops (loops/) whose table has the file's name, and the doors (doors/) to them.
#define TAPEGRAD_TABLES                    \
    TABLE(activation, broadcast)           \
    TABLE(arithmetic, broadcast)           \
    TABLE(attention, attention)            \
    TABLE(cast, cast)                      \
    TABLE(channels, channels)              \
    TABLE(classes, classes)                \
    TABLE(convolution, convolution)        \
    TABLE(convolution_weight, convolution) \
    TABLE(copy, copy)                      \
    TABLE(embedding, embedding)            \
    TABLE(index, index)                    \
    TABLE(losses, losses)                  \
    TABLE(maxima, pool)                    \
    TABLE(norm, norm)                      \
    TABLE(pick, pick)                      \
    TABLE(pool, pool)                      \
    TABLE(positions, positions)            \
    TABLE(product, product)                \
    TABLE(random, random)                  \
    TABLE(recurrence, recurrence)          \
    TABLE(reduce, reduce)                  \
    TABLE(rows, rows)                      \
    TABLE(scan, scan)                      \
    TABLE(sort, sort)

struct Level {
    const char* name;
    int vector_width;
    const Loops &steps, &winograd;
#define TABLE(name, door) const Loops& name;
    TAPEGRAD_TABLES
#undef TABLE
};

extern const Level* level;

constexpr int64_t piece = 1 << 15;  // elements that a thread takes at once

// How many rows of ``each`` elements a thread takes at once.
inline int64_t rows_at_once(int64_t each) { return each < piece ? piece / each : 1; }

// The loop over 0..size, on several threads where there is much to do: each of ``size`` is, for example,
// a row of ``each`` elements.
void run(Loop loop, void* const* arrays, const double* numbers, int64_t size, int64_t each = 1);
