// Small kernels, right and wrong, with ldmatrix, mma.sync and cp.async, that tests/test_tensor_cores.py
// runs in both builds of the emulator. Each entry point returns null, or the kind and message of the
// error it ended in. Lines that a report must name have the entry point's name behind them.
#include "../../kernels/tensor.cuh"

#include "cases.h"

EXPORT void set_tensor_cores(bool ampere) {
    emulate::set_tensor_cores(ampere ? emulate::ampere : emulate::hopper);
}

namespace {

// ---- products ----

// a: of every block, its lanes' four registers; b two; d four.
template <class T>
__global__ void product_kernel(float* d, const unsigned* a, const unsigned* b) {
    const int lane = int(blockIdx.x * 32 + threadIdx.x);
    unsigned left[4], right[2];
    float sums[4];
    memcpy(left, a + lane * 4, sizeof left);
    memcpy(right, b + lane * 2, sizeof right);
    memcpy(sums, d + lane * 4, sizeof sums);
    if constexpr (std::is_same<T, float>::value) {
        mma_m16n8k8(sums, left, right);
    } else {
        mma_m16n8k16<T>(sums, left, right);
    }
    memcpy(d + lane * 4, sums, sizeof sums);
}

__global__ void round_kernel(unsigned* y, const float* x) {
    y[blockIdx.x] = round_to_tfloat32(x[blockIdx.x]);
}

}  // namespace

CASE(product_half, float* d, unsigned* a, unsigned* b, int count) {
    return RUN(product_kernel<half>, count, 32, d, a, b);
}
CASE(product_bfloat16, float* d, unsigned* a, unsigned* b, int count) {
    return RUN(product_kernel<bfloat16>, count, 32, d, a, b);
}
CASE(product_tfloat32, float* d, unsigned* a, unsigned* b, int count) {
    return RUN(product_kernel<float>, count, 32, d, a, b);
}
CASE(round_tfloat32, unsigned* y, float* x, int count) { return RUN(round_kernel, count, 1, y, x); }

namespace {

// ---- loads ----

// y: each lane's registers. Lane i has the address of row rows[i] of x, which has rows of 8 numbers.
template <int count, bool transposed>
__global__ void load_kernel(unsigned* y, const uint16_t* x, const int* rows) {
    SHARED(tile, Pack<uint16_t>[32]);
    tile[threadIdx.x] = load_pack(x + threadIdx.x * 8);
    __syncthreads();
    unsigned registers[count];
    const void* row = &tile[rows[threadIdx.x]];
    if (transposed) {
        ldmatrix_trans(registers, row);
    } else {
        ldmatrix(registers, row);
    }
    memcpy(y + threadIdx.x * count, registers, sizeof registers);
}

template <int count>
const char* load(bool transposed, unsigned* y, const uint16_t* x, const int* rows) {
    return transposed ? RUN((load_kernel<count, true>), 1, 32, y, x, rows)
                      : RUN((load_kernel<count, false>), 1, 32, y, x, rows);
}

}  // namespace

CASE(load, int count, bool transposed, unsigned* y, uint16_t* x, int* rows) {
    return count == 1   ? load<1>(transposed, y, x, rows)
           : count == 2 ? load<2>(transposed, y, x, rows)
                        : load<4>(transposed, y, x, rows);
}

namespace {

// ---- warps that are not whole, or not of one mind ----

enum class Mistake { none, exited, waits, other_operation, other_count, other_type, other_place };

__global__ void together_kernel(float* y, Mistake mistake) {
    SHARED(tile, Pack<half>[64]);
    const int lane = int(threadIdx.x % 32);
    tile[threadIdx.x] = Pack<half>();
    __syncthreads();
    const bool is_odd = lane % 2 != 0 && threadIdx.x >= 32;
    float d[4] = {1, 2, 3, 4};
    const unsigned a[4] = {}, b[2] = {};
    unsigned loaded[4];
    if (is_odd && mistake == Mistake::exited) return;
    if (is_odd && mistake == Mistake::waits) __syncthreads();
    if (is_odd && mistake == Mistake::other_operation) {
        ldmatrix(loaded, &tile[lane]);
    } else if (is_odd && mistake == Mistake::other_type) {
        mma_m16n8k16<bfloat16>(d, a, b);
    } else if (is_odd && mistake == Mistake::other_place) {
        mma_m16n8k16<half>(d, a, b);
    } else if (mistake != Mistake::other_count) {
        mma_m16n8k16<half>(d, a, b);  // together
    } else if (is_odd) {
        ldmatrix(loaded, &tile[lane]);
    } else {
        ldmatrix_trans(loaded, &tile[lane]);
    }
    y[threadIdx.x] = d[threadIdx.x % 4];
}

}  // namespace

CASE(together, float* y, int threads, int mistake) {
    return RUN(together_kernel, 1, threads, y, Mistake(mistake));
}

namespace {

// ---- addresses ----

enum class Place { right, misaligned, global };

__global__ void row_kernel(unsigned* y, const unsigned* x, Place place) {
    SHARED(tile, Pack<unsigned>[33]);
    tile[threadIdx.x] = load_pack(x);
    __syncwarp();
    const void* row = &tile[threadIdx.x % 8];
    if (place == Place::misaligned && threadIdx.x == 3) row = &tile[3][1];
    if (place == Place::global && threadIdx.x == 3) row = x;
    if (threadIdx.x == 9) row = nullptr;  // nobody looks at it
    unsigned registers[1];
    ldmatrix(registers, row);
    y[threadIdx.x] = registers[0];
}

__global__ void copy_kernel(unsigned* y, const unsigned* x, Place to, Place from, int bytes) {
    SHARED(tile, Pack<unsigned>[2]);
    void* destination = to == Place::global ? static_cast<void*>(y) : &tile[0][to == Place::misaligned];
    copy_async(destination, x + (from == Place::misaligned), bytes);
    commit_copies();
    wait_for_copies<0>();
    store_pack(y, tile[0]);
}

}  // namespace

CASE(row, unsigned* y, unsigned* x, int place) { return RUN(row_kernel, 1, 32, y, x, Place(place)); }
CASE(copy, unsigned* y, unsigned* x, int to, int from, int bytes) {
    return RUN(copy_kernel, 1, 1, y, x, Place(to), Place(from), bytes);
}

namespace {

// ---- copies ----

constexpr int threads = 64;

// y: what the next thread copied, of two groups, of which the last `left` were not waited for.
template <int left, bool has_barrier>
__global__ void groups_kernel(float* y, const float* x, int inside) {
    SHARED(tile, Pack<float>[2][threads]);
    const int i = int(threadIdx.x), next = (i + 1) % threads;
    for (int group = 0; group < 2; ++group) {
        const bool is_there = i < inside;
        const float* source = is_there ? x + (group * threads + i) * 4 : nullptr;
        copy_async(&tile[group][i], source, is_there ? 16 : 0);  // groups
        commit_copies();
    }
    wait_for_copies<left>();
    if (has_barrier) __syncthreads();
    store_pack(y + i * 8, tile[0][next]);  // groups_read
    store_pack(y + i * 8 + 4, tile[1][next]);  // groups_read
    __syncthreads();
    wait_for_copies<0>();
}

enum class Fault { none, own_read, overwritten, twice, source, no_exit_wait, not_committed, vector_read };

__global__ void flight_kernel(float* y, float* x, Fault fault) {
    SHARED(tile, Pack<float>[threads]);
    const int i = int(threadIdx.x), next = (i + 1) % threads;
    copy_async(&tile[i], x + i * 4, 16);  // flight
    if (fault != Fault::not_committed) commit_copies();
    float seen = 0;
    if (fault == Fault::own_read) seen = tile[i][0];  // flight_own_read
    if (fault == Fault::vector_read) seen = load_pack(tile[i].values)[0];  // flight_vector_read
    if (fault == Fault::overwritten) {
        __syncthreads();
        tile[next][1] = 5;  // flight_overwritten
        __syncthreads();
    }
    if (fault == Fault::twice) copy_async(&tile[i], x, 16);  // flight_twice
    if (fault == Fault::source) {
        __syncthreads();
        x[next * 4] = -1;  // flight_source
    }
    if (fault == Fault::twice) commit_copies();
    if (fault != Fault::no_exit_wait) wait_for_copies<0>();
    __syncthreads();
    y[i] = fault == Fault::no_exit_wait ? 0 : tile[next][3] + seen * 0;
}

}  // namespace

CASE(groups, float* y, float* x, int inside, int left, bool has_barrier) {
    if (!has_barrier) return RUN((groups_kernel<0, false>), 1, threads, y, x, inside);
    return left == 0   ? RUN((groups_kernel<0, true>), 1, threads, y, x, inside)
           : left == 1 ? RUN((groups_kernel<1, true>), 1, threads, y, x, inside)
                       : RUN((groups_kernel<2, true>), 1, threads, y, x, inside);
}
CASE(flight, float* y, float* x, int fault) {
    return RUN(flight_kernel, 1, threads, y, x, Fault(fault));
}

namespace {

// ---- what the checked build sees of ldmatrix ----

__global__ void rows_kernel(unsigned* y, bool has_barrier) {
    SHARED(tile, Pack<unsigned>[32]);
    tile[threadIdx.x] = Pack<unsigned>();  // rows_write
    if (has_barrier) __syncwarp();
    unsigned registers[1];
    ldmatrix(registers, &tile[(threadIdx.x + 1) % 8]);  // rows
    y[threadIdx.x] = registers[0];
}

__global__ void unwritten_rows_kernel(unsigned* y) {
    SHARED(tile, Pack<unsigned>[32]);
    tile[threadIdx.x][threadIdx.x != 5 ? 0 : 1] = 0;
    unsigned registers[1];
    __syncwarp();
    ldmatrix(registers, &tile[threadIdx.x % 8]);  // unwritten_rows
    y[threadIdx.x] = registers[0];
}

// Rows so many packs apart.
__global__ void banks_kernel(unsigned* y, const unsigned* x, int apart) {
    SHARED(tile, Pack<unsigned>[32 * 9]);
    unsigned registers[4];
    store_pack(&tile[threadIdx.x * apart][0], load_pack(x));  // banks_store
    __syncwarp();
    ldmatrix(registers, &tile[threadIdx.x * apart]);  // banks
    const Pack<unsigned> pack = load_pack(&tile[threadIdx.x * apart][0]);  // banks_load
    __syncwarp();
    copy_async(&tile[threadIdx.x * apart], x, 16);  // banks_copy
    commit_copies();
    wait_for_copies<0>();
    y[threadIdx.x] = registers[0] + pack[0];
}

}  // namespace

CASE(rows, unsigned* y, bool has_barrier) { return RUN(rows_kernel, 1, 32, y, has_barrier); }
CASE(unwritten_rows, unsigned* y) { return RUN(unwritten_rows_kernel, 1, 32, y); }
CASE(banks, unsigned* y, unsigned* x, int apart) { return RUN(banks_kernel, 1, 32, y, x, apart); }
