// Small kernels, right and wrong, of blocks in clusters, that tests/test_clusters.py runs in both builds of
// the emulator. Each entry point returns null, or the kind and message of the error it ended in.
#include "../../kernels/hopper.cuh"

#include "cases.h"

namespace {

#define RUN_CLUSTERS(kernel, blocks, cluster, threads, shared, ...) \
    outcome([&] { LAUNCH(kernel, Grid(Extent(blocks), cluster), threads, shared, nullptr, __VA_ARGS__); })

constexpr int room = 1024;  // that pattern_start may skip
__device__ unsigned char* pattern_start(unsigned char* memory) {
    return memory + (1024 - shared_address(memory) % 1024) % 1024;
}

// ---- shared memory of others ----

enum class Peer {
    right, no_first, no_last, no_such_block, not_shared, past_the_end, no_arrival, twice, elsewhere, writes, one_exits
};

// y: what the next block of the cluster has in its shared memory.
__global__ void peer_kernel(int* y, int blocks, Peer mistake) {
    SHARED(own, int[32]);
    const int i = int(threadIdx.x), rank = cluster_rank(), next = (rank + 1) % blocks;
    if (mistake == Peer::one_exits && i == 5) return;
    own[i] = int(blockIdx.x) * 100 + i;  // peer_write
    if (mistake == Peer::elsewhere && rank == 0 && i == 3) __syncthreads();  // peer_elsewhere
    if (mistake == Peer::twice) cluster_arrive();
    if (mistake != Peer::no_first) {
        if (mistake != Peer::no_arrival) cluster_arrive();
        cluster_wait();  // peer_wait
    }
    if (mistake == Peer::no_such_block) map_shared(own, blocks);
    if (mistake == Peer::not_shared) map_shared(y, next);
    int* const there = map_shared(own, next);
    if (mistake == Peer::writes) there[i] = 7;  // peer_writes
    const int* const from = mistake == Peer::writes ? own : there;
    y[blockIdx.x * 32 + i] = from[mistake == Peer::past_the_end ? i + 1 : i];  // peer_read
    if (mistake != Peer::no_last) {
        cluster_arrive();
        cluster_wait();
    }
}

}  // namespace

CASE(peer, int* y, int grid, int cluster, int mistake) {
    return RUN_CLUSTERS(peer_kernel, grid, cluster, 32, 0, y, cluster, Peer(mistake));
}
CASE(odd_threads, int* y) { return RUN_CLUSTERS(peer_kernel, 2, 2, 40, 0, y, 2, Peer::right); }

namespace {

// ---- mbarriers of others ----

enum class Remote { right, no_first, no_last, no_fence, no_such_block, early_read, of_this_block };

// Of two blocks, each hands 32 numbers to the other, `times` times.
__global__ void remote_kernel(int* y, int times, Remote mistake) {
    SHARED(given, int[32]);
    SHARED(full, uint64_t);
    SHARED(empty, uint64_t);
    const int i = int(threadIdx.x), rank = cluster_rank(), peer = 1 - rank;
    if (i == 0) {
        mbarrier_init(&full, 32);
        mbarrier_init(&empty, 32);
        if (mistake != Remote::no_fence) fence_mbarrier_init();
    }
    __syncthreads();
    if (mistake != Remote::no_first) {
        cluster_arrive();
        cluster_wait();
    }
    int sum = 0;
    for (int time = 0; time < times; ++time) {
        const unsigned parity = unsigned(time) % 2;
        mbarrier_wait(&empty, parity ^ 1);
        map_shared(given, peer)[i] = (rank + 1) * (i + time);  // remote_write
        if (mistake == Remote::of_this_block) mbarrier_arrive(map_shared(&full, peer));
        mbarrier_arrive_at(&full, mistake == Remote::no_such_block ? 2 : peer);  // remote_arrive
        if (mistake != Remote::early_read) mbarrier_wait(&full, parity);
        sum += given[(i + 1) % 32];  // remote_read
        if (mistake == Remote::early_read) mbarrier_wait(&full, parity);
        mbarrier_arrive_at(&empty, peer);  // remote_empty
    }
    y[blockIdx.x * 32 + i] = sum;
    if (mistake != Remote::no_last) {
        cluster_arrive();
        cluster_wait();
    }
}

}  // namespace

CASE(remote, int* y, int times, int mistake) {
    return RUN_CLUSTERS(remote_kernel, 4, 2, 32, 0, y, times, Remote(mistake));
}

namespace {

// ---- boxes for several blocks ----

enum class Box { right, few_bytes, no_last, early_read, no_first };

// The first block's thread loads a box of 8 rows of 64 for those of `ranks`, which hand it to y.
__global__ void box_kernel(uint16_t* y, const __grid_constant__ TensorMap map, unsigned ranks, Box mistake) {
    DYNAMIC_SHARED(memory, unsigned char);
    SHARED(full, uint64_t);
    constexpr int bytes = 8 * 128;
    unsigned char* const box = pattern_start(memory);
    const int i = int(threadIdx.x), rank = cluster_rank();
    if (i == 0) {
        mbarrier_init(&full, 1);
        fence_mbarrier_init();
        mbarrier_arrive_expect_tx(&full, mistake == Box::few_bytes && rank == 1 ? bytes - 16 : bytes);
    }
    __syncthreads();
    if (mistake != Box::no_first) {
        cluster_arrive();
        cluster_wait();
    }
    if (rank == 0 && i == 0) tma_load_for(ranks, box, map, &full, {0, 8});  // box
    const bool gets_one = ranks >> rank & 1;
    const auto read = [&] {
        for (int row = 0; row < 8; ++row) {
            memcpy(y + blockIdx.x * 512 + row * 64 + i * 2, box + row * 128 + i * 4, 4);  // box_read
        }
    };
    if (gets_one && mistake == Box::early_read) read();
    if (gets_one) mbarrier_wait(&full, 0);
    if (gets_one && mistake != Box::early_read) read();
    if (mistake == Box::no_last) return;
    cluster_arrive();
    cluster_wait();
}

// Two blocks read the same boxes; each loads half of every one, for both, when both have read what was there.
enum class Ring { right, no_full, own_empty, no_last };

__global__ void ring_kernel(uint16_t* y, const __grid_constant__ TensorMap map, int steps, Ring mistake) {
    DYNAMIC_SHARED(memory, unsigned char);
    constexpr int stages = 2, half = 8 * 128, bytes = 2 * half;
    SHARED(full, uint64_t[stages]);
    SHARED(empty, uint64_t[stages]);
    unsigned char* const ring = pattern_start(memory);
    const int rank = cluster_rank();
    if (threadIdx.x == 0) {
        for (int i = 0; i < stages; ++i) {
            mbarrier_init(full + i, 1);
            mbarrier_init(empty + i, mistake == Ring::own_empty ? 1 : 2);
        }
        fence_mbarrier_init();
    }
    cluster_arrive();
    cluster_wait();
    const bool loads = threadIdx.x < 32;
    if (!loads || elect_one()) {
        for (int step = 0; step < steps; ++step) {
            const int stage = step % stages;
            const unsigned parity = step / stages % 2;
            unsigned char* const box = ring + stage * bytes;
            if (loads) {
                mbarrier_wait(empty + stage, parity ^ 1);
                mbarrier_arrive_expect_tx(full + stage, bytes);
                tma_load_for(3, box + rank * half, map, full + stage, {0, 16 * step + 8 * rank});  // ring
                continue;
            }
            if (mistake != Ring::no_full) mbarrier_wait(full + stage, parity);
            uint16_t sum = 0;
            for (int row = 0; row < 16; ++row) {
                uint16_t element;
                memcpy(&element, box + row * 128 + threadIdx.x % 32 * 2, 2);  // ring_read
                sum = uint16_t(sum + element);
            }
            y[(blockIdx.x * steps + step) * 32 + threadIdx.x % 32] = sum;
            __syncwarp();
            const int lane = int(threadIdx.x) % 32;
            if (mistake == Ring::own_empty && lane == 0) mbarrier_arrive(empty + stage);
            if (mistake != Ring::own_empty && lane < 2) mbarrier_arrive_at(empty + stage, lane);  // ring_empty
        }
    }
    if (mistake == Ring::no_full && !loads) mbarrier_wait(full + (steps - 1) % stages, (steps - 1) / stages % 2);
    if (mistake == Ring::no_last) return;
    cluster_arrive();
    cluster_wait();
}

TensorMap map_of(const half* x, int rows) {
    const int64_t sizes[2] = {64, rows}, strides[2] = {1, 64};
    const int box[2] = {64, 8};
    return tensor_map(x, sizes, strides, box, Swizzle::none);
}

}  // namespace

CASE(box, uint16_t* y, half* x, int cluster, unsigned ranks, int mistake) {
    return RUN_CLUSTERS(box_kernel, cluster, cluster, 32, room + 8 * 128, y, map_of(x, 24), ranks, Box(mistake));
}
CASE(ring, uint16_t* y, half* x, int steps, int mistake) {
    return RUN_CLUSTERS(ring_kernel, 2, 2, 64, room + 4 * 8 * 128, y, map_of(x, 16 * steps), steps, Ring(mistake));
}
