// Loops over broadcast arrays, block by block: an input that has one element for a row, or narrow
// floats, is first laid out as a block of what is computed with. Included within a namespace, behind
// narrow.h.

constexpr int64_t at_once = 512;  // elements of a block
constexpr int64_t line = 64;      // bytes of a line of a cache

// What is computed with for what is stored.
template <class S>
using Computed = decltype(widened(S()));

// y of so many elements of each x, for what is computed with; y may be one of the x.
using Block = void (*)(void* y, int64_t count, const void* const* x);

template <class Function, class A, class First, std::size_t... k>
inline void each_of(A* y, int64_t count, const void* const* x, std::index_sequence<k...>) {
    const First* first = static_cast<const First*>(x[0]);
    const A* others[] = {nullptr, static_cast<const A*>(x[k + 1])...};
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        y[i] = Function::value(first[i], others[k + 1][i]...);
    }
}

// Of so many inputs, of which the first is a First.
template <class Function, int inputs, class A, class First>
void block(void* y, int64_t count, const void* const* x) {
    each_of<Function, A, First>(static_cast<A*>(y), count, x,
                                std::make_index_sequence<inputs - 1>());
}

// Where all but the first input are one number each. (Read from blocks of them, they would take as long
// as what they are computed with.)
template <class Function, class A, class First, std::size_t... k>
inline void each_with(A* y, int64_t count, const void* const* x, std::index_sequence<k...>) {
    const First* first = static_cast<const First*>(x[0]);
    const A numbers[] = {*static_cast<const A*>(x[k + 1])...};
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        y[i] = Function::value(first[i], numbers[k]...);
    }
}
template <class Function, int inputs, class A, class First>
void block_with(void* y, int64_t count, const void* const* x) {
    each_with<Function, A, First>(static_cast<A*>(y), count, x,
                                  std::make_index_sequence<inputs - 1>());
}
template <class Function, int inputs, class A, class First>
constexpr Block with_numbers() {
    if constexpr (inputs > 1) {
        return block_with<Function, inputs, A, First>;
    } else {
        return nullptr;
    }
}

// An input's row: memory of T, computed with as A.
template <class T, class A>
struct Row {
    const T* memory;
    bool repeated;
    alignas(line) A laid_out[at_once];

    static A read(T x) {
        if constexpr (std::is_same_v<T, A>) {
            return x;
        } else {
            return widened(x);
        }
    }

    // Of a repeated element, so many at least are laid out.
    void begin(const void* start, int64_t offset, bool is_repeated, bool number, int64_t least) {
        memory = static_cast<const T*>(start) + offset;
        repeated = is_repeated;
        if (repeated) {
            const A value = number ? *static_cast<const A*>(start) : read(*memory);
            for (int64_t i = 0; i < least; ++i) {
                laid_out[i] = value;
            }
        }
    }

    // From the i-th element on.
    const void* from(int64_t i, int64_t count) {
        if (repeated) {
            return laid_out;
        }
        if constexpr (std::is_same_v<T, A>) {
            return memory + i;
        } else {
            widen(laid_out, memory + i, count);
            return laid_out;
        }
    }
};

// Of S, computed in A; but the first input is a First, if that is not what is computed with.
template <class S, class A, class First>
void spread(Block block, Block block_with, int inputs, void* const* arrays, int64_t begin,
            int64_t end) {
    constexpr bool direct = std::is_same_v<S, A>;
    using Head = std::conditional_t<std::is_same_v<First, A>, S, First>;
    const Spread& of = *static_cast<const Spread*>(arrays[inputs + 1]);
    Row<Head, First> head;
    Row<S, A> tail[max_inputs - 1];
    bool all_alike = inputs > 1;  // but the first
    int repeated = of.repeated[0];
    for (int k = 1; k < inputs; ++k) {
        all_alike = all_alike && of.repeated[k];
        repeated += of.repeated[k];
    }
    const bool whole = direct && (repeated == 0 || (all_alike && !of.repeated[0]));
    block = all_alike ? block_with : block;
    const bool parts = of.rows == 1;  // of the only row: begin and end are elements
    for (int64_t r = parts ? 0 : begin; r < (parts ? 1 : end); ++r) {
        const int64_t length = parts ? end - begin : of.length;
        int64_t offsets[max_inputs], rest = r;
        for (int k = 0; k < inputs; ++k) {
            offsets[k] = parts && !of.repeated[k] ? begin : 0;
        }
        for (int d = of.dims - 1; d >= 0; --d) {
            const int64_t i = rest % of.sizes[d];
            rest /= of.sizes[d];
            for (int k = 0; k < inputs; ++k) {
                offsets[k] += i * of.steps[k][d];
            }
        }
        const int64_t some = length < at_once ? length : at_once;
        head.begin(arrays[1], offsets[0], of.repeated[0], of.number[0], some);
        for (int k = 1; k < inputs; ++k) {
            tail[k - 1].begin(arrays[k + 1], offsets[k], of.repeated[k], of.number[k],
                              all_alike ? 1 : some);
        }
        S* y = static_cast<S*>(arrays[0]) + (parts ? begin : r * length);
        // Long rows are written from the beginning of a vector on, which no line of a cache divides.
        const int64_t beyond = int64_t(reinterpret_cast<uintptr_t>(y) % line);
        const bool divides = whole && parts && length >= at_once && beyond != 0;
        const int64_t lead = divides ? (line - beyond) / int64_t(sizeof(S)) : 0;
        int64_t count;
        for (int64_t i = 0; i < length; i += count) {
            const int64_t step = i < lead ? lead : whole ? length : at_once;
            count = length - i < step ? length - i : step;
            const void* x[max_inputs] = {head.from(i, count)};
            for (int k = 1; k < inputs; ++k) {
                x[k] = tail[k - 1].from(i, count);
            }
            if constexpr (direct) {
                block(y + i, count, x);
            } else {
                alignas(line) A computed[at_once];
                block(computed, count, x);
                narrow(y + i, computed, count);
            }
        }
    }
}

template <class Function, int inputs, class S, class A, class First>
void loop(void* const* arrays, const double*, int64_t begin, int64_t end) {
    spread<S, A, First>(block<Function, inputs, A, First>,
                        with_numbers<Function, inputs, A, First>(), inputs, arrays, begin, end);
}

// The loop of a function of so many inputs, all of S.
template <class Function, int inputs, class S>
constexpr Loop alike = loop<Function, inputs, S, Computed<S>, Computed<S>>;

// A line of a table: a function's name, how many inputs it has, and the names of those that are given
// as keywords; for double, and for 16 bits, YES or NO.
#define ADD(name, Function, inputs, keywords, wide, narrow)      \
    found.each[found.count++] = {name,                           \
                                 inputs + 1,                     \
                                 0,                              \
                                 alike<Function, inputs, float>, \
                                 wide(Function, inputs, double), \
                                 keywords,                       \
                                 narrow(Function, inputs, Half), \
                                 narrow(Function, inputs, Brain)};
#define YES(Function, inputs, S) alike<Function, inputs, S>
#define NO(Function, inputs, S) nullptr
