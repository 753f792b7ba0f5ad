// The kernel of matmul_tensor.cu, which tells how it works.
#pragma once

#include "epilogue.cuh"
#include "fragment.cuh"
#include "splits.cuh"

namespace {

constexpr int raster = 8, line_bytes = 64;  // of a stage
template <class T>
constexpr int depth = line_bytes / sizeof(T);

// A block's tile of c: `down` rows of `across` warps, each of which has warp_rows x side of it.
template <int warp_side, int down, int warps_across, int rows_of_warp = warp_side>
struct Block {
    static constexpr int side = warp_side, warp_rows = rows_of_warp, across = warps_across;
    static constexpr int threads = 32 * down * across;
    static constexpr int rows = down * warp_rows, columns = across * side;
    static constexpr int at_a_time = threads <= 128 ? 2 : 1;  // on a multiprocessor
    // Four stages, or as many as fit into 99 KB, which every GPU from compute capability 8.0 on gives to a block.
    static constexpr int stage_bytes = line_bytes * (rows + columns);
    static constexpr int stages = 4 * stage_bytes <= 99 << 10 ? 4 : 3, shared = stages * stage_bytes;
};
template <class T>
constexpr int large_side = sizeof(T) == 2 ? 64 : 32;
template <class T>
using Large = Block<large_side<T>, 2, 4>;
template <class T>
using Larger = Block<large_side<T>, 2, 4, sizeof(T) == 2 ? 96 : large_side<T>>;
using Small = Block<32, 2, 2>;

struct Shape {
    int64_t outer, inner, m, n, k;
};

// A factor that lies in memory: a stack of matrices, whose rows are `stride` apart. Neighbours in a row are
// neighbours along k if `rows_along_k`, else of neighbouring lines.
template <class T, bool rows_along_k>
struct Matrices {
    const T* data;
    int64_t outer, inner;  // strides; 0: one matrix for all
    int64_t stride;

    template <int lines, int threads>
    using TileOf = Tile<T, lines, depth<T>, threads, rows_along_k>;

    template <class Tile>
    __device__ Tile tile(int64_t item_outer, int64_t item_inner, int64_t first_line, int64_t lines,
                         int64_t first_k) const {
        return Tile(data + item_outer * outer + item_inner * inner, stride, first_line, lines, first_k);
    }
};

// A warp's results, 16 rows at a time: written as fragments, read as rows. The padding spreads the
// rows of a fragment over the banks.
template <int columns>
struct Strip {
    static constexpr int rows = 16, stride = columns + 8;
    alignas(16) float values[rows][stride];

    __device__ void write(int column, const float (&sums)[4]) {
        const int row = threadIdx.x % 32 / 4;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            float* const to = &values[row + 8 * i][column + threadIdx.x % 4 * 2];
            const float2 pair = make_float2(sums[2 * i], sums[2 * i + 1]);
#ifdef __CUDACC__  // of memcpy, nvcc makes eight stores of a byte; of this, other compilers may make two
            *reinterpret_cast<float2*>(to) = pair;
#else
            memcpy(to, &pair, sizeof pair);
#endif
        }
    }

    // Of eight threads, half take the second four of their eight neighbours first: all are in other banks.
    __device__ static int takes_second_first(int row, int column) { return (columns > 32 ? column / 32 : row) % 2; }

    // Eight neighbours.
    __device__ void read(float (&elements)[8], int row, int column) const {
        const int late = takes_second_first(row, column);
        const Pack<float> first = load_pack(&values[row][column + 4 * late]);
        const Pack<float> second = load_pack(&values[row][column + 4 - 4 * late]);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            elements[i] = late ? second[i] : first[i];
            elements[4 + i] = late ? first[i] : second[i];
        }
    }
    __device__ void write_neighbours(const float (&elements)[8], int row, int column) {
        const int late = takes_second_first(row, column);
        Pack<float> first, second;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            first[i] = late ? elements[4 + i] : elements[i];
            second[i] = late ? elements[i] : elements[4 + i];
        }
        store_pack(&values[row][column + 4 * late], first);
        store_pack(&values[row][column + 4 - 4 * late], second);
    }
};

// The sums of the columns of what a warp stores of a strip, where the destination wants them: each lane's own, of
// eight neighbours, then those of all lanes, through the strip. Always in the same order.
template <class Destination, int columns>
struct ColumnAdder {
    float own[8] = {};

    __device__ void add(const float (&elements)[8]) {
        if constexpr (adds_columns<Destination>) {
#pragma unroll
            for (int i = 0; i < 8; ++i) own[i] += elements[i];
        }
    }
    // When the warp has read the strip, whose first row this is of `rows`; when it returns, the strip is free again.
    __device__ void store(const Destination& destination, Strip<columns>& strip, int64_t row, int64_t rows,
                          int64_t first_column) const {
        if constexpr (adds_columns<Destination>) {
            constexpr int row_packs = columns / 8, parts = 32 / row_packs;
            const int lane = threadIdx.x % 32;
            if (row >= rows) return;
            float* const line = destination.lines + row / Strip<columns>::rows * destination.n;
            strip.write_neighbours(own, lane / row_packs, lane % row_packs * 8);
            __syncwarp();
#pragma unroll
            for (int i = lane; i < columns; i += 32) {
                float total = 0;
#pragma unroll
                for (int part = 0; part < parts; ++part) total += strip.values[part][i];
                const int64_t column = first_column + i;
                if (column < destination.n) line[column] = total;
            }
            __syncwarp();
        }
    }
};

struct TileIndex {
    int64_t item, row, column;
};

// Down `raster` rows, then the next column, until the group is through.
__device__ inline TileIndex tile_of(int64_t index, int64_t rows, int64_t columns) {
    const int64_t item = index / (rows * columns), in_item = index % (rows * columns);
    const int64_t group = in_item / (raster * columns), in_group = in_item % (raster * columns);
    const int64_t left = rows - group * raster, height = left < raster ? left : raster;
    return {item, group * raster + in_group % height, in_group / height};
}

// Adds to a warp's sums the products along one stage. careful: how floats are split.
template <bool careful, class Left, class Right, class T, int rows, int columns>
__device__ inline void multiply_stage(float (&sums)[rows][columns][4], const T* a_tile, const T* b_tile,
                                      int warp_row, int warp_column) {
#pragma unroll
    for (int k = 0; k < depth<T>; k += 16) {
        unsigned a_part[rows][4];
#pragma unroll
        for (int i = 0; i < rows; ++i) Left::load_left(a_part[i], a_tile, warp_row + i * 16, k);
#pragma unroll
        for (int j = 0; j < columns / 2; ++j) {
            unsigned b_part[2][2];
            Right::load_right(b_part, b_tile, warp_column + j * 16, k);
#pragma unroll
            for (int i = 0; i < rows; ++i) {
                mma_m16n8k16<T>(sums[i][2 * j], a_part[i], b_part[0]);
                mma_m16n8k16<T>(sums[i][2 * j + 1], a_part[i], b_part[1]);
            }
        }
    }
}

// The same of floats, whose stage is as deep as a fragment is.
template <bool careful, class Left, class Right, int rows, int columns>
__device__ inline void multiply_stage(float (&sums)[rows][columns][4], const float* a_tile,
                                      const float* b_tile, int warp_row, int warp_column) {
    static_assert(depth<float> == fragment_depth, "a stage is one fragment deep");
    LeftFragment<float, careful> a_part[rows];
#pragma unroll
    for (int i = 0; i < rows; ++i) a_part[i].template load<Left>(a_tile, warp_row + i * 16, 0);
#pragma unroll
    for (int j = 0; j < columns / 2; ++j) {
        RightFragment<float, careful> b_part;
        b_part.template load<Right>(b_tile, warp_column + j * 16, 0);
#pragma unroll
        for (int i = 0; i < rows; ++i) {
            multiply_fragments(sums[i][2 * j], sums[i][2 * j + 1], a_part[i], b_part);
        }
    }
}

template <int rows, int columns>
__device__ inline void clear(float (&sums)[rows][columns][4]) {
#pragma unroll
    for (int i = 0; i < rows; ++i) {
#pragma unroll
        for (int j = 0; j < columns; ++j) {
#pragma unroll
            for (int v = 0; v < 4; ++v) sums[i][j][v] = 0;
        }
    }
}

template <int rows, int columns>
__device__ inline bool all_finite(const float (&sums)[rows][columns][4]) {
    float zero = 0;  // times infinity: NaN
#pragma unroll
    for (int i = 0; i < rows; ++i) {
#pragma unroll
        for (int j = 0; j < columns; ++j) {
#pragma unroll
            for (int v = 0; v < 4; ++v) zero = fmaf(sums[i][j][v], 0.0f, zero);
        }
    }
    return zero == 0;
}

// Where a tile is shared, block s of `splits` has rows s m' to (s + 1) m' of the destination, m' being
// all rows of c.
template <class T, class Destination, class Block, class A, class B>
__global__ void __launch_bounds__(Block::threads, Block::at_a_time)
    matmul_tensor_kernel(Destination destination, A a, B b, Shape shape, int64_t steps, int64_t splits) {
    using Left = typename A::template TileOf<Block::rows, Block::threads>;
    using Right = typename B::template TileOf<Block::columns, Block::threads>;
    constexpr int side = Block::side, stages = Block::stages, warp_rows = Block::warp_rows;
    constexpr int rows = warp_rows / 16, columns = side / 8;  // of a warp, in fragments
    constexpr int stage_elements = Left::elements + Right::elements;
    DYNAMIC_SHARED(memory, T);
    SHARED(place, TileIndex);  // while registers are full of sums

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int warp_row = warp / Block::across * warp_rows, warp_column = warp % Block::across * side;
    const int64_t tile_rows = ceil_div(shape.m, Block::rows), tile_columns = ceil_div(shape.n, Block::columns);
    const int64_t items = shape.outer * shape.inner;
    const int64_t tiles = splits * items * tile_rows * tile_columns;
    for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
        float sums[rows][columns][4];
        const auto multiply_tile = [&](auto careful) {
            const TileIndex at = tile_of(index, tile_rows, tile_columns);
            const int64_t first_k = at.item / items * steps * depth<T>, item = at.item % items;
            const int64_t outer = item / shape.inner, inner = item % shape.inner;
            const int64_t first_row = at.row * Block::rows, first_column = at.column * Block::columns;
            auto left = a.template tile<Left>(outer, inner, first_row, shape.m, first_k);
            auto right = b.template tile<Right>(outer, inner, first_column, shape.n, first_k);
            clear(sums);
            if (threadIdx.x == 0) place = at;

            int64_t k_left = min(shape.k - first_k, steps * depth<T>);  // of what was not fetched
            const auto fetch = [&](int stage) {
                if (k_left > 0) {
                    const int here = static_cast<int>(min(k_left, int64_t(depth<T>)));
                    left.fetch(memory + stage * stage_elements, here);
                    right.fetch(memory + stage * stage_elements + Left::elements, here);
                }
                k_left -= depth<T>;
                commit_copies();
            };
#pragma unroll
            for (int stage = 0; stage < stages - 1; ++stage) fetch(stage);
            int stage = 0;
            while (k_left > (1 - stages) * depth<T>) {
                wait_for_copies<stages - 2>();
                __syncthreads();
                fetch(stage == 0 ? stages - 1 : stage - 1);
                const T* a_tile = memory + stage * stage_elements;
                const T* b_tile = a_tile + Left::elements;
                multiply_stage<careful.value, Left, Right>(sums, a_tile, b_tile, warp_row, warp_column);
                stage = stage == stages - 1 ? 0 : stage + 1;
            }
        };
        multiply_tile(std::false_type());
        if constexpr (sizeof(T) == 4) {
            if (__syncthreads_or(!all_finite(sums))) multiply_tile(std::true_type());
        }
        __syncthreads();  // all have multiplied the last stage, and its memory is free

        auto& strip = reinterpret_cast<Strip<side>*>(memory)[warp];
        constexpr int row_packs = side / 8;
        const TileIndex here = place;
        const int own_column = lane % row_packs * 8;
        const int64_t column = here.column * Block::columns + warp_column + own_column;
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
            ColumnAdder<Destination, side> adder;
#pragma unroll 1
            for (int i = lane / row_packs; i < Strip<side>::rows; i += 32 / row_packs) {
                const int64_t row = here.row * Block::rows + warp_row + part * 16 + i;
                if (row >= shape.m || column >= shape.n) continue;
                float elements[8];
                strip.read(elements, i, own_column);
                destination.store(elements, here.item * shape.m + row, at_column);
                adder.add(elements);
            }
            __syncwarp();
            adder.store(destination, strip, here.row * Block::rows + warp_row + part * 16, shape.m,
                        here.column * Block::columns + warp_column);
        }
        __syncthreads();  // the strips are read, and their memory is free for the next tile
    }
}

// Depends on sizes alone, and so do the results. A large tile, if it is filled, is worth what comes before and
// after its steps, and there is work for at least half of the multiprocessors: L2 is read so much less often
// that the others may rest. L2 sets the pace: of several, that is chosen for which a multiprocessor, which runs
// its blocks one after another, asks for fewest lines.
template <class T, class... Big>
TilePlan plan_for(int64_t batch, int64_t m, int64_t n, int64_t k) {
    const int64_t steps = ceil_div(k, depth<T>);
    const auto share = [&](int tile, auto block) {
        using Block = decltype(block);
        return share_tiles(tile, batch * ceil_div(m, Block::rows) * ceil_div(n, Block::columns), steps);
    };
    TilePlan best = share(0, Small());
    int tile = 0;
    int64_t fewest = INT64_MAX;
    const auto consider = [&](auto block) {
        using Block = decltype(block);
        const TilePlan plan = share(++tile, block);
        const bool is_filled = m > Block::rows / 2 && n > Block::columns / 2 && k >= least_steps * depth<T>;
        if (!is_filled || plan.blocks < enough_blocks / 2) return;
        const int64_t lines = ceil_div(plan.blocks, enough_blocks) * plan.steps * (Block::rows + Block::columns);
        if (lines < fewest) best = plan, fewest = lines;
    };
    (consider(Big()), ...);
    return best;
}

template <class T, class Block, class Destination, class A, class B>
void launch_product(const Destination& destination, const A& a, const B& b, const Shape& shape,
                    const TilePlan& plan, cudaStream_t stream) {
    static_assert(Block::shared >= sizeof(Strip<Block::side>) * Block::threads / 32, "strips fit into the stages");
    LAUNCH_AS("matmul_tensor_kernel", (matmul_tensor_kernel<T, Destination, Block, A, B>),
              blocks_for(plan.blocks, 1), Block::threads, Block::shared, stream, destination, a, b, shape,
              plan.steps, plan.splits);
}

// Calls `f` with the block that is chosen: of Big, large tiles, of which the first may be the best, or Small.
template <class... Big, class F>
void with_block(const TilePlan& plan, F f) {
    int tile = 0;
    const auto call_if_chosen = [&](auto block) {
        if (tile++ == plan.tile) f(block);
    };
    call_if_chosen(Small());
    (call_if_chosen(Big()), ...);
}

// Of factors that lie in memory, or are gathered as a tile is filled (patches.cuh).
template <class T, class... Big, class Destination, class A, class B>
void multiply(const Destination& destination, const A& a, const B& b, float* workspace, const Shape& shape,
              cudaStream_t stream) {
    const int64_t batch = shape.outer * shape.inner;
    if (batch == 0 || shape.m == 0 || shape.n == 0) return;
    const TilePlan plan = plan_for<T, Big...>(batch, shape.m, shape.n, shape.k);
    const auto launch = [&](const auto& to) {
        with_block<Big...>(plan, [&](auto block) {
            launch_product<T, decltype(block)>(to, a, b, shape, plan, stream);
        });
    };
    if (plan.splits > 1) {
        launch(FloatSums{workspace, shape.n});
        add_splits(destination, workspace, plan.splits, batch * shape.m, shape.n, stream);
    } else {
        launch(destination);
    }
}

// Floats of scratch memory that `multiply` needs.
template <class T, class... Big>
int64_t sums_of_splits(int64_t batch, int64_t m, int64_t n, int64_t k) {
    const TilePlan plan = plan_for<T, Big...>(batch, m, n, k);
    return plan.splits > 1 ? plan.splits * batch * m * n : 0;
}

}  // namespace
