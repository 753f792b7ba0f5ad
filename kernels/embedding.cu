// Rows of a table by index, and the gradient of the table.
//
//   forward   y[i] = weight[indices[i]]
//   backward  dweight[r] = sum of dy[i] over the i with indices[i] = r, zero where no index is r
//
// Forward reads the rows asked for and writes y. An index outside the table is reported in `invalid`
// (device.cuh) and gives a row of zeros, so that nothing is read out of bounds; the caller raises the
// error.
//
// Backward has no atomics, which would add in an order that changes from run to run. It is given
// the indices sorted, so that the rows of dy that belong together are a segment of `order`. A warp
// looks up the segment of its row of the table, 32 probes at a time, and adds it up in order of
// appearance. It reads dy once and writes dweight once, untouched rows included.
#include "row.cuh"

namespace {

// A warp moves one pack a lane: a row wider than that is the work of several warps.
using WarpPlan = Plan<32, 1>;
constexpr int threads = WarpPlan::threads;
constexpr int warps = WarpPlan::rows_per_block;
constexpr int at_once = 4;  // rows of dy that a warp asks for before it adds up the first

template <class T>
constexpr int tile = 32 * Pack<T>::size;

// Tiles of a row. Even an empty row has one, so that its index is checked.
template <class T>
__host__ __device__ inline int64_t tiles_of(int64_t cols) {
    return cols > 0 ? ceil_div(cols, tile<T>) : 1;
}

template <class T, Layout layout>
__global__ void __launch_bounds__(threads)
    embedding_forward_kernel(T* y, int64_t* invalid, const T* weight, const int64_t* indices,
                             int64_t count, int64_t rows, int64_t cols) {
    const int64_t tiles = tiles_of<T>(cols);
    for (int64_t item = team_index<WarpPlan>(); item < count * tiles;
         item += team_count<WarpPlan>()) {
        const int64_t i = item / tiles, first_column = item % tiles * tile<T>;
        const Columns<T, WarpPlan, layout> columns(min(cols - first_column, int64_t(tile<T>)));
        const int64_t index = indices[i];
        const bool found = index >= 0 && index < rows;
        if (!found && columns.lane() == 0) {
            report_invalid(invalid, index);
        }
        const T* source = found ? weight + index * cols + first_column : nullptr;
        columns.store(y + i * cols + first_column, 0, columns.load(source, 0));
    }
}

// The first position of a sorted array whose value is at least `key`. Every lane of the warp calls
// it: in each step the 32 lanes cut what is left into 32 parts.
__device__ inline int64_t lower_bound(const int64_t* sorted, int64_t count, int64_t key) {
    const int lane = threadIdx.x % 32;
    int64_t begin = 0, end = count;
    while (begin < end) {
        const int64_t part = ceil_div(end - begin, 32);
        const int64_t probe = begin + lane * part;
        const int below = __popc(__ballot_sync(full_warp, probe < end && sorted[probe] < key));
        end = min(begin + below * part, end);
        begin += below == 0 ? 0 : (below - 1) * part + 1;
    }
    return begin;
}

template <class T, Layout layout>
__global__ void __launch_bounds__(threads)
    embedding_backward_kernel(T* dweight, const T* dy, const int64_t* order,
                              const int64_t* sorted_indices, int64_t count, int64_t rows,
                              int64_t cols) {
    const int64_t tiles = tiles_of<T>(cols);
    for (int64_t item = team_index<WarpPlan>(); item < rows * tiles;
         item += team_count<WarpPlan>()) {
        const int64_t row = item / tiles, first_column = item % tiles * tile<T>;
        const Columns<T, WarpPlan, layout> columns(min(cols - first_column, int64_t(tile<T>)));
        const int64_t begin = lower_bound(sorted_indices, count, row);
        const int64_t end = begin + lower_bound(sorted_indices + begin, count - begin, row + 1);
        Elements<T> sum{};
        for (int64_t i = begin; i < end; i += at_once) {
            const T* sources[at_once];
            Pack<T> parts[at_once];
#pragma unroll
            for (int j = 0; j < at_once; ++j) {
                sources[j] = i + j < end ? dy + order[i + j] * cols + first_column : nullptr;
            }
#pragma unroll
            for (int j = 0; j < at_once; ++j) {
                parts[j] = columns.load(sources[j], 0);
            }
#pragma unroll
            for (int j = 0; j < at_once; ++j) {
#pragma unroll
                for (int k = 0; k < columns.width; ++k) {
                    sum[k] += to_acc(parts[j][k]);
                }
            }
        }
        columns.store(dweight + row * cols + first_column, 0, pack_of<T>(sum.values));
    }
}

}  // namespace

template <class T>
void embedding_forward(T* y, const T* weight, const int64_t* indices, int64_t* invalid,
                       int64_t rows, int64_t cols, int64_t count, cudaStream_t stream) {
    const int64_t items = count * tiles_of<T>(cols);
    if (items > 0) {
        const auto launch = [&](auto kernel) {
            LAUNCH_AS("embedding_forward", kernel, blocks_for(items, warps), threads, 0, stream, y,
                      invalid, weight, indices, count, rows, cols);
        };
        if (rows_in_packs<T>(cols, y, weight)) {
            launch(embedding_forward_kernel<T, Layout::packs>);
        } else {
            launch(embedding_forward_kernel<T, Layout::single>);
        }
    }
}
LAUNCHER(embedding_forward);

// order is the stable argsort of the indices, sorted_indices the indices in that order.
template <class T>
void embedding_backward(T* dweight, const T* dy, const int64_t* order,
                        const int64_t* sorted_indices, int64_t count, int64_t cols, int64_t rows,
                        cudaStream_t stream) {
    const int64_t items = rows * tiles_of<T>(cols);
    if (items > 0) {
        const auto launch = [&](auto kernel) {
            LAUNCH_AS("embedding_backward", kernel, blocks_for(items, warps), threads, 0, stream,
                      dweight, dy, order, sorted_indices, count, rows, cols);
        };
        if (rows_in_packs<T>(cols, dweight, dy)) {
            launch(embedding_backward_kernel<T, Layout::packs>);
        } else {
            launch(embedding_backward_kernel<T, Layout::single>);
        }
    }
}
LAUNCHER(embedding_backward);
