// Warp operations: lanes meet for them, in groups by their masks.
#pragma once

#include "block.h"

#pragma GCC visibility push(hidden)

namespace emulate {

// Lanes that have met so far for one operation with one mask.
struct Group {
    WarpOperation operation;
    unsigned mask;
    unsigned arrived;
    int width;
};

struct Warp {
    unsigned present;  // lanes that exist and have not exited
    int gathering;     // lanes that ask who is at the same place
    int group_count;
    Group groups[warpSize];
    WarpRequest requests[warpSize];
};

extern Warp warps[max_warps];

// Answers those who ask which lanes are at their place, when no lane of the warp can go on without: of
// several places at the first in the code, as lanes that are behind catch up with the others.
void answer_gathering(int warp_index);

// Lets a group go on if it waits for nobody any more, and says whether it did.
bool answer_if_complete(int warp_index, int group_index);

}  // namespace emulate

#pragma GCC visibility pop
