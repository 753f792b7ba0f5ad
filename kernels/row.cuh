// Rows of a matrix, each worked on by a team of threads: a warp for short rows, a block for long
// ones. Kernels built on this header are written once; the plan, chosen by the row length, decides
// what a Row means:
//   - rows that fit are kept in registers: memory is read once, however often the kernel walks
//     over the row;
//   - longer rows are read again on every walk, mostly from the L2 cache.
// A thread owns packs of 16 bytes. Rows that cannot be read in packs (a misaligned pointer, a row
// length that makes every row start elsewhere) are read element by element, and then neighbouring
// threads own neighbouring elements, which memory serves just as well in whole lines.
#pragma once

#include "reduce.cuh"

// `lanes` threads a row, `packs` packs a thread in registers; 0 packs: the row stays in memory.
template <int lanes_, int packs_>
struct Plan {
    static constexpr int lanes = lanes_;
    static constexpr int packs = packs_;
    // Short rows share a block, to have enough warps where the number of blocks is limited.
    static constexpr int threads = lanes < 128 ? 128 : lanes;
    static constexpr int rows_per_block = threads / lanes;
};
// Kernels say __launch_bounds__(threads, 1): left alone, ptxas would rather spill a few registers
// than give up a block per multiprocessor, and spilled registers are memory traffic again.

// Calls `use` with the plan for rows of `cols` elements, of which a thread keeps at most `bytes`
// bytes (as accumulators): what a kernel can afford depends on how many rows it holds at once. A
// kernel that walks over its rows once has no reason to keep them: 0 bytes.
template <class T, int bytes, class Use>
void choose_plan(int64_t cols, Use use) {
    constexpr int width = Pack<T>::size;
    constexpr int packs = bytes / int(width * sizeof(acc_t<T>));
    if (cols <= 32 * width) {
        use(Plan<32, 1>());
    } else if constexpr (bytes == 0) {
        use(Plan<128, 0>());
    } else if (cols <= 32 * width * packs) {
        use(Plan<32, packs>());
    } else if (cols <= 256 * width * packs) {
        use(Plan<256, packs>());
    } else {
        use(Plan<512, 0>());
    }
}

// Whether every row can be read in packs, for matrices of `cols` columns.
template <class T, class... Pointers>
bool rows_in_packs(int64_t cols, Pointers... matrices) {
    return cols % Pack<T>::size == 0 && aligned_for_packs(matrices...);
}

// A thread's team, and the number of teams in the grid.
template <class Plan>
__device__ inline int64_t team_index() {
    return int64_t(blockIdx.x) * Plan::rows_per_block + threadIdx.x / Plan::lanes;
}
template <class Plan>
__device__ inline int64_t team_count() {
    return int64_t(gridDim.x) * Plan::rows_per_block;
}

// What a thread owns of one pack, in the accumulator's type.
template <class T>
struct Elements {
    acc_t<T> values[Pack<T>::size];
    __device__ acc_t<T>& operator[](int i) { return values[i]; }
    __device__ const acc_t<T>& operator[](int i) const { return values[i]; }
};

// The columns a thread owns, the same in every row.
template <class T_, class Plan>
struct Columns {
    using T = T_;
    using A = acc_t<T>;
    static constexpr int width = Pack<T>::size;
    static constexpr int lanes = Plan::lanes;
    static constexpr int packs = Plan::packs;
    static constexpr bool kept = packs > 0;
    using Index = std::conditional_t<kept, int, int64_t>;

    Index cols, first, step;  // step: from one element of a pack to the next
    bool in_packs;

    __device__ Columns(int64_t cols, bool in_packs)
        : cols(static_cast<Index>(cols)), in_packs(in_packs) {
        first = in_packs ? lane() * width : lane();
        step = in_packs ? 1 : lanes;
    }

    __device__ static int lane() { return threadIdx.x % lanes; }
    __device__ Index pack_count() const {
        return kept ? packs : static_cast<Index>(ceil_div(cols, lanes * width));
    }
    __device__ Index column(Index pack, int i) const {
        return first + pack * (lanes * width) + i * step;
    }

    // Part of the row at `source`; where there is none, `absent`.
    __device__ Elements<T> load(const T* source, Index pack, A absent) const {
        Elements<T> elements;
        if (source && in_packs && column(pack, 0) < cols) {
            const Pack<T> loaded = load_pack(source + column(pack, 0));
#pragma unroll
            for (int i = 0; i < width; ++i) {
                elements[i] = to_acc(loaded[i]);
            }
        } else {
#pragma unroll
            for (int i = 0; i < width; ++i) {
                const Index at = column(pack, i);
                elements[i] = source && at < cols ? to_acc(source[at]) : absent;
            }
        }
        return elements;
    }

    __device__ void store(T* destination, Index pack, const Elements<T>& elements) const {
        Pack<T> stored;
#pragma unroll
        for (int i = 0; i < width; ++i) {
            stored[i] = from_acc<T>(elements[i]);
        }
        if (in_packs && column(pack, 0) < cols) {
            store_pack(destination + column(pack, 0), stored);
        } else {
#pragma unroll
            for (int i = 0; i < width; ++i) {
                const Index at = column(pack, i);
                if (at < cols) {
                    destination[at] = stored[i];
                }
            }
        }
    }

    struct Place {
        Index pack;
        int element;  // of the pack
        Index column;
    };

    // use(place, values...) for every column of the thread, with the rows' values there.
    template <class Use, class... Rows>
    __device__ void each(Use use, const Rows&... rows) const {
#pragma unroll(kept ? packs : 2)
        for (Index pack = 0; pack < pack_count(); ++pack) {
            [&](const auto&... elements) {
#pragma unroll
                for (int i = 0; i < width; ++i) {
                    const Place place{pack, i, column(pack, i)};
                    if (place.column < cols) {
                        use(place, elements[i]...);
                    }
                }
            }(rows.pack(pack)...);
        }
    }

    // destination[column] = compute(place, values...), which is also called, in vain, for the
    // places that the last packs have beyond the end of the row.
    template <class Compute, class... Rows>
    __device__ void write(T* destination, Compute compute, const Rows&... rows) const {
#pragma unroll(kept ? packs : 2)
        for (Index pack = 0; pack < pack_count(); ++pack) {
            [&](const auto&... elements) {
                Elements<T> results;
#pragma unroll
                for (int i = 0; i < width; ++i) {
                    results[i] = compute(Place{pack, i, column(pack, i)}, elements[i]...);
                }
                store(destination, pack, results);
            }(rows.pack(pack)...);
        }
    }

    // Combines the team's values; all threads of the team call it and get the same bits.
    template <class V, class Combine>
    __device__ static V reduce(V value, Combine combine) {
        return block_reduce<lanes>(value, combine);
    }
};

// A row as one thread sees it: what it owns, in registers if the plan keeps rows. A null row has
// the value `absent` everywhere.
template <class Own>
struct Row {
    using T = typename Own::T;
    using A = typename Own::A;
    using Index = typename Own::Index;

    const Own& columns;
    const T* source;
    A absent;
    Elements<T> held[Own::kept ? Own::packs : 1];

    __device__ Row(const Own& columns, const T* source, A absent = A(0))
        : columns(columns), source(source), absent(absent) {
        if constexpr (Own::kept) {
#pragma unroll
            for (int pack = 0; pack < Own::packs; ++pack) {
                held[pack] = columns.load(source, pack, absent);
            }
        }
    }

    __device__ Elements<T> pack(Index index) const {
        if constexpr (Own::kept) {
            return held[index];
        } else {
            return columns.load(source, index, absent);
        }
    }
};

template <class T, class Plan, class Body>
__global__ void __launch_bounds__(Plan::threads, 1)
    row_kernel(Body body, int64_t rows, int64_t cols, bool in_packs) {
    const Columns<T, Plan> columns(cols, in_packs);
    for (int64_t row = team_index<Plan>(); row < rows; row += team_count<Plan>()) {
        body(columns, row, row * cols);
    }
}

// A kernel that works on each row by itself: body(columns, row, start), for `columns` of whichever
// plan suits rows of `cols` elements; `start` is where the row begins in a matrix. `bytes` as
// choose_plan takes them; `matrices` are the pointers to whole matrices of such rows, or to single
// rows, that the body reads and writes in packs.
template <class T, int bytes, class Body, class... Matrices>
void for_each_row(const char* name, int64_t rows, int64_t cols, cudaStream_t stream, Body body,
                  Matrices... matrices) {
    if (rows == 0) {
        return;
    }
    choose_plan<T, bytes>(cols, [&](auto plan) {
        using Plan = decltype(plan);
        LAUNCH_AS(name, (row_kernel<T, Plan, Body>), blocks_for(rows, Plan::rows_per_block),
                  Plan::threads, 0, stream, body, rows, cols, rows_in_packs<T>(cols, matrices...));
    });
}
