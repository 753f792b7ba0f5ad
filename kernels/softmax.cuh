// The two numbers that turn a row x into probabilities:  p = exp(x - largest) / total.
#pragma once

#include "row.cuh"

template <class A>
struct Softmax {
    A largest;
    A total;  // the sum of exp(x - largest), at least 1
};

// A row at hand is walked over twice. A row in memory is read once: each thread keeps its sum
// relative to the largest value it has met, and rescales it at every pack (the online softmax). A row
// of nothing but -inf, like one with a NaN or +inf, gives NaN everywhere.
template <class Own>
__device__ Softmax<typename Own::A> softmax_of(const Own& columns, const Row<Own>& x) {
    using A = typename Own::A;
    using T = typename Own::T;
    Softmax<A> mine{-A(INFINITY), A(0)};
    if constexpr (Own::at_hand) {
        columns.each([&](auto, A value) { mine.largest = max(mine.largest, value); }, x);
        const A largest = columns.reduce(mine.largest, Max());
        columns.each([&](auto, A value) { mine.total += exp_for<T>(value - largest); }, x);
        return {largest, columns.reduce(mine.total, Sum())};
    } else {
        // exp(-inf - -inf) is NaN: as long as there is nothing but -inf, it counts from 0 instead.
        const auto origin = [](A largest) { return largest == -A(INFINITY) ? A(0) : largest; };
        columns.each_pack(
            true,
            [&](auto pack, auto whole, auto values) {
                if (!whole.value && !columns.has_all(pack)) {
#pragma unroll
                    for (int i = 0; i < columns.width; ++i) {
                        values[i] = columns.has(columns.column(pack, i)) ? values[i] : -A(INFINITY);
                    }
                }
                const A before = mine.largest;
#pragma unroll
                for (int i = 0; i < columns.width; ++i) {
                    mine.largest = max(mine.largest, values[i]);
                }
                const A from = origin(mine.largest);
                mine.total *= exp_for<T>(before - from);
#pragma unroll
                for (int i = 0; i < columns.width; ++i) {
                    mine.total += exp_for<T>(values[i] - from);
                }
            },
            x);
        const A largest = columns.reduce(mine.largest, Max());
        mine.total *= exp_for<T>(mine.largest - origin(largest));
        return {largest, columns.reduce(mine.total, Sum())};
    }
}
