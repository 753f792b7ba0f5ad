// Kernels of somebody's own, in an extension of their own: see test_emulator.py.
#include "device.cuh"

namespace {

__global__ void diverging_kernel() {
    if (threadIdx.x < 3) {
        __syncthreads();
    }
}

__global__ void number_kernel() { throw 1; }

__global__ void endless_kernel(float* y, bool meets) {
    volatile float* seen = y;
    for (;;) {
        seen[threadIdx.x] = 1.0f;
        if (meets) {
            __syncthreads();
        }
    }
}

__global__ void counting_kernel(int64_t* count, int64_t steps) {
    __syncthreads();
    volatile int64_t* seen = count;
    for (int64_t i = 0; i < steps; ++i) {
        *seen = *seen + 1;
    }
}

}  // namespace

void diverging(cudaStream_t stream) { LAUNCH(diverging_kernel, 1, 64, 0, stream); }
FUNCTION(diverging);
void no_grid(cudaStream_t stream) { LAUNCH(diverging_kernel, 0, 64, 0, stream); }
FUNCTION(no_grid);
void number(cudaStream_t stream) { LAUNCH(number_kernel, 1, 64, 0, stream); }
FUNCTION(number);
void endless(float* y, bool meets, cudaStream_t stream) {
    LAUNCH(endless_kernel, 1, 64, 0, stream, y, meets);
}
FUNCTION(endless);
void counting(int64_t* count, int64_t steps, cudaStream_t stream) {
    LAUNCH(counting_kernel, 2, 2, 0, stream, count, steps);
}
FUNCTION(counting);
