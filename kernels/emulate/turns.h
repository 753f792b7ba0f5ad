// Threads that take turns: each runs on a fiber until it waits or ends, and hands over directly to the next.
// A thread that ends without having waited leaves its fiber to the next fresh thread, so that a kernel that
// never synchronises runs as a loop on a single fiber.
#pragma once

#include "block.h"

#pragma GCC visibility push(hidden)

namespace emulate {

void switch_to(int thread);

// Called by a thread that waits, or that let the others go on: returns when its turn has come.
void wait_for_turn();

int next_thread();  // whose turn it is; -1: none can run, and nothing is under way that could change that

int find_suspended_thread();  // -1: none

}  // namespace emulate

#pragma GCC visibility pop
