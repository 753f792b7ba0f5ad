// Optimizer steps (steps.h): one launch for all tensors of one dtype, whatever their sizes.
//
// Each state array is read once and written once, where separate operations would make five to ten
// passes. What differs from tensor to tensor, its arrays and its numbers, is a row of a table in the
// device's memory: so there may be any number of tensors, of any number of steps so far. All tensors are
// cut into chunks of one size; a block looks up by bisection whose chunk it has. 16-bit states are read
// into fp32, updated and rounded once; or a 16-bit parameter has a master in fp32, which the step updates,
// and takes its values, rounded.
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

// n elements, in packs of their own size.
template <class T, int n>
struct Elements {
    static constexpr int size = Pack<T>::size;
    Pack<T> packs[n / size];

    __device__ T& operator[](int i) { return packs[i / size][i % size]; }
    __device__ void load(const T* array, int64_t start, int64_t end, bool aligned) {
#pragma unroll
        for (int k = 0; k < n / size; ++k) packs[k] = load_pack(array, start + k * size, end, aligned);
    }
    __device__ void store(T* array, int64_t start, int64_t end, bool aligned) const {
#pragma unroll
        for (int k = 0; k < n / size; ++k) store_pack(array, packs[k], start + k * size, end, aligned);
    }
};

// Elements start..end of a tensor with a master, whose gradient is of type G. Where the parameter is not
// its master, rounded, something else has changed it: then the master follows it first.
template <class T, class G, class Row, size_t... state>
__device__ void step_master_chunk(const Row& row, int64_t start, int64_t end,
                                  std::index_sequence<state...>) {
    constexpr int size = Pack<T>::size;
    constexpr int room = sizeof...(state) + 1;  // the master, and the states
    T* const param = static_cast<T*>(row.arrays[0]);
    const G* const grad = static_cast<const G*>(row.arrays[1]);
    float* const wide[room] = {static_cast<float*>(row.arrays[2]),
                               static_cast<float*>(row.arrays[3 + state])...};
    const bool aligned = aligned_for_packs(param, grad, wide[0], wide[1 + state]...);
    const auto step = row.step();
    for (int64_t i = start + threadIdx.x * size; i < end; i += threads_per_block * size) {
        Pack<T> parameters = load_pack(param, i, end, aligned);
        Elements<G, size> gradients;
        gradients.load(grad, i, end, aligned);
        Elements<float, size> kept[room];
#pragma unroll
        for (int k = 0; k < room; ++k) kept[k].load(wide[k], i, end, aligned);
#pragma unroll
        for (int j = 0; j < size; ++j) {
            float& p = kept[0][j];
            const float given = to_acc(parameters[j]);
            p = to_acc(from_acc<T>(p)) == given ? p : given;
            step(p, to_acc(gradients[j]), kept[1 + state][j]...);
            parameters[j] = from_acc<T>(p);
        }
        store_pack(param, parameters, i, end, aligned);
#pragma unroll
        for (int k = 0; k < room; ++k) kept[k].store(wide[k], i, end, aligned);
    }
}

template <class T, template <class> class Step>
__device__ void step_rows_chunk(const steps::Row<Step>& row, int64_t start, int64_t end) {
    step_chunk<T>(row, start, end, std::make_index_sequence<Step<float>::states>());
}

template <class T, template <class> class Step>
__device__ void step_rows_chunk(const steps::MasterRow<Step>& row, int64_t start, int64_t end) {
    constexpr auto states = std::make_index_sequence<Step<float>::states>();
    if (row.wide_gradient) {
        step_master_chunk<T, float>(row, start, end, states);
    } else {
        step_master_chunk<T, T>(row, start, end, states);
    }
}

template <class T, class Row>
__global__ void step_kernel(const Row* rows, int64_t count, int64_t chunks, int64_t chunk_size) {
    for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        const Row& row = row_of_chunk(rows, count, chunk);
        const int64_t start = (chunk - row.first_chunk) * chunk_size;
        const int64_t end = start + chunk_size < row.size ? start + chunk_size : row.size;
        step_rows_chunk<T>(row, start, end);
    }
}

}  // namespace

// `rows` is in the device's memory. chunk_size is a multiple of 8, the largest Pack::size.
template <class T, class Row>
void step_tensors(const Row* rows, int64_t count, int64_t chunks, int64_t chunk_size, cudaStream_t stream) {
    if (chunks > 0) {
        LAUNCH((step_kernel<T, Row>), blocks_for(chunks, 1), threads_per_block, 0, stream, rows, count,
               chunks, chunk_size);
    }
}

#define STEP_LAUNCHER(name, Step) LAUNCHER_AS(name##_step, step_tensors<T, steps::Row<Step>>)
FOR_EACH_STEP(STEP_LAUNCHER);
#define MASTER_STEP_LAUNCHER(name, Step) \
    LAUNCHER_16_BITS_AS(master_##name##_step, step_tensors<T, steps::MasterRow<Step>>)
FOR_EACH_STEP(MASTER_STEP_LAUNCHER);
