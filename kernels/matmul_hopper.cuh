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

// A block's tile of c: each of two warpgroups has 64 rows of it, all columns.
template <int tile_columns, int pipeline_stages>
struct Plan {
    static constexpr int columns = tile_columns, stages = pipeline_stages;
    static constexpr int groups = 2, rows = 64 * groups, threads = warpgroup * (1 + groups);
    static constexpr int warps = groups * warpgroup / 32;  // that multiply
    static constexpr int a_bytes = rows * span, b_bytes = columns * span, stage_bytes = a_bytes + b_bytes;
    using Sums = Strip<strip_columns>;
    static constexpr size_t shared = pattern + stages * stage_bytes + warps * sizeof(Sums);
    // Those of a thread, for all of which there are 64 K: the loader needs few, so that the sums find room.
    static constexpr int loader_registers = 40, registers = 232;
};
using LargePlan = Plan<256, 4>;
using SmallPlan = Plan<128, 6>;

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

// The boxes of an operand's stage: one whose rows run along k, or one for each 64 lines.
template <int lines, bool along_k>
__device__ inline void load_lines(unsigned char* stage, const TensorMap& map, uint64_t* full, int line, int k,
                                  int inner, int outer) {
    if constexpr (along_k) {
        tma_load(stage, map, full, {k, line, inner, outer});
    } else {
#pragma unroll
        for (int i = 0; i < lines / box_lines; ++i) {
            tma_load(stage + i * box_bytes, map, full, {line + i * box_lines, k, inner, outer});
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
            mbarrier_init(empty + i, Plan::warps);
        }
        fence_mbarrier_init();
    }
    __syncthreads();

    const int64_t tile_rows = ceil_div(shape.m, Plan::rows), tile_columns = ceil_div(shape.n, columns);
    const int64_t tiles = shape.outer * shape.inner * tile_rows * tile_columns;
    const int steps = static_cast<int>(ceil_div(shape.k, depth));
    Ring<stages> ring;

    if (threadIdx.x < warpgroup) {
        setmaxnreg_dec<Plan::loader_registers>();
        if (threadIdx.x < 32 && elect_one()) {
            for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
                const TileIndex at = tile_of(index, tile_rows, tile_columns);
                const int64_t outer = at.item / shape.inner, inner = at.item % shape.inner;
                const int row = static_cast<int>(at.row * Plan::rows);
                const int column = static_cast<int>(at.column * columns);
                const int a_inner = place_of(inner, shape.a_inner), a_outer = place_of(outer, shape.a_outer);
                const int b_inner = place_of(inner, shape.b_inner), b_outer = place_of(outer, shape.b_outer);
#pragma unroll 1
                for (int step = 0; step < steps; ++step) {
                    unsigned char* const stage = first_stage + ring.stage * Plan::stage_bytes;
                    uint64_t* const barrier = full + ring.stage;
                    mbarrier_wait(empty + ring.stage, ring.parity ^ 1);
                    mbarrier_arrive_expect_tx(barrier, Plan::stage_bytes);
                    load_lines<Plan::rows, a_along_k>(stage, a, barrier, row, step * depth, a_inner, a_outer);
                    load_lines<columns, b_along_k>(stage + Plan::a_bytes, b, barrier, column, step * depth,
                                                   b_inner, b_outer);
                    ring.advance();
                }
            }
        }
        return;
    }

    setmaxnreg_inc<Plan::registers>();
    const int group = threadIdx.x / warpgroup - 1, warp = threadIdx.x % warpgroup / 32, lane = threadIdx.x % 32;
    auto& strip = reinterpret_cast<typename Plan::Sums*>(first_stage + stages * Plan::stage_bytes)[group * 4 + warp];
    const auto release = [&](int stage) {
        if (lane == 0) mbarrier_arrive(empty + stage);
    };
    for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
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

        const int64_t first_row = at.row * Plan::rows + group * 64 + warp * 16;
        constexpr int row_packs = strip_columns / 8;
        const int place = lane % row_packs * 8;
        // One copy of what is done to the sums, which may be long, whichever of them are in the strip.
#pragma unroll 1
        for (int part = 0; part < columns / strip_columns; ++part) {
#pragma unroll
            for (int j = 0; j < columns / 8; ++j) {
                if (j / row_packs == part) strip.write(j % row_packs * 8, sums[j]);
            }
            __syncwarp();
            const int64_t column = at.column * columns + part * strip_columns + place;
            const auto at_column = destination.column(column);
#pragma unroll 1
            for (int i = lane / row_packs; i < Plan::Sums::rows; i += 32 / row_packs) {
                const int64_t row = first_row + i;
                if (row >= shape.m || column >= shape.n) continue;
                float elements[8];
                strip.read(elements, i, place);
                destination.store(elements, at.item * shape.m + row, at_column);
            }
            __syncwarp();
        }
    }
#endif
}

}  // namespace hopper

}  // namespace
