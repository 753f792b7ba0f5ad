// Sums over the columns of a matrix, in two stages and always in the same order: blocks first add
// up stretches of rows, then a second launch adds up the partial sums. Used by column_sum.cu and
// for the weight gradients of norm.cu.
#pragma once

#include "row.cuh"

namespace {

// A block takes a stretch of rows and one pack of columns per lane. Each warp adds up every eighth
// row; the sums of the warps meet in shared memory.
using ColumnPlan = Plan<32, 1>;
constexpr int column_warps = 8;
constexpr int column_threads = 32 * column_warps;

template <class T>
constexpr int column_tile = 32 * Pack<T>::size;  // columns per block

// sums[stretch, column] = sum of x[row, column] over the rows of the stretch
template <class Out, class T>
__global__ void __launch_bounds__(column_threads)
    column_sum_kernel(Out* sums, const T* x, int64_t rows, int64_t cols, int64_t stretches,
                      bool in_packs) {
    using A = acc_t<T>;
    constexpr int tile = column_tile<T>;
    SHARED(warp_sums, A[column_warps][tile]);
    const int warp = threadIdx.x / 32;
    const int64_t tiles = ceil_div(cols, tile);
    const int64_t stretch_rows = ceil_div(rows, stretches);
    for (int64_t index = blockIdx.x; index < tiles * stretches; index += gridDim.x) {
        const int64_t first_column = index % tiles * tile;
        const int64_t stretch = index / tiles;
        const int64_t tile_cols = min(cols - first_column, int64_t(tile));
        const int64_t end = min((stretch + 1) * stretch_rows, rows);
        const Columns<T, ColumnPlan> columns(tile_cols, in_packs);
        Elements<T> sum{};
#pragma unroll 4
        for (int64_t row = stretch * stretch_rows + warp; row < end; row += column_warps) {
            const Elements<T> part = columns.load(x + row * cols + first_column, 0, A(0));
#pragma unroll
            for (int i = 0; i < columns.width; ++i) {
                sum[i] += part[i];
            }
        }
#pragma unroll
        for (int i = 0; i < columns.width; ++i) {
            warp_sums[warp][columns.column(0, i)] = sum[i];
        }
        __syncthreads();
        for (int column = threadIdx.x; column < tile_cols; column += column_threads) {
            A total = 0;
            for (int part = 0; part < column_warps; ++part) {
                total += warp_sums[part][column];
            }
            sums[stretch * cols + first_column + column] = from_acc<Out>(total);
        }
        __syncthreads();  // the next tile's sums go where these were read
    }
}

template <class Out, class T>
void sum_columns(Out* sums, const T* x, int64_t rows, int64_t cols, int64_t stretches,
                 cudaStream_t stream) {
    LAUNCH((column_sum_kernel<Out, T>), blocks_for(ceil_div(cols, column_tile<T>) * stretches, 1),
           column_threads, 0, stream, sums, x, rows, cols, stretches, rows_in_packs<T>(cols, x));
}

}  // namespace
