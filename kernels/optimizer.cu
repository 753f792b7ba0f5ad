// Optimizer steps (steps.h): one launch for all tensors of one dtype, whatever their sizes.
//
// Each state array is read once and written once, where separate operations would make five to ten
// passes. What differs from tensor to tensor, its arrays and its numbers, is a row of a table in the
// device's memory: so there may be any number of tensors, of any number of steps so far. All tensors are
// cut into chunks of one size; a block looks up by bisection whose chunk it has. 16-bit states are read
// into fp32, updated and rounded once.
#include <utility>

#include "device.cuh"
#include "steps.h"

namespace {

constexpr int threads_per_block = 256;

// The last row whose chunks begin at this one or before: those of empty tensors are never last.
template <class Row>
__device__ const Row& row_of_chunk(const Row* rows, int64_t count, int64_t chunk) {
    int64_t low = 0, high = count;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        (rows[middle].first_chunk <= chunk ? low : high) = middle;
    }
    return rows[low];
}

// Elements start..end of one tensor.
template <class T, class Row, size_t... state>
__device__ void step_chunk(const Row& row, int64_t start, int64_t end, std::index_sequence<state...>) {
    using A = acc_t<T>;
    constexpr int size = Pack<T>::size;
    constexpr int room = sizeof...(state) + 1;  // an array has at least one element
    T* const param = static_cast<T*>(row.arrays[0]);
    const T* const grad = static_cast<const T*>(row.arrays[1]);
    T* const states[room] = {static_cast<T*>(row.arrays[2 + state])...};
    const bool aligned = aligned_for_packs(param, grad, states[state]...);
    const auto step = row.template step<A>();
    for (int64_t i = start + threadIdx.x * size; i < end; i += threads_per_block * size) {
        Pack<T> parameters = load_pack(param, i, end, aligned);
        const Pack<T> gradients = load_pack(grad, i, end, aligned);
        Pack<T> kept[room] = {load_pack(states[state], i, end, aligned)...};
#pragma unroll
        for (int j = 0; j < size; ++j) {
            A p = to_acc(parameters[j]);
            A values[room] = {to_acc(kept[state][j])...};
            step(p, to_acc(gradients[j]), values[state]...);
            parameters[j] = from_acc<T>(p);
            ((kept[state][j] = from_acc<T>(values[state])), ...);
        }
        store_pack(param, parameters, i, end, aligned);
        (store_pack(states[state], kept[state], i, end, aligned), ...);
    }
}

template <class T, template <class> class Step>
__global__ void step_kernel(const steps::Row<Step>* rows, int64_t count, int64_t chunks,
                            int64_t chunk_size) {
    for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        const auto& row = row_of_chunk(rows, count, chunk);
        const int64_t start = (chunk - row.first_chunk) * chunk_size;
        const int64_t end = start + chunk_size < row.size ? start + chunk_size : row.size;
        step_chunk<T>(row, start, end, std::make_index_sequence<Step<acc_t<T>>::states>());
    }
}

}  // namespace

// `rows` is in the device's memory. chunk_size is a multiple of 8, the largest Pack::size.
template <class T, template <class> class Step>
void step_tensors(const steps::Row<Step>* rows, int64_t count, int64_t chunks, int64_t chunk_size,
                  cudaStream_t stream) {
    if (chunks > 0) {
        LAUNCH((step_kernel<T, Step>), blocks_for(chunks, 1), threads_per_block, 0, stream, rows, count,
               chunks, chunk_size);
    }
}

#define STEP_LAUNCHER(name, Step) LAUNCHER_AS(name##_step, step_tensors<T, Step>)
FOR_EACH_STEP(STEP_LAUNCHER);
