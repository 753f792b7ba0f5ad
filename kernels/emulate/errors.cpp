#include "errors.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "interruption.h"
#include "scheduler.h"

namespace emulate {

bool is_elsewhere(const Site& a, const Site& b) {
    return a.code != b.code || a.line != b.line || std::strcmp(a.file, b.file) != 0;
}

std::string place(const uint3& v) {
    return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

std::string thread_name(int thread) {
    const int rank = rank_of(thread);
    const std::string name = "thread " + place(coordinates[thread]);
    return rank == current_rank ? name : name + " of block " + place(block_indices[rank]);
}

std::string place(const Site& site) {
    return std::string(site.file) + ":" + std::to_string(site.line);
}

std::string hexadecimal(unsigned mask) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%08x", mask);
    return text;
}

KernelError error_in_block(const std::string& who, const std::string& message) {
    return KernelError(description_of_launch() + ": block " + place(blockIdx) + who + ": " + message +
                       " (" + describe_schedule() + ")");
}

void fail_in_block(const std::string& who, const std::string& message) {
    throw error_in_block(who, message);
}

void fail_at(int thread, const std::string& message) {
    fail_in_block(", " + thread_name(thread), message);
}

std::string name_of_thread(int thread) { return "thread " + place(coordinates[thread]); }

std::string description_of_launch() {
    return describe_launch(launch.kernel, launch.grid, launch.block, launch.shared_bytes);
}

void fail(const std::string& message) {
    leave_kernel();
    fail_at(current, message);
}

void stop(const std::string& message) {
    leave_kernel();
    end_block_with(std::make_exception_ptr(error_in_block(", " + thread_name(current), message)));
}

void fail_misaligned(const void* address) {
    fail("128-bit access to an address that is not a multiple of 16 (it ends in " +
         hexadecimal(unsigned(reinterpret_cast<uintptr_t>(address) & 0xFFu)) + ")");
}

}  // namespace emulate

// In place of the C library's, which ends the process: what assert calls where it does not hold.
extern "C" [[noreturn]] void __assert_fail(const char* what, const char* file, unsigned line,
                                           const char* function) noexcept {
    if (!emulate::in_kernel) {
        std::fprintf(stderr, "%s:%u: %s: Assertion `%s' failed.\n", file, line, function, what);
        std::abort();
    }
    emulate::leave_kernel();
    const char* name = std::strrchr(file, '/');
    emulate::stop(std::string("assertion failed at ") + (name != nullptr ? name + 1 : file) + ":" +
                  std::to_string(line) + ": " + what);
}
