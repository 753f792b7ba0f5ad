// Dropout: y = x / (1 - p) where element i is kept, else 0: a product with the reciprocal, as PyTorch's,
// since eight divisions take longer than a pack of memory. Element i is kept iff the upper 24 bits of its
// Philox word are at least ceil(p * 2^24).
//
// No mask is stored: the backward pass is the same launcher on dy with the same seed and offset, and
// recomputes the bits. Ten rounds of Philox for four elements cost less than the memory traffic of a
// mask would. Reads x, writes y.
#include <cmath>

#include "philox.cuh"

namespace {

constexpr int threads_per_block = 256;

// A thread takes whole packs and whole Philox blocks: 4 elements of float (one pack) and of double
// (two packs), 8 of half (two blocks).
template <class T>
__global__ void dropout_kernel(T* y, const T* x, const uint64_t* start, int64_t n, bool aligned,
                               uint32_t threshold, acc_t<T> scale, uint64_t seed, uint64_t offset) {
    begin_stream(start, seed, offset);
    constexpr int pack_size = Pack<T>::size;
    constexpr int chunk = pack_size > philox_words ? pack_size : philox_words;
    for (int64_t first = global_thread() * chunk; first < n; first += thread_count() * chunk) {
        unsigned words[chunk];
#pragma unroll
        for (int j = 0; j < chunk; j += philox_words) {
            const uint4 block = philox_block((first + j) / philox_words, seed, offset);
            words[j] = block.x;
            words[j + 1] = block.y;
            words[j + 2] = block.z;
            words[j + 3] = block.w;
        }
#pragma unroll
        for (int j = 0; j < chunk; j += pack_size) {
            const Pack<T> pack = load_pack(x, first + j, n, aligned);
            acc_t<T> values[pack_size];
#pragma unroll
            for (int e = 0; e < pack_size; ++e) {
                const bool keep = (words[j + e] >> 8) >= threshold;
                values[e] = keep ? to_acc(pack[e]) * scale : acc_t<T>(0);
            }
            store_pack(y, pack_of<T>(values), first + j, n, aligned);
        }
    }
}

}  // namespace

// start: null, or where the stream begins (philox.cuh).
template <class T>
void dropout(T* y, const T* x, const uint64_t* start, int64_t n, double p, uint64_t seed, uint64_t offset,
             cudaStream_t stream) {
    constexpr int chunk = Pack<T>::size > philox_words ? Pack<T>::size : philox_words;
    if (n > 0) {
        const uint32_t threshold = uint32_t(std::ceil(p * 16777216.0));
        LAUNCH(dropout_kernel<T>, blocks_for(n, threads_per_block * chunk), threads_per_block, 0,
               stream, y, x, start, n, aligned_for_packs(y, x), threshold,
               acc_t<T>(1) / acc_t<T>(1.0 - p), seed, offset);
    }
}
LAUNCHER(dropout);
