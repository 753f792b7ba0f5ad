// Matrix product by wgmma, batched: c[i] = f(op(a[i]) op(b[i]) + bias), or c[i] += op(a[i]) op(b[i]) in fp32,
// as matmul_tensor.cu's, for half and bfloat16, on GPUs of compute capability 9.0.
//
// Pointers, strides and distances between rows are multiples of 16 bytes; m, n and k are what they are, but
// k is not 0.
//
//   - two warpgroups multiply, each 64 rows of a block's tile, by wgmma, which reads both factors from shared
//     memory: registers hold nothing but sums, of which a tile of 128 x 256 has 128 in each thread;
//   - one thread of a third warpgroup loads. It begins copies of whole boxes of a and b (TMA), which place
//     them in shared memory as wgmma reads them, swizzled, and put zeros where a matrix ends; it gives
//     registers to the others (setmaxnreg);
//   - shared memory is a ring of stages, each with two mbarriers: at one, those who multiply wait until all
//     bytes have come; at the other, who loads waits until every warp has multiplied the stage. Nobody waits
//     for anybody else: there is no barrier of the block in the loop;
//   - while one stage is multiplied, the one before is handed back: one group of wgmma is always under way;
//   - four blocks are a cluster, whose large tiles lie 2 x 2: each loads a half of its rows of a and of its
//     columns of b for both blocks that need them (multicast), when the stage is free in both. So a tile
//     asks L2 for half of what it multiplies. (Predicted by benchmarks/predict.py of 8,192 rows and columns:
//     single blocks 454 TFLOP/s, clusters of two 679, both at L2's pace, of four 806.) Where too many tiles
//     of clusters would lie outside of c, single blocks have tiles of 128 x 128;
//   - there are as many blocks as run at a time, each of which computes one tile after another: the
//     loader is at the next one while sums are being stored. Tiles are taken in groups of `raster` rows, for L2;
//   - results pass through shared memory, 32 columns of a warp at a time, so that whole packs are stored.
#include "matmul_hopper.cuh"

namespace {

// A matrix as a map of four dimensions, and its box; lines: rows of a, columns of b.
template <class T>
TensorMap map_of(const T* matrix, const hopper::Factors& shape, int64_t lines, int64_t row_stride, int64_t outer_stride,
                 int64_t inner_stride, bool along_k, int tile_lines) {
    const int64_t columns = along_k ? shape.k : lines, rows = along_k ? lines : shape.k;
    constexpr int64_t pack = Pack<T>::size;
    // A dimension of one has any stride.
    const auto stride = [](int64_t elements) { return elements == 0 ? pack : elements; };
    const int64_t sizes[4] = {columns, rows, inner_stride == 0 ? 1 : shape.inner,
                              outer_stride == 0 ? 1 : shape.outer};
    const int64_t strides[4] = {1, stride(row_stride), stride(inner_stride), stride(outer_stride)};
    const int box[4] = {hopper::depth, along_k ? tile_lines : hopper::depth, 1, 1};
    return tensor_map(matrix, sizes, strides, box, Swizzle::within_128);
}

template <class T, class Plan, class Destination>
void launch_hopper(const Destination& destination, const T* a, const T* b, const hopper::Factors& shape, bool transpose_a,
                   bool transpose_b, cudaStream_t stream) {
    const int64_t tiles = shape.outer * shape.inner * ceil_div(shape.m, Plan::down * Plan::rows) *
                          ceil_div(shape.n, Plan::across * Plan::columns);  // of clusters
    const TensorMap left = map_of(a, shape, shape.m, shape.lda, shape.a_outer, shape.a_inner, !transpose_a,
                                  Plan::rows / Plan::across);
    const TensorMap right = map_of(b, shape, shape.n, shape.ldb, shape.b_outer, shape.b_inner, transpose_b,
                                   Plan::columns / Plan::down);
    using namespace hopper;
    const auto kernel = [&] {
        if constexpr (adds_columns<Destination>) {
            return matmul_hopper_kernel<T, Destination, Plan, true, false>;
        } else {
            const auto a_along_k = transpose_b ? matmul_hopper_kernel<T, Destination, Plan, true, true>
                                               : matmul_hopper_kernel<T, Destination, Plan, true, false>;
            const auto a_across_k = transpose_b ? matmul_hopper_kernel<T, Destination, Plan, false, true>
                                                : matmul_hopper_kernel<T, Destination, Plan, false, false>;
            return transpose_a ? a_across_k : a_along_k;
        }
    }();
    // (All of a plan's kernels take a multiprocessor for a block.)
    const int64_t fit = Plan::cluster == 1 ? multiprocessors() : once_of_each_device([=] {
        return clusters_at_a_time(kernel, Plan::cluster, Plan::threads, Plan::shared);
    });
    const int64_t clusters = tiles < fit ? tiles : fit;
    LAUNCH_AS("matmul_hopper_kernel", kernel, Grid(Extent(clusters * Plan::cluster), Plan::cluster), Plan::threads,
              Plan::shared, stream, destination, left, right, shape);
}

}  // namespace

// Whether the kernels below run on the current device: its compute capability is 9.0, and they were
// compiled for it (sm_90a). On the emulated one, if TAPEGRAD_EMULATOR_TENSOR_CORES is hopper.
int64_t matmul_hopper_runs() {
#ifdef __CUDACC__
    using Kernel = void (*)(Epilogue<half>, TensorMap, TensorMap, hopper::Factors);
    const Kernel kernel = hopper::matmul_hopper_kernel<half, Epilogue<half>, hopper::LargePlan, true, true>;
    return once_of_each_device([kernel]() -> int64_t {
        int device = 0, major = 0, minor = 0;
        cudaFuncAttributes attributes{};
        const bool is_known =
            cudaGetDevice(&device) == cudaSuccess &&
            cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
            cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess &&
            cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)) == cudaSuccess;
        cudaGetLastError();
        // A body that was left out has no mbarriers.
        return is_known && major == 9 && minor == 0 && attributes.sharedSizeBytes > 0;
    });
#else
    return emulate::hopper_was_chosen();
#endif
}
FUNCTION(matmul_hopper_runs);

// Whether there are enough tiles for these kernels to be the fastest: where they are few, those of
// matmul_tensor.cu are smaller, and may share one.
int64_t matmul_hopper_suits(int64_t batch, int64_t m, int64_t n, int64_t k) {
    constexpr int64_t enough = grid_limit < 64 ? 4 : 64;
    using Plan = hopper::SmallPlan;
    const bool is_large = m > 64 && n > 64 && k > hopper::depth;
    return is_large && batch * ceil_div(m, Plan::rows) * ceil_div(n, Plan::columns) >= enough;
}
FUNCTION(matmul_hopper_suits);

namespace {

template <class T, class Destination>
void multiply_by_wgmma(const Destination& destination, const T* a, const T* b, const hopper::Factors& shape,
                       bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const int64_t batch = shape.outer * shape.inner;
    if (batch == 0 || shape.m == 0 || shape.n == 0) return;
#ifdef __CUDACC__
    if (!matmul_hopper_runs()) {
        throw KernelError("matmul_hopper: it needs a GPU of compute capability 9.0 and a build for it "
                          "(TAPEGRAD_CUDA_ARCHS=90a)");
    }
#endif
    using namespace hopper;
    // Not where many tiles of a cluster would lie outside of c.
    const int64_t down = ceil_div(shape.m, LargePlan::rows), across = ceil_div(shape.n, LargePlan::columns);
    const int64_t tiles = batch * down * across;
    const int64_t taken = batch * ceil_div(down, LargePlan::down) * ceil_div(across, LargePlan::across) *
                          LargePlan::cluster;
    if (tiles >= multiprocessors() && 2 * taken <= 3 * tiles) {
        launch_hopper<T, LargePlan>(destination, a, b, shape, transpose_a, transpose_b, stream);
    } else {
        launch_hopper<T, SmallPlan>(destination, a, b, shape, transpose_a, transpose_b, stream);
    }
}

}  // namespace

// As matmul_tensor; of the same bits, where that does not split k.
template <class T>
void matmul_hopper(T* c, T* kept, const T* a, const T* b, const T* bias, const T* beside, int64_t outer,
                   int64_t inner, int64_t m, int64_t n, int64_t k, int64_t a_outer, int64_t a_inner,
                   int64_t b_outer, int64_t b_inner, int64_t lda, int64_t ldb, bool transpose_a,
                   bool transpose_b, int64_t finish, cudaStream_t stream) {
    const hopper::Factors shape{outer, inner, m, n, k, a_outer, a_inner, b_outer, b_inner, lda, ldb};
    const Epilogue<T> epilogue{c, kept, bias, beside, n, Finish(finish)};
    multiply_by_wgmma(epilogue, a, b, shape, transpose_a, transpose_b, stream);
}
LAUNCHER_16_BITS(matmul_hopper);

// As matmul_tensor_column_lines and matmul_tensor_columns.
int64_t matmul_hopper_column_lines(int64_t m, int64_t, int64_t, int64_t) { return ceil_div(m, Strip<8>::rows); }
FUNCTION(matmul_hopper_column_lines);

template <class T>
void matmul_hopper_columns(T* c, float* lines, const T* a, const T* b, const T* beside, int64_t m, int64_t n,
                           int64_t k, int64_t lda, int64_t ldb, int64_t finish, cudaStream_t stream) {
    const hopper::Factors shape{1, 1, m, n, k, 0, 0, 0, 0, lda, ldb};
    const EpilogueAndColumns<T> destination{c, lines, beside, n, Finish(finish)};
    multiply_by_wgmma(destination, a, b, shape, false, false, stream);
}
LAUNCHER_16_BITS(matmul_hopper_columns);

// As matmul_tensor_wide.
template <class T>
void matmul_hopper_wide(float* c, const T* a, const T* b, int64_t outer, int64_t inner, int64_t m, int64_t n,
                        int64_t k, int64_t a_outer, int64_t a_inner, int64_t b_outer, int64_t b_inner,
                        int64_t lda, int64_t ldb, bool transpose_a, bool transpose_b, cudaStream_t stream) {
    const hopper::Factors shape{outer, inner, m, n, k, a_outer, a_inner, b_outer, b_inner, lda, ldb};
    multiply_by_wgmma(FloatSums{c, n}, a, b, shape, transpose_a, transpose_b, stream);
}
LAUNCHER_16_BITS(matmul_hopper_wide);
