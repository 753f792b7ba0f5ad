// What the kernels of attention have in common: where their matrices are, which keys a query looks at,
// and the two kinds of products that all of it is made of.
//
// Scores are kept as exponents of 2, that is, times log2(e): exp2 is one instruction.
#pragma once

#include <cmath>

#include "fragment.cuh"
#include "philox.cuh"
#include "reduce.cuh"

namespace {

constexpr float log2_of_e = 1.44269504088896340736f;
constexpr float largest_float = 3.402823466e38f;

// A matrix for each head of each of the batch, whose rows are contiguous.
template <class T>
struct Heads {
    T* at;
    int64_t batch, head, row;  // strides

    __host__ __device__ Heads of(int64_t batch_index, int64_t head_index) const {
        return {at ? at + batch_index * batch + head_index * head : at, batch, head, row};
    }
};

template <class T>
struct Attention {
    Heads<const T> q, k, v;
    int64_t heads, kv_heads, rows, columns;
    int dim;
    float scale;
    bool causal;
    // Of scores, or null: what may be looked at; numbers to add.
    const uint8_t* seen;
    const T* bias;
    int64_t mask_batch, mask_head, mask_row, mask_column;  // strides
    // Weights are dropped as dropout.cu drops the elements of an array of all scores.
    uint32_t threshold;
    float keep_probability;
    uint64_t seed, offset;
    const uint64_t* start;  // null, or where the stream of random numbers begins (philox.cuh)

    bool has_extras() const { return seen || bias || threshold > 0; }
};

// The scores of one head.
template <class T, bool has_extras>
class Scores {
  public:
    __device__ Scores(const Attention<T>& of, int64_t batch, int64_t head)
        : of_(of), mask_(batch * of.mask_batch + head * of.mask_head),
          first_(uint64_t(batch * of.heads + head) * of.rows * of.columns), seed_(of.seed),
          offset_(of.offset) {
        if constexpr (has_extras) begin_stream(of.start, seed_, offset_);
    }

    // Whether all queries from `row` on look at all keys of a tile. (Those beyond the last are zeros, and
    // count nowhere.)
    __device__ bool all_seen(int64_t row, int64_t column, int columns) const {
        return !has_extras && column + columns <= of_.columns &&
               (!of_.causal || column + columns - 1 <= row);
    }

    // -infinity where the query does not look at the key.
    __device__ float exponent(float product, int64_t row, int64_t column, bool is_seen) const {
        const float score = product * of_.scale;
        if (is_seen) return score;
        if (row >= of_.rows || column >= of_.columns || (of_.causal && column > row)) return -INFINITY;
        if constexpr (has_extras) {
            const int64_t place = mask_ + row * of_.mask_row + column * of_.mask_column;
            if (of_.seen && !of_.seen[place]) return -INFINITY;
            if (of_.bias) {
                // A finite number does not hide a key, though its product with log2(e) may be infinite.
                const float bias = to_acc(of_.bias[place]), sum = score + bias * log2_of_e;
                return sum == -INFINITY && bias > -INFINITY && score > -INFINITY ? -largest_float : sum;
            }
        }
        return score;
    }

    // Whether a weight is kept, where weights are dropped: 1 or 0.
    __device__ float kept(int64_t row, int64_t column) const {
        const uint64_t index = first_ + uint64_t(row) * of_.columns + column;
        const uint4 words = philox_block(index / philox_words, seed_, offset_);
        const unsigned place = index % philox_words;
        const unsigned word = place < 2 ? (place == 0 ? words.x : words.y)
                                        : (place == 2 ? words.z : words.w);
        return (word >> 8) >= of_.threshold ? 1.0f : 0.0f;
    }
    __device__ bool drops() const { return has_extras && of_.threshold > 0; }
    // What makes up for those that are dropped. (In float16 a weight times this may be infinite.)
    __device__ float makes_up() const { return drops() ? 1 / of_.keep_probability : 1.0f; }

  private:
    const Attention<T>& of_;
    int64_t mask_;
    uint64_t first_, seed_, offset_;
};

// sums += left right^T of tiles that both lie along the heads' dimension: `count` strips of 16 lines from
// `line` on, against all lines of the right one.
template <class Left, class Right, int dim, class T, int count, int columns>
__device__ inline void multiply_along(float (&sums)[count][columns][4], const T* left, int line,
                                      const T* right) {
#pragma unroll(sizeof(T) == 2 ? 2 : 1)
    for (int k = 0; k < dim; k += fragment_depth) {
        LeftFragment<T> rows[count];
#pragma unroll
        for (int i = 0; i < count; ++i) rows[i].template load<Left>(left, line + i * 16, k);
#pragma unroll
        for (int j = 0; j < columns; j += 2) {
            RightFragment<T> others;
            others.template load<Right>(right, j * 8, k);
#pragma unroll
            for (int i = 0; i < count; ++i) {
                multiply_fragments(sums[i][j], sums[i][j + 1], rows[i], others);
            }
        }
    }
}

// sums += weights right[:, first:], of a warp's weights, one for each line of a tile.
template <class Right, class T, int count, int lines, int columns>
__device__ inline void multiply_across(float (&sums)[count][columns][4],
                                       const float (&weights)[count][lines][4], const T* right, int first) {
#pragma unroll
    for (int k = 0; k < lines; k += 2) {
        LeftFragment<T> rows[count];
#pragma unroll
        for (int i = 0; i < count; ++i) rows[i].take(weights[i][k], weights[i][k + 1]);
#pragma unroll
        for (int j = 0; j < columns; j += 2) {
            RightFragment<T> others;
            others.template load_across<Right>(right, k * 8, first + j * 8);
#pragma unroll
            for (int i = 0; i < count; ++i) {
                multiply_fragments(sums[i][j], sums[i][j + 1], rows[i], others);
            }
        }
    }
}

// Two neighbouring sums of a warp, as far as the row has them.
template <class T>
__device__ inline void store_pair(T* row, int column, int dim, float first, float second) {
    if (column < dim) row[column] = from_acc<T>(first);
    if (column + 1 < dim) row[column + 1] = from_acc<T>(second);
}

// Calls `launch` with the number of columns that tiles have: `dim`, or what it is filled up to.
template <class Launch>
void for_dim(int64_t dim, Launch launch) {
    if (dim <= 64) {
        launch(std::integral_constant<int, 64>());
    } else if (dim <= 128) {
        launch(std::integral_constant<int, 128>());
    } else {
        launch(std::integral_constant<int, 256>());
    }
}

}  // namespace
