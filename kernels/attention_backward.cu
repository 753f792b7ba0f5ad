// The gradients of attention, without an array of scores, too: weights are computed again from q, k and
// `ends` (attention.cu), and what was dropped is drawn again. With w the weights, s the scores, and `dropped`
// what dropout makes of something:
//
//   dv = dropped(w)^T do     ds = w (dropped(do v^T) - delta)     dq = ds k     dk = ds^T q
//
// where delta, of each row, is that of do * o summed. One kernel finds delta; in one, a block has a
// tile of keys and meets all queries that look at it, for dk and dv; in one it has a tile of queries and
// meets their keys, for dq. So nothing is added to memory: sums are made in one order, with the same bits in
// every run. The price is that scores are computed twice.
//
// Both are one kernel here: a block's own two matrices stay in shared memory, tiles of the other two pass,
// two of them at a time where there is room. Scores of own lines with others are of the form that the next
// product needs for its left factor, whichever of the two are queries.
#include "attention.cuh"

namespace {

// Sizes of tiles, whose rows have dim * sizeof(T) bytes; they fit into 96 KB of shared memory.
template <class T, int dim, bool by_keys>
struct Backward {
    static constexpr int row_bytes = dim * sizeof(T);
    static constexpr int warps = row_bytes <= 512 ? 4 : 2, threads = 32 * warps, own = 16 * warps;
    static constexpr int others = sizeof(T) == 4 ? 16 : row_bytes == 128 ? 64 : 32;
    static constexpr int stages = row_bytes <= 256 ? 2 : 1;
    // Of the results of a block: two of 16 lines and this many columns fit into a warp's registers.
    static constexpr int width = dim < 128 ? dim : sizeof(T) == 4 && by_keys ? 64 : 128;
    static constexpr size_t shared = size_t(own + stages * others) * 2 * row_bytes;
};

// What is known of a query.
struct Query {
    float largest, inverse, delta;  // of exponents; of the sum of weights relative to that
};

template <class T, int dim, bool by_keys, bool has_extras>
__global__ void __launch_bounds__(Backward<T, dim, by_keys>::threads, 2)
    attention_backward_kernel(Heads<T> first_result, Heads<T> second_result, Attention<T> of,
                              Heads<const T> gradient, const float* ends, const float* deltas) {
    using Plan = Backward<T, dim, by_keys>;
    constexpr int own = Plan::own, others = Plan::others, stages = Plan::stages, width = Plan::width;
    using Own = Tile<T, own, dim, Plan::threads, true>;
    using Other = Tile<T, others, dim, Plan::threads, true>;
    DYNAMIC_SHARED(memory, T);
    T* own_tiles[] = {memory, memory + Own::elements};
    T* other_tiles = memory + 2 * Own::elements;

    // Which lines are this block's.
    const int first_column = blockIdx.x % (dim / width) * width;
    const int64_t all_own = by_keys ? of.columns : of.rows, all_others = by_keys ? of.rows : of.columns;
    const int64_t tiles = ceil_div(all_own, int64_t(own)), index = blockIdx.x / (dim / width);
    const int64_t heads = by_keys ? of.kv_heads : of.heads, group = of.heads / of.kv_heads;
    const int64_t item = index / tiles, batch = item / heads, own_head = item % heads;
    // Those with most work first.
    const int64_t first_own = (of.causal && !by_keys ? tiles - 1 - index % tiles : index % tiles) * own;

    // Which it meets: of each head in its group, tiles from `start` on.
    const int64_t start = of.causal && by_keys ? first_own / others * others : 0;
    const int64_t end = of.causal && !by_keys ? min(first_own + own, all_others) : all_others;
    const int64_t steps = ceil_div(end - start, int64_t(others));  // none is below 0, too
    const int64_t all_steps = by_keys ? steps * group : steps;
    const auto query_head = [&](int64_t step) {
        return by_keys ? own_head * group + step / steps : own_head;
    };
    const auto first_other = [&](int64_t step) { return start + step % steps * others; };
    const auto fetch = [&](int64_t step) {
        const int64_t first = first_other(step), head = by_keys ? query_head(step) : own_head / group;
        const Heads<const T> one = (by_keys ? of.q : of.k).of(batch, head);
        const Heads<const T> two = (by_keys ? gradient : of.v).of(batch, head);
        T* to = other_tiles + step % stages * 2 * Other::elements;
        Other(one.at, one.row, first, all_others, 0).fetch(to, of.dim);
        Other(two.at, two.row, first, all_others, 0).fetch(to + Other::elements, of.dim);
        commit_copies();
    };

    const int lane = threadIdx.x % 32, line = threadIdx.x / 32 * 16;
    const int64_t warp_own = first_own + line;
    const auto known = [&](int64_t head, int64_t row) {
        const int64_t at = (batch * of.heads + head) * of.rows + row;
        return row < of.rows ? Query{ends[2 * at], ends[2 * at + 1], deltas[at]} : Query{};
    };
    Query own_queries[2];
    if constexpr (!by_keys) {
#pragma unroll
        for (int side = 0; side < 2; ++side) {
            own_queries[side] = known(own_head, warp_own + side * 8 + lane / 4);
        }
    }

    const float makes_up = Scores<T, has_extras>(of, 0, 0).makes_up();
    float first_sums[1][width / 8][4] = {}, second_sums[1][by_keys ? width / 8 : 1][4] = {};
    if (all_steps > 0) {
        const Heads<const T> one = (by_keys ? of.k : of.q).of(batch, own_head);
        const Heads<const T> two = (by_keys ? of.v : gradient).of(batch, own_head);
        Own(one.at, one.row, first_own, all_own, 0).fetch(own_tiles[0], of.dim);
        Own(two.at, two.row, first_own, all_own, 0).fetch(own_tiles[1], of.dim);
        fetch(0);
    }
    for (int64_t step = 0; step < all_steps; ++step) {
        wait_for_copies<0>();
        __syncthreads();  // this step's tiles are there, and nobody needs those before any longer
        if (stages > 1 && step + 1 < all_steps) fetch(step + 1);
        const T* one = other_tiles + step % stages * 2 * Other::elements;
        const T* two = one + Other::elements;

        float weights[1][others / 8][4] = {}, slopes[1][others / 8][4] = {};
        multiply_along<Own, Other, dim>(weights, own_tiles[0], line, one);
        multiply_along<Own, Other, dim>(slopes, own_tiles[1], line, two);
        const int64_t first = first_other(step), head = query_head(step);
        const Scores<T, has_extras> scores(of, batch, head);
        const bool is_seen = by_keys ? scores.all_seen(first, warp_own, 16)
                                     : scores.all_seen(warp_own, first, others);
#pragma unroll
        for (int j = 0; j < others / 8; ++j) {
            const int64_t other = first + j * 8 + lane % 4 * 2;
            Query queries[2];
            if constexpr (by_keys) {
#pragma unroll
                for (int e = 0; e < 2; ++e) queries[e] = known(head, other + e);
            }
#pragma unroll
            for (int v = 0; v < 4; ++v) {
                const int64_t mine = warp_own + v / 2 * 8 + lane / 4;
                const int64_t row = by_keys ? other + v % 2 : mine, column = by_keys ? mine : other + v % 2;
                const Query& query = by_keys ? queries[v % 2] : own_queries[v / 2];
                float &weight = weights[0][j][v], &slope = slopes[0][j][v];
                const float exponent = scores.exponent(weight, row, column, is_seen);
                weight = exp2f(exponent - query.largest) * query.inverse;
                const float kept = scores.drops() ? scores.kept(row, column) : 1.0f;
                slope = weight * (slope * kept * makes_up - query.delta);
                weight *= kept;
            }
        }
        multiply_across<Other>(first_sums, slopes, one, first_column);
        if constexpr (by_keys) multiply_across<Other>(second_sums, weights, two, first_column);
        if (stages == 1) {
            __syncthreads();  // all have multiplied by these tiles
            if (step + 1 < all_steps) fetch(step + 1);
        }
    }

    const float scale = of.scale / log2_of_e;
    const Heads<T> to_first = first_result.of(batch, own_head), to_second = second_result.of(batch, own_head);
#pragma unroll
    for (int side = 0; side < 2; ++side) {
        const int64_t row = warp_own + side * 8 + lane / 4;
        if (row >= all_own) continue;
#pragma unroll
        for (int j = 0; j < width / 8; ++j) {
            const int column = first_column + j * 8 + lane % 4 * 2;
            const float(&sums)[4] = first_sums[0][j];
            if (to_first.at) {
                store_pair(to_first.at + row * to_first.row, column, of.dim, sums[2 * side] * scale,
                           sums[2 * side + 1] * scale);
            }
            if constexpr (by_keys) {
                const float(&others_sums)[4] = second_sums[0][j];
                if (to_second.at) {
                    store_pair(to_second.at + row * to_second.row, column, of.dim,
                               others_sums[2 * side] * makes_up, others_sums[2 * side + 1] * makes_up);
                }
            }
        }
    }
}

// A warp for each row.
template <class T>
__global__ void attention_delta_kernel(float* deltas, Heads<const T> gradient, Heads<const T> o,
                                       int64_t heads, int64_t rows, int64_t all_rows, int dim) {
    const int lane = threadIdx.x % 32;
    for (int64_t i = global_thread() / 32; i < all_rows; i += thread_count() / 32) {
        const int64_t item = i / rows, row = i % rows;
        const T* left = gradient.of(item / heads, item % heads).at + row * gradient.row;
        const T* right = o.of(item / heads, item % heads).at + row * o.row;
        float sum = 0;
        for (int column = lane; column < dim; column += 32) {
            sum += to_acc(left[column]) * to_acc(right[column]);
        }
        sum = warp_reduce(sum, Sum());
        if (lane == 0) deltas[i] = sum;
    }
}

template <class T, int dim, bool by_keys, bool has_extras>
void launch_backward(const Heads<T>& first, const Heads<T>& second, const Attention<T>& of,
                     const Heads<const T>& gradient, const float* ends, const float* deltas, int64_t batch,
                     cudaStream_t stream) {
    using Plan = Backward<T, dim, by_keys>;
    const int64_t lines = by_keys ? of.columns : of.rows, heads = by_keys ? of.kv_heads : of.heads;
    const int64_t blocks = batch * heads * ceil_div(lines, int64_t(Plan::own)) * (dim / Plan::width);
    if (blocks > 0) {
        LAUNCH((attention_backward_kernel<T, dim, by_keys, has_extras>), blocks, Plan::threads, Plan::shared,
               stream, first, second, of, gradient, ends, deltas);
    }
}

}  // namespace

// deltas: scratch, one float for each row of each head. dq; dk and dv: null where nobody needs them.
template <class T>
void attention_backward(T* dq, T* dk, T* dv, float* deltas, const T* gradient, const T* o, const float* ends,
                        const T* q, const T* k, const T* v, const uint8_t* seen, const T* bias,
                        const uint64_t* start, int64_t batch, int64_t heads, int64_t kv_heads, int64_t rows, int64_t columns,
                        int64_t dim, int64_t dq_batch, int64_t dq_head, int64_t dq_row, int64_t dk_batch,
                        int64_t dk_head, int64_t dk_row, int64_t dv_batch, int64_t dv_head, int64_t dv_row,
                        int64_t gradient_batch, int64_t gradient_head, int64_t gradient_row,
                        int64_t o_batch, int64_t o_head, int64_t o_row, int64_t q_batch, int64_t q_head,
                        int64_t q_row, int64_t k_batch, int64_t k_head, int64_t k_row, int64_t v_batch,
                        int64_t v_head, int64_t v_row, int64_t mask_batch, int64_t mask_head,
                        int64_t mask_row, int64_t mask_column, double scale, bool causal, double p,
                        uint64_t seed, uint64_t offset, cudaStream_t stream) {
    const Attention<T> of{{q, q_batch, q_head, q_row},
                          {k, k_batch, k_head, k_row},
                          {v, v_batch, v_head, v_row},
                          heads, kv_heads, rows, columns, int(dim), float(scale * log2_of_e), causal,
                          seen, bias, mask_batch, mask_head, mask_row, mask_column,
                          uint32_t(std::ceil(p * 16777216.0)), float(1.0 - p), seed, offset, start};
    const Heads<const T> arrived{gradient, gradient_batch, gradient_head, gradient_row};
    const Heads<T> to_q{dq, dq_batch, dq_head, dq_row}, to_k{dk, dk_batch, dk_head, dk_row};
    const Heads<T> to_v{dv, dv_batch, dv_head, dv_row}, none{};
    const int64_t all_rows = batch * heads * rows;
    if (all_rows > 0) {
        LAUNCH(attention_delta_kernel<T>, blocks_for(all_rows, 8), 256, 0, stream, deltas, arrived,
               Heads<const T>{o, o_batch, o_head, o_row}, heads, rows, all_rows, int(dim));
    }
    for_dim(dim, [&](auto filled) {
        const auto launch = [&](auto extras) {
            if (dk || dv) {
                launch_backward<T, filled, true, extras>(to_k, to_v, of, arrived, ends, deltas, batch,
                                                         stream);
            }
            if (dq) {
                launch_backward<T, filled, false, extras>(to_q, none, of, arrived, ends, deltas, batch,
                                                          stream);
            }
        };
        if (of.has_extras()) {
            launch(std::true_type());
        } else {
            launch(std::false_type());
        }
    });
}
LAUNCHER_UP_TO_FLOAT32(attention_backward);
