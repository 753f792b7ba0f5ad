// Sums over the columns of a matrix, in two stages and always in the same order: blocks first add
// up stretches of rows, then the last of those with the same columns adds up the partial sums. Used by
// column_sum.cu and for the weight gradients of norm.cu.
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

// A matrix, and where the sums of its columns go: of each stretch of rows, a line of them.
template <class Out, class T>
struct ColumnSums {
    Out* sums;
    const T* x;
};

// What the sums of all stretches add up to, if `totals` is not null. `done` are counters, one for each
// tile of columns: 0 before the launch and behind it.
template <class T>
struct ColumnTotals {
    T* totals;
    unsigned* done;
};

// totals[column] = sum of sums[stretch, column], by the block that is the last to have written its
// stretch of these columns.
template <class T, class A>
__device__ void add_stretches(const ColumnTotals<T>& to, const A* sums, int64_t tile,
                              int64_t first_column, int64_t tile_cols, int64_t stretches, int64_t cols) {
    SHARED(is_last, bool);
    __threadfence();  // the sums are where others see them
    __syncthreads();
    if (threadIdx.x == 0) {
        is_last = atomicAdd(to.done + tile, 1u) == stretches - 1;
        __threadfence();
    }
    __syncthreads();
    if (!is_last) {
        return;
    }
    for (int column = threadIdx.x; column < tile_cols; column += column_threads) {
        A total = 0;
#pragma unroll 8
        for (int64_t stretch = 0; stretch < stretches; ++stretch) {
            total += sums[stretch * cols + first_column + column];
        }
        to.totals[first_column + column] = from_acc<T>(total);
    }
    if (threadIdx.x == 0) {
        to.done[tile] = 0;
    }
}

// sums[stretch, column] = sum of x[row, column] over the rows of the stretch, of both matrices (of
// the first, where the second is null); and their totals.
template <class Out, class T, class Total, Layout layout>
__global__ void __launch_bounds__(column_threads)
    column_sum_kernel(ColumnSums<Out, T> one, ColumnSums<Out, T> other, int64_t rows, int64_t cols,
                      int64_t stretches, ColumnTotals<Total> finish) {
    using A = acc_t<T>;
    constexpr int tile = column_tile<T>;
    SHARED(warp_sums, A[column_warps][tile]);
    const int warp = threadIdx.x / 32;
    const int64_t tiles = ceil_div(cols, tile);
    const int64_t stretch_rows = ceil_div(rows, stretches);
    const int64_t items = tiles * stretches;
    for (int64_t item = blockIdx.x; item < (other.x ? 2 : 1) * items; item += gridDim.x) {
        const auto [sums, x] = item < items ? one : other;
        const int64_t index = item % items;
        const int64_t first_column = index % tiles * tile;
        const int64_t stretch = index / tiles;
        const int64_t tile_cols = min(cols - first_column, int64_t(tile));
        const int64_t end = min((stretch + 1) * stretch_rows, rows);
        const Columns<T, ColumnPlan, layout> columns(tile_cols);
        Elements<T> sum{};
        add_lines(sum, columns, stretch * stretch_rows + warp, end, column_warps,
                  [&](int64_t row) { return x + row * cols + first_column; });
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
        if constexpr (std::is_same<Out, acc_t<T>>::value) {
            if (finish.totals) {
                add_stretches(finish, sums, index % tiles, first_column, tile_cols, stretches, cols);
            }
        }
        __syncthreads();  // the next tile's sums go where these were read
    }
}

// Of one matrix or two; where the first is null there is nothing to do.
template <class Out, class T, class Total = T>
void sum_columns(ColumnSums<Out, T> one, ColumnSums<Out, T> other, int64_t rows, int64_t cols,
                 int64_t stretches, ColumnTotals<Total> finish, cudaStream_t stream) {
    const int64_t items = ceil_div(cols, column_tile<T>) * stretches * (other.x ? 2 : 1);
    const auto launch = [&](auto kernel) {
        LAUNCH_AS("column_sum", kernel, blocks_for(items, 1), column_threads, 0, stream, one, other,
                  rows, cols, stretches, finish);
    };
    if (rows_in_packs<T>(cols, one.x, other.x)) {
        launch(column_sum_kernel<Out, T, Total, Layout::packs>);
    } else {
        launch(column_sum_kernel<Out, T, Total, Layout::single>);
    }
}

}  // namespace
