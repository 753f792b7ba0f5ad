// Running sums, products and extremes, along rows or down columns. Sums and products in double, one
// after the other, as the bodies do; several rows side by side, as each waits for its last addition.
// Extremes of rows block by block.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/narrow.h"

template <class S>
S stored(double x) {
    if constexpr (std::is_same_v<S, double>) {
        return x;
    } else {
        return narrowed<S>(float(x));
    }
}

struct Sum {
    static constexpr bool is_extreme = false;
    double total = 0;
    template <class S>
    S next(double x, int64_t) {
        total += x;
        return stored<S>(total);
    }
    template <class S>
    using Stored = S;
};
struct Product {
    static constexpr bool is_extreme = false;
    double total = 1;
    template <class S>
    S next(double x, int64_t) {
        total *= x;
        return stored<S>(total);
    }
    template <class S>
    using Stored = S;
};
// Where the last of the extremes so far is, or of what is no number.
template <bool largest>
struct Extreme {
    static constexpr bool is_extreme = true, is_largest = largest;
    double found = largest ? -INFINITY : INFINITY;
    int64_t at = 0;
    template <class S>
    int64_t next(double x, int64_t i) {
        const bool here = (largest ? x >= found : x <= found) || x != x;
        found = here ? x : found;
        at = here ? i : at;
        return at;
    }
    template <class S>
    using Stored = int64_t;
};

constexpr int64_t together = 16;  // columns, or at least 4 rows

// So many lines of ``count`` elements side by side; elements of a line and lines are steps apart.
template <class Function, class S, int lines>
void scan_lines(typename Function::template Stored<S>* y, const S* x, int64_t count, int64_t step,
                int64_t line_step) {
    Function state[lines];
    for (int64_t i = 0; i < count; ++i) {
        for (int line = 0; line < lines; ++line) {
            const int64_t at = i * step + line * line_step;
            y[at] = state[line].template next<S>(double(widened(x[at])), i);
        }
    }
}

// Of a row: where a block has nothing that reaches what was found before, one place is that of all.
template <bool largest, class S>
void find_last_extremes(int64_t* __restrict y, const S* __restrict x, int64_t count) {
    constexpr int64_t block = 16;
    using A = decltype(widened(*x));
    A found = largest ? -A(INFINITY) : A(INFINITY);
    const auto is_next = [&](A number) {
        const bool reaches = largest ? number >= found : number <= found;
        return (reaches ? ~0u : 0u) | (number != number ? ~0u : 0u);
    };
    int64_t at = 0;
    for (int64_t i = 0; i < count; i += block) {
        const int64_t end = count - i < block ? count : i + block;
        uint32_t any = 0;
        if (end == i + block) {
#pragma GCC unroll 1  // (else g++ makes no vectors of it)
            for (int64_t j = i; j < i + block; ++j) {
                any |= is_next(widened(x[j]));
            }
        }
        if (end == i + block && any == 0) {
            for (int64_t j = i; j < i + block; ++j) {
                y[j] = at;
            }
            continue;
        }
        for (int64_t j = i; j < end; ++j) {
            const A number = widened(x[j]);
            if (is_next(number) != 0) {
                found = number;
                at = j;
            }
            y[j] = at;
        }
    }
}

// Rows, or groups of columns, begin..end. Numbers are how long lines are, how many columns there are
// (1: lines are rows), and whether it goes backwards.
template <class Function, class S>
void scan(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    using Stored = typename Function::template Stored<S>;
    const int64_t count = int64_t(numbers[0]), columns = int64_t(numbers[1]);
    const int64_t step = numbers[2] != 0 ? -columns : columns;
    const int64_t first = numbers[2] != 0 ? (count - 1) * columns : 0;
    Stored* y = static_cast<Stored*>(arrays[0]) + first;
    const S* x = static_cast<const S*>(arrays[1]) + first;
    if (columns == 1) {
        int64_t row = begin;
        if constexpr (Function::is_extreme) {
            for (; row < end; ++row) {
                find_last_extremes<Function::is_largest>(y + row * count, x + row * count, count);
            }
        }
        for (; row + 4 <= end; row += 4) {
            scan_lines<Function, S, 4>(y + row * count, x + row * count, count, step, count);
        }
        for (; row < end; ++row) {
            scan_lines<Function, S, 1>(y + row * count, x + row * count, count, step, count);
        }
        return;
    }
    const int64_t groups = (columns + together - 1) / together;
    for (int64_t item = begin; item < end; ++item) {
        const int64_t outer = item / groups, from = item % groups * together;
        const int64_t left = columns - from, some = left < together ? left : together;
        const int64_t start = outer * count * columns + from;
        int64_t j = 0;
        if (some == together) {
            scan_lines<Function, S, together>(y + start, x + start, count, step, 1);
            j = together;
        }
        for (; j < some; ++j) {
            scan_lines<Function, S, 1>(y + start + j, x + start + j, count, step, 1);
        }
    }
}

constexpr Loops all() {
    Loops found{};
#define SCAN(name, keyword, Function)                                            \
    found.each[found.count++] = {name,                                           \
                                 2,                                              \
                                 3,                                              \
                                 scan<Function, float>,                          \
                                 scan<Function, double>,                         \
                                 keyword,                                        \
                                 scan<Function, Half>,                           \
                                 scan<Function, Brain>};
    SCAN("cumsum", "reverse", Sum)
    SCAN("cumprod", nullptr, Product)
    SCAN("last_largest", nullptr, Extreme<true>)
    SCAN("last_smallest", nullptr, Extreme<false>)
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(scan);
const Loops OF_LEVEL(scan) = all();
