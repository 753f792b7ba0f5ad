// y = a + b, of arrays of one shape: a residual, or two gradients of one tensor. Bound by memory.
#include "device.cuh"

namespace {

constexpr int threads_per_block = 256;

template <class T>
__global__ void add_kernel(T* y, const T* a, const T* b, int64_t n, bool aligned) {
    constexpr int size = Pack<T>::size;
    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {
        const Pack<T> left = load_pack(a, i, n, aligned), right = load_pack(b, i, n, aligned);
        acc_t<T> one[size], other[size];
        unpack(one, left);
        unpack(other, right);
#pragma unroll
        for (int j = 0; j < size; ++j) one[j] += other[j];
        store_pack(y, pack_of<T>(one), i, n, aligned);
    }
}

}  // namespace

template <class T>
void add_forward(T* y, const T* a, const T* b, int64_t n, cudaStream_t stream) {
    if (n > 0) {
        LAUNCH(add_kernel<T>, blocks_for(n, threads_per_block * Pack<T>::size), threads_per_block, 0, stream,
               y, a, b, n, aligned_for_packs(y, a, b));
    }
}
LAUNCHER(add_forward);
