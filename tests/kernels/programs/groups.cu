// Cooperative groups, each compared with what it must give; prints what is wrong, then "done".
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

namespace cg = cooperative_groups;

#define EXPECT(condition)                                         \
    do {                                                          \
        if (!(condition)) printf("%d: %s\n", __LINE__, #condition); \
    } while (0)

__device__ int sum_in(cg::thread_group group, int* part, int value) {
    const int rank = group.thread_rank();
    for (int d = group.size() / 2; d > 0; d /= 2) {
        part[rank] = value;
        group.sync();
        if (rank < d) value += part[rank + d];
        group.sync();
    }
    return value;
}

__global__ void blocks_and_tiles(int* out) {
    __shared__ int part[64];
    cg::thread_block block = cg::this_thread_block();
    const int all = sum_in(block, part, int(block.thread_rank()));
    if (block.thread_rank() == 0) out[0] = all;
    block.sync();
    cg::thread_block_tile<16> tile = cg::tiled_partition<16>(block);
    const int in_tile = sum_in(tile, part + 16 * tile.meta_group_rank(), 1);
    if (tile.thread_rank() == 0) out[1 + tile.meta_group_rank()] = in_tile;
    const int reduced = cg::reduce(tile, int(tile.thread_rank()), cg::greater<int>());
    const int scanned = cg::inclusive_scan(tile, 1);
    const int down = tile.shfl_down(int(tile.thread_rank()), 1);
    const unsigned ballot = tile.ballot(tile.thread_rank() == 2);
    if (block.thread_rank() == 33) out[5] = reduced * 1000 + scanned * 100 + down * 10 + int(ballot);
    if (tile.any(tile.thread_rank() == 1) && tile.all(1)) out[6 + threadIdx.x] = 1;
}

// A counter that the lanes which are together raise with one atomic operation.
__device__ int next(int* counter) {
    cg::coalesced_group together = cg::coalesced_threads();
    int first = 0;
    if (together.thread_rank() == 0) first = atomicAdd(counter, int(together.size()));
    return together.shfl(first, 0) + together.thread_rank();
}

__global__ void odd_lanes(int* counter, int* out) {
    if (threadIdx.x % 2) out[next(counter)] = 1;
    if (threadIdx.x < 8) {
        const unsigned mask = __activemask();
        if (threadIdx.x == 0) counter[1] = int(mask);
    }
}

__global__ void whole_grid(int* a, int* b, int steps) {
    cg::grid_group grid = cg::this_grid();
    __shared__ int own[32];
    own[threadIdx.x] = blockIdx.x;
    __syncthreads();
    const int i = int(grid.thread_rank()), n = int(grid.size());
    for (int step = 0; step < steps; ++step) {
        b[i] = a[(i + 32) % n] + own[31 - threadIdx.x];
        grid.sync();
        a[i] = b[i];
        cg::sync(grid);
    }
}

int main() {
    int *a, *b, n = 32 * 5, steps = 3;
    cudaMallocManaged(&a, n * sizeof(int));
    cudaMallocManaged(&b, n * sizeof(int));
    blocks_and_tiles<<<1, 64>>>(a);
    EXPECT(a[0] == 63 * 32 && a[1] == 16 && a[4] == 16 && a[5] == 15000 + 200 + 20 + 4 && a[6 + 63] == 1);
    a[0] = 0;
    odd_lanes<<<1, 64>>>(a, b);
    EXPECT(a[0] == 32 && b[0] == 1 && b[31] == 1 && a[1] == 0xFF);
    for (int i = 0; i < n; ++i) a[i] = 0;
    void* arguments[] = {&a, &b, &steps};
    EXPECT(cudaLaunchCooperativeKernel((void*)whole_grid, 5, 32, arguments) == cudaSuccess);
    EXPECT(a[0] == 0 + 1 + 2 && a[n - 1] == 4 + 0 + 1);
    EXPECT(cudaLaunchCooperativeKernel(whole_grid, 500, 32, arguments) == cudaErrorCooperativeLaunchTooLarge);
    EXPECT(cudaGetLastError() == cudaErrorCooperativeLaunchTooLarge);
    printf("done\n");
}
