// The k largest or smallest of each row of floats, of equal ones the first; what is no number is larger
// than all.
#include <cmath>
#include <cstdint>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/narrow.h"

constexpr int64_t at_once = 64;

// Numbers in the order of the floats'.
template <bool largest>
int32_t key_of(float x) {
    const int32_t bits = __builtin_bit_cast(int32_t, x + 0.0f);  // of the two zeros one
    const int32_t size = bits & 0x7fffffff;
    const int32_t key = size > 0x7f800000 ? 0x7fffffff : bits < 0 ? -size : size;
    return largest ? key : -key;
}

template <class S, bool largest>
void pick_row(int64_t* indices, int32_t* keys, const S* x, int64_t count, int64_t k) {
    int64_t found = 0;
    for (int64_t start = 0; start < count; start += at_once) {
        const int64_t some = count - start < at_once ? count - start : at_once;
        float wide[at_once] = {};
        widen(wide, x + start, some);
        int32_t block[at_once], most = INT32_MIN;
        for (int j = 0; j < at_once; ++j) {
            block[j] = key_of<largest>(wide[j]);
        }
        for (int j = 0; j < at_once; ++j) {
            most = block[j] > most ? block[j] : most;
        }
        if (found == k && most <= keys[k - 1]) {
            continue;
        }
        for (int64_t j = 0; j < some; ++j) {
            if (found == k && block[j] <= keys[k - 1]) {
                continue;
            }
            int64_t place = found < k ? found++ : k - 1;
            for (; place > 0 && keys[place - 1] < block[j]; --place) {
                keys[place] = keys[place - 1];
                indices[place] = indices[place - 1];
            }
            keys[place] = block[j];
            indices[place] = start + j;
        }
    }
}

// Of rows begin..end; numbers are how long they are, k, and whether the largest are wanted.
template <class S>
void pick(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t count = int64_t(numbers[0]), k = int64_t(numbers[1]);
    int32_t keys[at_once];  // of at most as many
    for (int64_t row = begin; row < end; ++row) {
        (numbers[2] != 0 ? pick_row<S, true> : pick_row<S, false>)(
            static_cast<int64_t*>(arrays[0]) + row * k, keys,
            static_cast<const S*>(arrays[1]) + row * count, count, k);
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"top",   2,          3,          pick<float>, nullptr,
                                 "largest", pick<Half>, pick<Brain>};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(pick);
const Loops OF_LEVEL(pick) = all();
