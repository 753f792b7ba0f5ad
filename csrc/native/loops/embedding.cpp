// Rows looked up, and rows added up.
#include <cstdint>
#include <cstring>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

// The rows of a table that are named; the only number is the bytes of a row.
void look_up(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const size_t bytes = size_t(numbers[0]);
    char* to = static_cast<char*>(arrays[0]) + size_t(begin) * bytes;
    for (int64_t i = begin; i < end; ++i, to += bytes) {
        const int64_t row = static_cast<const int64_t*>(arrays[2])[i];
        std::memcpy(to, static_cast<const char*>(arrays[1]) + size_t(row) * bytes, bytes);
    }
}

// result[put[i]] += source[taken[i]], in order of i, for those put[i] that lie in parts begin..end of the
// result; without ``taken``, source[i]. Numbers are the columns, how many i there are, the rows of a
// part, and a row that nothing is added to.
void add(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t columns = int64_t(numbers[0]), count = int64_t(numbers[1]);
    const int64_t first = begin * int64_t(numbers[2]), last = end * int64_t(numbers[2]);
    const int64_t skipped = int64_t(numbers[3]);
    const int64_t* taken = static_cast<const int64_t*>(arrays[2]);
    const int64_t* put = static_cast<const int64_t*>(arrays[3]);
    for (int64_t i = 0; i < count; ++i) {
        if (put[i] < first || put[i] >= last || put[i] == skipped) {
            continue;
        }
        const int64_t row = taken == nullptr ? i : taken[i];
        float* __restrict to = static_cast<float*>(arrays[0]) + put[i] * columns;
        const float* __restrict from = static_cast<const float*>(arrays[1]) + row * columns;
        for (int64_t j = 0; j < columns; ++j) {
            to[j] += from[j];
        }
    }
}

// Of each bag and column the largest number and its row, the first of equals, a NaN before all; and which
// bags have any. Numbers are the columns.
void maxima(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t columns = int64_t(numbers[0]);
    bool* filled = static_cast<bool*>(arrays[2]);
    const int64_t* indices = static_cast<const int64_t*>(arrays[4]);
    const int64_t* bags = static_cast<const int64_t*>(arrays[5]);
    for (int64_t i = begin; i < end; ++i) {
        float* __restrict best = static_cast<float*>(arrays[0]) + bags[i] * columns;
        int64_t* __restrict rows = static_cast<int64_t*>(arrays[1]) + bags[i] * columns;
        const float* __restrict x = static_cast<const float*>(arrays[3]) + indices[i] * columns;
        const bool first = !filled[bags[i]];
        filled[bags[i]] = true;
        for (int64_t j = 0; j < columns; ++j) {
            const bool better = first | (x[j] > best[j]) | (x[j] != x[j]);
            best[j] = better ? x[j] : best[j];
            rows[j] = better ? indices[i] : rows[j];
        }
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"embedding", 3, 1, look_up, nullptr, "skip"};
    found.each[found.count++] = {"embedding_backward", 4, 4, add, nullptr, "skip"};
    found.each[found.count++] = {"add_rows", 4, 4, add, nullptr, "rows"};
    found.each[found.count++] = {"bag_maxima", 6, 1, maxima, nullptr, "rows"};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(embedding);
const Loops OF_LEVEL(embedding) = all();
