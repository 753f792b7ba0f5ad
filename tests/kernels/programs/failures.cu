// Kernels that end in an error, by the name of what is wrong; prints what the API returns.
#include <cooperative_groups.h>

#include <cstring>

__global__ void first(const int* p, int* out) { out[threadIdx.x] = p[threadIdx.x]; }
__global__ void wide(const float4* p, float* out) { out[threadIdx.x] = p->x; }
__global__ void asserts() {
    const int i = threadIdx.x;
    assert(i < 3);
}
__global__ void traps() { __trap(); }
__global__ void locks(int* lock) {
    if (threadIdx.x == 0) atomicExch(lock, 1);
    while (atomicCAS(lock, 0, 1) != 0) {
    }
}
__global__ void waits() { cooperative_groups::this_grid().sync(); }
__global__ void launches() { traps<<<1, 1>>>(); }
__global__ void spins(volatile int* p) {
    for (;;) p[0] = 1;
}

int main(int, char** arguments) {
    const auto is = [&](const char* name) { return !strcmp(arguments[1], name); };
    int *out, *p, *host = (int*)calloc(100, 4);
    cudaMalloc(&out, 400);
    cudaMemset(out, 0, 400);
    const int before = int(cudaGetLastError());
    if (is("host pointer")) first<<<1, 1>>>(host, out);
    if (is("null")) first<<<1, 1>>>(nullptr, out);
    if (is("freed") || is("freed twice")) {
        cudaMalloc(&p, 400);
        cudaFree(p);
        is("freed") ? (first<<<1, 1>>>(p, out)) : (void)cudaFree(p);
    }
    if (is("never written")) {
        cudaMalloc(&p, 400);
        first<<<1, 1>>>(p, out);
    }
    if (is("misaligned")) wide<<<1, 1>>>((float4*)(out + 1), (float*)out);
    if (is("assertion")) asserts<<<1, 8>>>();
    if (is("trap")) traps<<<1, 1>>>();
    if (is("lock of one warp")) locks<<<1, 32>>>(out);
    if (is("grid sync")) waits<<<1, 32>>>();
    if (is("kernel in kernel")) launches<<<1, 1>>>();
    if (is("too many threads")) first<<<1, 1025>>>(out, out);
    if (is("empty grid") || is("unasked")) first<<<0, 1>>>(out, out);
    if (is("copy too long")) cudaMemcpy(out, host, 404, cudaMemcpyHostToDevice);
    if (is("too much memory")) cudaMalloc(&p, size_t(1) << 50);
    if (is("endless")) spins<<<1, 2>>>(out);
    if (is("unasked")) return before;
    if (is("returned")) {
        void* none[] = {&out, &out};
        printf("%s\n", cudaGetErrorString(cudaLaunchKernel(first, dim3(0), dim3(1), none)));
        return 0;
    }
    if (is("freed in turn")) {
        int *old, *kept;
        cudaMalloc(&old, 400);
        for (int i = 0; i < 1002; ++i) {
            cudaMalloc(&kept, 400);
            cudaFree(kept);
            if (i == 0) cudaFree(old);
        }
        first<<<1, 1>>>(kept, out);
        return 0;
    }
    if (is("goes on")) {
        first<<<1, 1>>>(host, out);
        printf("%s, ", cudaGetErrorString(cudaGetLastError()));
        const bool same = (first<<<1, 1>>>(out, out), cudaGetLastError()) == cudaErrorIllegalAddress;
        printf("1 launch later %s\n", same ? "the same" : "another");
        return 0;
    }
    printf("%s, then ", cudaGetErrorString(cudaGetLastError()));
    printf("%s\n", cudaGetErrorString(cudaGetLastError()));
}
