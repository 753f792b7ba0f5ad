// Matrix product, batched:  c[i] = op(a[i]) op(b[i]) + bias,  where op(x) is x or its transpose.
//
// c is [batch, m, n] and contiguous, op(a) is m x k, op(b) is k x n; bias has n elements or is
// absent. lda and ldb are the distances between rows as stored, so a transpose is only another way
// of walking over the operand: none of the four combinations copies anything.
//
// Each element of a is needed n times and each of b m times, so speed is a matter of not fetching
// them as often:
//   - a block owns a tile x tile square of c and walks along k in steps of `depth`; per step it
//     reads 2 tile depth elements from global memory for tile^2 depth multiply-adds;
//   - a thread keeps (tile/16)^2 results in registers. Its rows and columns come in groups of 16
//     bytes, so that shared memory is read 128 bits at a time, without bank conflicts;
//   - both tiles lie in shared memory with k outermost, however they were stored, and already in
//     the accumulator's type: half and bfloat16 are converted once, not once per use;
//   - a thread moves exactly one 128-bit pack of a and one of b per step, which fixes
//     depth = 256 * pack / tile. The packs of the next step are fetched into registers before the
//     current step is multiplied, and so arrive while there is work to do;
//   - the tiles are double buffered: storing the next step's tiles cannot disturb a thread that
//     still multiplies the current ones, so one barrier per step is enough.
// Large problems use 128 x 128 tiles (8 x 8 results a thread). 64 x 64 serves those that would
// leave multiprocessors idle, and double, whose 8 x 8 results would fill the register file.
//
// Two blocks per multiprocessor leave 128 registers a thread, and the large tile needs all of them.
// Tried, and found to spill 4 to 600 bytes on sm_80 or sm_90a: the loops over results the other way
// round, 64-bit bounds inside the tile, alignment tested once instead of per fetch, a pointer into
// c for the epilogue, numbers of tiles passed in. `python -m tapegrad._build resources` tells.
#include "device.cuh"

namespace {

constexpr int side = 16;  // a block is a square of side x side threads
constexpr int threads = side * side;

struct Shape {
    int64_t batch, m, n, k;
    int64_t a_batch_stride, b_batch_stride;  // 0: one matrix for the whole batch
    int64_t lda, ldb;
};

// One operand's way from global to shared memory. Its tile has `tile` lines (rows of op(a), columns
// of op(b)) and is `depth` elements deep along k. Neighbours in global memory are neighbours along
// k if `along_k`, else they belong to neighbouring lines.
template <class T, int tile, bool along_k>
struct Operand {
    using A = acc_t<T>;
    static constexpr int width = Pack<T>::size;
    static constexpr int depth = threads * width / tile;
    // The pack of padding spreads the stores of a transposing copy over the banks.
    using Shared = Pack<A>[depth][tile / Pack<A>::size + 1];

    const T* source;  // this thread's pack of the next tile
    int64_t advance;  // from there to its pack of the tile after that
    int available;    // the matrix's lines in the tile, from this pack's first one on
    int line, at_k;   // where the pack belongs in the tile
    Pack<T> pack;

    __device__ Operand(const T* matrix, int64_t stride, int64_t first_line, int64_t lines) {
        constexpr int packs_per_stripe = (along_k ? depth : tile) / width;
        const int stripe = threadIdx.x / packs_per_stripe;
        const int place = threadIdx.x % packs_per_stripe * width;
        line = along_k ? stripe : place;
        at_k = along_k ? place : stripe;
        available = static_cast<int>(min(lines - first_line, int64_t(tile))) - line;
        source = matrix + (along_k ? (first_line + line) * stride + at_k
                                   : at_k * stride + first_line + line);
        advance = along_k ? depth : depth * stride;
    }

    // Reads this thread's pack of the next tile, with zeros for what lies outside the matrix.
    __device__ void fetch(int64_t k_left) {
        const int k_near = static_cast<int>(min(k_left, int64_t(depth)));
        const int inside = along_k ? (available > 0 ? k_near - at_k : 0)
                                   : (at_k < k_near ? available : 0);
        pack = load_pack(source, 0, inside, aligned_for_packs(source));
        source += advance;
    }

    __device__ void store(Shared& shared) const {
#pragma unroll
        for (int i = 0; i < width; ++i) {
            const int to = line + (along_k ? 0 : i);
            shared[at_k + (along_k ? i : 0)][to / Pack<A>::size][to % Pack<A>::size] =
                to_acc(pack[i]);
        }
    }
};

template <class T, int tile, bool a_along_k, bool b_along_k>
__global__ void __launch_bounds__(threads, 2)
    matmul_kernel(T* c, const T* a, const T* b, const T* bias, Shape shape) {
    using A = acc_t<T>;
    using OperandA = Operand<T, tile, a_along_k>;
    using OperandB = Operand<T, tile, b_along_k>;
    constexpr int depth = OperandA::depth;
    constexpr int width = Pack<A>::size;
    constexpr int owned = tile / side;  // results per thread along m, and along n
    SHARED(a_tiles, typename OperandA::Shared[2]);
    SHARED(b_tiles, typename OperandB::Shared[2]);

    // A warp is 4 x 8 of the square of threads, for the fewest distinct lines.
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int thread_row = warp / 2 * 4 + lane / 8;
    const int thread_column = warp % 2 * 8 + lane % 8;

    const int64_t tile_rows = ceil_div(shape.m, tile);
    const int64_t tile_columns = ceil_div(shape.n, tile);
    const int64_t tiles = shape.batch * tile_rows * tile_columns;
    int buffer = 0;
    for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
        const int64_t item = index / (tile_rows * tile_columns);
        const int64_t first_row = index / tile_columns % tile_rows * tile;
        const int64_t first_column = index % tile_columns * tile;

        OperandA next_a(a + item * shape.a_batch_stride, shape.lda, first_row, shape.m);
        OperandB next_b(b + item * shape.b_batch_stride, shape.ldb, first_column, shape.n);
        A sums[owned][owned] = {};
        next_a.fetch(shape.k);
        next_b.fetch(shape.k);
        for (int64_t k_left = shape.k; k_left > 0; k_left -= depth) {
            next_a.store(a_tiles[buffer]);
            next_b.store(b_tiles[buffer]);
            __syncthreads();
            next_a.fetch(k_left - depth);
            next_b.fetch(k_left - depth);
#pragma unroll
            for (int at_k = 0; at_k < depth; ++at_k) {
                Pack<A> a_part[owned / width], b_part[owned / width];
#pragma unroll
                for (int group = 0; group < owned / width; ++group) {
                    a_part[group] = a_tiles[buffer][at_k][group * side + thread_row];
                    b_part[group] = b_tiles[buffer][at_k][group * side + thread_column];
                }
#pragma unroll
                for (int j = 0; j < owned; ++j) {
#pragma unroll
                    for (int i = 0; i < owned; ++i) {
                        sums[i][j] += a_part[i / width][i % width] * b_part[j / width][j % width];
                    }
                }
            }
            buffer ^= 1;
        }

#pragma unroll
        for (int j = 0; j < owned; j += width) {
            const int64_t column = first_column + (j / width * side + thread_column) * width;
            Pack<A> shift = {};
            if (bias) {
#pragma unroll
                for (int v = 0; v < width; ++v) {
                    if (column + v < shape.n) shift[v] = to_acc(bias[column + v]);
                }
            }
#pragma unroll
            for (int i = 0; i < owned; ++i) {
                const int64_t row = first_row + (i / width * side + thread_row) * width + i % width;
                if (row >= shape.m) continue;
                T* c_row = c + (item * shape.m + row) * shape.n;
                if constexpr (width == Pack<T>::size) {
                    Pack<T> results;
#pragma unroll
                    for (int v = 0; v < width; ++v) results[v] = sums[i][j + v] + shift[v];
                    store_pack(c_row, results, column, shape.n, aligned_for_packs(c_row));
                } else {
#pragma unroll
                    for (int v = 0; v < width; ++v) {
                        if (column + v < shape.n)
                            c_row[column + v] = from_acc<T>(sums[i][j + v] + shift[v]);
                    }
                }
            }
        }
    }
}

template <class T, int tile>
void matmul_tiled(T* c, const T* a, const T* b, const T* bias, const Shape& shape,
                  bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const int64_t tiles = shape.batch * ceil_div(shape.m, tile) * ceil_div(shape.n, tile);
    // A stored row of a runs along k, one of b along n; transposed, the other way round.
    const auto a_along_k = transpose_b ? matmul_kernel<T, tile, true, true>
                                       : matmul_kernel<T, tile, true, false>;
    const auto a_across_k = transpose_b ? matmul_kernel<T, tile, false, true>
                                        : matmul_kernel<T, tile, false, false>;
    LAUNCH_AS("matmul_kernel", transpose_a ? a_across_k : a_along_k, blocks_for(tiles, 1), threads,
              0, stream, c, a, b, bias, shape);
}

}  // namespace

// c[batch, m, n] = op(a) op(b) + bias[n]; lda and ldb are the row strides of a and b as stored.
// A batch stride of 0 broadcasts. bias or null.
template <class T>
void matmul(T* c, const T* a, const T* b, const T* bias, int64_t batch, int64_t m, int64_t n,
            int64_t k, int64_t a_batch_stride, int64_t b_batch_stride, int64_t lda, int64_t ldb,
            bool transpose_a, bool transpose_b, cudaStream_t stream) {
    if (batch == 0 || m == 0 || n == 0) return;
    const Shape shape{batch, m, n, k, a_batch_stride, b_batch_stride, lda, ldb};
    if constexpr (!std::is_same<T, double>::value) {
        // Enough large tiles to keep a large GPU busy; fewer where the grid is small, for tests.
        constexpr int64_t enough = grid_limit < 128 ? grid_limit : 128;
        if (m > 64 && n > 64 && batch * ceil_div(m, 128) * ceil_div(n, 128) >= enough) {
            matmul_tiled<T, 128>(c, a, b, bias, shape, transpose_a, transpose_b, stream);
            return;
        }
    }
    matmul_tiled<T, 64>(c, a, b, bias, shape, transpose_a, transpose_b, stream);
}
LAUNCHER(matmul);
