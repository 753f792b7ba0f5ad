// Matrix product by tensor cores, batched:  c[i] = f(op(a[i]) op(b[i]) + bias),  as matmul.cu's, for half
// and bfloat16, whose products are added in fp32; f is one of epilogue.cuh's. Or  c[i] += op(a[i]) op(b[i])
// with c in fp32, for gradients that are added up over several steps.
//
// c is [outer, inner, m, n] and contiguous. A batch has two strides, so that heads of an attention,
// which lie beside each other in every row, are multiplied where they are. Pointers, strides and
// distances between rows are multiples of 16 bytes (others go to matmul.cu, or are copied first); m, n
// and k are what they are.
//
//   - a block owns a tile of c; its four warps have a quarter of it each, in registers, and add to it
//     by mma.sync, 16 along k at a time, what ldmatrix loads from shared memory (tile.cuh);
//   - shared memory holds `stages` tiles of a and b. While one is multiplied, the next ones are on
//     their way, by copies that need no registers and that nobody waits for until they are due;
//   - one barrier a step: behind it all have multiplied the stage before, which is filled again, and
//     every thread's copies of this one have arrived;
//   - tiles are taken in groups of `raster` rows: blocks that run at the same time share rows of a and
//     columns of b in L2;
//   - a warp's results pass through shared memory 16 rows at a time, so that whole packs are stored.
// Large problems use 128 x 128 tiles; 64 x 64 serve those that would leave multiprocessors idle. Where
// even these are few, several blocks share a tile: each takes a stretch of k and writes its sums to
// memory, and a second kernel adds them, in order, so that the result is the same in every run.
#include "tile.cuh"

#include "epilogue.cuh"

namespace {

constexpr int threads = 128, depth = 32, stages = 4, raster = 8;

struct Shape {
    int64_t outer, inner, m, n, k;
    int64_t a_outer, a_inner, b_outer, b_inner;  // strides; 0: one matrix for all
    int64_t lda, ldb;
};

// A warp's results, 16 rows at a time: written as fragments, read as rows. The padding spreads the
// rows of a fragment over the banks.
template <int columns>
struct Strip {
    static constexpr int rows = 16, stride = columns + 8;
    float values[rows][stride];

    __device__ void write(int column, const float (&sums)[4]) {
        const int row = threadIdx.x % 32 / 4;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const float2 pair = make_float2(sums[2 * i], sums[2 * i + 1]);
            memcpy(&values[row + 8 * i][column + threadIdx.x % 4 * 2], &pair, sizeof pair);
        }
    }

    // Eight neighbours. Of eight threads, half read the second four first: all are in other banks.
    __device__ void read(float (&elements)[8], int row, int column) const {
        const int late = (columns > 32 ? column / 32 : row) % 2;
        const Pack<float> first = load_pack(&values[row][column + 4 * late]);
        const Pack<float> second = load_pack(&values[row][column + 4 - 4 * late]);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            elements[i] = late ? second[i] : first[i];
            elements[4 + i] = late ? first[i] : second[i];
        }
    }
};

struct TileIndex {
    int64_t item, row, column;
};

struct Plan {
    int tile;
    int64_t steps;   // along k, of a block
    int64_t splits;  // blocks that share a tile
};

// Depends on sizes alone, and so do the results.
inline Plan plan_for(int64_t batch, int64_t m, int64_t n, int64_t k) {
    // Enough blocks to keep a large GPU busy; fewer where the grid is small, for tests.
    constexpr int64_t enough = grid_limit < 128 ? grid_limit : 128;
    constexpr int64_t least_steps = 8, most_splits = 16;  // so that sums in memory are few
    const int64_t steps = ceil_div(k, depth);
    if (m > 64 && n > 64 && batch * ceil_div(m, 128) * ceil_div(n, 128) >= enough) {
        return {128, steps, 1};
    }
    const int64_t tiles = batch * ceil_div(m, 64) * ceil_div(n, 64);
    const int64_t wanted = tiles > 0 ? enough / tiles : 1;
    const int64_t possible = wanted < most_splits ? wanted : most_splits;
    if (possible <= 1 || steps <= least_steps) {
        return {64, steps, 1};
    }
    const int64_t even = ceil_div(steps, possible), own = even > least_steps ? even : least_steps;
    return {64, own, ceil_div(steps, own)};
}

// Down `raster` rows, then the next column, until the group is through.
__device__ inline TileIndex tile_of(int64_t index, int64_t rows, int64_t columns) {
    const int64_t item = index / (rows * columns), in_item = index % (rows * columns);
    const int64_t group = in_item / (raster * columns), in_group = in_item % (raster * columns);
    const int64_t left = rows - group * raster, height = left < raster ? left : raster;
    return {item, group * raster + in_group % height, in_group / height};
}

// Where a tile is shared, block s of `splits` has rows s m' to (s + 1) m' of the destination, m' being
// all rows of c.
template <class T, class Destination, int tile, bool a_along_k, bool b_along_k>
__global__ void __launch_bounds__(threads, 2)
    matmul_tensor_kernel(Destination destination, const T* a, const T* b, Shape shape, int64_t steps,
                         int64_t splits) {
    using Left = Tile<T, tile, depth, threads, a_along_k>;
    using Right = Tile<T, tile, depth, threads, b_along_k>;
    constexpr int side = tile / 2, rows = side / 16, columns = side / 8;  // of a warp, in fragments
    constexpr int stage_elements = Left::elements + Right::elements;
    DYNAMIC_SHARED(memory, T);

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int warp_row = warp / 2 * side, warp_column = warp % 2 * side;
    const int64_t tile_rows = ceil_div(shape.m, tile), tile_columns = ceil_div(shape.n, tile);
    const int64_t items = shape.outer * shape.inner;
    const int64_t tiles = splits * items * tile_rows * tile_columns;
    for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
        const TileIndex at = tile_of(index, tile_rows, tile_columns);
        const int64_t first_k = at.item / items * steps * depth, item = at.item % items;
        const int64_t outer = item / shape.inner, inner = item % shape.inner;
        const int64_t first_row = at.row * tile, first_column = at.column * tile;
        Left left(a + outer * shape.a_outer + inner * shape.a_inner, shape.lda, first_row, shape.m,
                  first_k);
        Right right(b + outer * shape.b_outer + inner * shape.b_inner, shape.ldb, first_column,
                    shape.n, first_k);
        float sums[rows][columns][4] = {};

        const int64_t depth_here = min(shape.k - first_k, steps * depth);
        int64_t k_left = depth_here;  // of what was not fetched
        const auto fetch = [&](int stage) {
            if (k_left > 0) {
                left.fetch(memory + stage * stage_elements, k_left);
                right.fetch(memory + stage * stage_elements + Left::elements, k_left);
            }
            k_left -= depth;
            commit_copies();
        };
#pragma unroll
        for (int stage = 0; stage < stages - 1; ++stage) fetch(stage);
        int stage = 0;
        for (int64_t step = ceil_div(depth_here, depth); step > 0; --step) {
            wait_for_copies<stages - 2>();
            __syncthreads();
            fetch((stage + stages - 1) % stages);
            const T* a_tile = memory + stage * stage_elements;
            const T* b_tile = a_tile + Left::elements;
#pragma unroll
            for (int k = 0; k < depth; k += 16) {
                unsigned a_part[rows][4], b_part[columns][2];
#pragma unroll
                for (int i = 0; i < rows; ++i) {
                    Left::load_left(a_part[i], a_tile, warp_row + i * 16, k);
                }
#pragma unroll
                for (int j = 0; j < columns; j += 2) {
                    unsigned both[2][2];
                    Right::load_right(both, b_tile, warp_column + j * 8, k);
#pragma unroll
                    for (int i = 0; i < 4; ++i) b_part[j + i / 2][i % 2] = both[i / 2][i % 2];
                }
#pragma unroll
                for (int i = 0; i < rows; ++i) {
#pragma unroll
                    for (int j = 0; j < columns; ++j) {
                        mma_m16n8k16<T>(sums[i][j], a_part[i], b_part[j]);
                    }
                }
            }
            stage = (stage + 1) % stages;
        }
        __syncthreads();  // all have multiplied the last stage, and its memory is free

        auto& strip = reinterpret_cast<Strip<side>*>(memory)[warp];
constexpr int row_packs = side / 8;
        const int place = lane % row_packs * 8;
        const int64_t column = first_column + warp_column + place;
        const auto at_column = destination.column(column);
        // One copy of what is done to the sums, which may be long, whichever of them are in the strip.
#pragma unroll 1
        for (int part = 0; part < rows; ++part) {
#pragma unroll
            for (int i = 0; i < rows; ++i) {
                if (i != part) continue;
#pragma unroll
                for (int j = 0; j < columns; ++j) strip.write(j * 8, sums[i][j]);
            }
            __syncwarp();
#pragma unroll 1
            for (int i = lane / row_packs; i < Strip<side>::rows; i += 32 / row_packs) {
                const int64_t row = first_row + warp_row + part * 16 + i;
                if (row >= shape.m || column >= shape.n) continue;
                float elements[8];
                strip.read(elements, i, place);
                destination.store(elements, at.item * shape.m + row, at_column);
            }
            __syncwarp();
        }
        __syncthreads();  // the strips are read, and their memory is free for the next tile
    }
}

// The sums of all splits, in order.
template <class Destination>
__global__ void add_splits_kernel(Destination destination, const float* sums, int64_t splits, int64_t rows,
                                  int64_t n) {
    const int64_t row_packs = ceil_div(n, 8);
    for (int64_t i = global_thread(); i < rows * row_packs; i += thread_count()) {
        const int64_t row = i / row_packs, column = i % row_packs * 8;
        float total[8] = {};
        for (int64_t split = 0; split < splits; ++split) {
            const float* start = sums + (split * rows + row) * n;
            const bool aligned = aligned_for_packs(start);
#pragma unroll
            for (int j = 0; j < 8; j += 4) {
                const Pack<float> part = load_pack(start, column + j, n, aligned);
#pragma unroll
                for (int v = 0; v < 4; ++v) total[j + v] += part[v];
            }
        }
        destination.store(total, row, destination.column(column));
    }
}

template <class T, int tile, class Destination>
void launch_product(const Destination& destination, const T* a, const T* b, const Shape& shape,
                    const Plan& plan, bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const int64_t items = plan.splits * shape.outer * shape.inner;
    const int64_t tiles = items * ceil_div(shape.m, tile) * ceil_div(shape.n, tile);
    constexpr size_t shared = sizeof(T) * stages * 2 * tile * depth;
    static_assert(shared >= sizeof(Strip<tile / 2>) * threads / 32, "strips fit into the stages");
    // A stored row of a runs along k, one of b along n; transposed, the other way round.
    const auto a_along_k = transpose_b ? matmul_tensor_kernel<T, Destination, tile, true, true>
                                       : matmul_tensor_kernel<T, Destination, tile, true, false>;
    const auto a_across_k = transpose_b ? matmul_tensor_kernel<T, Destination, tile, false, true>
                                        : matmul_tensor_kernel<T, Destination, tile, false, false>;
    LAUNCH_AS("matmul_tensor_kernel", transpose_a ? a_across_k : a_along_k, blocks_for(tiles, 1), threads,
              shared, stream, destination, a, b, shape, plan.steps, plan.splits);
}

template <class T, class Destination>
void multiply(const Destination& destination, const T* a, const T* b, float* workspace, const Shape& shape,
              bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const int64_t batch = shape.outer * shape.inner;
    if (batch == 0 || shape.m == 0 || shape.n == 0) return;
    const Plan plan = plan_for(batch, shape.m, shape.n, shape.k);
    if (plan.splits > 1) {
        const FloatSums sums{workspace, shape.n, false};
        launch_product<T, 64>(sums, a, b, shape, plan, transpose_a, transpose_b, stream);
        const int64_t rows = batch * shape.m;
        LAUNCH(add_splits_kernel<Destination>, blocks_for(rows * ceil_div(shape.n, 8), threads), threads, 0, stream,
               destination, workspace, plan.splits, rows, shape.n);
    } else if (plan.tile == 128) {
        launch_product<T, 128>(destination, a, b, shape, plan, transpose_a, transpose_b, stream);
    } else {
        launch_product<T, 64>(destination, a, b, shape, plan, transpose_a, transpose_b, stream);
    }
}

}  // namespace

// How many floats of scratch memory the launchers below need for a batch of products; 0 for most.
int64_t matmul_tensor_workspace(int64_t batch, int64_t m, int64_t n, int64_t k) {
    const Plan plan = plan_for(batch, m, n, k);
    return plan.splits > 1 ? plan.splits * batch * m * n : 0;
}
FUNCTION(matmul_tensor_workspace);

// c[outer, inner, m, n] = finish(op(a) op(b) + bias[n]); lda and ldb are the row strides of a and b as
// stored. A batch stride of 0 broadcasts. kept gets what `finish` is applied to. bias, kept, and beside
// where `finish` needs it not, may be null.
template <class T>
void matmul_tensor(T* c, T* kept, const T* a, const T* b, const T* bias, const T* beside, float* workspace,
                   int64_t outer, int64_t inner, int64_t m, int64_t n, int64_t k, int64_t a_outer,
                   int64_t a_inner, int64_t b_outer, int64_t b_inner, int64_t lda, int64_t ldb,
                   bool transpose_a, bool transpose_b, int64_t finish, cudaStream_t stream) {
    const Shape shape{outer, inner, m, n, k, a_outer, a_inner, b_outer, b_inner, lda, ldb};
    const Epilogue<T> epilogue{c, kept, bias, beside, n, Finish(finish)};
    multiply<T>(epilogue, a, b, workspace, shape, transpose_a, transpose_b, stream);
}
LAUNCHER_OF_16_BITS(matmul_tensor);

// c[outer, inner, m, n] += op(a) op(b).
template <class T>
void matmul_tensor_accumulate(float* c, const T* a, const T* b, float* workspace, int64_t outer,
                              int64_t inner, int64_t m, int64_t n, int64_t k, int64_t a_outer,
                              int64_t a_inner, int64_t b_outer, int64_t b_inner, int64_t lda, int64_t ldb,
                              bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const Shape shape{outer, inner, m, n, k, a_outer, a_inner, b_outer, b_inner, lda, ldb};
    multiply<T>(FloatSums{c, n, true}, a, b, workspace, shape, transpose_a, transpose_b, stream);
}
LAUNCHER_OF_16_BITS(matmul_tensor_accumulate);
