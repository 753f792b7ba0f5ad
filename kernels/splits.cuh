// Products that have fewer tiles than a GPU has multiprocessors: several blocks share a tile, each
// takes a stretch of k and writes its sums to memory, and a second kernel adds them, in order, so that
// the result is the same in every run.
#pragma once

#include "device.cuh"

namespace {

struct TilePlan {
    int tile;        // which of those that there are: 0 is the smallest
    int64_t blocks;  // that share all tiles
    int64_t steps;   // along k, of a block
    int64_t splits;  // blocks that share a tile
};

// One for each multiprocessor of a large GPU (H100, H200); fewer where the grid is small, for tests.
constexpr int64_t enough_blocks = grid_limit < 132 ? grid_limit : 132;

constexpr int64_t least_steps = 8, most_splits = enough_blocks / 2;

// How tiles are shared that are fewer than the blocks that are wanted. Depends on sizes alone, and so do the
// results.
inline TilePlan share_tiles(int tile, int64_t tiles, int64_t steps, int64_t blocks = enough_blocks) {
    const int64_t wanted = tiles > 0 ? blocks / tiles : 1;
    const int64_t possible = wanted < most_splits ? wanted : most_splits;
    if (possible <= 1 || steps <= least_steps) return {tile, tiles, steps, 1};
    const int64_t even = ceil_div(steps, possible), own = even > least_steps ? even : least_steps;
    const int64_t splits = ceil_div(steps, own);
    return {tile, tiles * splits, own, splits};
}

// The sums of all splits, in order: of each `rows` rows of n, which the destination gets `together` at
// a time.
template <class Destination, class A = float, int together = 8>
__global__ void add_splits_kernel(Destination destination, const A* sums, int64_t splits, int64_t rows,
                                  int64_t n) {
    constexpr int width = Pack<A>::size;
    const int64_t row_packs = ceil_div(n, together);
    for (int64_t i = global_thread(); i < rows * row_packs; i += thread_count()) {
        const int64_t row = i / row_packs, column = i % row_packs * together;
        A total[together] = {};
        for (int64_t split = 0; split < splits; ++split) {
            const A* start = sums + (split * rows + row) * n;
            const bool aligned = aligned_for_packs(start);
#pragma unroll
            for (int j = 0; j < together; j += width) {
                const Pack<A> part = load_pack(start, column + j, n, aligned);
#pragma unroll
                for (int v = 0; v < width; ++v) total[j + v] += part[v];
            }
        }
        destination.store(total, row, destination.column(column));
    }
}

template <class Destination, class A = float, int together = 8>
void add_splits(const Destination& destination, const A* sums, int64_t splits, int64_t rows, int64_t n,
                cudaStream_t stream) {
    LAUNCH_AS("add_splits_kernel", (add_splits_kernel<Destination, A, together>),
              blocks_for(rows * ceil_div(n, together), 256), 256, 0, stream, destination, sums, splits,
              rows, n);
}

}  // namespace
