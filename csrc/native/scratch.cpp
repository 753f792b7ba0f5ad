#include <cstdlib>
#include <memory>

#include "convolution.h"

namespace {

struct Free {
    void operator()(float* memory) const { std::free(memory); }
};

struct Scratch {
    std::unique_ptr<float[], Free> memory;
    int64_t floats = 0;
};

}  // namespace

float* scratch_of(int64_t floats) {
    thread_local Scratch scratch;
    if (scratch.floats < floats) {
        const size_t bytes = (size_t(floats) * sizeof(float) + 63) / 64 * 64;
        scratch.memory.reset();
        scratch.memory.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
        scratch.floats = scratch.memory == nullptr ? 0 : floats;
    }
    return scratch.memory.get();
}
