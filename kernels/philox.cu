// The raw random words of a (seed, offset) stream, for tests and for generators on the GPU. Writes 16
// bytes per thread and reads nothing; see philox.cuh.
#include "philox.cuh"

namespace {

constexpr int threads_per_block = 256;

__global__ void philox_kernel(uint32_t* words, const uint64_t* start, int64_t n, bool aligned,
                              uint64_t seed, uint64_t offset) {
    begin_stream(start, seed, offset);
    for (int64_t i = global_thread() * philox_words; i < n; i += thread_count() * philox_words) {
        const uint4 block = philox_block(i / philox_words, seed, offset);
        store_pack(words, Pack<uint32_t>{{block.x, block.y, block.z, block.w}}, i, n, aligned);
    }
}

}  // namespace

// start: null, or where the stream begins (philox.cuh).
void philox(uint32_t* words, const uint64_t* start, int64_t n, uint64_t seed, uint64_t offset,
            cudaStream_t stream) {
    if (n > 0) {
        LAUNCH(philox_kernel, blocks_for(n, threads_per_block * philox_words), threads_per_block, 0,
               stream, words, start, n, aligned_for_packs(words), seed, offset);
    }
}
FUNCTION(philox);
