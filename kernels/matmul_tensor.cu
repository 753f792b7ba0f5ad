// Matrix product by tensor cores, batched:  c[i] = f(op(a[i]) op(b[i]) + bias),  as matmul.cu's, for half
// and bfloat16, and for float as the sum of two tfloat32; f is one of epilogue.cuh's. Or  c[i] += op(a[i]) op(b[i])
// with c in fp32, for gradients that are added up over several steps.
//
// c is [outer, inner, m, n] and contiguous. A batch has two strides, so that heads of an attention,
// which lie beside each other in every row, are multiplied where they are. Pointers, strides and
// distances between rows are multiples of 16 bytes (others are copied first); m, n
// and k are what they are.
//
//   - a block owns a tile of c, of which each warp has a square, in registers, and adds to it by
//     mma.sync, 16 along k at a time, what ldmatrix loads from shared memory (tile.cuh);
//   - shared memory holds `stages` tiles of a and b. While one is multiplied, the next ones are on
//     their way, by copies that need no registers and that nobody waits for until they are due;
//   - one barrier a step: behind it all have multiplied the stage before, which is filled again, and
//     every thread's copies of this one have arrived;
//   - tiles are taken in groups of `raster` rows: blocks that run at the same time share rows of a and
//     columns of b in L2;
//   - a warp's results pass through shared memory 16 rows at a time, so that whole packs are stored.
// Large problems use tiles of 128 x 256, for which L2 is read least often; 64 x 64 serve those that would
// leave multiprocessors idle. Where even these are few, several blocks share a tile: each takes a stretch
// of k and writes its sums to memory, and a second kernel adds them, in order, so that the result is the
// same in every run.
#include "matmul_tensor.cuh"

namespace {

struct Plan {
    bool is_large;
    int64_t steps;   // along k, of a block
    int64_t splits;  // blocks that share a tile
};

// Depends on sizes alone, and so do the results.
template <class T>
Plan plan_for(int64_t batch, int64_t m, int64_t n, int64_t k) {
    // Enough blocks to keep a large GPU busy; fewer where the grid is small, for tests.
    constexpr int64_t enough = grid_limit < 128 ? grid_limit : 128;
    constexpr int64_t least_steps = 8, most_splits = 16;  // so that sums in memory are few
    const int64_t steps = ceil_div(k, depth<T>);
    const int64_t large_tiles = batch * ceil_div(m, Large<T>::rows) * ceil_div(n, Large<T>::columns);
    if (m > Small::rows && n > Large<T>::columns / 2 && large_tiles >= enough) {
        return {true, steps, 1};
    }
    const int64_t tiles = batch * ceil_div(m, Small::rows) * ceil_div(n, Small::columns);
    const int64_t wanted = tiles > 0 ? enough / tiles : 1;
    const int64_t possible = wanted < most_splits ? wanted : most_splits;
    if (possible <= 1 || steps <= least_steps) {
        return {false, steps, 1};
    }
    const int64_t even = ceil_div(steps, possible), own = even > least_steps ? even : least_steps;
    return {false, own, ceil_div(steps, own)};
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

template <class T, class Block, class Destination>
void launch_product(const Destination& destination, const T* a, const T* b, const Shape& shape,
                    const Plan& plan, bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const int64_t items = plan.splits * shape.outer * shape.inner;
    const int64_t tiles = items * ceil_div(shape.m, Block::rows) * ceil_div(shape.n, Block::columns);
    constexpr size_t shared = sizeof(T) * stages * depth<T> * (Block::rows + Block::columns);
    static_assert(shared >= sizeof(Strip<Block::side>) * Block::threads / 32, "strips fit into the stages");
    // A stored row of a runs along k, one of b along n; transposed, the other way round.
    const auto a_along_k = transpose_b ? matmul_tensor_kernel<T, Destination, Block, true, true>
                                       : matmul_tensor_kernel<T, Destination, Block, true, false>;
    const auto a_across_k = transpose_b ? matmul_tensor_kernel<T, Destination, Block, false, true>
                                        : matmul_tensor_kernel<T, Destination, Block, false, false>;
    LAUNCH_AS("matmul_tensor_kernel", transpose_a ? a_across_k : a_along_k, blocks_for(tiles, 1),
              Block::threads, shared, stream, destination, a, b, shape, plan.steps, plan.splits);
}

template <class T, class Destination>
void multiply(const Destination& destination, const T* a, const T* b, float* workspace, const Shape& shape,
              bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const int64_t batch = shape.outer * shape.inner;
    if (batch == 0 || shape.m == 0 || shape.n == 0) return;
    const Plan plan = plan_for<T>(batch, shape.m, shape.n, shape.k);
    if (plan.splits > 1) {
        const FloatSums sums{workspace, shape.n, false};
        launch_product<T, Small>(sums, a, b, shape, plan, transpose_a, transpose_b, stream);
        const int64_t rows = batch * shape.m;
        LAUNCH(add_splits_kernel<Destination>, blocks_for(rows * ceil_div(shape.n, 8), 256), 256, 0, stream,
               destination, workspace, plan.splits, rows, shape.n);
    } else if (plan.is_large) {
        launch_product<T, Large<T>>(destination, a, b, shape, plan, transpose_a, transpose_b, stream);
    } else {
        launch_product<T, Small>(destination, a, b, shape, plan, transpose_a, transpose_b, stream);
    }
}

}  // namespace

// How many floats of scratch memory the launchers below need for a batch of products; 0 for most.
// element_bytes: 2, or 4 for float32.
int64_t matmul_tensor_workspace(int64_t batch, int64_t m, int64_t n, int64_t k, int64_t element_bytes) {
    const Plan plan = element_bytes == 4 ? plan_for<float>(batch, m, n, k) : plan_for<half>(batch, m, n, k);
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
LAUNCHER_UP_TO_FLOAT32(matmul_tensor);

// c[outer, inner, m, n] += op(a) op(b).
template <class T>
void matmul_tensor_accumulate(float* c, const T* a, const T* b, float* workspace, int64_t outer,
                              int64_t inner, int64_t m, int64_t n, int64_t k, int64_t a_outer,
                              int64_t a_inner, int64_t b_outer, int64_t b_inner, int64_t lda, int64_t ldb,
                              bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const Shape shape{outer, inner, m, n, k, a_outer, a_inner, b_outer, b_inner, lda, ldb};
    multiply<T>(FloatSums{c, n, true}, a, b, workspace, shape, transpose_a, transpose_b, stream);
}
LAUNCHER_UP_TO_FLOAT32(matmul_tensor_accumulate);
