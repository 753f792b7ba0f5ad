// Grids whose blocks wait for each other: a block that waits is set aside, and others run in its place.
#pragma once

#include "block.h"

#pragma GCC visibility push(hidden)

namespace emulate {

extern int waiting_for_grid;  // threads of the block
extern bool is_suspended;     // the block: all its threads wait for the grid

bool suspends_block();

void run_cooperative_grid();

}  // namespace emulate

#pragma GCC visibility pop
