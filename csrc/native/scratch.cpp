#include "scratch.h"

#include <cstdlib>

namespace {

constexpr size_t line = 64;
constexpr int64_t most = 1 << 20;  // floats that a thread keeps

struct Kept {
    float* memory = nullptr;
    int64_t floats = 0;

    ~Kept() { std::free(memory); }

    void release() {
        std::free(memory);
        memory = nullptr;
        floats = 0;
    }

    float* of_size(int64_t wanted) {
        if (floats < wanted) {
            release();
            const size_t lines = (size_t(wanted) * sizeof(float) + line - 1) / line;
            memory = static_cast<float*>(std::aligned_alloc(line, lines * line));
            floats = memory == nullptr ? 0 : wanted;
        }
        return memory;
    }
};

thread_local Kept kept;

}  // namespace

Scratch::Scratch(int64_t floats) : memory(kept.of_size(floats)) {}

Scratch::~Scratch() {
    if (kept.floats > most) {
        kept.release();
    }
}
