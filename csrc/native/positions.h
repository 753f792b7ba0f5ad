// Which elements of an array in row-major order index arrays name, for the loops and their door.
#pragma once

#include <atomic>
#include <cstdint>

#include "spread.h"

// The array is leads x (a block that is indexed) x rest. The index arrays, broadcast, are laid out as
// ``spread`` says; each names places along a dimension of ``size``, which are ``step`` elements apart.
struct Positions {
    Spread spread;
    int arrays = 0;
    bool narrow[max_inputs];  // int32, else int64
    int64_t sizes[max_inputs], steps[max_inputs];
    int64_t leads = 1, block = 1, rest = 1;
    std::atomic<bool> outside{false};  // whether a place is none of the dimension
};

// What a loop's begin and end count.
enum class Share : int { positions, columns, rows, leads, rest };
