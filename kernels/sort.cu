// Positions sorted by the row that they name, equal ones in the order in which they stand.
//
//   order   the stable argsort of the keys;  sorted   the keys in that order
//
// Keys are rows of a table, 0..rows-1; any other counts as `rows` and comes last. What is known of them
// bounds their bits, so a radix sort from the lowest digit up needs few passes: two of 8 bits for a
// vocabulary of 50,257. (Thrust's argsort, CuPy's, waits for the GPU, so that no recording may have it.)
//
// A pass counts the digits of each tile of keys, adds the counts up to where each tile's keys of each digit
// begin, and moves keys and positions there. A warp takes the keys of its part of a tile in order, 32 at a
// time: those of one digit find each other by ballots, so they stay in order without atomics, and the result
// does not depend on the order of threads. A pass reads and writes 16 bytes a key, and the keys once more.
#include "device.cuh"

namespace {

constexpr int digit_bits = 8, digits = 1 << digit_bits;
constexpr int warps = 8, threads = warps * 32;
constexpr int keys_per_warp = 256, tile = warps * keys_per_warp;
static_assert(threads == digits, "a thread for each digit");
constexpr unsigned full = 0xFFFFFFFFu;

int64_t tiles_of(int64_t n) { return ceil_div(n, tile); }

// Where the keys of one pass come from, and where they go. `order` is null in the first, whose positions are
// those of the keys.
struct Pass {
    const int64_t* keys;
    const int64_t* order;
    int64_t* sorted;
    int64_t* to;
    int64_t n, rows;
    int shift;

    __device__ int64_t key(int64_t i) const { return keys[i] >= 0 && keys[i] < rows ? keys[i] : rows; }
    __device__ int digit(int64_t key) const { return int(key >> shift & (digits - 1)); }
};

// The lanes whose digit is this lane's, and that have a key.
__device__ inline unsigned lanes_alike(int digit, bool has_key) {
    unsigned alike = __ballot_sync(full, has_key);
#pragma unroll
    for (int bit = 0; bit < digit_bits; ++bit) {
        const bool is_set = digit >> bit & 1;
        const unsigned set = __ballot_sync(full, is_set);
        alike &= is_set ? set : ~set;
    }
    return alike;
}

// For each key of this warp's part of a tile, in order: visit(i, key, its place in the line of `counts`),
// where the line, one count for each digit, goes up by what was visited. All keys are asked for, and find
// each other, before the first count is looked at.
template <class Visit>
__device__ void each_key(const Pass& pass, int64_t of_tile, int64_t* counts, Visit visit) {
    const int lane = threadIdx.x % 32;
    const int64_t begin = of_tile * tile + threadIdx.x / 32 * keys_per_warp + lane;
    constexpr int rounds = keys_per_warp / 32;
    int64_t keys[rounds];
    unsigned alike[rounds];
#pragma unroll
    for (int round = 0; round < rounds; ++round) {
        const int64_t i = begin + round * 32;
        keys[round] = i < pass.n ? pass.key(i) : 0;
    }
#pragma unroll
    for (int round = 0; round < rounds; ++round) {
        alike[round] = lanes_alike(pass.digit(keys[round]), begin + round * 32 < pass.n);
    }
#pragma unroll
    for (int round = 0; round < rounds; ++round) {
        const bool has_key = alike[round] >> lane & 1;
        int64_t& count = counts[pass.digit(keys[round])];
        const int before = __popc(alike[round] & ((1u << lane) - 1));
        const int64_t place = has_key ? count + before : 0;
        __syncwarp();
        if (has_key && before == 0) {
            count += __popc(alike[round]);
        }
        __syncwarp();
        if (has_key) {
            visit(begin + round * 32, keys[round], place);
        }
    }
}

// counts[t][d]: the keys of digit d in tile t.
__global__ void __launch_bounds__(threads) sort_count_kernel(int64_t* counts, Pass pass, int64_t tiles) {
    SHARED(seen, int64_t[warps][digits]);
    for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        for (int w = 0; w < warps; ++w) {
            seen[w][threadIdx.x] = 0;
        }
        __syncthreads();
        each_key(pass, t, seen[threadIdx.x / 32], [](int64_t, int64_t, int64_t) {});
        __syncthreads();
        int64_t sum = 0;
        for (int w = 0; w < warps; ++w) {
            sum += seen[w][threadIdx.x];
        }
        counts[t * digits + threadIdx.x] = sum;
    }
}

// counts[t][d] becomes the number of keys that go before those: of smaller digits, or of digit d in tiles
// before t. One block, a thread for each digit.
__global__ void __launch_bounds__(threads) sort_begin_kernel(int64_t* counts, int64_t tiles) {
    SHARED(totals, int64_t[digits]);
    const int digit = threadIdx.x;
    int64_t total = 0;
    for (int64_t t = 0; t < tiles; ++t) {
        total += counts[t * digits + digit];
    }
    totals[digit] = total;
    __syncthreads();
    int64_t before = 0;
    for (int d = 0; d < digit; ++d) {
        before += totals[d];
    }
    for (int64_t t = 0; t < tiles; ++t) {
        const int64_t count = counts[t * digits + digit];
        counts[t * digits + digit] = before;
        before += count;
    }
}

__global__ void __launch_bounds__(threads)
    sort_move_kernel(Pass pass, const int64_t* begins, int64_t tiles) {
    SHARED(places, int64_t[warps][digits]);
    for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        for (int w = 0; w < warps; ++w) {
            places[w][threadIdx.x] = 0;
        }
        __syncthreads();
        each_key(pass, t, places[threadIdx.x / 32], [](int64_t, int64_t, int64_t) {});
        __syncthreads();
        int64_t begin = begins[t * digits + threadIdx.x];
        for (int w = 0; w < warps; ++w) {
            const int64_t count = places[w][threadIdx.x];
            places[w][threadIdx.x] = begin;
            begin += count;
        }
        __syncthreads();
        each_key(pass, t, places[threadIdx.x / 32], [&](int64_t i, int64_t key, int64_t place) {
            pass.sorted[place] = key;
            pass.to[place] = pass.order ? pass.order[i] : i;
        });
        __syncthreads();
    }
}

}  // namespace

// Elements of scratch: keys and positions between two passes, and the counts.
int64_t sort_scratch(int64_t n) { return 2 * n + tiles_of(n) * digits; }
FUNCTION(sort_scratch);

void sort_rows(int64_t* order, int64_t* sorted, int64_t* scratch, const int64_t* keys, int64_t n,
               int64_t rows, cudaStream_t stream) {
    if (n == 0) {
        return;
    }
    int passes = 1;
    while (passes * digit_bits < 63 && rows >> passes * digit_bits > 0) {
        ++passes;
    }
    const int64_t tiles = tiles_of(n), blocks = blocks_for(tiles, 1);
    int64_t* const between[] = {scratch, scratch + n};
    int64_t* const results[] = {sorted, order};
    int64_t* const counts = scratch + 2 * n;
    Pass pass{keys, nullptr, nullptr, nullptr, n, rows, 0};
    for (int left = passes; left > 0; --left) {
        int64_t* const* to = left % 2 ? results : between;
        pass.sorted = to[0];
        pass.to = to[1];
        LAUNCH(sort_count_kernel, blocks, threads, 0, stream, counts, pass, tiles);
        LAUNCH(sort_begin_kernel, 1, threads, 0, stream, counts, tiles);
        LAUNCH(sort_move_kernel, blocks, threads, 0, stream, pass, counts, tiles);
        pass.keys = to[0];
        pass.order = to[1];
        pass.shift += digit_bits;
    }
}
FUNCTION(sort_rows);
