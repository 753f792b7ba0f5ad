// Fibers: stacks of their own that one OS thread switches between.
#pragma once

#include <cstddef>

namespace emulate {

struct Fiber;

// Only touched pages cost memory. CUDA allows a thread 512 KB of local memory, and a CPU's frames have
// more in them; unwinding an exception takes a few KB more.
constexpr size_t stack_bytes = 1024 * 1024;

// A fiber for the stack that the caller already runs on. Belongs to the emulator for good.
Fiber* adopt_current_stack();

// Takes a fiber from the pool, or makes one. When first switched to it calls `entry`, which never
// returns; a fiber that went back to the pool goes on where it was switched away from.
Fiber* take_fiber(void (*entry)());
void give_fiber_back(Fiber* fiber);

// Forgets where a fiber is: it begins with its `entry` again. Nothing on its stack is unwound.
void restart_fiber(Fiber* fiber);

// The lowest address of a fiber's stack; null for an adopted one.
const char* stack_of(const Fiber* fiber);

void switch_fiber(Fiber* from, Fiber* to);

// How many fibers exist and how many of them are in the pool; equal whenever no kernel runs.
struct FiberCounts {
    int made, pooled;
};
FiberCounts count_fibers();

}  // namespace emulate
