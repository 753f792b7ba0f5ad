// The kernel of matmul_hopper.cu, which tells how it works.
#pragma once

#include "hopper.cuh"
#include "matmul_tensor.cuh"

namespace {

namespace hopper {

struct Factors {
    int64_t outer, inner, m, n, k;
    int64_t a_outer, a_inner, b_outer, b_inner;  // strides; 0: one matrix for all
    int64_t lda, ldb;
};

constexpr int depth = 64;            // of a stage: a span of the swizzle, 128 bytes
constexpr int span = depth * 2;      // bytes
constexpr int pattern = 8 * span;    // bytes, of eight rows
constexpr int warpgroup = 128;       // threads
constexpr int box_lines = 64;        // of a box whose rows run across k: a span, too
constexpr int box_bytes = depth * span;
constexpr int strip_columns = 32;

// A block's tile of c: each of two warpgroups has 64 rows of it, all columns. A cluster's blocks have tiles
// that are neighbours, `down` by `across` of them.
template <int tile_columns, int pipeline_stages, int tiles_down, int tiles_across>
struct Plan {
    static constexpr int columns = tile_columns, stages = pipeline_stages;
    static constexpr int down = tiles_down, across = tiles_across, cluster = down * across;
    static constexpr int sharing = down + across - 1;  // blocks that read what one of them loads, or load for it
    static constexpr int groups = 2, rows = 64 * groups, threads = warpgroup * (1 + groups);
    static constexpr int warps = groups * warpgroup / 32;  // that multiply
    static constexpr int a_bytes = rows * span, b_bytes = columns * span, stage_bytes = a_bytes + b_bytes;
    using Sums = Strip<strip_columns>;
    static constexpr size_t shared = pattern + stages * stage_bytes + warps * sizeof(Sums);
    // Those of a thread, for all of which there are 64 K: the loader needs few, so that the sums find room.
    static constexpr int loader_registers = 40, registers = 232;
};
using LargePlan = Plan<256, 4, 2, 2>;
using SmallPlan = Plan<128, 6, 1, 1>;

// A block's place in its cluster.
template <class Plan>
struct Place {
    int rank = Plan::cluster == 1 ? 0 : cluster_rank();
    int row = rank / Plan::across, column = rank % Plan::across;

    // Whose tiles are beside its own, and the i-th of all who are, above or below: a bit for each, and a rank.
    __device__ unsigned row_mask() const { return ((1u << Plan::across) - 1) << row * Plan::across; }
    __device__ unsigned column_mask() const {
        unsigned mask = 0;
#pragma unroll
        for (int i = 0; i < Plan::down; ++i) mask |= 1u << (i * Plan::across + column);
        return mask;
    }
    __device__ int sharing(int i) const {
        const int other = i - Plan::across;
        return other < 0 ? row * Plan::across + i : (other + (other >= row)) * Plan::across + column;
    }
};

// Which tile comes next, stage by stage: the same for who loads and who multiplies.
template <int stages>
struct Ring {
    int stage = 0;
    unsigned parity = 0;
    __device__ void advance() {
        if (++stage == stages) {
            stage = 0;
            parity ^= 1;
        }
    }
};

// A box for this block, or for several, which share it.
template <bool is_shared>
__device__ inline void load_box(unsigned ranks, unsigned char* to, const TensorMap& map, uint64_t* full,
                                const int (&at)[4]) {
    if constexpr (is_shared) {
        tma_load_for(ranks, to, map, full, at);
    } else {
        tma_load(to, map, full, at);
    }
}

// This block's part of an operand's stage, of which each of `shares` blocks loads one for all of them
// (ranks): a box whose rows run along k, or one for each 64 lines.
template <int lines, int shares, bool along_k>
__device__ inline void load_lines(unsigned char* stage, const TensorMap& map, uint64_t* full, int share,
                                  unsigned ranks, int line, int k, int inner, int outer) {
    constexpr int own = lines / shares;
    stage += share * own * span;
    line += share * own;
    if constexpr (along_k) {
        load_box<(shares > 1)>(ranks, stage, map, full, {k, line, inner, outer});
    } else {
#pragma unroll
        for (int i = 0; i < own / box_lines; ++i) {
            load_box<(shares > 1)>(ranks, stage + i * box_bytes, map, full,
                                   {line + i * box_lines, k, inner, outer});
        }
    }
}

// Of what load_lines brought, from a line on.
template <bool along_k>
__device__ inline uint64_t descriptor(const unsigned char* stage, int line) {
    return along_k ? matrix_descriptor(stage + line * span, 0, pattern, Swizzle::within_128)
                   : matrix_descriptor(stage + line / box_lines * box_bytes, box_bytes, pattern,
                                       Swizzle::within_128);
}

// Sixteen further along k.
template <bool along_k>
constexpr int step_bytes = along_k ? 16 * 2 : 16 * span;

// The last place of a batch dimension whose stride is 0 is its first.
__device__ inline int place_of(int64_t item, int64_t stride) {
    return stride == 0 ? 0 : static_cast<int>(item);
}

template <class T, class Destination, class Plan, bool a_along_k, bool b_along_k>
__global__ void __launch_bounds__(Plan::threads, 1)
    matmul_hopper_kernel(Destination destination, const __grid_constant__ TensorMap a,
                         const __grid_constant__ TensorMap b, Factors shape) {
#if HAS_HOPPER
    constexpr int stages = Plan::stages, columns = Plan::columns;
    DYNAMIC_SHARED(memory, unsigned char);
    SHARED(full, uint64_t[stages]);
    SHARED(empty, uint64_t[stages]);
    unsigned char* const first_stage = memory + (pattern - shared_address(memory) % pattern) % pattern;

    if (threadIdx.x == 0) {
        for (int i = 0; i < stages; ++i) {
            mbarrier_init(full + i, 1);
            mbarrier_init(empty + i, Plan::warps * Plan::sharing);
        }
        fence_mbarrier_init();
    }
    if constexpr (Plan::cluster > 1) {
        cluster_arrive();
        cluster_wait();
    } else {
        __syncthreads();
    }

    // Of clusters' tiles.
    constexpr int64_t rows_of_cluster = Plan::down * Plan::rows, columns_of_cluster = Plan::across * columns;
    const int64_t tile_rows = ceil_div(shape.m, rows_of_cluster), tile_columns = ceil_div(shape.n, columns_of_cluster);
    const int64_t tiles = shape.outer * shape.inner * tile_rows * tile_columns;
    const int64_t first_tile = blockIdx.x / Plan::cluster, clusters = gridDim.x / Plan::cluster;
    const Place<Plan> place;
    const int steps = static_cast<int>(ceil_div(shape.k, depth));
    Ring<stages> ring;

    if (threadIdx.x < warpgroup) {
        setmaxnreg_dec<Plan::loader_registers>();
        if (threadIdx.x < 32 && elect_one()) {
            const unsigned row_mask = place.row_mask(), column_mask = place.column_mask();
            for (int64_t index = first_tile; index < tiles; index += clusters) {
                const TileIndex at = tile_of(index, tile_rows, tile_columns);
                const int64_t outer = at.item / shape.inner, inner = at.item % shape.inner;
                const int row = static_cast<int>(at.row * rows_of_cluster + place.row * Plan::rows);
                const int column = static_cast<int>(at.column * columns_of_cluster + place.column * columns);
                const int a_inner = place_of(inner, shape.a_inner), a_outer = place_of(outer, shape.a_outer);
                const int b_inner = place_of(inner, shape.b_inner), b_outer = place_of(outer, shape.b_outer);
#pragma unroll 1
                for (int step = 0; step < steps; ++step) {
                    unsigned char* const stage = first_stage + ring.stage * Plan::stage_bytes;
                    uint64_t* const barrier = full + ring.stage;
                    mbarrier_wait(empty + ring.stage, ring.parity ^ 1);
                    mbarrier_arrive_expect_tx(barrier, Plan::stage_bytes);
                    load_lines<Plan::rows, Plan::across, a_along_k>(stage, a, barrier, place.column, row_mask, row,
                                                                    step * depth, a_inner, a_outer);
                    load_lines<columns, Plan::down, b_along_k>(stage + Plan::a_bytes, b, barrier, place.row,
                                                               column_mask, column, step * depth, b_inner, b_outer);
                    ring.advance();
                }
            }
        }
    } else {
        setmaxnreg_inc<Plan::registers>();
        const int group = threadIdx.x / warpgroup - 1, warp = threadIdx.x % warpgroup / 32, lane = threadIdx.x % 32;
        auto& strip = reinterpret_cast<typename Plan::Sums*>(first_stage + stages * Plan::stage_bytes)[group * 4 + warp];
        const int waits = place.sharing(lane);  // for this warp to have read: lanes tell one each
        const auto release = [&](int stage) {
            if constexpr (Plan::cluster > 1) {
                if (lane < Plan::sharing) mbarrier_hand_back(empty + stage, waits);
            } else {
                if (lane == 0) mbarrier_arrive(empty + stage);
            }
        };
        for (int64_t index = first_tile; index < tiles; index += clusters) {
            const TileIndex at = tile_of(index, tile_rows, tile_columns);
            float sums[columns / 8][4];
            int before = 0;  // the stage before
#pragma unroll 1
            for (int step = 0; step < steps; ++step) {
                const unsigned char* const stage = first_stage + ring.stage * Plan::stage_bytes;
                const uint64_t left = descriptor<a_along_k>(stage, group * 64);
                const uint64_t right = descriptor<b_along_k>(stage + Plan::a_bytes, 0);
                mbarrier_wait(full + ring.stage, ring.parity);
                wgmma_fence();
#pragma unroll
                for (int i = 0; i < depth / 16; ++i) {
                    wgmma<T, !a_along_k, !b_along_k>(sums, advance(left, i * step_bytes<a_along_k>),
                                                     advance(right, i * step_bytes<b_along_k>), step > 0 || i > 0);
                }
                wgmma_commit();
                wgmma_wait<1>();  // the step before has been multiplied
                if (step > 0) release(before);
                before = ring.stage;
                ring.advance();
            }
            wgmma_wait<0>();
            release(before);

            const int64_t first_row = at.row * rows_of_cluster + place.row * Plan::rows + group * 64 + warp * 16;
            const int64_t first_column = at.column * columns_of_cluster + place.column * columns;
            constexpr int row_packs = strip_columns / 8;
            const int pack = lane % row_packs * 8;
            // One copy of what is done to the sums, which may be long, whichever of them are in the strip.
#pragma unroll 1
            for (int part = 0; part < columns / strip_columns; ++part) {
#pragma unroll
                for (int j = 0; j < columns / 8; ++j) {
                    if (j / row_packs == part) strip.write(j % row_packs * 8, sums[j]);
                }
                __syncwarp();
                const int64_t column = first_column + part * strip_columns + pack;
                const auto at_column = destination.column(column);
                ColumnAdder<Destination, strip_columns> adder;
#pragma unroll 1
                for (int i = lane / row_packs; i < Plan::Sums::rows; i += 32 / row_packs) {
                    const int64_t row = first_row + i;
                    float elements[8];
                    strip.read(elements, i, pack);
                    if (row < shape.m && column < shape.n) {
                        destination.store(elements, at.item * shape.m + row, at_column);
                        adder.add(elements);
                    }
                }
                __syncwarp();
                adder.store(destination, strip, first_row, shape.m, first_column + part * strip_columns);
            }
        }
    }
    if constexpr (Plan::cluster > 1) {  // others read its mbarriers, and load for it
        cluster_arrive();
        cluster_wait();
    }
#endif
}

}  // namespace hopper

}  // namespace
