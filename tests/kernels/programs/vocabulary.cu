// What plain CUDA programs name, each compared with what it must give; prints what is wrong, then "done".
#include <cuda.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math_constants.h>

#include <cuda/atomic>
#include <vector>

#define EXPECT(condition)                                         \
    do {                                                          \
        if (!(condition)) printf("%d: %s\n", __LINE__, #condition); \
    } while (0)
#define CHECK(call) EXPECT((call) == cudaSuccess)

__constant__ float weights[3];
__device__ int counter = 5;
__managed__ int shared_with_host;

struct Point {
    float x, y;
    __host__ __device__ Point operator+(const Point& o) const { return {x + o.x, y + o.y}; }
};

template <class T>
__global__ void atomics(T* a) {
    const T i = T(threadIdx.x);
    atomicAdd(&a[0], 1);
    atomicSub(&a[1], 1);
    atomicMax(&a[2], i);
    atomicMin(&a[3], i);
    atomicExch_block(&a[4], 9);
    atomicCAS(&a[5], T(0), T(7));
}

__global__ void bits(unsigned* a, unsigned long long* b) {
    atomicAnd(&a[0], ~(1u << threadIdx.x));
    atomicOr(&a[1], 1u << threadIdx.x);
    atomicXor(&a[2], 3u);
    atomicInc(&a[3], 4u);
    atomicDec(&a[4], 4u);
    atomicOr(&b[0], 1ull << (2 * threadIdx.x));
    if (threadIdx.x == 0) {
        a[5] = __popc(0xF0u) + __clz(1) + __ffs(8) + __popcll(~0ull) + __brev(1u) / 0x80000000u;
        a[6] = __byte_perm(0x33221100u, 0x77665544u, 0x7410u);
        a[7] = __funnelshift_l(0x80000000u, 1u, 1);
        a[8] = min(3, 4u) + max(2, 1ll) + unsigned(min(1.5f, 0.5));
        a[9] = unsigned(__umulhi(0x80000000u, 6u)) + unsigned(__mulhi(-1, 1) == -1);
    }
}

__global__ void arithmetic(float* f, double* d) {
    f[0] = __expf(0.0f) + __fdividef(1.0f, 2.0f) + rsqrtf(4.0f) + __fsqrt_rn(9.0f) + __saturatef(7.0f);
    f[1] = fmaf(2.0f, 3.0f, 4.0f) + __fmaf_rn(1, 1, 1) + fminf(1, 2) + fabsf(-1.0f) + __int2float_rn(2);
    f[2] = float(__float2int_rn(2.5f) + __float2int_rz(-1.5f) + __float_as_int(1.0f) / 0x10000000);
    f[3] = CUDART_INF_F;
    d[0] = fma(2.0, 3.0, 4.0) + rsqrt(4.0) + __longlong_as_double(__double_as_longlong(1.0));
    d[1] = __ldg(&d[2]) + norm3d(0.0, 3.0, 4.0);
}

__global__ void shapes(int* a, dim3 expected) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    a[block * blockDim.x * blockDim.y * blockDim.z + thread] = blockDim.y == expected.y ? thread : -1;
}

__global__ void vectors(float4* a, int3* b, uchar4* c, Point* p) {
    const float4 v = a[threadIdx.x];
    a[threadIdx.x] = make_float4(v.w, v.z, v.y, v.x);
    b[threadIdx.x] = make_int3(1, 2, 3);
    c[threadIdx.x] = make_uchar4(1, 2, 3, 4);
    p[threadIdx.x] = p[threadIdx.x] + Point{1, 2};
}

__global__ void symbols(float* out) {
    if (threadIdx.x < 3) out[threadIdx.x] = weights[threadIdx.x] * 2;
    if (threadIdx.x == 0) counter += 2, shared_with_host *= 3;
    assert(threadIdx.x < blockDim.x);
    if (threadIdx.x > blockDim.x) printf("never\n");
}

extern __shared__ int of_file[];

__global__ void votes(int* a) {
    of_file[threadIdx.x] = __syncthreads_count(threadIdx.x % 2) + __syncthreads_and(1) +
                           __syncthreads_or(threadIdx.x == 3);
    __syncthreads();
    const unsigned ballot = __ballot_sync(0xffffffff, threadIdx.x < 4);
    const int all = __all_sync(0xffffffff, 1), any = __any_sync(0xffffffff, 0);
    const int from_3 = __shfl_sync(0xffffffff, int(threadIdx.x), 3), up = __shfl_up_sync(~0, 1, 1);
    const unsigned same = __match_any_sync(~0u, threadIdx.x / 16);
    const int sum = __reduce_add_sync(~0u, int(threadIdx.x));
    a[threadIdx.x] = of_file[63 - threadIdx.x] + ballot + all + any + from_3 + up;
    if (threadIdx.x % 32 == 0) a[64 + threadIdx.x / 32] = int(same) + sum;
}

template <class T, int N>
__global__ void __launch_bounds__(N) sum_of(const T* x, T* y) {
    __shared__ T part[N], total;
    part[threadIdx.x] = x[threadIdx.x];
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    atomicAdd(&total, part[N - 1 - threadIdx.x]);
    __syncthreads();
    if (threadIdx.x == 0) *y = total;
}

__global__ void halves(__half* h, half2* g) {
    h[threadIdx.x] = __hadd(h[threadIdx.x], __float2half(0.5f)) * h[threadIdx.x];
    g[threadIdx.x] = __hfma2(g[threadIdx.x], g[threadIdx.x], __float2half2_rn(1.0f));
}

__global__ void scoped(cuda::atomic<int, cuda::thread_scope_device>* a, cuda::atomic<float>* f, int* data) {
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        data[0] = 42;
        a[1].store(1, cuda::memory_order_release);
    }
    if (blockIdx.x == 1 && threadIdx.x == 0) {
        while (a[1].load(cuda::memory_order_acquire) == 0) {
        }
        data[1] = data[0];
    }
    a[0]++;
    a[2].fetch_max(int(threadIdx.x), cuda::memory_order_relaxed);
    f->fetch_add(0.5f);
    cuda::atomic_ref<int, cuda::thread_scope_block> r(data[2 + blockIdx.x]);
    r += 1;
}

template <class T>
T* device(std::vector<T> values) {
    T* p;
    CHECK(cudaMalloc(&p, values.size() * sizeof(T)));
    CHECK(cudaMemcpy(p, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
    return p;
}
template <class T>
std::vector<T> host(const T* p, size_t count) {
    std::vector<T> values(count);
    CHECK(cudaMemcpy(values.data(), p, count * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
}

template <class T>
void try_atomics() {
    T* a = device(std::vector<T>{1, 40, 3, 50, 0, 0});
    atomics<<<1, 32>>>(a);
    EXPECT((host(a, 6) == std::vector<T>{33, 8, 31, 0, 9, 7}));
    CHECK(cudaFree(a));
}

int main() {
    try_atomics<char>();
    try_atomics<short>();
    try_atomics<int>();
    try_atomics<unsigned>();
    try_atomics<long long>();
    try_atomics<unsigned long long>();
    try_atomics<float>();
    try_atomics<double>();

    unsigned* a = device(std::vector<unsigned>{~0u, 0, 5, 0, 0, 0, 0, 0, 0, 0});
    auto* b = device(std::vector<unsigned long long>{0});
    bits<<<1, 32>>>(a, b);
    EXPECT((host(a, 10) == std::vector<unsigned>{0, ~0u, 5, 2, 3, 4 + 31 + 4 + 64 + 1, 0x77441100u, 3, 5, 4}));
    EXPECT(host(b, 1)[0] == 0x5555555555555555ull);

    float* f = device(std::vector<float>(4));
    double* d = device(std::vector<double>{0, 0, 2});
    arithmetic<<<1, 1>>>(f, d);
    EXPECT((host(f, 4) == std::vector<float>{6, 16, 4, INFINITY}));
    EXPECT((host(d, 2) == std::vector<double>{11.5, 7}));

    int* shape;
    CHECK(cudaMallocManaged(&shape, 2 * 3 * 4 * 2 * 3 * 4 * sizeof(int)));
    shapes<<<dim3(2, 3, 4), dim3(2, 3, 4)>>>(shape, dim3(2, 3, 4));
    CHECK(cudaDeviceSynchronize());
    for (int i = 0; i < 2 * 3 * 4 * 2 * 3 * 4; ++i) EXPECT(shape[i] == i % 24);

    auto* v = device(std::vector<float4>(8, make_float4(1, 2, 3, 4)));
    auto* w = device(std::vector<int3>(8));
    auto* c = device(std::vector<uchar4>(8));
    auto* p = device(std::vector<Point>(8, Point{3, 4}));
    vectors<<<1, 8>>>(v, w, c, p);
    EXPECT(host(v, 8)[7].x == 4 && host(w, 8)[7].z == 3 && host(c, 8)[7].w == 4 && host(p, 8)[7].y == 6);

    const float three[3] = {1, 2, 3};
    CHECK(cudaMemcpyToSymbol(weights, three, sizeof three));
    shared_with_host = 4;
    symbols<<<1, 32>>>(f);
    int count;
    CHECK(cudaMemcpyFromSymbol(&count, counter, sizeof count));
    EXPECT(count == 7 && shared_with_host == 12 && host(f, 3)[2] == 6);

    cudaStream_t stream;
    cudaEvent_t begin, end;
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
    int* vote = device(std::vector<int>(66));
    CHECK(cudaEventRecord(begin, stream));
    votes<<<1, 64, 64 * sizeof(int), stream>>>(vote);
    CHECK(cudaEventRecord(end, stream));
    CHECK(cudaEventSynchronize(end));
    float milliseconds = -1;
    CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
    EXPECT(milliseconds >= 0);
    EXPECT(host(vote, 66)[0] == 34 + 15 + 1 + 0 + 3 + 1 && host(vote, 66)[64] == 0xFFFF + 31 * 16);
    CHECK(cudaStreamDestroy(stream));
    CHECK(cudaEventDestroy(begin));

    int* ones = device(std::vector<int>(128, 1));
    sum_of<int, 128><<<1, 128>>>(ones, vote);
    EXPECT(host(vote, 1)[0] == 128);
    void (*kernel)(const int*, int*) = sum_of<int, 64>;
    kernel<<<1, 64>>>(ones, vote);
    EXPECT(host(vote, 1)[0] == 64);
    void* arguments[] = {&ones, &vote};
    CHECK(cudaLaunchKernel((void*)sum_of<int, 32>, dim3(1), dim3(32), arguments, 0, 0));
    EXPECT(host(vote, 1)[0] == 32);

    auto* h = device(std::vector<__half>(32, __float2half(1.5f)));
    auto* g = device(std::vector<half2>(32, __float2half2_rn(3.0f)));
    halves<<<1, 32>>>(h, g);
    EXPECT(__half2float(host(h, 1)[0]) == 3.0f && __high2float(host(g, 1)[0]) == 10.0f);

    cuda::atomic<int, cuda::thread_scope_device>* s;
    cuda::atomic<float>* t;
    CHECK(cudaMallocManaged(&s, 3 * sizeof *s));
    CHECK(cudaMallocManaged(&t, sizeof *t));
    int* data = device(std::vector<int>(4));
    scoped<<<2, 32>>>(s, t, data);
    EXPECT(s[0] == 64 && s[2].load() == 31 && t->load() == 32.0f);
    EXPECT((host(data, 4) == std::vector<int>{42, 42, 32, 32}));

    cudaDeviceProp properties;
    int devices = 0, pitch_ok = 1;
    CHECK(cudaGetDeviceCount(&devices));
    CHECK(cudaGetDeviceProperties(&properties, 0));
    EXPECT(devices == 1 && properties.warpSize == 32 && properties.major >= 7);
    EXPECT(cudaSetDevice(1) == cudaErrorInvalidDevice && cudaGetLastError() == cudaErrorInvalidDevice);
    char* rows;
    size_t pitch;
    CHECK(cudaMallocPitch(&rows, &pitch, 100, 3));
    CHECK(cudaMemset(rows, 1, pitch * 3));
    char copy[300];
    CHECK(cudaMemcpy2D(copy, 100, rows, pitch, 100, 3, cudaMemcpyDeviceToHost));
    for (char byte : copy) pitch_ok &= byte == 1;
    EXPECT(pitch_ok && pitch % 512 == 0);
    int* pinned;
    CHECK(cudaMallocHost(&pinned, 64));
    pinned[0] = 1;
    CHECK(cudaFreeHost(pinned));
    CHECK(cudaPeekAtLastError());
    CHECK(cudaDeviceReset());
    printf("done\n");
}
