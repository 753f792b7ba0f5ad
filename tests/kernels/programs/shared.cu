// Kernels that take much shared memory: which is launched, which has asked before, for how much, and
// how many bytes the launch wants. Prints what the request, if any, and the launch return.
#include <cstdio>
#include <cstdlib>
#include <cstring>

struct Scale {
    float by[3];
};

__global__ void plain(float* y, Scale scale) {
    extern __shared__ float line[];
    line[threadIdx.x] = scale.by[2];
    y[threadIdx.x] = line[threadIdx.x];
}
template <class T>
__global__ void any(T* y, int n) {
    extern __shared__ float line[];
    if (threadIdx.x < n) line[threadIdx.x] = 1;
    y[threadIdx.x] = T(line[threadIdx.x]);
}
__global__ void both(float* y) {
    __shared__ float fixed[10 * 1024];
    extern __shared__ float line[];
    fixed[threadIdx.x] = line[threadIdx.x] = 1;
    y[threadIdx.x] = fixed[threadIdx.x] + line[threadIdx.x];
}

int main(int, char** arguments) {
    const char *launched = arguments[1], *asks = arguments[2];
    const int asked = atoi(arguments[3]), wanted = atoi(arguments[4]);
    const auto max_dynamic = cudaFuncAttributeMaxDynamicSharedMemorySize;
    const void* unknown = (const void*)plain;
    float* y;
    cudaMalloc(&y, 32 * sizeof(float));
    cudaError_t error = cudaSuccess;
    if (!strcmp(asks, "plain")) error = cudaFuncSetAttribute(plain, max_dynamic, asked);
    if (!strcmp(asks, "void")) error = cudaFuncSetAttribute((const void*)plain, max_dynamic, asked);
    if (!strcmp(asks, "pointer")) error = cudaFuncSetAttribute(unknown, max_dynamic, asked);
    if (!strcmp(asks, "any")) error = cudaFuncSetAttribute(any<float>, max_dynamic, asked);
    if (!strcmp(asks, "int")) {
        error = cudaFuncSetAttribute(reinterpret_cast<const void*>(any<int>), max_dynamic, asked);
    }
    if (!strcmp(asks, "both")) error = cudaFuncSetAttribute(&both, max_dynamic, asked);
    if (!strcmp(asks, "carveout")) {
        error = cudaFuncSetAttribute(plain, cudaFuncAttributePreferredSharedMemoryCarveout, asked);
    }
    printf("%s, ", cudaGetErrorString(error));
    cudaGetLastError();
    if (!strcmp(launched, "plain")) plain<<<1, 32, wanted>>>(y, Scale{{1, 2, 3}});
    if (!strcmp(launched, "any")) any<<<1, 32, wanted>>>(y, 32);
    if (!strcmp(launched, "both")) both<<<1, 32, wanted>>>(y);
    if (!strcmp(launched, "unread")) return plain<<<1, 32, wanted>>>(y, Scale{}), 0;
    error = cudaGetLastError();
    int most = 0;
    cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
    printf("%s, of %d\n", cudaGetErrorString(error), most);
}
