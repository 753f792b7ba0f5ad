// What the processor cannot do for a kernel, which the system tells by a signal: accesses to memory that
// is not there, divisions by zero, illegal instructions.
#pragma once

#include <signal.h>

#pragma GCC visibility push(hidden)

namespace emulate {

struct Fault {
    // accesses: where the processor does not say which
    enum class Kind { reads, writes, accesses, divides, executes } kind;
    const void* address;  // null where it does not say
    const void* code;     // where in the kernel; may be null
};

// The instruction that a signal interrupted; null where we do not know how to ask.
const void* interrupted_code(const void* context);

// While it lives, `answer` is asked about each fault of the process, in the thread that made it and on
// a stack of its own where there is room for none. It does not return where the fault is the kernel's.
// All other faults go to whoever was asked before, and gets its place back.
class FaultsAnswered {
  public:
    explicit FaultsAnswered(void (*answer)(const Fault&));
    ~FaultsAnswered();
    FaultsAnswered(const FaultsAnswered&) = delete;
};

}  // namespace emulate

#pragma GCC visibility pop
