// Sum of each column of a matrix: the gradient of a bias.  out[c] = sum over r of x[r, c]
//
// Reads x once. A column alone would be one thread's work, so tall matrices are cut into stretches
// of rows whose partial sums, a few percent of x, are added up by a second launch (column_sum.cuh).
// The order of all additions is fixed: the same bits in every run, without atomics.
#include <algorithm>

#include "column_sum.cuh"

int64_t column_sum_partials(int64_t rows, int64_t cols) {
    constexpr int64_t blocks = 512;           // keep a large GPU busy
    constexpr int64_t shortest_stretch = 64;  // rows, below which partial sums cost too much
    const int64_t wanted = ceil_div(blocks, ceil_div(cols, 128) + (cols == 0));
    return std::min(wanted, ceil_div(rows, shortest_stretch));
}
FUNCTION(column_sum_partials);

template <class T>
void column_sum(T* out, acc_t<T>* scratch, const T* x, int64_t rows, int64_t cols,
                cudaStream_t stream) {
    if (cols == 0) {
        return;
    }
    const int64_t stretches = column_sum_partials(rows, cols);
    if (stretches <= 1) {
        sum_columns<T, T>({out, x}, {}, rows, cols, 1, stream);
    } else {
        sum_columns<acc_t<T>, T>({scratch, x}, {}, rows, cols, stretches, stream);
        sum_columns<T, acc_t<T>>({out, scratch}, {}, stretches, cols, 1, stream);
    }
}
LAUNCHER(column_sum);
