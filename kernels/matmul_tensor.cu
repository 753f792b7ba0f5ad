// Matrix product by tensor cores, batched:  c[i] = f(op(a[i]) op(b[i]) + bias),  as matmul.cu's, for half
// and bfloat16, and for float as the sum of two tfloat32; f is one of epilogue.cuh's. Or  c[i] = op(a[i]) op(b[i])
// with c in fp32, for gradients that are wider than what they are of.
//
// c is [outer, inner, m, n] and contiguous. A batch has two strides, so that heads of an attention,
// which lie beside each other in every row, are multiplied where they are. Pointers, strides and
// distances between rows are multiples of 16 bytes (others are copied first); m, n
// and k are what they are.
//
//   - a block owns a tile of c, of which each warp has a rectangle, in registers, and adds to it by
//     mma.sync, 16 along k at a time, what ldmatrix loads from shared memory (tile.cuh);
//   - shared memory holds three or four stages of the tile's lines of a and b. While one is multiplied, the
//     next ones are on their way, by copies that need no registers and that nobody waits for until they are due;
//   - one barrier a step: behind it all have multiplied the stage before, which is filled again, and
//     every thread's copies of this one have arrived;
//   - tiles are taken in groups of `raster` rows: blocks that run at the same time share rows of a and
//     columns of b in L2;
//   - a warp's results pass through shared memory 16 rows at a time, so that whole packs are stored.
// Large problems use large tiles, for which L2 is read least often: of 16 bits 192 x 256, by 8 warps of which each has
// 96 x 64 in 192 registers, so that b's fragments are loaded when they are due; or 128 x 256, where those would be
// half empty or take a turn more. 64 x 64 serve those that would leave multiprocessors idle. Where even these
// are few, several blocks share a tile: each takes a stretch of k and writes its sums to memory, and a
// second kernel adds them, in order, so that the result is the same in every run.
#include "matmul_tensor.cuh"

namespace {

// A stored row of a runs along k, one of b along n; transposed, the other way round.
template <class T, class Destination>
void multiply_stored(const Destination& destination, const T* a, const T* b, float* workspace,
                     const Shape& shape, int64_t a_outer, int64_t a_inner, int64_t b_outer, int64_t b_inner,
                     int64_t lda, int64_t ldb, bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const auto by = [&](const auto& left) {
        if (transpose_b) {
            const Matrices<T, true> right{b, b_outer, b_inner, ldb};
            multiply<T, Larger<T>, Large<T>>(destination, left, right, workspace, shape, stream);
        } else {
            const Matrices<T, false> right{b, b_outer, b_inner, ldb};
            multiply<T, Larger<T>, Large<T>>(destination, left, right, workspace, shape, stream);
        }
    };
    if (transpose_a) {
        by(Matrices<T, false>{a, a_outer, a_inner, lda});
    } else {
        by(Matrices<T, true>{a, a_outer, a_inner, lda});
    }
}

}  // namespace

// How many floats of scratch memory the launchers below need for a batch of products; 0 for most.
// element_bytes: 2, or 4 for float32.
int64_t matmul_tensor_workspace(int64_t batch, int64_t m, int64_t n, int64_t k, int64_t element_bytes) {
    return element_bytes == 4 ? sums_of_splits<float, Large<float>>(batch, m, n, k)
                              : sums_of_splits<half, Larger<half>, Large<half>>(batch, m, n, k);
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
    const Epilogue<T> epilogue{c, kept, bias, beside, n, Finish(finish)};
    multiply_stored(epilogue, a, b, workspace, {outer, inner, m, n, k}, a_outer, a_inner, b_outer, b_inner,
                    lda, ldb, transpose_a, transpose_b, stream);
}
LAUNCHER_UP_TO_FLOAT32(matmul_tensor);

// How many lines of sums the launcher below writes. 0: it does not run, for there are no rows, or blocks share tiles,
// whose sums another kernel stores.
int64_t matmul_tensor_column_lines(int64_t m, int64_t n, int64_t k, int64_t element_bytes) {
    const TilePlan plan = element_bytes == 4 ? plan_for<float, Large<float>>(1, m, n, k)
                                             : plan_for<half, Larger<half>, Large<half>>(1, m, n, k);
    return plan.splits > 1 ? 0 : ceil_div(m, Strip<8>::rows);
}
FUNCTION(matmul_tensor_column_lines);

// c[m, n] = finish(a b), whose rows are lda and ldb apart; and lines[i, n] = the sums of the columns of c, before it
// is rounded, of the i-th 16 rows.
template <class T>
void matmul_tensor_columns(T* c, float* lines, const T* a, const T* b, const T* beside, int64_t m, int64_t n,
                           int64_t k, int64_t lda, int64_t ldb, int64_t finish, cudaStream_t stream) {
    const EpilogueAndColumns<T> destination{c, lines, beside, n, Finish(finish)};
    const TilePlan plan = plan_for<T, Larger<T>, Large<T>>(1, m, n, k);
    if (plan.splits > 1) throw KernelError("matmul_tensor_columns: blocks share the tiles of a product of this size");
    if (m == 0 || n == 0) return;
    with_block<Larger<T>, Large<T>>(plan, [&](auto block) {
        launch_product<T, decltype(block)>(destination, Matrices<T, true>{a, 0, 0, lda},
                                           Matrices<T, false>{b, 0, 0, ldb}, {1, 1, m, n, k}, plan, stream);
    });
}
LAUNCHER_UP_TO_FLOAT32(matmul_tensor_columns);

// c[outer, inner, m, n] = op(a) op(b), which is not rounded to 16 bits.
template <class T>
void matmul_tensor_wide(float* c, const T* a, const T* b, float* workspace, int64_t outer, int64_t inner,
                        int64_t m, int64_t n, int64_t k, int64_t a_outer, int64_t a_inner, int64_t b_outer,
                        int64_t b_inner, int64_t lda, int64_t ldb, bool transpose_a, bool transpose_b,
                        cudaStream_t stream) {
    multiply_stored(FloatSums{c, n}, a, b, workspace, {outer, inner, m, n, k}, a_outer, a_inner, b_outer,
                    b_inner, lda, ldb, transpose_a, transpose_b, stream);
}
LAUNCHER_16_BITS(matmul_tensor_wide);
