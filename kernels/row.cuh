// Rows of a matrix, each worked on by a team of threads: a warp for short rows, a block for long
// ones. Kernels built on this header are written once; the plan, chosen by the row length, decides
// what a Row means:
//   - rows that fit are kept in registers, as they are in memory: it is read once, however often the
//     kernel walks over the row;
//   - longer ones are copied to shared memory, if they fit there and the kernel says how many it has at
//     a time: each thread what it owns, so that none waits for another;
//   - the longest are read again on every walk, mostly from the L2 cache, several packs at a time.
// A thread owns packs of 16 bytes, or as many elements that lie apart (Layout), all of which it asks
// for before it looks at the first.
#pragma once

#include "reduce.cuh"
#include "tensor.cuh"

// `lanes` threads a row, `packs` packs a thread in registers; 0 packs: the row stays in memory, or so
// many rows at a time are `staged` in shared memory.
template <int lanes_, int packs_, int staged_ = 0>
struct Plan {
    static constexpr int lanes = lanes_;
    static constexpr int packs = packs_;
    static constexpr int staged = staged_;
    // Short rows share a block, to have enough warps where the number of blocks is limited.
    static constexpr int threads = lanes < 128 ? 128 : lanes;
    static constexpr int rows_per_block = threads / lanes;
};
// Kernels say __launch_bounds__(threads, 1): left alone, ptxas would rather spill a few registers
// than give up a block per multiprocessor, and spilled registers are memory traffic again.

// Packs of memory that a row can have a part in.
template <class T>
__host__ __device__ constexpr int64_t packs_of_row(int64_t cols) {
    return ceil_div(cols + Pack<T>::size - 1, Pack<T>::size);
}

// Calls `use` with the plan for rows of `cols` elements, of which a thread keeps at most `bytes`
// bytes (as accumulators): what a kernel can afford depends on how many rows it holds at once. A
// kernel that walks over its rows once has no reason to keep them: 0 bytes. `staged`: how many long
// rows it wants in shared memory at once, if there is as much of it beside what reductions need.
template <class T, int bytes, int staged = 0, class Use>
void choose_plan(int64_t cols, Use use) {
    constexpr int width = Pack<T>::size;
    constexpr int packs = bytes / int(width * sizeof(acc_t<T>));
    if (cols <= 32 * width) {
        use(Plan<32, 1>());
    } else if constexpr (bytes == 0) {
        use(Plan<128, 0>());
    } else if (cols <= 32 * width * packs) {
        use(Plan<32, packs>());
    } else if (cols <= 128 * width * packs) {
        use(Plan<128, packs>());
    } else if constexpr (staged > 0 && sizeof(T) < 8) {
        const int64_t wanted = staged * 16 * packs_of_row<T>(cols) + 1024;
        if (wanted <= shared_bytes_for_copies()) {
            use(Plan<256, 0, staged>());
        } else {
            use(Plan<256, 0>());
        }
    } else if (cols <= 256 * width * packs) {
        use(Plan<256, packs>());
    } else {
        use(Plan<256, 0>());
    }
}

// How rows lie in memory, and so which elements a thread owns.
enum class Layout {
    packs,   // every row is whole packs: a thread owns packs
    peeled,  // rows begin and end anywhere: of its first and last packs, a row has a part
    single,  // as it comes: neighbouring threads own neighbouring elements, the same in every row
};

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

// Known when a kernel is compiled: that all columns of a thread's pack are of the row, and that it is
// 16 bytes of memory if packs are; or that this is to be asked.
template <bool value_>
struct Whole {
    static constexpr bool value = value_;
};

// What a thread owns of one pack, in the accumulator's type.
template <class T>
struct Elements {
    acc_t<T> values[Pack<T>::size];
    Elements() = default;
    __device__ explicit Elements(const Pack<T>& pack) { unpack(values, pack); }
    __device__ acc_t<T>& operator[](int i) { return values[i]; }
    __device__ const acc_t<T>& operator[](int i) const { return values[i]; }
};

// The columns of a row that a thread owns.
template <class T_, class Plan, Layout layout>
struct Columns {
    using T = T_;
    using A = acc_t<T>;
    static constexpr int width = Pack<T>::size;
    static constexpr int lanes = Plan::lanes;
    static constexpr int packs = Plan::packs;
    static constexpr bool kept = packs > 0;
    static constexpr int staged = Plan::staged;
    static constexpr bool at_hand = kept || staged > 0;  // to walk over a row again costs no memory's time
    static constexpr int together = 4;  // packs of a row that is not kept that are asked for at once
    using Index = std::conditional_t<at_hand, int, int64_t>;

    Index cols, first;

    // `shift`: how many elements before the row its first pack begins; only of peeled rows.
    __device__ explicit Columns(int64_t cols, int shift = 0)
        : cols(static_cast<Index>(cols)),
          first(layout == Layout::single ? lane() : lane() * width - shift) {}

    __device__ static int lane() { return threadIdx.x % lanes; }
    __device__ Index column(Index pack, int i) const {
        return first + pack * (lanes * width) + (layout == Layout::single ? i * lanes : i);
    }
    __device__ bool has(Index column) const {
        return column < cols && (layout != Layout::peeled || column >= 0);
    }

    // The same of all columns of so many of a thread's packs, and of any of one's.
    __device__ bool has_all(Index pack, int count = 1) const {
        return has(column(pack, 0)) &&
               ((layout == Layout::packs && count == 1) ||
                column(pack + count - 1, width - 1) < cols);
    }
    __device__ bool has_part(Index pack) const { return column(pack, 0) < cols; }

    // Whether a thread's whole packs of this row are what the layout says.
    __device__ bool is_regular(const T* row) const {
        return layout != Layout::peeled || aligned_for_packs(row + first);
    }
    // Whether a thread's pack of this row is 16 bytes of memory, all of the row.
    __device__ bool is_whole(const T* row, Index pack) const {
        return layout != Layout::single && has_all(pack) && is_regular(row);
    }

    // Part of a row, if there is one; zeros where there is none. `certain`: it is whole, and the row
    // regular.
    template <bool certain = false>
    __device__ Pack<T> load(const T* row, Index pack, bool is_row = true) const {
        const bool whole = is_row && (certain ? layout != Layout::single : is_whole(row, pack));
        uint4 bits{};
        if (whole) {
            bits = load_128_bits(row + column(pack, 0));
        }
        Pack<T> loaded;  // (Zeros of 16 bits would take the words apart.)
        memcpy(&loaded, &bits, sizeof bits);
        if (is_row && !whole && layout != Layout::packs) {
#pragma unroll
            for (int i = 0; i < width; ++i) {
                const Index at = column(pack, i);
                if (certain || has(at)) {
                    loaded[i] = row[at];
                }
            }
        }
        return loaded;
    }

    template <bool certain = false>
    __device__ void store(T* row, Index pack, const Pack<T>& stored) const {
        const bool whole = certain ? layout != Layout::single : is_whole(row, pack);
        if (whole) {
            store_pack(row + column(pack, 0), stored);
        }
        if (!whole && layout != Layout::packs) {
#pragma unroll
            for (int i = 0; i < width; ++i) {
                const Index at = column(pack, i);
                if (certain || has(at)) {
                    row[at] = stored[i];
                }
            }
        }
    }

    struct Place {
        Index pack;
        int element;  // of the pack
        Index column;
    };
    __device__ Place place(Index pack, int i) const { return {pack, i, column(pack, i)}; }

    // Whether a column of the row is the thread's.
    __device__ bool owns(int64_t column) const {
        const int away = int((static_cast<Index>(column) - first) % (lanes * width));
        return layout == Layout::single ? away % lanes == 0 : away >= 0 && away < width;
    }

    // use(pack, Whole, elements...) for every pack of the thread, with the rows' elements there. Of those
    // that are not of the row (has), the values are anything.
    // (`regular`: of what else is accessed there.)
    template <class Use, class... Rows>
    __device__ void each_pack(bool regular, Use use, const Rows&... rows) const {
        if constexpr (kept) {
#pragma unroll
            for (Index pack = 0; pack < packs; ++pack) {
                use(pack, Whole<false>(), rows.elements(rows.held[pack])...);
            }
        } else {
            (rows.arrive(), ...);
            regular = (regular && ... && rows.is_regular());
            for (Index pack = 0; has_part(pack);) {
                if (regular && has_all(pack, together)) {
                    [&](const auto&... loaded) {
#pragma unroll
                        for (int i = 0; i < together; ++i) {
                            use(pack + i, Whole<true>(), rows.elements(loaded.packs[i])...);
                        }
                    }(rows.load(pack)...);
                    pack += together;
                } else {  // an end of the row
                    use(pack, Whole<false>(), rows.elements(rows.template pack_at<false>(pack))...);
                    ++pack;
                }
            }
        }
    }

    // use(place, values...) for every column of the thread, with the rows' values there. (Of whole packs
    // a row has all columns or none: to ask for each would take as long as a sum.)
    template <class Use, class... Rows>
    __device__ void each(Use use, const Rows&... rows) const {
        each_pack(
            true,
            [&](Index pack, auto whole, const auto&... elements) {
                constexpr bool certain = decltype(whole)::value;
                if (!certain && layout == Layout::packs && !has(column(pack, 0))) {
                    return;
                }
#pragma unroll
                for (int i = 0; i < width; ++i) {
                    const Place at = place(pack, i);
                    if (certain || layout == Layout::packs || has(at.column)) {
                        use(at, elements[i]...);
                    }
                }
            },
            rows...);
    }

    // row[column] = compute(place, values...), which is also called, in vain, for the places of the
    // thread's packs that are not of the row.
    template <class Compute, class... Rows>
    __device__ void write(T* row, Compute compute, const Rows&... rows) const {
        each_pack(
            is_regular(row),
            [&](Index pack, auto whole, const auto&... elements) {
                Elements<T> results;
#pragma unroll
                for (int i = 0; i < width; ++i) {
                    results[i] = compute(place(pack, i), elements[i]...);
                }
                store<decltype(whole)::value>(row, pack, pack_of<T>(results.values));
            },
            rows...);
    }

    // Combines the team's values; all threads of the team call it and get the same bits.
    template <class V, class Combine>
    __device__ static V reduce(V value, Combine combine) {
        return block_reduce<lanes>(value, combine);
    }
};

// sum += the thread's pack of the lines begin, begin + step, ... before end, of which several are asked
// for before the first is added; line(i) is where one lies.
template <class Own, class Line>
__device__ void add_lines(Elements<typename Own::T>& sum, const Own& columns, int64_t begin,
                          int64_t end, int64_t step, Line line) {
    using T = typename Own::T;
    constexpr int at_once = 4;
    for (int64_t first = begin; first < end; first += at_once * step) {
        const T* sources[at_once];
        Pack<T> parts[at_once];
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            const int64_t at = first + i * step;
            sources[i] = at < end ? line(at) : nullptr;
        }
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            parts[i] = columns.load(sources[i], 0, sources[i] != nullptr);
        }
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
#pragma unroll
            for (int j = 0; j < Own::width; ++j) {
                sum[j] += to_acc(parts[i][j]);
            }
        }
    }
}

// A row as one thread sees it: what it owns, in registers if the plan keeps rows; in shared memory, as
// the `number`th, if it stages them. An optional one is not staged; if it is null, it has the value
// `absent` everywhere.
template <class Own, int number = 0, bool optional = false>
struct Row {
    using T = typename Own::T;
    using A = typename Own::A;
    using Index = typename Own::Index;
    static constexpr bool staged = Own::staged > 0 && !optional;
    static_assert(optional || Own::staged == 0 || number < Own::staged, "a place of its own");
    struct Loaded {
        Pack<T> packs[Own::together];
    };

    const Own& columns;
    const T* source;
    A absent;
    Pack<T> held[Own::kept ? Own::packs : 1];

    __device__ Row(const Own& columns, const T* source, A absent = A(0))
        : columns(columns), source(source), absent(absent) {
        if constexpr (Own::kept) {
#pragma unroll
            for (int pack = 0; pack < Own::packs; ++pack) {
                held[pack] = pack_at<false>(pack);
            }
        } else if constexpr (staged) {
            columns.each_pack(columns.is_regular(source), [&](Index pack, auto whole) {
                if (whole.value || columns.is_whole(source, pack)) {
                    copy_async(&staged_pack(pack), source + columns.column(pack, 0), 16);
                } else {
                    staged_pack(pack) = columns.load(source, pack);
                }
            });
            commit_copies();
        }
    }

    __device__ Pack<T>& staged_pack(Index pack) const {
        DYNAMIC_SHARED(rows, Pack<T>);
        return rows[number * packs_of_row<T>(columns.cols) + pack * Own::lanes + columns.lane()];
    }

    // Before the first pack is looked at.
    __device__ void arrive() const {
        if constexpr (staged) {
            wait_for_copies<0>();
        }
    }

    __device__ bool is_regular() const {
        return staged || (optional && !source) || columns.is_regular(source);
    }

    template <bool certain>
    __device__ Pack<T> pack_at(Index pack) const {
        if constexpr (staged) {
            return load_pack(staged_pack(pack).values);
        }
        Pack<T> found = columns.template load<certain>(source, pack, !optional || source);
        if (optional && !source) {
            Elements<T> elements;
#pragma unroll
            for (int i = 0; i < Own::width; ++i) {
                elements[i] = absent;
            }
            found = pack_of<T>(elements.values);
        }
        return found;
    }

    // Of whole packs.
    __device__ Loaded load(Index first) const {
        Loaded loaded;
#pragma unroll
        for (int i = 0; i < Own::together; ++i) {
            loaded.packs[i] = pack_at<true>(first + i);
        }
        return loaded;
    }

    __device__ Elements<T> elements(const Pack<T>& pack) const { return Elements<T>(pack); }
};
template <class Own>
using OptionalRow = Row<Own, 0, true>;

// Blocks that a multiprocessor must hold: of rows of 16 bits, 512 threads are what memory needs to be asked
// for at a time, and nothing spills; else see Plan.
template <class T, class Plan, Layout layout>
constexpr int blocks_held = sizeof(T) == 2 && layout == Layout::packs ? 512 / Plan::threads : 1;

// `offset`: how many elements behind a multiple of 16 bytes the first row begins.
template <class T, class Plan, Layout layout, class Body>
__global__ void __launch_bounds__(Plan::threads, (blocks_held<T, Plan, layout>))
    row_kernel(Body body, int64_t rows, int64_t cols, int offset) {
    using Own = Columns<T, Plan, layout>;
    for (int64_t row = team_index<Plan>(); row < rows; row += team_count<Plan>()) {
        const int64_t start = row * cols;
        const Own columns(cols, layout == Layout::peeled ? int((offset + start) % Own::width) : 0);
        body(columns, row, start);
    }
}

// The first that is not null, in elements behind a multiple of 16 bytes.
template <class T, class... More>
int offset_of(const T* matrix, More... more) {
    if (matrix) {
        return int(reinterpret_cast<uintptr_t>(matrix) % 16 / sizeof(T));
    }
    if constexpr (sizeof...(more) > 0) {
        return offset_of(more...);
    }
    return 0;
}

// A kernel that works on each row by itself: body(columns, row, start), for `columns` of whichever
// plan suits rows of `cols` elements; `start` is where the row begins in a matrix. `bytes` as
// choose_plan takes them, and `staged`, of which the body numbers its rows; `matrices` are the pointers to
// whole matrices of such rows, or to single rows, that the body reads and writes, the first of them a
// whole matrix or null.
template <class T, int bytes, int staged = 0, class Body, class... Matrices>
void for_each_row(const char* name, int64_t rows, int64_t cols, cudaStream_t stream, Body body,
                  Matrices... matrices) {
    if (rows == 0) {
        return;
    }
    const bool in_packs = rows_in_packs<T>(cols, matrices...);
    const int offset = offset_of(matrices...);
    // A peeled row may need a pack more than its length says.
    choose_plan<T, bytes, staged>(in_packs ? cols : cols + Pack<T>::size - 1, [&](auto plan) {
        using Plan = decltype(plan);
        const auto launch = [&](auto kernel) {
            LAUNCH_AS(name, kernel, blocks_for(rows, Plan::rows_per_block), Plan::threads,
                      Plan::staged * packs_of_row<T>(cols) * sizeof(Pack<T>), stream, body, rows, cols,
                      offset);
        };
        if constexpr (sizeof(T) == 8) {  // two elements are a pack: one by one they cost no more
            launch(row_kernel<T, Plan, Layout::single, Body>);
        } else if (in_packs) {
            launch(row_kernel<T, Plan, Layout::packs, Body>);
        } else {
            launch(row_kernel<T, Plan, Layout::peeled, Body>);
        }
    });
}
