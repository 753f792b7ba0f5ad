// Sums over any dimensions of an array, wherever it lies: y[kept] = sum over the others of x / divisor.
//
// What is kept, and what is added up, are at most two dimensions each, which is what is left of more where some
// follow each other in memory. Threads lie as memory does: where what is kept has its elements beside each other, 8
// threads have one sum, and neighbours neighbouring sums; else a warp has a sum of few numbers, and a block one of
// many. Few long sums are cut into chunks, which a second launch adds up. Each order is fixed: the same bits in every
// run. float16 is added up in float32, the others in float64: so a mean of numbers near the end of their range is
// found, too. (Of float64, a mean is not asked of this kernel.)
#include <algorithm>

#include "reduce.cuh"

namespace {

constexpr int threads = 256;
constexpr int held = 8;  // numbers that a thread asks for before it adds the first of them
constexpr int beside = 8;  // threads of a sum, where neighbours have neighbouring sums

template <class T>
using total_t = typename std::conditional<std::is_same<T, half>::value, float, double>::type;

// Sizes, and steps along them in elements.
struct Sums {
    int64_t kept[2], kept_steps[2], added[2], added_steps[2];
    __host__ __device__ int64_t sums() const { return kept[0] * kept[1]; }
    __host__ __device__ int64_t numbers() const { return added[0] * added[1]; }
    // Threads that have a sum together.
    int along() const {
        if (kept_steps[1] == 1 && added_steps[1] != 1 && kept[1] >= 32) return beside;
        return numbers() <= 1024 ? 32 : threads;
    }
    int64_t chunks() const {
        constexpr int64_t blocks = 512;  // keep a large GPU busy
        const int64_t wanted = ceil_div(blocks, std::max(ceil_div(sums() * along(), threads), int64_t(1)));
        return std::max(std::min(wanted, ceil_div(numbers(), int64_t(along()) * 64)), int64_t(1));
    }
};

// The sum over the threads that have one together, for the first of them. All threads of a block call it.
template <int along, class A>
__device__ A added_up(A value) {
    if constexpr (along == beside) {
        constexpr int across = threads / along;
        SHARED(parts, A[along][across]);
        __syncthreads();  // an earlier sum may still be being read
        parts[threadIdx.x / across][threadIdx.x % across] = value;
        __syncthreads();
        A total = 0;
#pragma unroll
        for (int i = 0; i < along; ++i) total += parts[i][threadIdx.x % across];
        return total;
    } else {
        return block_reduce<along>(value, ::Sum());
    }
}

// To y, or, where there are several chunks, to parts: [chunks, sums].
template <class T, int along>
__global__ void __launch_bounds__(threads)
    sum_kernel(T* y, total_t<T>* parts, const T* x, Sums of, int64_t chunks, total_t<T> divisor) {
    using A = total_t<T>;
    constexpr int sums = threads / along;  // of a block
    const int own = along == beside ? threadIdx.x % sums : threadIdx.x / along;
    const int lane = along == beside ? threadIdx.x / sums : threadIdx.x % along;
    const int64_t groups = ceil_div(of.sums(), sums), length = ceil_div(of.numbers(), chunks);
    const int64_t row = max(of.added[1], int64_t(1));
    const int64_t step_outer = along / row, step_inner = along % row;
    for (int64_t item = blockIdx.x; item < groups * chunks; item += gridDim.x) {
        const int64_t chunk = item / groups, sum_of = item % groups * sums + own;
        A sum = 0;
        if (sum_of < of.sums()) {
            const T* from = x + sum_of / of.kept[1] * of.kept_steps[0] + sum_of % of.kept[1] * of.kept_steps[1];
            const int64_t end = min((chunk + 1) * length, of.numbers());
            int64_t outer = (chunk * length + lane) / row, inner = (chunk * length + lane) % row;
            for (int64_t at = chunk * length + lane; at < end; at += held * along) {
                T some[held];
#pragma unroll
                for (int i = 0; i < held; ++i) {
                    if (at + i * along < end) some[i] = from[outer * of.added_steps[0] + inner * of.added_steps[1]];
                    outer += step_outer, inner += step_inner;
                    if (inner >= row) inner -= row, ++outer;
                }
#pragma unroll
                for (int i = 0; i < held; ++i) {
                    if (at + i * along < end) sum += A(to_acc(some[i]));
                }
            }
        }
        sum = added_up<along>(sum);
        if (lane == 0 && sum_of < of.sums()) {
            if (parts) {
                parts[chunk * of.sums() + sum_of] = sum;
            } else {
                y[sum_of] = from_acc<T>(acc_t<T>(sum / divisor));
            }
        }
    }
}

// A block has a sum.
template <class T>
__global__ void __launch_bounds__(threads)
    add_chunks_kernel(T* y, const total_t<T>* parts, int64_t sums, int64_t chunks, total_t<T> divisor) {
    for (int64_t index = blockIdx.x; index < sums; index += gridDim.x) {
        total_t<T> sum = 0;
        for (int64_t chunk = threadIdx.x; chunk < chunks; chunk += threads) sum += parts[chunk * sums + index];
        sum = block_sum<threads>(sum);
        if (threadIdx.x == 0) y[index] = from_acc<T>(acc_t<T>(sum / divisor));
    }
}

}  // namespace

// How many chunks the launcher needs scratch memory for: one needs none.
int64_t sum_chunks(int64_t kept0, int64_t kept1, int64_t kept_step0, int64_t kept_step1, int64_t added0,
                   int64_t added1, int64_t added_step0, int64_t added_step1) {
    return Sums{{kept0, kept1}, {kept_step0, kept_step1}, {added0, added1}, {added_step0, added_step1}}.chunks();
}
FUNCTION(sum_chunks);

// parts: [chunks, sums], float32 for 16 bits, else float64; null for a single chunk.
template <class T>
void sum(T* y, total_t<T>* parts, const T* x, int64_t kept0, int64_t kept1, int64_t kept_step0, int64_t kept_step1,
         int64_t added0, int64_t added1, int64_t added_step0, int64_t added_step1, double divisor,
         cudaStream_t stream) {
    using A = total_t<T>;
    const Sums of{{kept0, kept1}, {kept_step0, kept_step1}, {added0, added1}, {added_step0, added_step1}};
    if (of.sums() == 0) return;
    const int64_t chunks = of.chunks();
    const auto launch = [&](auto kernel, int along) {
        LAUNCH_AS("sum_kernel", kernel, blocks_for(ceil_div(of.sums(), threads / along) * chunks, 1), threads, 0,
                  stream, y, parts, x, of, chunks, A(divisor));
    };
    switch (of.along()) {
        case beside: launch(sum_kernel<T, beside>, beside); break;
        case 32: launch(sum_kernel<T, 32>, 32); break;
        default: launch(sum_kernel<T, threads>, threads);
    }
    if (chunks > 1) {
        LAUNCH(add_chunks_kernel<T>, blocks_for(of.sums(), 1), threads, 0, stream, y, parts, of.sums(), chunks,
               A(divisor));
    }
}
LAUNCHER(sum);
