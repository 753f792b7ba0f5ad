// Sum of each column of a matrix: the gradient of a bias.  out[c] = sum over r of x[r, c]
//
// Reads x once. A column alone would be one thread's work, so tall matrices are cut into stretches
// of rows whose partial sums, a few percent of x, the last block adds up that has any of these columns
// (column_sum.cuh). The order of all additions is fixed: the same bits in every run.
#include <algorithm>

#include "column_sum.cuh"

int64_t column_sum_partials(int64_t rows, int64_t cols) {
    constexpr int64_t blocks = 512;           // keep a large GPU busy
    constexpr int64_t shortest_stretch = 64;  // rows, below which partial sums cost too much
    const int64_t wanted = ceil_div(blocks, ceil_div(cols, 128) + (cols == 0));
    return std::min(wanted, ceil_div(rows, shortest_stretch));
}
FUNCTION(column_sum_partials);

// How many counters the launcher needs.
int64_t column_sum_tiles(int64_t cols) { return ceil_div(cols, 32 * Pack<double>::size); }
FUNCTION(column_sum_tiles);

// scratch: [partials, cols]. counters: zeros, which they are again behind the launch.
template <class T, class X = T>
void column_sum(T* out, acc_t<T>* scratch, unsigned* counters, const X* x, int64_t rows, int64_t cols,
                cudaStream_t stream) {
    if (cols == 0) {
        return;
    }
    const int64_t stretches = column_sum_partials(rows, cols);
    if (stretches <= 1) {
        sum_columns<T, X, T>({out, x}, {}, rows, cols, 1, {}, stream);
    } else {
        sum_columns<acc_t<T>, X, T>({scratch, x}, {}, rows, cols, stretches, {out, counters}, stream);
    }
}
LAUNCHER_AS(column_sum, column_sum<T>);

// Of floats, rounded to 16 bits: of sums that a product wrote beside its result (epilogue.cuh).
LAUNCHER_16_BITS_AS(column_sum_rounded, column_sum<T, float>);
