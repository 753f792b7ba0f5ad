// Small kernels, right and wrong, that tests/test_races.py runs in the checked build. Each entry point
// returns null, or the kind and message of the error it ended in. Lines that a report must name have
// the entry point's name behind them.
#include <atomic>
#include <cstring>

#include "../../kernels/reduce.cuh"

#include "cases.h"

EXPORT void interrupt_soon() {
    emulate::ask_whether_to_go_on([] { return false; });
}

constexpr int threads = 64;

// ---- barriers ----

template <bool barrier>
__global__ void rotate_kernel(int* y) {
    SHARED(tile, int[threads]);
    tile[threadIdx.x] = threadIdx.x;  // rotate_without_barrier
    if (barrier) __syncthreads();
    y[threadIdx.x] = tile[(threadIdx.x + 33) % threads];  // rotate_without_barrier
}
CASE(rotate, int* y) { return RUN(rotate_kernel<true>, 1, threads, y); }
CASE(rotate_without_barrier, int* y) { return RUN(rotate_kernel<false>, 1, threads, y); }

template <bool second>
__global__ void reuse_kernel(int* y) {
    SHARED(tile, int[threads]);
    for (int round = 0; round < 3; ++round) {
        tile[threadIdx.x] = round;  // reuse_too_early
        __syncthreads();
        y[threadIdx.x] += tile[threads - 1 - threadIdx.x];  // reuse_too_early
        if (second) __syncthreads();
    }
}
CASE(reuse, int* y) { return RUN(reuse_kernel<true>, 1, threads, y); }
CASE(reuse_too_early, int* y) { return RUN(reuse_kernel<false>, 1, threads, y); }

template <bool barrier>
__global__ void double_buffer_kernel(int* y) {
    SHARED(tile, int[2][threads]);
    for (int round = 0; round < 5; ++round) {
        tile[round % 2][threadIdx.x] = round;  // double_buffer_without_barrier
        if (barrier) __syncthreads();
        y[threadIdx.x] += tile[round % 2][threads - 1 - threadIdx.x];  // double_buffer_without_barrier
    }
}
CASE(double_buffer, int* y) { return RUN(double_buffer_kernel<true>, 1, threads, y); }
CASE(double_buffer_without_barrier, int* y) {
    return RUN(double_buffer_kernel<false>, 1, threads, y);
}

__global__ void two_writers_kernel(int* y) {
    y[threadIdx.x / 2] = 7;  // two_writers
}
CASE(two_writers, int* y) { return RUN(two_writers_kernel, 1, threads, y); }

__global__ void same_line_kernel(int* y) {
    // clang-format off
    if (threadIdx.x < 32) { __syncthreads(); } else { __syncthreads(); }  // barriers_on_a_line
    // clang-format on
    y[threadIdx.x] = 1;
}
CASE(barriers_on_a_line, int* y) { return RUN(same_line_kernel, 1, threads, y); }

__device__ __attribute__((noinline)) void add_and_wait(int* y) {
    *y += 1;
    __syncthreads();
}
__global__ void loop_of_barriers_kernel(int* y) {
    for (int round = 0; round < 4; ++round) {
        if (threadIdx.x % 2 == 0) {
            y[threadIdx.x] = round;
        } else {
            y[threadIdx.x] -= round;
        }
        __syncthreads();
        add_and_wait(y + threadIdx.x);
    }
}
CASE(loop_of_barriers, int* y) { return RUN(loop_of_barriers_kernel, 1, threads, y); }

// ---- warps ----

template <bool sync>
__global__ void neighbours_kernel(int* y) {
    SHARED(tile, int[32]);
    tile[threadIdx.x] = threadIdx.x;  // neighbours_without_sync
    if (sync) __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];  // neighbours_without_sync
}
CASE(neighbours, int* y) { return RUN(neighbours_kernel<true>, 1, 32, y); }
CASE(neighbours_without_sync, int* y) { return RUN(neighbours_kernel<false>, 1, 32, y); }

// Halves of a warp meet each under its own mask.
__global__ void halves_kernel(int* y, int distance) {
    SHARED(tile, int[32]);
    tile[threadIdx.x] = threadIdx.x;  // other_half
    __syncwarp(threadIdx.x < 16 ? 0xFFFFu : 0xFFFF0000u);
    y[threadIdx.x] = tile[threadIdx.x ^ distance];  // other_half
}
CASE(own_half, int* y) { return RUN(halves_kernel, 1, 32, y, 8); }
CASE(other_half, int* y) { return RUN(halves_kernel, 1, 32, y, 16); }

__global__ void other_warp_kernel(int* y) {
    SHARED(tile, int[threads]);
    tile[threadIdx.x] = threadIdx.x;  // other_warp
    __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 32];  // other_warp
}
CASE(other_warp, int* y) { return RUN(other_warp_kernel, 1, threads, y); }

__global__ void ordered_by_shuffle_kernel(int* y) {
    SHARED(tile, int[32]);
    tile[threadIdx.x] = threadIdx.x;
    const int sum = warp_reduce(int(threadIdx.x), Sum());
    y[threadIdx.x] = tile[31 - threadIdx.x] + sum;
}
CASE(ordered_by_shuffle, int* y) { return RUN(ordered_by_shuffle_kernel, 1, 32, y); }

__global__ void exited_lanes_kernel(int* y) {
    if (threadIdx.x >= 20) return;
    SHARED(tile, int[32]);
    tile[threadIdx.x] = threadIdx.x;
    __syncwarp();
    y[threadIdx.x] = tile[19 - threadIdx.x];
}
CASE(exited_lanes, int* y) { return RUN(exited_lanes_kernel, 1, 32, y); }

// As for GPUs whose warps ran in step.
__global__ void in_step_kernel(int* y) {
    SHARED(sums, int[64]);
    volatile int* tile = sums;
    tile[threadIdx.x] = 1;
    tile[threadIdx.x + 32] = 1;
    for (int half = 32; half > 0; half /= 2) {
        tile[threadIdx.x] = tile[threadIdx.x] + tile[threadIdx.x + half];  // in_step
        if (half == 32) __syncwarp();
    }
    y[threadIdx.x] = tile[0];  // in_step
}
CASE(in_step, int* y) { return RUN(in_step_kernel, 1, 32, y); }

// ---- atomics ----

__global__ void histogram_kernel(int* y, int bins) {
    y[threadIdx.x % bins] += 1;  // histogram
}
CASE(histogram, int* y) { return RUN(histogram_kernel, 1, threads, y, 4); }
CASE(histogram_of_one_each, int* y) { return RUN(histogram_kernel, 1, threads, y, threads); }

__global__ void atomic_histogram_kernel(int* y) { atomicAdd(y + threadIdx.x % 4, 1); }
CASE(atomic_histogram, int* y) { return RUN(atomic_histogram_kernel, 8, threads, y); }

__global__ void compilers_atomics_kernel(int* y) {
    __atomic_fetch_add(y, 1, __ATOMIC_RELAXED);
    int expected = 0;
    __atomic_compare_exchange_n(y + 1, &expected, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    __atomic_load_n(y + 1, __ATOMIC_RELAXED);
}
CASE(compilers_atomics, int* y) { return RUN(compilers_atomics_kernel, 8, threads, y); }

__global__ void atomic_and_plain_kernel(int* y) {
    if (y[0] < int(threadIdx.x)) {             // atomic_and_plain
        atomicMax(y, int(threadIdx.x));  // atomic_and_plain
    }
}
CASE(atomic_and_plain, int* y) { return RUN(atomic_and_plain_kernel, 1, threads, y); }

__global__ void total_kernel(int* y) {
    if (threadIdx.x == 0) y[0] += 1;  // total_of_blocks
}
CASE(total_of_blocks, int* y) { return RUN(total_kernel, 8, threads, y); }
CASE(total_of_launches, int* y) {
    return outcome([&] {
        LAUNCH(total_kernel, 1, threads, 0, nullptr, y);
        LAUNCH(total_kernel, 1, threads, 0, nullptr, y);
    });
}

// What a plain read gave is looked at again by the operation that follows.
__global__ void confirmed_reads_kernel(int* y) {
    int seen = *y, before;
    do {
        before = seen;
        seen = atomicCAS(y, before, before + int(threadIdx.x));
    } while (seen != before);
}
CASE(confirmed_reads, int* y) { return RUN(confirmed_reads_kernel, 2, threads, y); }

__device__ int counter;
__global__ void device_variable_kernel(int step) { counter += step; }  // device_variable
CASE(device_variable) { return RUN(device_variable_kernel, 1, threads, 1); }

// ---- fences ----

// The last block adds up what the others wrote.
template <bool fences>
__global__ void last_block_kernel(int* sums, unsigned* count, int* y) {
    SHARED(is_last, bool);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = int(blockIdx.x);  // last_block_without_fence
        if (fences) __threadfence();
        is_last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (is_last && threadIdx.x < gridDim.x) {
        y[threadIdx.x] = sums[threadIdx.x];  // last_block_without_fence
    }
}
CASE(last_block, int* sums, unsigned* count, int* y) {
    return RUN(last_block_kernel<true>, 8, threads, sums, count, y);
}
CASE(last_block_without_fence, int* sums, unsigned* count, int* y) {
    return RUN(last_block_kernel<false>, 8, threads, sums, count, y);
}

// The same where every thread writes, and the barrier comes after the fence or before it.
template <bool fence_first>
__global__ void last_block_of_all_kernel(int* sums, unsigned* count, int* y) {
    SHARED(is_last, bool);
    sums[blockIdx.x * threads + threadIdx.x] = 1;
    if (fence_first) __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        if (!fence_first) __threadfence();
        is_last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; is_last && i < gridDim.x * threads; i += threads) {
        y[threadIdx.x] += sums[i];
    }
}
CASE(last_block_all_fence, int* sums, unsigned* count, int* y) {
    return RUN(last_block_of_all_kernel<true>, 8, threads, sums, count, y);
}
CASE(last_block_one_fences, int* sums, unsigned* count, int* y) {
    return RUN(last_block_of_all_kernel<false>, 8, threads, sums, count, y);
}

// One warp waits until another has set a flag.
template <bool fences>
__global__ void flag_kernel(int* y, volatile int* flag) {
    if (threadIdx.x == 0) {
        y[0] = 5;  // flag_without_fence
        if (fences) __threadfence();
        *flag = 1;
    } else if (threadIdx.x == 32) {
        while (*flag == 0) {
        }
        y[1] = y[0];  // flag_without_fence
    }
}
CASE(flag, int* y, int* flag) { return RUN(flag_kernel<true>, 1, threads, y, flag); }
CASE(flag_without_fence, int* y, int* flag) { return RUN(flag_kernel<false>, 1, threads, y, flag); }

// ---- locks ----

template <bool fences>
__global__ void lock_kernel(int* y, int* lock) {
    while (atomicCAS(lock, 0, 1) != 0) {
    }
    if (fences) __threadfence();
    y[0] += 1;  // lock_without_fence
    if (fences) __threadfence();
    atomicExch(lock, 0);
}
CASE(lock, int* y, int* lock) { return RUN(lock_kernel<true>, 4, threads, y, lock); }
CASE(lock_without_fence, int* y, int* lock) { return RUN(lock_kernel<false>, 1, threads, y, lock); }

__global__ void lock_in_step_kernel(int* y, int* lock) {
    while (atomicCAS(lock, 0, 1) != 0) {  // lock_in_step
    }
    __syncwarp();
    y[0] += 1;
    __threadfence();
    atomicExch(lock, 0);
}
CASE(lock_in_step, int* y, int* lock) { return RUN(lock_in_step_kernel, 1, 32, y, lock); }

__global__ void never_set_kernel(volatile int* flag) {
    while (*flag == 0) {  // never_set
    }
}
CASE(never_set, int* flag) { return RUN(never_set_kernel, 1, 32, flag); }

__global__ void endless_kernel(int* y, bool meets) {
    for (int i = 0;; ++i) {
        y[threadIdx.x] = i;
        if (meets) __syncthreads();
    }
}
CASE(endless, int* y, bool meets) { return RUN(endless_kernel, 1, threads, y, meets); }

// ---- bounds, alignment, what was never written ----

__global__ void read_kernel(int* y, const int* x, int offset) {
    y[threadIdx.x] = x[int(threadIdx.x) + offset];  // read_outside
}
CASE(read_outside, int* y, int* x, int offset) { return RUN(read_kernel, 1, threads, y, x, offset); }

__global__ void write_kernel(int* y, int offset) {
    y[int(threadIdx.x) + offset] = 1;  // write_outside
}
CASE(write_outside, int* y, int offset) { return RUN(write_kernel, 1, threads, y, offset); }

__global__ void shared_outside_kernel(int* y, int offset, bool dynamic) {
    SHARED(tile, int[threads]);
    SHARED(other, int[threads]);
    DYNAMIC_SHARED(sized, int);
    other[threadIdx.x] = 2;
    (dynamic ? sized : tile)[threadIdx.x + offset] = 1;  // shared_outside
    y[threadIdx.x] = other[threadIdx.x];
}
CASE(shared_outside, int* y, int offset, bool dynamic) {
    return outcome([&] {
        LAUNCH(shared_outside_kernel, 1, threads, sizeof(int) * threads, nullptr, y, offset, dynamic);
    });
}

__global__ void unwritten_kernel(int* y) {
    SHARED(tile, int[threads]);
    if (threadIdx.x != 5) tile[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];  // unwritten
}
CASE(unwritten, int* y) { return RUN(unwritten_kernel, 1, threads, y); }

__global__ void written_by_the_block_before_kernel(int* y) {
    SHARED(tile, int[threads]);
    if (blockIdx.x == 0) tile[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x + threads * blockIdx.x] = tile[threadIdx.x];  // written_by_the_block_before
}
CASE(written_by_the_block_before, int* y) {
    return RUN(written_by_the_block_before_kernel, 2, threads, y);
}

__global__ void vector_kernel(float4* y, const float4* x) {
    const float4 v = x[threadIdx.x];  // vector
    y[threadIdx.x] = make_float4(v.w, v.z, v.y, v.x);
}
CASE(vector, float* y, float* x, int offset) {
    return RUN(vector_kernel, 1, 4, reinterpret_cast<float4*>(y),
               reinterpret_cast<const float4*>(x + offset));
}

// ---- sizes ----

__global__ void bytes_kernel(unsigned char* y, int distance) {
    y[threadIdx.x] = (unsigned char)(threadIdx.x);      // overlapping_bytes
    if (distance != 0) y[threadIdx.x + distance] = 1;  // overlapping_bytes
}
CASE(neighbouring_bytes, unsigned char* y) { return RUN(bytes_kernel, 1, threads, y, 0); }
CASE(overlapping_bytes, unsigned char* y) { return RUN(bytes_kernel, 1, threads, y, 1); }

struct Triple {
    double a, b, c;
};
__global__ void triples_kernel(Triple* y, int distance) {
    const Triple mine{1, 2, double(threadIdx.x)};
    y[threadIdx.x] = mine;  // overlapping_triples
    if (distance != 0) y[threadIdx.x].a = y[threadIdx.x + distance].c;  // overlapping_triples
}
CASE(triples, Triple* y) { return RUN(triples_kernel, 1, threads, y, 0); }
CASE(overlapping_triples, Triple* y) { return RUN(triples_kernel, 1, threads, y, 1); }

__global__ void copies_kernel(char* y, const char* x, int bytes) {
    memcpy(y + threadIdx.x * 16, x, bytes);  // overlapping_copies
}
CASE(copies, char* y, char* x) { return RUN(copies_kernel, 1, 4, y, x, 16); }
CASE(overlapping_copies, char* y, char* x) { return RUN(copies_kernel, 1, 4, y, x, 17); }

// ---- banks ----

template <int width>
__global__ void transpose_kernel(int* y) {
    SHARED(tile, int[32][width]);
    tile[threadIdx.y][threadIdx.x] = int(threadIdx.x);
    __syncthreads();
    y[threadIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];  // transpose
}
CASE(transpose, int* y) { return RUN(transpose_kernel<32>, 1, Extent(32, 32), y); }
CASE(transpose_padded, int* y) { return RUN(transpose_kernel<33>, 1, Extent(32, 32), y); }
