// Matrix product, batched:  c[i] = op(a[i]) op(b[i]) + bias,  where op(x) is x or its transpose.
//
// c is [batch, m, n] and contiguous, op(a) is m x k, op(b) is k x n; bias has n elements or is
// absent. lda and ldb are the distances between rows as stored, so a transpose is only another way
// of walking over the operand: none of the four combinations copies anything.
//
// Each element of a is needed n times and each of b m times, so speed is a matter of not fetching
// them as often:
//   - a block owns a tile x tile square of c and walks along k in steps, a step in parts of `depth`;
//     per part it reads 2 tile depth elements from global memory for tile^2 depth multiply-adds;
//   - a thread keeps (tile/16)^2 results in registers. Its rows and columns come in groups of 16
//     bytes, so that shared memory is read 128 bits at a time, without bank conflicts;
//   - both tiles lie in shared memory with k outermost, however they were stored, and already in
//     the accumulator's type: half and bfloat16 are converted once, not once per use;
//   - a thread moves exactly one 128-bit pack of a and one of b per part, which fixes
//     depth = 256 * pack / tile. The packs of the next step are fetched into registers before the
//     same part of the current step is multiplied, and so arrive while there is work to do;
//   - the tiles are double buffered: storing the next step's tiles cannot disturb a thread that
//     still multiplies the current ones, so one barrier per step is enough. Of float and double a
//     step has two parts: half as many barriers, and registers for the packs of one part.
// Large problems of float use 128 x 128 tiles (8 x 8 results a thread). 64 x 64 serves those that would
// leave multiprocessors idle, double, whose 8 x 8 results would fill the register file, and 16 bits, whose
// large problems are for tensor cores. Where tiles are few, and k is long, several blocks share one
// (splits.cuh).
//
// Two blocks per multiprocessor leave 128 registers a thread, and the large tile needs all of them.
// Tried, and found to spill 4 to 600 bytes on sm_80 or sm_90a: the loops over results the other way
// round, 64-bit bounds inside the tile, one row of results to begin at and 32-bit rows in it, a pointer
// into c for the epilogue, numbers of tiles passed in. `python -m tapegrad._build resources` tells.
#include "splits.cuh"

namespace {

constexpr int side = 16;  // a block is a square of side x side threads
constexpr int threads = side * side;

template <class T, int tile>
constexpr int depth = threads * Pack<T>::size / tile;  // along k, of a part
template <class T>
constexpr int parts = 2 * Pack<acc_t<T>>::size / Pack<T>::size;  // of a step
template <class T, int tile>
constexpr int step_depth = parts<T> * depth<T, tile>;

struct Shape {
    int64_t batch, m, n, k;
    int64_t a_batch_stride, b_batch_stride;  // 0: one matrix for the whole batch
    int64_t lda, ldb;
};

// One operand's way from global to shared memory. A part of its tile has `tile` lines (rows of op(a),
// columns of op(b)) and is `depth` elements deep along k. Neighbours in global memory are neighbours along
// k if `along_k`, else they belong to neighbouring lines.
template <class T, int tile, bool along_k>
struct Operand {
    using A = acc_t<T>;
    static constexpr int width = Pack<T>::size;
    // The pack of padding spreads the stores of a transposing copy over the banks.
    using Shared = Pack<A>[depth<T, tile>][tile / Pack<A>::size + 1];

    const T* source;  // this thread's pack of the next part
    int64_t advance;  // from there to its pack of the part after that
    int available;    // the matrix's lines in the tile, from this pack's first one on
    int line, at_k;   // where the pack belongs in the tile
    Pack<T> pack;

    __device__ Operand(const T* matrix, int64_t stride, int64_t first_line, int64_t lines,
                       int64_t first_k) {
        constexpr int packs_per_stripe = (along_k ? depth<T, tile> : tile) / width;
        const int stripe = threadIdx.x / packs_per_stripe;
        const int place = threadIdx.x % packs_per_stripe * width;
        line = along_k ? stripe : place;
        at_k = along_k ? place : stripe;
        available = static_cast<int>(min(lines - first_line, int64_t(tile))) - line;
        source = matrix + (along_k ? (first_line + line) * stride + first_k + at_k
                                   : (first_k + at_k) * stride + first_line + line);
        advance = along_k ? depth<T, tile> : depth<T, tile> * stride;
    }

    // Whether all of this thread's packs are inside the matrix, but for its end along k, and aligned, as
    // the first one is: a part is a multiple of a pack deep.
    __device__ bool in_packs() const {
        return available >= (along_k ? 1 : width) && aligned_for_packs(source);
    }

    // Reads this thread's pack of the next part, if all of it is there.
    __device__ void fetch_whole() {
        pack = load_pack(source);
        source += advance;
    }

    // The same with zeros for what lies outside the matrix.
    __device__ void fetch(int64_t k_left) {
        const int k_near = static_cast<int>(min(k_left, int64_t(depth<T, tile>)));
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

// c = sums + bias, as many neighbours of a row at a time as are in a pack of sums.
template <class T>
struct Results {
    using A = acc_t<T>;
    static constexpr int width = Pack<A>::size;
    T* c;
    const T* bias;  // n elements, or null
    int64_t n;

    // What is the same in all rows.
    struct Column {
        int64_t first;
        Pack<A> shift;
    };
    __device__ Column column(int64_t first) const {
        Column here{first, {}};
        if (bias) {
#pragma unroll
            for (int v = 0; v < width; ++v) {
                if (first + v < n) here.shift[v] = to_acc(bias[first + v]);
            }
        }
        return here;
    }

    __device__ void store(const A (&sums)[width], int64_t row, const Column& column) const {
        T* c_row = c + row * n;
        if constexpr (width == Pack<T>::size) {
            Pack<T> results;
#pragma unroll
            for (int v = 0; v < width; ++v) results[v] = sums[v] + column.shift[v];
            store_pack(c_row, results, column.first, n, aligned_for_packs(c_row));
        } else {
#pragma unroll
            for (int v = 0; v < width; ++v) {
                if (column.first + v < n)
                    c_row[column.first + v] = from_acc<T>(sums[v] + column.shift[v]);
            }
        }
    }
};

// Where a tile is shared, block s of `splits` has rows s m' to (s + 1) m' of the results, m' being all
// rows of c.
template <class T, class Results, int tile, bool a_along_k, bool b_along_k>
__global__ void __launch_bounds__(threads, 2)
    matmul_kernel(Results results, const T* a, const T* b, Shape shape, int64_t steps, int64_t splits) {
    using A = acc_t<T>;
    using OperandA = Operand<T, tile, a_along_k>;
    using OperandB = Operand<T, tile, b_along_k>;
    constexpr int width = Pack<A>::size;
    constexpr int owned = tile / side;  // results per thread along m, and along n
    SHARED(a_tiles, typename OperandA::Shared[2][parts<T>]);
    SHARED(b_tiles, typename OperandB::Shared[2][parts<T>]);

    // A warp is 4 x 8 of the square of threads, for the fewest distinct lines.
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int thread_row = warp / 2 * 4 + lane / 8;
    const int thread_column = warp % 2 * 8 + lane % 8;

    const int64_t tile_rows = ceil_div(shape.m, tile);
    const int64_t tile_columns = ceil_div(shape.n, tile);
    const int64_t tiles = splits * shape.batch * tile_rows * tile_columns;
    int buffer = 0;
    for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
        const int64_t matrix = index / (tile_rows * tile_columns);  // of results
        const int64_t item = matrix % shape.batch;
        const int64_t first_k = matrix / shape.batch * steps * step_depth<T, tile>;
        const int64_t first_row = index / tile_columns % tile_rows * tile;
        const int64_t first_column = index % tile_columns * tile;

        OperandA next_a(a + item * shape.a_batch_stride, shape.lda, first_row, shape.m, first_k);
        OperandB next_b(b + item * shape.b_batch_stride, shape.ldb, first_column, shape.n, first_k);
        A sums[owned][owned] = {};
        int64_t k_left = min(shape.k - first_k, steps * step_depth<T, tile>);  // of what was not fetched
        const bool in_packs = next_a.in_packs() && next_b.in_packs();
        const auto fetch = [&] {
            if (in_packs && k_left >= depth<T, tile>) {
                next_a.fetch_whole();
                next_b.fetch_whole();
            } else {  // at the matrix's end
                next_a.fetch(k_left);
                next_b.fetch(k_left);
            }
            k_left -= depth<T, tile>;
        };
        const auto store = [&](int to, int part) {
            next_a.store(a_tiles[to][part]);
            next_b.store(b_tiles[to][part]);
        };
#pragma unroll
        for (int part = 0; part < parts<T>; ++part) {
            fetch();
            store(buffer, part);
        }
        while (k_left > -step_depth<T, tile>) {
            __syncthreads();
#pragma unroll
            for (int part = 0; part < parts<T>; ++part) {
                fetch();
#pragma unroll
                for (int at_k = 0; at_k < depth<T, tile>; ++at_k) {
                    Pack<A> a_part[owned / width], b_part[owned / width];
#pragma unroll
                    for (int group = 0; group < owned / width; ++group) {
                        a_part[group] = a_tiles[buffer][part][at_k][group * side + thread_row];
                        b_part[group] = b_tiles[buffer][part][at_k][group * side + thread_column];
                    }
#pragma unroll
                    for (int i = 0; i < owned; ++i) {
#pragma unroll
                        for (int j = 0; j < owned; ++j) {
                            sums[i][j] += a_part[i / width][i % width] * b_part[j / width][j % width];
                        }
                    }
                }
                store(buffer ^ 1, part);
            }
            buffer ^= 1;
        }

#pragma unroll
        for (int j = 0; j < owned; j += width) {
            const auto column =
                results.column(first_column + (j / width * side + thread_column) * width);
#pragma unroll
            for (int i = 0; i < owned; ++i) {
                const int64_t row = first_row + (i / width * side + thread_row) * width + i % width;
                if (row >= shape.m) continue;
                A neighbours[width];
#pragma unroll
                for (int v = 0; v < width; ++v) neighbours[v] = sums[i][j + v];
                results.store(neighbours, matrix * shape.m + row, column);
            }
        }
    }
}

template <int tile>
int64_t tiles_of(int64_t batch, int64_t m, int64_t n) {
    return batch * ceil_div(m, tile) * ceil_div(n, tile);
}

template <class T, int tile, class Results>
void multiply_tiled(const Results& results, const T* a, const T* b, const Shape& shape,
                    const TilePlan& plan, bool transpose_a, bool transpose_b, cudaStream_t stream) {
    // A stored row of a runs along k, one of b along n; transposed, the other way round.
    const auto a_along_k = transpose_b ? matmul_kernel<T, Results, tile, true, true>
                                       : matmul_kernel<T, Results, tile, true, false>;
    const auto a_across_k = transpose_b ? matmul_kernel<T, Results, tile, false, true>
                                        : matmul_kernel<T, Results, tile, false, false>;
    LAUNCH_AS("matmul_kernel", transpose_a ? a_across_k : a_along_k, blocks_for(plan.blocks, 1),
              threads, 0, stream, results, a, b, shape, plan.steps, plan.splits);
}

template <class Results, class T, class... Rest>
void multiply(const Results& results, const T* a, const T* b, const Shape& shape, const TilePlan& plan,
              Rest... rest) {
    if constexpr (std::is_same<T, float>::value) {
        if (plan.tile > 0) return multiply_tiled<T, 128>(results, a, b, shape, plan, rest...);
    }
    multiply_tiled<T, 64>(results, a, b, shape, plan, rest...);
}

// Blocks that keep a large GPU busy, by twos, so that one multiplies while the other waits. Large tiles,
// which float alone has, want no more than three quarters of them.
template <class T>
TilePlan plan_for(int64_t batch, int64_t m, int64_t n, int64_t k) {
    constexpr int64_t blocks = 2 * enough_blocks;
    if constexpr (std::is_same<T, float>::value) {
        const int64_t tiles = tiles_of<128>(batch, m, n), steps = ceil_div(k, step_depth<T, 128>);
        const TilePlan plan = share_tiles(1, tiles, steps, blocks);
        if (m > 64 && n > 64 && plan.blocks >= blocks * 3 / 4) return plan;
    }
    return share_tiles(0, tiles_of<64>(batch, m, n), ceil_div(k, step_depth<T, 64>), blocks);
}

// Elements of scratch memory that `matmul` needs.
template <class T>
int64_t sums_of_splits(int64_t batch, int64_t m, int64_t n, int64_t k) {
    const TilePlan plan = plan_for<T>(batch, m, n, k);
    return plan.splits > 1 ? plan.splits * batch * m * n : 0;
}

}  // namespace

// How many elements of scratch memory, of the type of the sums, `matmul` needs; 0 for most.
int64_t matmul_workspace(int64_t batch, int64_t m, int64_t n, int64_t k, int64_t element_bytes) {
    switch (element_bytes) {
        case 8:
            return sums_of_splits<double>(batch, m, n, k);
        case 4:
            return sums_of_splits<float>(batch, m, n, k);
        default:
            return sums_of_splits<half>(batch, m, n, k);
    }
}
FUNCTION(matmul_workspace);

// c[batch, m, n] = op(a) op(b) + bias[n]; lda and ldb are the row strides of a and b as stored.
// A batch stride of 0 broadcasts. bias or null.
template <class T>
void matmul(T* c, const T* a, const T* b, const T* bias, acc_t<T>* workspace, int64_t batch, int64_t m,
            int64_t n, int64_t k, int64_t a_batch_stride, int64_t b_batch_stride, int64_t lda,
            int64_t ldb, bool transpose_a, bool transpose_b, cudaStream_t stream) {
    if (batch == 0 || m == 0 || n == 0) return;
    using A = acc_t<T>;
    const Shape shape{batch, m, n, k, a_batch_stride, b_batch_stride, lda, ldb};
    const TilePlan plan = plan_for<T>(batch, m, n, k);
    const Results<T> results{c, bias, n};
    if (plan.splits > 1) {
        multiply(Results<A>{workspace, nullptr, n}, a, b, shape, plan, transpose_a, transpose_b, stream);
        add_splits<Results<T>, A, Pack<A>::size>(results, workspace, plan.splits, batch * m, n, stream);
    } else {
        multiply(results, a, b, shape, plan, transpose_a, transpose_b, stream);
    }
}
LAUNCHER(matmul);
