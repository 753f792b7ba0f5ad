// Errors of a kernel, with the block, the thread and the schedule.
#pragma once

#include <string>

#include "block.h"

#pragma GCC visibility push(hidden)

namespace emulate {

// Notes where an entry point was called from. In the checked build a call is at one address; in the
// other compilers may copy it.
inline void note_code([[maybe_unused]] Site& site, [[maybe_unused]] CodeAddress code) {
#ifdef TAPEGRAD_CHECKED
    site.code = code;
#endif
}

// Whether two threads wait in different places: known exactly in the checked build, whose compiler makes
// no copies of a barrier; else by the line.
bool is_elsewhere(const Site& a, const Site& b);

std::string place(const uint3& v);     // "(1, 0, 0)"
std::string place(const Site& site);   // "file.cu:12"
std::string thread_name(int thread);   // "thread (1, 0, 0)"
std::string hexadecimal(unsigned mask);
std::string describe_schedule();  // as the Schedule of schedules.py that is written so

KernelError error_in_block(const std::string& who, const std::string& message);
[[noreturn]] void fail_in_block(const std::string& who, const std::string& message);
[[noreturn]] void fail_at(int thread, const std::string& message);

}  // namespace emulate

#pragma GCC visibility pop
