// The norm of all elements of many tensors together, and what keeps it within bounds:
//
//   norm = sqrt(sum of g^2),  g *= min(most / (norm + 1e-6), 1)
//
// Of many tensors of one dtype, whatever their sizes, in one launch each; the host never learns the norm.
// Where the tensors are is told in the kernel's arguments, so that no table is copied to the device. All are
// cut into chunks of one size, of which a block looks up by bisection whose it is. Squares are added up in
// doubles, whose range and digits no sum of fp32's squares leaves: an addition for each element that
// is read costs no time beside the reading. Blocks write their sums, which one block adds up, in
// order: the same bits in every run.
#include <algorithm>

#include "device.cuh"
#include "reduce.cuh"

namespace {

constexpr int chunk_threads = 256;
constexpr int64_t chunk_size = 4096;
constexpr int64_t most_tensors = 160;  // whose places fit into a kernel's arguments, of 4 KB

struct Place {
    int64_t first_chunk, size;
    void* elements;
};

struct Tensors {
    Place places[most_tensors];
    int count;
    int64_t chunks;

    // `table`, in the host's memory: of each tensor its size and its address.
    Tensors(const int64_t* table, int64_t count) : count(static_cast<int>(count)), chunks(0) {
        for (int64_t i = 0; i < count; ++i) {
            places[i] = {chunks, table[2 * i], reinterpret_cast<void*>(table[2 * i + 1])};
            chunks += ceil_div(table[2 * i], chunk_size);
        }
    }
};

// Elements [start, end) of the tensor that has a chunk: the last one whose chunks begin there or before.
// (Those of empty tensors are never last.)
template <class T>
struct Chunk {
    T* elements;
    int64_t start, end;
    bool aligned;

    __device__ Chunk(const Tensors& tensors, int64_t chunk) {
        int low = 0, high = tensors.count;
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            (tensors.places[middle].first_chunk <= chunk ? low : high) = middle;
        }
        elements = static_cast<T*>(tensors.places[low].elements);
        start = (chunk - tensors.places[low].first_chunk) * chunk_size;
        end = min(start + chunk_size, tensors.places[low].size);
        aligned = aligned_for_packs(elements);
    }
};

template <class T>
__global__ void squares_kernel(double* sums, Tensors tensors) {
    constexpr int size = Pack<T>::size;
    double sum = 0;
    for (int64_t chunk = blockIdx.x; chunk < tensors.chunks; chunk += gridDim.x) {
        const Chunk<const T> own(tensors, chunk);
        for (int64_t i = own.start + threadIdx.x * size; i < own.end; i += chunk_threads * size) {
            const Pack<T> pack = load_pack(own.elements, i, own.end, own.aligned);
#pragma unroll
            for (int j = 0; j < size; ++j) {
                const double g = to_acc(pack[j]);
                sum += g * g;
            }
        }
    }
    sum = block_sum<chunk_threads>(sum);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = sum;
    }
}

__global__ void norm_kernel(float* norm, const double* sums, int64_t n) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += chunk_threads) sum += sums[i];
    sum = block_sum<chunk_threads>(sum);
    if (threadIdx.x == 0) {
        *norm = static_cast<float>(sqrt(sum));
    }
}

template <class T>
__global__ void scale_kernel(Tensors tensors, const float* norm, float most) {
    constexpr int size = Pack<T>::size;
    const float factor = most / (*norm + 1e-6f);
    if (factor >= 1.0f) {
        return;  // (what is no number is multiplied by)
    }
    for (int64_t chunk = blockIdx.x; chunk < tensors.chunks; chunk += gridDim.x) {
        const Chunk<T> own(tensors, chunk);
        for (int64_t i = own.start + threadIdx.x * size; i < own.end; i += chunk_threads * size) {
            Pack<T> pack = load_pack(own.elements, i, own.end, own.aligned);
#pragma unroll
            for (int j = 0; j < size; ++j) pack[j] = from_acc<T>(to_acc(pack[j]) * factor);
            store_pack(own.elements, pack, i, own.end, own.aligned);
        }
    }
}

}  // namespace

// How many sums `squares` writes for so many tensors, of any sizes.
int64_t squares_sums() {
    constexpr int64_t enough = 1024;  // blocks to keep a large GPU busy
    return std::min(enough, grid_limit);
}
FUNCTION(squares_sums);

// Sums of squares, which together are that of all elements; 0 for what no block has. `table`, in the host's
// memory: of each of up to 160 tensors its size and its address.
template <class T>
void squares(double* sums, const int64_t* table, int64_t count, cudaStream_t stream) {
    LAUNCH(squares_kernel<T>, squares_sums(), chunk_threads, 0, stream, sums, Tensors(table, count));
}
LAUNCHER_UP_TO_FLOAT32(squares);

// The root of what n numbers add up to.
void root_of_sum(float* norm, const double* sums, int64_t n, cudaStream_t stream) {
    LAUNCH(norm_kernel, 1, chunk_threads, 0, stream, norm, sums, n);
}
FUNCTION(root_of_sum);

template <class T>
void scale_to_norm(const float* norm, const int64_t* table, int64_t count, double most, cudaStream_t stream) {
    const Tensors tensors(table, count);
    if (tensors.chunks > 0) {
        LAUNCH(scale_kernel<T>, blocks_for(tensors.chunks, 1), chunk_threads, 0, stream, tensors, norm,
               static_cast<float>(most));
    }
}
LAUNCHER_UP_TO_FLOAT32(scale_to_norm);
