// Attention:  o = dropout(softmax(scale q k^T + mask)) v  for each head, without an array of scores
// (Dao 2023, FlashAttention-2), by tensor cores: for half, bfloat16, and float as fragment.cuh has it.
//
// Heads lie where they are: q, k, v and o have strides of batch, head and row, q, k and v in multiples of
// 16 bytes, as their pointers are. Of `kv_heads` each serves heads / kv_heads neighbouring ones of q.
// Dimensions of up to 256 are filled up to 64, 128 or 256 by zeros, in shared memory alone.
//
//   - a block has a tile of queries, of which each warp has strips of 16: their sums stay in registers
//     while keys and values pass through shared memory, tile by tile;
//   - while scores are computed, the tile of values is on its way; while values are added up, that of the
//     next keys;
//   - a query's sums are relative to its largest score so far, and rescaled where that grows;
//   - the scores' fragments become, rounded, those of the next product's left factor, in registers;
//   - with `causal`, tiles of keys that nobody looks at are left out, and blocks with most work go first.
// `ends` gets of each query its largest score and 1 / its sum of exp(score - that), or zeros where it looks
// at nothing: enough to compute any weight again. Such a query gets 0.
#include "attention.cuh"

namespace {

// Sizes of tiles, whose rows have dim * sizeof(T) bytes: three of them fit into 96 KB of shared memory,
// which every GPU has, and a warp's sums and scores into its registers.
template <class T, int dim>
struct Forward {
    static constexpr int row_bytes = dim * sizeof(T);
    static constexpr int warps = row_bytes <= 512 ? 4 : 2, threads = 32 * warps;
    static constexpr int strips = row_bytes <= 256 && sizeof(T) == 2 ? 2 : 1;  // of 16 queries, of a warp
    static constexpr int rows = warps * strips * 16;
    static constexpr int columns = row_bytes == 128 ? 64 : sizeof(T) == 4 && dim > 64 ? 16 : 32;
    static constexpr int width = sizeof(T) == 4 && dim > 128 ? 128 : dim;  // of the results of a block
    static constexpr size_t shared = sizeof(T) * ((rows + columns) * dim + columns * width);
};

// Of a query: its largest exponent so far, and this lane's sum of weights relative to that.
struct Peak {
    float exponent = -INFINITY;
    float total = 0;
};

template <class T, int dim, bool has_extras>
__global__ void __launch_bounds__(Forward<T, dim>::threads, 2)
    attention_kernel(Heads<T> o, float* ends, Attention<T> of) {
    using Plan = Forward<T, dim>;
    constexpr int rows = Plan::rows, columns = Plan::columns, strips = Plan::strips, width = Plan::width;
    using Queries = Tile<T, rows, dim, Plan::threads, true>;
    using Keys = Tile<T, columns, dim, Plan::threads, true>;
    using Values = Tile<T, columns, width, Plan::threads, true>;
    DYNAMIC_SHARED(memory, T);
    T* q_tile = memory;
    T* k_tile = q_tile + Queries::elements;
    T* v_tile = k_tile + Keys::elements;

    const int64_t tiles = ceil_div(of.rows, int64_t(rows));
    const int64_t index = blockIdx.x / (dim / width), item = index / tiles;
    const int64_t first_row = (tiles - 1 - index % tiles) * rows;
    const int first_result = blockIdx.x % (dim / width) * width;
    const int64_t batch = item / of.heads, head = item % of.heads;
    const int64_t kv_head = head / (of.heads / of.kv_heads);
    const Heads<const T> k = of.k.of(batch, kv_head), v = of.v.of(batch, kv_head);
    const Scores<T, has_extras> scores(of, batch, head);
    const int lane = threadIdx.x % 32, line = threadIdx.x / 32 * strips * 16;
    const int64_t warp_row = first_row + line;

    Queries(of.q.of(batch, head).at, of.q.row, first_row, of.rows, 0).fetch(q_tile, of.dim);
    Keys(k.at, k.row, 0, of.columns, 0).fetch(k_tile, of.dim);
    commit_copies();

    float sums[strips][width / 8][4] = {};
    Peak peaks[strips][2];
    const int64_t end = of.causal ? min(first_row + rows, of.columns) : of.columns;
    for (int64_t first = 0; first < end; first += columns) {
        wait_for_copies<0>();
        __syncthreads();  // the keys are there, and nobody needs the values before any longer
        Values(v.at, v.row, first, of.columns, first_result).fetch(v_tile, of.dim - first_result);
        commit_copies();

        float weights[strips][columns / 8][4] = {};
        multiply_along<Queries, Keys, dim>(weights, q_tile, line, k_tile);
        const bool is_seen = scores.all_seen(warp_row, first, columns);
#pragma unroll
        for (int i = 0; i < strips; ++i) {
#pragma unroll
            for (int side = 0; side < 2; ++side) {  // rows 8 apart
                Peak& peak = peaks[i][side];
                const int64_t row = warp_row + i * 16 + side * 8 + lane / 4;
                float largest = peak.exponent;
#pragma unroll
                for (int j = 0; j < columns / 8; ++j) {
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        float& weight = weights[i][j][2 * side + e];
                        const int64_t column = first + j * 8 + lane % 4 * 2 + e;
                        weight = scores.exponent(weight, row, column, is_seen);
                        largest = max(largest, weight);
                    }
                }
                largest = warp_reduce<4>(largest, Max());
                // exp(-inf - -inf) is NaN: as long as nothing is looked at, it counts from 0 instead.
                const float from = largest == -INFINITY ? 0.0f : largest;
                const float shrink = exp2f(peak.exponent - from);
                peak.exponent = largest;
                peak.total *= shrink;
#pragma unroll
                for (int j = 0; j < columns / 8; ++j) {
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        float& weight = weights[i][j][2 * side + e];
                        weight = exp2f(weight - from);
                        peak.total += weight;
                        if (scores.drops()) {
                            weight *= scores.kept(row, first + j * 8 + lane % 4 * 2 + e);
                        }
                    }
                }
#pragma unroll
                for (int j = 0; j < width / 8; ++j) {
                    sums[i][j][2 * side] *= shrink;
                    sums[i][j][2 * side + 1] *= shrink;
                }
            }
        }

        wait_for_copies<0>();
        __syncthreads();  // the values are there, and nobody needs these keys any longer
        if (first + columns < end) Keys(k.at, k.row, first + columns, of.columns, 0).fetch(k_tile, of.dim);
        commit_copies();
        multiply_across<Values>(sums, weights, v_tile, 0);
    }

    const Heads<T> to = o.of(batch, head);
#pragma unroll
    for (int i = 0; i < strips; ++i) {
#pragma unroll
        for (int side = 0; side < 2; ++side) {
            const float total = warp_reduce<4>(peaks[i][side].total, Sum());
            // Without a mask every query looks at some key; if all scores are -inf, their softmax is NaN.
            const bool sees_nothing = has_extras && total == 0;
            const float inverse = sees_nothing ? 0.0f : 1 / total;
            const int64_t row = warp_row + i * 16 + side * 8 + lane / 4;
            if (row >= of.rows) continue;
            if (lane % 4 == 0 && first_result == 0) {
                float* end = ends + (item * of.rows + row) * 2;
                end[0] = sees_nothing ? 0.0f : peaks[i][side].exponent;
                end[1] = inverse;
            }
            const float factor = inverse * scores.makes_up();
#pragma unroll
            for (int j = 0; j < width / 8; ++j) {
                store_pair(to.at + row * to.row, first_result + j * 8 + lane % 4 * 2, of.dim,
                           sums[i][j][2 * side] * factor, sums[i][j][2 * side + 1] * factor);
            }
        }
    }
}

template <class T, int dim, bool has_extras>
void launch_attention(const Heads<T>& o, float* ends, const Attention<T>& of, int64_t batch,
                      cudaStream_t stream) {
    using Plan = Forward<T, dim>;
    const int64_t blocks = batch * of.heads * ceil_div(of.rows, int64_t(Plan::rows)) * (dim / Plan::width);
    LAUNCH((attention_kernel<T, dim, has_extras>), blocks, Plan::threads, Plan::shared, stream, o, ends, of);
}

}  // namespace

// ends: two floats for each row of each head. seen, bias: of one of them at most; its strides may be 0.
// columns and dim are at least 1, dim at most 256.
template <class T>
void attention_forward(T* o, float* ends, const T* q, const T* k, const T* v, const uint8_t* seen,
                       const T* bias, const uint64_t* start, int64_t batch, int64_t heads, int64_t kv_heads, int64_t rows,
                       int64_t columns, int64_t dim, int64_t o_batch, int64_t o_head, int64_t o_row,
                       int64_t q_batch, int64_t q_head, int64_t q_row, int64_t k_batch, int64_t k_head,
                       int64_t k_row, int64_t v_batch, int64_t v_head, int64_t v_row, int64_t mask_batch,
                       int64_t mask_head, int64_t mask_row, int64_t mask_column, double scale, bool causal,
                       double p, uint64_t seed, uint64_t offset, cudaStream_t stream) {
    if (batch * heads * rows == 0) return;
    const Attention<T> of{{q, q_batch, q_head, q_row},
                          {k, k_batch, k_head, k_row},
                          {v, v_batch, v_head, v_row},
                          heads, kv_heads, rows, columns, int(dim), float(scale * log2_of_e), causal,
                          seen, bias, mask_batch, mask_head, mask_row, mask_column,
                          uint32_t(std::ceil(p * 16777216.0)), float(1.0 - p), seed, offset, start};
    const Heads<T> to{o, o_batch, o_head, o_row};
    for_dim(dim, [&](auto filled) {
        if (of.has_extras()) {
            launch_attention<T, filled, true>(to, ends, of, batch, stream);
        } else {
            launch_attention<T, filled, false>(to, ends, of, batch, stream);
        }
    });
}
LAUNCHER_UP_TO_FLOAT32(attention_forward);
