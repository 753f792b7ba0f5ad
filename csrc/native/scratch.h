// Memory for what a loop has to keep for a moment: each thread's own, which the next loop finds warm.
#pragma once

#include <cstddef>
#include <cstdlib>

class Scratch {
public:
    // Of ``size`` floats, the first at the start of a cache line; null where there is no memory.
    explicit Scratch(size_t size) : kept_(mine()) {
        if (kept_.size < size) {
            kept_.release();
            const size_t lines = (size * sizeof(float) + line - 1) / line;
            kept_.memory = static_cast<float*>(std::aligned_alloc(line, lines * line));
            kept_.size = kept_.memory == nullptr ? 0 : size;
        }
    }
    ~Scratch() {
        if (kept_.size > most) {
            kept_.release();
        }
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    float* memory() const { return kept_.memory; }

private:
    static constexpr size_t line = 64, most = 1 << 20;

    struct Kept {
        float* memory = nullptr;
        size_t size = 0;

        void release() {
            std::free(memory);
            *this = Kept();
        }
        ~Kept() { std::free(memory); }
    };

    static Kept& mine() {
        static thread_local Kept kept;
        return kept;
    }

    Kept& kept_;
};
