// What the other files of the emulator tell and do for the checks of the checked build.
#pragma once

#include <csignal>
#include <exception>
#include <string>

#pragma GCC visibility push(hidden)

namespace emulate {

// Whether the thread that runs is in the kernel's own code. A signal may then leave its fiber at any
// instruction, and for ever: what allocates or locks is done between leaving and returning.
extern volatile sig_atomic_t in_kernel;
inline void leave_kernel() { in_kernel = 0; }
void return_to_kernel();

// Whether the host was asked while a kernel runs, and does something else meanwhile.
bool is_interrupted();

int running_thread();
std::string name_of_thread(int thread);  // of the block that runs
std::string description_of_launch();

// Ends the launch in this error, at the current thread. Its stack is not unwound, as the compiler takes
// it that accesses to memory throw nothing; those of the others are.
[[noreturn]] void end_block_with(std::exception_ptr error);

// Gives every other thread that can run a turn; false where there is none.
bool let_others_run();

}  // namespace emulate

#pragma GCC visibility pop
