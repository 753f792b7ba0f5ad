// A kernel may run for long, or for ever. A thread of the emulator's looks twenty times a second whether it
// sees the same launch again, and then sends the signal `knock` to the thread that runs it.
#pragma once

#include "runtime.h"

#pragma GCC visibility push(hidden)

namespace emulate {

// While it lives, a launch is watched.
class Watched {
  public:
    Watched();
    ~Watched();
    Watched(const Watched&) = delete;
};

// Whether the caller is the thread whose launch runs, or ran last.
bool is_launching_thread();

}  // namespace emulate

#pragma GCC visibility pop
