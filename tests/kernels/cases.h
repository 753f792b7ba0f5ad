// What files of small kernels share: how an entry point runs one, and what the tests set and ask for.
// Each entry point returns null, or the kind and message of the error it ended in.
#pragma once

#include <string>
#include <vector>

#include "../../kernels/device.cuh"
#include "../../kernels/emulate/check.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
#define CASE(name, ...) EXPORT const char* name(__VA_ARGS__)

#define RUN(kernel, grid, block, ...) \
    outcome([&] { LAUNCH(kernel, grid, block, 0, nullptr, __VA_ARGS__); })

namespace {

template <class Launch>
const char* outcome(Launch launch) {
    static std::string message;
    try {
        launch();
    } catch (const KernelError& error) {
        message = std::string(error.kind()) + ": " + error.what();
        return message.c_str();
    } catch (const emulate::Interrupted&) {
        return "Interrupted";
    }
    return nullptr;
}

std::vector<emulate::check::GlobalArray> arrays;

}  // namespace

EXPORT void set_schedule(int kind, uint64_t seed) {
    emulate::set_schedule({emulate::Schedule(kind), seed});
}

#ifdef TAPEGRAD_CHECKED
EXPORT void forget_arrays() { arrays.clear(); }
EXPORT void watch(void* address, int64_t bytes, const char* name) {
    arrays.push_back({uintptr_t(address), size_t(bytes), name});
    emulate::check::set_arrays(arrays, true);
}
EXPORT void count_bank_conflicts() { emulate::check::count_bank_conflicts(true); }
EXPORT const char* bank_conflicts() {
    static std::string text;
    text.clear();
    for (const auto& line : emulate::check::bank_conflicts()) {
        text += line.place + " " + std::to_string(line.requests) + " " + std::to_string(line.passes) + " " +
                std::to_string(line.passes_without_conflict) + "\n";
    }
    return text.c_str();
}
#endif
