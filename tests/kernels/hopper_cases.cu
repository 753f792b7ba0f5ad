// Small kernels, right and wrong, with mbarriers, boxes copied by TMA, wgmma and named barriers, that
// tests/test_hopper.py runs in both builds of the emulator. Each entry point returns null, or the kind
// and message of the error it ended in.
#include "../../kernels/hopper.cuh"

#include "cases.h"

EXPORT void set_tensor_cores(bool ampere) {
    emulate::set_tensor_cores(ampere ? emulate::ampere : emulate::hopper);
}

namespace {

#define RUN_WITH_SHARED(kernel, threads, shared, ...) \
    outcome([&] { LAUNCH(kernel, 1, threads, shared, nullptr, __VA_ARGS__); })

// The first multiple of 1024.
__device__ unsigned char* pattern_start(unsigned char* memory) {
    return memory + (1024 - shared_address(memory) % 1024) % 1024;
}

constexpr int room = 1024;  // that pattern_start may skip

// ---- mbarriers ----

// Threads pass `phases` phases of a barrier of `arrivals`: y counts those that all others had begun.
enum class Arrival { right, twice, missing, uninitialised, overwritten, late };

__global__ void phases_kernel(int* y, int arrivals, int phases, Arrival arrival) {
    SHARED(barrier, uint64_t);
    SHARED(begun, int[2][64]);  // in phases of either parity
    const int i = int(threadIdx.x), threads = int(blockDim.x);
    begun[0][i] = begun[1][i] = 0;
    if (i == 0 && arrival != Arrival::uninitialised) mbarrier_init(&barrier, arrivals);
    __syncthreads();
    int right = 0;
    for (int phase = 0; phase < phases; ++phase) {
        begun[phase % 2][i] = phase + 1;
        if (i == 1 && arrival == Arrival::missing) return;
        if (i == 1 && arrival == Arrival::overwritten) barrier = 0;
        if (i == 1 && arrival == Arrival::twice) mbarrier_arrive_expect_tx(&barrier, 8);
        mbarrier_arrive(&barrier);
        mbarrier_wait(&barrier, unsigned(phase + (arrival == Arrival::late)) % 2);  // phases_wait
        right += begun[phase % 2][(i + 1) % threads] > phase;
    }
    y[i] = right;
}

}  // namespace

CASE(phases, int* y, int threads, int arrivals, int phases, int arrival) {
    return RUN(phases_kernel, 1, threads, y, arrivals, phases, Arrival(arrival));
}
CASE(init, int arrivals) {
    return RUN(
        +[](int count) {
            SHARED(barrier, uint64_t);
            mbarrier_init(&barrier, count);
        },
        1, 1, arrivals);
}

namespace {

// ---- boxes ----

enum class Box { right, no_wait, no_fence, few_bytes, many_bytes, misaligned, nobody_waits, twice };

template <int rank>
__global__ void box_kernel(unsigned char* y, const __grid_constant__ TensorMap map, const int* at, int bytes,
                           Box mistake) {
    DYNAMIC_SHARED(memory, unsigned char);
    SHARED(barrier, uint64_t);
    unsigned char* box = pattern_start(memory) + (mistake == Box::misaligned ? 128 : 0);
    if (threadIdx.x == 0) {
        mbarrier_init(&barrier, 1);
        if (mistake != Box::no_fence) fence_mbarrier_init();
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        int corner[rank];
        for (int i = 0; i < rank; ++i) corner[i] = at[i];
        const int more = mistake == Box::few_bytes ? -16 : mistake == Box::many_bytes ? 16 : 0;
        mbarrier_arrive_expect_tx(&barrier, bytes + more);
        tma_load(box, map, &barrier, corner);                              // box
        if (mistake == Box::twice) tma_load(box, map, &barrier, corner);  // box_again
    }
    if (mistake == Box::nobody_waits) return;
    if (mistake != Box::no_wait) mbarrier_wait(&barrier, 0);  // box_wait
    for (int i = int(threadIdx.x); i < bytes; i += int(blockDim.x)) y[i] = box[i];  // box_read
    if (mistake == Box::no_wait) mbarrier_wait(&barrier, 0);
}

struct Tensor {
    int64_t sizes[4], strides[4];
    int box[4], at[4];
};

template <int rank>
TensorMap map_of(const half* array, const Tensor& tensor, int swizzle) {
    int64_t sizes[rank], strides[rank];
    int box[rank];
    for (int i = 0; i < rank; ++i) {
        sizes[i] = tensor.sizes[i];
        strides[i] = tensor.strides[i];
        box[i] = tensor.box[i];
    }
    return tensor_map(array, sizes, strides, box, Swizzle(swizzle));
}

template <int rank>
const char* load_of(unsigned char* y, const half* x, const Tensor& tensor, int swizzle, int bytes, int mistake) {
    return outcome([&] {
        LAUNCH(box_kernel<rank>, 1, 32, room + 2 * bytes, nullptr, y, map_of<rank>(x, tensor, swizzle), tensor.at,
               bytes, Box(mistake));
    });
}

}  // namespace

CASE(load_box, unsigned char* y, half* x, Tensor* tensor, int rank, int swizzle, int bytes, int mistake) {
    return rank == 2   ? load_of<2>(y, x, *tensor, swizzle, bytes, mistake)
           : rank == 3 ? load_of<3>(y, x, *tensor, swizzle, bytes, mistake)
                       : load_of<4>(y, x, *tensor, swizzle, bytes, mistake);
}

namespace {

enum class Store { right, no_fence, no_wait };

__global__ void store_kernel(const __grid_constant__ TensorMap map, const unsigned char* x, const int* at,
                             int bytes, Store mistake) {
    DYNAMIC_SHARED(memory, unsigned char);
    unsigned char* box = pattern_start(memory);
    for (int i = int(threadIdx.x); i < bytes; i += int(blockDim.x)) box[i] = x[i];
    if (mistake != Store::no_fence) fence_proxy_async();
    __syncthreads();
    if (threadIdx.x != 0) return;
    const int corner[3] = {at[0], at[1], at[2]};
    tma_store(map, corner, box);  // store
    tma_commit();
    if (mistake != Store::no_wait) tma_wait_read<0>();
}

}  // namespace

CASE(store_box, half* y, unsigned char* x, Tensor* tensor, int swizzle, int bytes, int mistake) {
    return outcome([&] {
        LAUNCH(store_kernel, 1, 32, room + bytes, nullptr, map_of<3>(y, *tensor, swizzle), x, tensor->at, bytes,
               Store(mistake));
    });
}

namespace {

// ---- a ring of boxes: one warp loads, another reads ----

enum class Ring { right, no_full, no_empty, late_full };

__global__ void ring_kernel(uint16_t* y, const __grid_constant__ TensorMap map, int steps, Ring mistake) {
    DYNAMIC_SHARED(memory, unsigned char);
    constexpr int stages = 2, bytes = 8 * 128;
    SHARED(full, uint64_t[stages]);
    SHARED(empty, uint64_t[stages]);
    unsigned char* ring = pattern_start(memory);
    if (threadIdx.x == 0) {
        for (int i = 0; i < stages; ++i) {
            mbarrier_init(full + i, 1);
            mbarrier_init(empty + i, 32);
        }
        fence_mbarrier_init();
    }
    __syncthreads();
    const bool loads = threadIdx.x < 32;
    if (loads && !elect_one()) return;
    for (int step = 0; step < steps; ++step) {
        const int stage = step % stages;
        const unsigned parity = step / stages % 2;
        if (loads) {
            if (mistake != Ring::no_empty) mbarrier_wait(empty + stage, parity ^ 1);
            mbarrier_arrive_expect_tx(full + stage, bytes);
            const int corner[2] = {0, 8 * step};
            tma_load(ring + stage * bytes, map, full + stage, corner);  // ring
        } else {
            uint16_t sum = 0;
            const auto read = [&] {
                for (int row = 0; row < 8; ++row) {
                    uint16_t element;
                    memcpy(&element, ring + stage * bytes + row * 128 + threadIdx.x % 32 * 2, 2);  // ring_read
                    sum = uint16_t(sum + element);
                }
            };
            if (mistake == Ring::late_full) read();
            if (mistake != Ring::no_full) mbarrier_wait(full + stage, parity);
            if (mistake != Ring::late_full) read();
            y[step * 32 + threadIdx.x % 32] = sum;
            mbarrier_arrive(empty + stage);
        }
    }
    // Nothing may be under way when a block ends.
    if (mistake == Ring::no_full && !loads) {
        mbarrier_wait(full + (steps - 1) % stages, (steps - 1) / stages % 2);
    }
}

}  // namespace

CASE(ring, uint16_t* y, half* x, int steps, int mistake) {
    return outcome([&] {
        const int64_t sizes[2] = {64, 8 * steps}, strides[2] = {1, 64};
        const int box[2] = {64, 8};
        LAUNCH(ring_kernel, 1, 64, room + 2 * 8 * 128, nullptr, y, tensor_map(x, sizes, strides, box, Swizzle::none),
               steps, Ring(mistake));
    });
}

namespace {

// ---- wgmma ----

struct Matrix {
    int offset, leading, stride, swizzle;  // offset: bytes, from a multiple of 1024
    bool across_k;
};

enum class Product {
    right, no_proxy_fence, no_fence, no_wait, matrix_changed, sum_changed, three_warps, other_matrix, exits, no_fence_again,
    not_committed
};

// d: of each thread, its sums. memory: what shared memory holds. The product is added `times` times.
template <class T, int columns, bool a_across_k, bool b_across_k>
__global__ void product_kernel(float* d, const unsigned char* bytes, int count, Matrix a, Matrix b, int times,
                               bool adds, Product mistake) {
    DYNAMIC_SHARED(memory, unsigned char);
    unsigned char* start = pattern_start(memory);
    const int i = int(threadIdx.x), warp = i / 32;
    for (int byte = i; byte < count; byte += int(blockDim.x)) start[byte] = bytes[byte];
    if (mistake != Product::no_proxy_fence) fence_proxy_async();
    __syncthreads();
    float sums[columns / 8][4];
    memcpy(sums, d + i * columns / 2, sizeof sums);
    const uint64_t left = matrix_descriptor(start + a.offset, a.leading, a.stride, Swizzle(a.swizzle));
    uint64_t right = matrix_descriptor(start + b.offset, b.leading, b.stride, Swizzle(b.swizzle));
    if (mistake == Product::other_matrix && warp == 2) right = advance(right, 32);
    if (mistake != Product::no_fence) wgmma_fence();
    if (mistake != Product::three_warps || warp != 3) {
        for (int time = 0; time < times; ++time) {
            wgmma<T, a_across_k, b_across_k>(sums, left, right, adds || time > 0);  // product
            if (mistake == Product::no_fence_again) {
                wgmma_commit();
                wgmma_wait<0>();
            }
        }
    }
    if (mistake == Product::exits) return;
    if (mistake == Product::matrix_changed && i % 32 == 0) start[b.offset + 5] = 7;
    if (mistake == Product::sum_changed && i == 77) sums[3][1] = 0;
    if (mistake != Product::not_committed) wgmma_commit();
    if (mistake != Product::no_wait) wgmma_wait<0>();  // product_wait
    memcpy(d + i * columns / 2, sums, sizeof sums);
    if (mistake == Product::no_wait || mistake == Product::not_committed) {
        wgmma_commit();
        wgmma_wait<0>();
    }
}

template <class T, int columns>
const char* product_of(float* d, const unsigned char* bytes, int count, const Matrix& a, const Matrix& b, int times,
                       bool adds, int mistake) {
    const auto run = [&](auto kernel) {
        return outcome([&] {
            LAUNCH_AS("product_kernel", kernel, 1, 128, room + count, nullptr, d, bytes, count, a, b, times, adds,
                      Product(mistake));
        });
    };
    return a.across_k ? b.across_k ? run(product_kernel<T, columns, true, true>)
                                   : run(product_kernel<T, columns, true, false>)
           : b.across_k ? run(product_kernel<T, columns, false, true>)
                        : run(product_kernel<T, columns, false, false>);
}

}  // namespace

CASE(product, bool is_half, int columns, float* d, unsigned char* bytes, int count, Matrix* a, Matrix* b, int times,
     bool adds, int mistake) {
    if (is_half) {
        return columns == 64 ? product_of<half, 64>(d, bytes, count, *a, *b, times, adds, mistake)
                             : product_of<half, 128>(d, bytes, count, *a, *b, times, adds, mistake);
    }
    return columns == 64 ? product_of<bfloat16, 64>(d, bytes, count, *a, *b, times, adds, mistake)
                         : product_of<bfloat16, 256>(d, bytes, count, *a, *b, times, adds, mistake);
}

namespace {

// d += a b, a in registers; b's 64 columns follow each other along k, in a swizzle of 32 bytes.
enum class Registers16 { right, other_b, three_warps };

template <class T>
__global__ void registers_product_kernel(float* d, const unsigned* a, const unsigned char* bytes, int count,
                                         Registers16 mistake) {
    DYNAMIC_SHARED(memory, unsigned char);
    unsigned char* start = pattern_start(memory);
    const int i = int(threadIdx.x), warp = i / 32;
    for (int byte = i; byte < count; byte += int(blockDim.x)) start[byte] = bytes[byte];
    fence_proxy_async();
    __syncthreads();
    float sums[8][4];
    unsigned left[4];
    memcpy(sums, d + i * 32, sizeof sums);
    memcpy(left, a + i * 4, sizeof left);
    uint64_t right = matrix_descriptor(start, 0, 256, Swizzle::within_32);
    if (mistake == Registers16::other_b && warp == 2) right = advance(right, 16);
    wgmma_fence();
    if (mistake != Registers16::three_warps || warp != 3) wgmma<T, false>(sums, left, right, true);
    wgmma_commit();
    wgmma_wait<0>();
    memcpy(d + i * 32, sums, sizeof sums);
}

}  // namespace

CASE(registers_product, bool is_half, float* d, unsigned* a, unsigned char* bytes, int count, int mistake) {
    return outcome([&] {
        LAUNCH_AS("registers_product_kernel",
                  (is_half ? registers_product_kernel<half> : registers_product_kernel<bfloat16>), 1, 128,
                  room + count, nullptr, d, a, bytes, count, Registers16(mistake));
    });
}

namespace {

// ---- a box that wgmma reads ----

enum class Reader { right, no_wait, other_swizzle };

__global__ void reader_kernel(float* d, const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                              Reader mistake) {
    DYNAMIC_SHARED(memory, unsigned char);
    SHARED(barrier, uint64_t);
    unsigned char *left = pattern_start(memory), *right = left + 64 * 128;
    if (threadIdx.x == 0) {
        mbarrier_init(&barrier, 1);
        fence_mbarrier_init();
        mbarrier_arrive_expect_tx(&barrier, 2 * 64 * 128);
        tma_load(left, a, &barrier, {0, 0});  // reader
        tma_load(right, b, &barrier, {0, 0});
    }
    __syncthreads();
    if (mistake != Reader::no_wait) mbarrier_wait(&barrier, 0);
    float sums[8][4];
    const Swizzle swizzle = mistake == Reader::other_swizzle ? Swizzle::within_64 : Swizzle::within_128;
    wgmma_fence();
    for (int k = 0; k < 4; ++k) {
        wgmma<half, false, false>(sums, matrix_descriptor(left + 32 * k, 0, 1024, swizzle),
                                  matrix_descriptor(right + 32 * k, 0, 1024, Swizzle::within_128), k > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    memcpy(d + threadIdx.x * 32, sums, sizeof sums);
    if (mistake == Reader::no_wait) mbarrier_wait(&barrier, 0);
}

}  // namespace

CASE(reader, float* d, half* a, half* b, int mistake) {
    return outcome([&] {
        const int64_t sizes[2] = {64, 64}, strides[2] = {1, 64};
        const int box[2] = {64, 64};
        LAUNCH(reader_kernel, 1, 128, room + 2 * 64 * 128, nullptr, d,
               tensor_map(a, sizes, strides, box, Swizzle::within_128),
               tensor_map(b, sizes, strides, box, Swizzle::within_128), Reader(mistake));
    });
}

namespace {

// ---- parts of a block ----

enum class Part { right, other_count, missing, number_0, odd_count };

// Each half of 128 threads meets by itself, as often as it likes.
__global__ void parts_kernel(int* y, Part mistake) {
    SHARED(seen, int[128]);
    const int i = int(threadIdx.x), half = i / 64, first = half * 64;
    seen[i] = 0;
    for (int time = 1; time <= 2 + half; ++time) {
        seen[i] = time;
        if (mistake == Part::missing && i == 3) return;
        const bool is_wrong = i == 40;
        const int id = mistake == Part::number_0 ? 0 : 1 + half;
        named_barrier(id, mistake == Part::other_count && is_wrong ? 96 : mistake == Part::odd_count ? 50 : 64);  // parts
        y[i] = seen[first + (i + 33) % 64];
        named_barrier(id, 64);
    }
}

enum class Registers { right, part_of_group, too_many, odd, wrong_direction };

__global__ void registers_kernel(int* y, Registers mistake) {
    const int warp = int(threadIdx.x) / 32;
    if (mistake == Registers::part_of_group && warp == 1) {
        setmaxnreg_dec<32>();
    } else if (mistake == Registers::odd) {
        setmaxnreg_dec<44>();
    } else if (warp < 4) {
        setmaxnreg_dec<40>();
        if (mistake == Registers::wrong_direction) setmaxnreg_dec<48>();
    } else if (mistake == Registers::too_many) {
        setmaxnreg_inc<256>();
    } else {
        setmaxnreg_inc<232>();
    }
    y[threadIdx.x] = elect_one();
}

}  // namespace

CASE(parts, int* y, int mistake) { return RUN(parts_kernel, 1, 128, y, Part(mistake)); }
CASE(registers, int* y, int mistake) { return RUN(registers_kernel, 1, 384, y, Registers(mistake)); }
