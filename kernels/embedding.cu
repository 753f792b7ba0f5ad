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
// the indices sorted, so that the rows of dy that belong together are a segment of `order`. A thread
// for each row of the table looks up its segment; then a warp adds it up in order of appearance. It reads dy once and writes dweight once, untouched rows included. Of a segment that
// is long (a word that is in every sentence) a first launch has added up the chunks of `order` that
// lie in it, so that no warp has more to do than others for long.
#include "row.cuh"

namespace {

constexpr int64_t chunk = 128;  // positions of `order`

}  // namespace

// Lines of scratch that the backward pass takes.
int64_t embedding_partials(int64_t count, int64_t cols) { return cols > 0 ? count / chunk : 0; }
FUNCTION(embedding_partials);

namespace {

// A warp moves one pack a lane: a row wider than that is the work of several warps.
using WarpPlan = Plan<32, 1>;
constexpr int threads = WarpPlan::threads;
constexpr int warps = WarpPlan::rows_per_block;

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
        columns.store(y + i * cols + first_column, 0, columns.load(source, 0, source != nullptr));
    }
}

// The first position of a sorted array, from `begin` on, whose value is at least `key`.
__device__ inline int64_t lower_bound(const int64_t* sorted, int64_t begin, int64_t end, int64_t key) {
    while (begin < end) {
        const int64_t middle = begin + (end - begin) / 2;
        const bool is_before = sorted[middle] < key;
        begin = is_before ? middle + 1 : begin;
        end = is_before ? end : middle;
    }
    return begin;
}

// Where each row's segment of a sorted array is: all threads search at the same time, a row each.
__global__ void __launch_bounds__(threads)
    embedding_segments_kernel(int64_t* begins, int64_t* ends, const int64_t* sorted_indices, int64_t count,
                              int64_t rows) {
    for (int64_t row = global_thread(); row < rows; row += thread_count()) {
        const int64_t begin = lower_bound(sorted_indices, 0, count, row);
        begins[row] = begin;
        ends[row] = lower_bound(sorted_indices, begin, count, row + 1);
    }
}

// sum += the rows of dy at order[begin..end), of which the columns begin at `first_column`.
template <class Own>
__device__ void add_rows(Elements<typename Own::T>& sum, const Own& columns,
                         const typename Own::T* dy, const int64_t* order, int64_t begin,
                         int64_t end, int64_t cols, int64_t first_column) {
    add_lines(sum, columns, begin, end, 1,
              [&](int64_t i) { return dy + order[i] * cols + first_column; });
}

// sums[c] = the rows of chunk c of `order` added up, where all of them have the same index.
template <class T, Layout layout>
__global__ void __launch_bounds__(threads)
    embedding_chunks_kernel(acc_t<T>* sums, const T* dy, const int64_t* order,
                            const int64_t* sorted_indices, int64_t chunks, int64_t cols) {
    const int64_t tiles = tiles_of<T>(cols);
    for (int64_t item = team_index<WarpPlan>(); item < chunks * tiles;
         item += team_count<WarpPlan>()) {
        const int64_t begin = item / tiles * chunk, first_column = item % tiles * tile<T>;
        if (sorted_indices[begin] != sorted_indices[begin + chunk - 1]) {
            continue;
        }
        const Columns<T, WarpPlan, layout> columns(min(cols - first_column, int64_t(tile<T>)));
        Elements<T> sum{};
        add_rows(sum, columns, dy, order, begin, begin + chunk, cols, first_column);
        acc_t<T>* line = sums + item / tiles * cols + first_column;
        columns.each([&](auto at) { line[at.column] = sum[at.element]; });
    }
}

template <class T, Layout layout>
__global__ void __launch_bounds__(threads)
    embedding_backward_kernel(T* dweight, const acc_t<T>* sums, const T* dy, const int64_t* order,
                              const int64_t* begins, const int64_t* ends, int64_t rows, int64_t cols) {
    const int64_t tiles = tiles_of<T>(cols);
    for (int64_t item = team_index<WarpPlan>(); item < rows * tiles;
         item += team_count<WarpPlan>()) {
        const int64_t row = item / tiles, first_column = item % tiles * tile<T>;
        const Columns<T, WarpPlan, layout> columns(min(cols - first_column, int64_t(tile<T>)));
        const int64_t begin = begins[row], end = ends[row];
        // The chunks that lie in the segment, if any, and what is before and behind them.
        const int64_t last = end / chunk, first = min(ceil_div(begin, chunk), last);
        const bool has_chunks = first < last;
        Elements<T> sum{};
        add_rows(sum, columns, dy, order, begin, has_chunks ? first * chunk : end, cols,
                 first_column);
        if (has_chunks) {
#pragma unroll 4
            for (int64_t line = first; line < last; ++line) {
                const acc_t<T>* of = sums + line * cols + first_column;
                columns.each([&](auto at) { sum[at.element] += of[at.column]; });
            }
            add_rows(sum, columns, dy, order, last * chunk, end, cols, first_column);
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

// order is the stable argsort of the indices, sorted_indices the indices in that order; scratch has
// embedding_partials lines of cols elements, begins and ends an element for each row.
template <class T>
void embedding_backward(T* dweight, acc_t<T>* scratch, int64_t* begins, int64_t* ends, const T* dy,
                        const int64_t* order, const int64_t* sorted_indices, int64_t count, int64_t cols,
                        int64_t rows, cudaStream_t stream) {
    const int64_t tiles = tiles_of<T>(cols), chunks = embedding_partials(count, cols);
    if (rows == 0) {
        return;
    }
    LAUNCH(embedding_segments_kernel, blocks_for(rows, threads), threads, 0, stream, begins, ends, sorted_indices,
           count, rows);
    const auto launch = [&](auto layout) {
        constexpr Layout chosen = decltype(layout)::value;
        if (chunks > 0) {
            LAUNCH_AS("embedding_chunks", (embedding_chunks_kernel<T, chosen>),
                      blocks_for(chunks * tiles, warps), threads, 0, stream, scratch, dy, order,
                      sorted_indices, chunks, cols);
        }
        LAUNCH_AS("embedding_backward", (embedding_backward_kernel<T, chosen>),
                  blocks_for(rows * tiles, warps), threads, 0, stream, dweight, scratch, dy, order,
                  begins, ends, rows, cols);
    };
    if (rows_in_packs<T>(cols, dweight, dy)) {
        launch(std::integral_constant<Layout, Layout::packs>());
    } else {
        launch(std::integral_constant<Layout, Layout::single>());
    }
}
LAUNCHER(embedding_backward);
