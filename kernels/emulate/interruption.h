// How a block is left in the middle: for the question whether to go on, for a fault that the processor
// met, or for good. The thread that runs switches to the host's stack, in the kernel's own code from within
// a signal handler. Where it does not go on, its fiber is abandoned where it is, and the others unwind.
#pragma once

#include <exception>

#include "faults.h"
#include "runtime.h"
#include "scheduler.h"

#pragma GCC visibility push(hidden)

namespace emulate {

// Of the kernel that runs: nobody has knocked yet.
void forget_knocks();

// What answers the signal `knock`, and a fault of the processor, in the thread that launches.
void answer_knock(int, siginfo_t*, void* context);
void answer_fault(const Fault& found);

// Asks whether to go on, where somebody has knocked; throws Interrupted where not.
void answer_late_knock();
bool somebody_is_asked();

// Whether a thread switched to the host since it was asked last; and the error that the block must end
// in now, or null: the thread goes on.
bool was_visited();
std::exception_ptr end_of_visit();

}  // namespace emulate

#pragma GCC visibility pop
