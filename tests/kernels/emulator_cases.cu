// Small kernels, right and wrong, that tests/test_emulator.py runs on the emulator.
#include "cases.h"

#include "../../kernels/emulate/fiber.h"
#include "../../kernels/philox.cuh"
#include "../../kernels/reduce.cuh"

namespace {

// ---- shared memory and barriers ----

// y[i] = x[i + distance] around the block, through shared memory.
template <bool has_barrier>
__global__ void rotate_kernel(float* y, const float* x, int distance) {
    SHARED(tile, float[128]);
    const int i = int(threadIdx.x);
    tile[i] = x[i];
    if (has_barrier) {
        __syncthreads();
    }
    y[i] = tile[(i + distance + 128) % 128];
}

__global__ void early_exit_kernel() {
    if (blockIdx.x == 1 && threadIdx.x == 37) {
        return;
    }
    __syncthreads();
}

__global__ void two_barriers_kernel() {
    if (threadIdx.y == 1) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}

__global__ void one_barrier_more_kernel() {
    const int rounds = threadIdx.x == 5 ? 3 : 2;
    for (int round = 0; round < rounds; ++round) {
        __syncthreads();
    }
}

__global__ void barrier_votes_kernel(int* votes, int yes) {
    const int predicate = int(threadIdx.x) < yes;
    const int all = __syncthreads_and(predicate);
    const int any = __syncthreads_or(predicate);
    const int count = __syncthreads_count(predicate);
    votes[threadIdx.x * 3] = all;
    votes[threadIdx.x * 3 + 1] = any;
    votes[threadIdx.x * 3 + 2] = count;
}

__global__ void poison_kernel(unsigned* found_static, unsigned* found_dynamic) {
    SHARED(fixed, unsigned[16]);
    DYNAMIC_SHARED(sized, unsigned);
    found_static[blockIdx.x] = fixed[7];
    found_dynamic[blockIdx.x] = sized[7];
    fixed[7] = 1;
    sized[7] = 1;
}

__global__ void overrun_kernel(bool dynamic, int index) {
    SHARED(fixed, float[8]);
    DYNAMIC_SHARED(sized, float);
    (dynamic ? sized : fixed)[index] = 1.0f;
}

template <int bytes>
__global__ void static_shared_kernel() {
    SHARED(large, char[bytes]);
    large[0] = 0;
}

__global__ void empty_kernel(int) {}

// ---- order ----

__global__ void record_order_kernel(int* order, int* next) {
    order[atomicAdd(next, 1)] = int(blockIdx.x * blockDim.x + threadIdx.x);
}

__global__ void visit_kernel(int* visits) {
    const int block = int((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
    const int thread = int((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x);
    const int block_size = int(blockDim.x * blockDim.y * blockDim.z);
    atomicAdd(&visits[block * block_size + thread], 1);
}

// ---- warps ----

__global__ void shuffle_kernel(int* out, int kind, int argument, int width) {
    const int lane = int(threadIdx.x);
    int result = 0;
    switch (kind) {
        case 0:
            result = __shfl_sync(full_warp, lane, argument, width);
            break;
        case 1:
            result = __shfl_up_sync(full_warp, lane, unsigned(argument), width);
            break;
        case 2:
            result = __shfl_down_sync(full_warp, lane, unsigned(argument), width);
            break;
        case 3:
            result = __shfl_xor_sync(full_warp, lane, argument, width);
            break;
    }
    out[lane] = result;
}

__global__ void votes_kernel(unsigned* out, unsigned ballot) {
    const unsigned lane = threadIdx.x % 32;
    const int predicate = (ballot >> lane) & 1u;
    const unsigned got = __ballot_sync(full_warp, predicate);
    const int any = __any_sync(full_warp, predicate);
    const int all = __all_sync(full_warp, predicate);
    out[threadIdx.x * 3] = got;
    out[threadIdx.x * 3 + 1] = unsigned(any);
    out[threadIdx.x * 3 + 2] = unsigned(all);
}

// Halves of a warp that meet under masks of their own, then all of it.
__global__ void half_warps_kernel(float* out) {
    const unsigned mask = threadIdx.x % 32 < 16 ? 0x0000FFFFu : 0xFFFF0000u;
    float sum = 1.0f;
    for (int lanes = 8; lanes > 0; lanes /= 2) {
        sum += __shfl_xor_sync(mask, sum, lanes);
    }
    __syncwarp();
    out[threadIdx.x] = sum;
}

__global__ void foreign_mask_kernel() {
    __shfl_sync(0x0000FFFFu, 1, 0);
}

__global__ void unequal_masks_kernel() {
    __ballot_sync(threadIdx.x < 8 ? full_warp : 0xFFFFFF00u | (1u << 3), 1);
}

__global__ void unequal_operations_kernel() {
    if (threadIdx.x < 8) {
        __ballot_sync(full_warp, 1);
    } else {
        __shfl_sync(full_warp, 1, 0);
    }
}

__global__ void absent_source_kernel() {
    if (threadIdx.x < 16) {
        __shfl_down_sync(0x0000FFFFu, 1.0f, 8);
    }
}

__global__ void exited_source_kernel(int* out) {
    if (threadIdx.x == 3) {
        return;
    }
    out[threadIdx.x] = __shfl_sync(full_warp, int(threadIdx.x), 3);
}

__global__ void exited_lane_kernel(unsigned* out) {
    if (threadIdx.x >= 20) {
        return;
    }
    out[threadIdx.x] = __ballot_sync(full_warp, 1);
}

__global__ void warp_against_barrier_kernel() {
    if (threadIdx.x < 16) {
        __syncwarp();
    }
    __syncthreads();
}

// ---- reductions ----

struct Pair {
    float sum, largest;
};

struct CombinePairs {
    __device__ Pair operator()(Pair a, Pair b) const {
        return {a.sum + b.sum, max(a.largest, b.largest)};
    }
};

template <int threads>
__global__ void reduce_kernel(float* sums, float* largest, const float* x) {
    const float value = x[threadIdx.x];
    const float sum = block_sum<threads>(value);
    const float most = block_max<threads>(value);
    const Pair both = block_reduce<threads>(Pair{value, value}, CombinePairs());
    sums[threadIdx.x] = both.sum == sum ? sum : -1.0f;
    largest[threadIdx.x] = both.largest == most ? most : -1.0f;
}

// ---- failures ----

int alive = 0;

struct Counted {
    Counted() { ++alive; }
    ~Counted() { --alive; }
};

__global__ void throwing_kernel() {
    Counted counted;
    __syncthreads();
    if (threadIdx.x == 60) {
        throw KernelError("thrown by the kernel");
    }
    __syncthreads();
}

__global__ void load_kernel(float* y, const float* x) {
    store_pack(y, load_pack(x));
}

__global__ void philox_block_kernel(uint4* out, uint4 counter, uint2 key) {
    *out = philox4x32_10(counter, key);
}

}  // namespace

CASE(rotate, float* y, const float* x, int distance, bool has_barrier) {
    return outcome([=] {
        if (has_barrier) {
            LAUNCH(rotate_kernel<true>, 1, 128, 0, nullptr, y, x, distance);
        } else {
            LAUNCH(rotate_kernel<false>, 1, 128, 0, nullptr, y, x, distance);
        }
    });
}
CASE(early_exit) { return outcome([] { LAUNCH(early_exit_kernel, 2, 64, 0, nullptr); }); }
CASE(two_barriers) {
    return outcome([] { LAUNCH(two_barriers_kernel, 1, Extent(32, 2), 0, nullptr); });
}
CASE(one_barrier_more) { return outcome([] { LAUNCH(one_barrier_more_kernel, 1, 64, 0, nullptr); }); }
CASE(barrier_votes, int* votes, int threads, int yes) {
    return outcome([=] { LAUNCH(barrier_votes_kernel, 1, threads, 0, nullptr, votes, yes); });
}
CASE(poison, unsigned* found_static, unsigned* found_dynamic, int blocks) {
    return outcome([=] {
        LAUNCH(poison_kernel, blocks, 1, 64, nullptr, found_static, found_dynamic);
    });
}
CASE(overrun, bool dynamic, int index) {
    return outcome([=] { LAUNCH(overrun_kernel, 1, 1, 32, nullptr, dynamic, index); });
}
CASE(static_shared, bool too_much, int dynamic_bytes) {
    return outcome([=] {
        if (too_much) {
            LAUNCH(static_shared_kernel<48 * 1024 + 1>, 1, 1, dynamic_bytes, nullptr);
        } else {
            LAUNCH(static_shared_kernel<48 * 1024>, 1, 1, dynamic_bytes, nullptr);
        }
    });
}
CASE(launch_shape, const int64_t* grid, const int64_t* block, int shared_bytes) {
    return outcome([=] {
        LAUNCH(empty_kernel, Extent(grid[0], grid[1], grid[2]), Extent(block[0], block[1], block[2]),
               shared_bytes, nullptr, 0);
    });
}
CASE(record_order, int* order, int* next, int blocks, int threads) {
    return outcome([=] { LAUNCH(record_order_kernel, blocks, threads, 0, nullptr, order, next); });
}
CASE(visit, int* visits, const int64_t* grid, const int64_t* block) {
    return outcome([=] {
        LAUNCH(visit_kernel, Extent(grid[0], grid[1], grid[2]), Extent(block[0], block[1], block[2]),
               0, nullptr, visits);
    });
}
CASE(shuffle, int* out, int kind, int argument, int width) {
    return outcome([=] { LAUNCH(shuffle_kernel, 1, 32, 0, nullptr, out, kind, argument, width); });
}
CASE(votes, unsigned* out, unsigned ballot) {
    return outcome([=] { LAUNCH(votes_kernel, 1, 64, 0, nullptr, out, ballot); });
}
CASE(half_warps, float* out) {
    return outcome([=] { LAUNCH(half_warps_kernel, 1, 64, 0, nullptr, out); });
}
CASE(foreign_mask) { return outcome([] { LAUNCH(foreign_mask_kernel, 1, 32, 0, nullptr); }); }
CASE(unequal_masks) { return outcome([] { LAUNCH(unequal_masks_kernel, 1, 32, 0, nullptr); }); }
CASE(unequal_operations) {
    return outcome([] { LAUNCH(unequal_operations_kernel, 1, 32, 0, nullptr); });
}
CASE(absent_source) { return outcome([] { LAUNCH(absent_source_kernel, 1, 32, 0, nullptr); }); }
CASE(exited_source, int* out) {
    return outcome([=] { LAUNCH(exited_source_kernel, 1, 32, 0, nullptr, out); });
}
CASE(exited_lane, unsigned* out) {
    return outcome([=] { LAUNCH(exited_lane_kernel, 1, 32, 0, nullptr, out); });
}
CASE(warp_against_barrier) {
    return outcome([] { LAUNCH(warp_against_barrier_kernel, 1, 32, 0, nullptr); });
}
CASE(reduce, float* sums, float* largest, const float* x, int threads) {
    return outcome([=] {
        switch (threads) {
            case 32:
                LAUNCH(reduce_kernel<32>, 1, 32, 0, nullptr, sums, largest, x);
                break;
            case 64:
                LAUNCH(reduce_kernel<64>, 1, 64, 0, nullptr, sums, largest, x);
                break;
            case 256:
                LAUNCH(reduce_kernel<256>, 1, 256, 0, nullptr, sums, largest, x);
                break;
            case 1024:
                LAUNCH(reduce_kernel<1024>, 1, 1024, 0, nullptr, sums, largest, x);
                break;
        }
    });
}
CASE(throwing, int* still_alive) {
    const char* message = outcome([] { LAUNCH(throwing_kernel, 4, 64, 0, nullptr); });
    *still_alive = alive;
    return message;
}
CASE(load, float* y, const float* x) {
    return outcome([=] { LAUNCH(load_kernel, 1, 1, 0, nullptr, y, x); });
}
CASE(philox_block_of, unsigned* out, const unsigned* counter, const unsigned* key) {
    return outcome([=] {
        LAUNCH(philox_block_kernel, 1, 1, 0, nullptr, reinterpret_cast<uint4*>(out),
               make_uint4(counter[0], counter[1], counter[2], counter[3]),
               make_uint2(key[0], key[1]));
    });
}

CASE(convert_16_to_32, float* out, const uint16_t* bits, int n, bool is_half) {
    for (int i = 0; i < n; ++i) {
        out[i] = is_half ? to_acc(half{bits[i]}) : to_acc(bfloat16{bits[i]});
    }
    return nullptr;
}
CASE(convert_32_to_16, uint16_t* bits, const float* x, int n, bool is_half) {
    for (int i = 0; i < n; ++i) {
        bits[i] = is_half ? from_acc<half>(x[i]).bits : from_acc<bfloat16>(x[i]).bits;
    }
    return nullptr;
}
CASE(fibers, int* made, int* pooled) {
    const emulate::FiberCounts counts = emulate::count_fibers();
    *made = counts.made;
    *pooled = counts.pooled;
    return nullptr;
}
