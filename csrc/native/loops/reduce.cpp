// Sums, and other reductions, over rows or columns of floats: in parts, whose results the door
// combines, in double. What is added up in float are blocks of a few numbers.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"
#include "csrc/native/reduction.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/narrow.h"
#include "csrc/native/loops/sums.h"
#include "csrc/native/loops/vector.h"

// What is reduced: a term of each element, for which a mean (and what of it is lost in float) may be
// needed; in which type; and how two are combined.
struct Combined {
    static constexpr bool needs_mean = false;
    using A = float;
    static constexpr float none = 0;
    template <class A>
    static A combine(A a, A b) { return a + b; }
};
struct Sum : Combined {
    static float term(float x, float, float) { return x; }
};
struct SumWide : Combined {
    using A = double;
    static double term(float x, float, float) { return double(x); }
};
struct Squares : Combined {
    static float term(float x, float, float) { return x * x; }
};
struct Sizes : Combined {
    static float term(float x, float, float) { return std::fabs(x); }
};
struct Centred : Combined {
    static constexpr bool needs_mean = true;
    static float term(float x, float mean, float rest) {
        const float distance = (x - mean) - rest;
        return distance * distance;
    }
};
struct Exponentials : Combined {
    static constexpr bool needs_mean = true;
    static float term(float x, float largest, float) { return exp(x - largest); }
};
struct SquaresWide : Combined {
    using A = double;
    static double term(float x, float, float) { return double(x) * double(x); }
};
struct CentredWide : Combined {
    using A = double;
    static constexpr bool needs_mean = true;
    static double term(float x, float mean, float rest) {
        const double distance = (double(x) - double(mean)) - double(rest);
        return distance * distance;
    }
};
struct Product : Combined {
    using A = double;
    static constexpr float none = 1;
    static double term(float x, float, float) { return double(x); }
    template <class A>
    static A combine(A a, A b) { return a * b; }
};
// What is no number comes out.
struct Largest : Combined {
    static constexpr float none = -INFINITY;
    static float term(float x, float, float) { return x; }
    template <class A>
    static A combine(A a, A b) { return b > a ? b : b != b ? b : a; }
};
struct Smallest : Combined {
    static constexpr float none = INFINITY;
    static float term(float x, float, float) { return x; }
    template <class A>
    static A combine(A a, A b) { return b < a ? b : b != b ? b : a; }
};

// The mean as a float, and the rest of it.
struct Mean {
    float mean = 0, rest = 0;
    explicit Mean(const double* exact) {
        if (exact != nullptr) {
            mean = float(*exact);
            rest = std::isfinite(mean) ? float(*exact - double(mean)) : 0.0f;
        }
    }
};

// What comes of a row of numbers: of blocks in A, lane by lane, and of the blocks in double.
template <class S>
using OfRow = double(const S* x, int64_t count, Mean m);

template <class Function, class S>
double of_row(const S* x, int64_t count, Mean m) {
    using A = typename Function::A;
    const auto combine = [](auto a, auto b) { return Function::combine(a, b); };
    const auto term = [=](float number) { return A(Function::term(number, m.mean, m.rest)); };
    constexpr int few = 8, half = lanes / 2;
    if (count < few) {
        double total = Function::none;
        for (int64_t i = 0; i < count; ++i) {
            total = combine(total, double(term(widened(x[i]))));
        }
        return total;
    }
    double totals[half];
    for (int j = 0; j < half; ++j) {
        totals[j] = Function::none;
    }
    const int64_t whole = count / lanes * lanes;
    for (int64_t i = 0; i < whole;) {
        const int64_t end = whole - i < block ? whole : i + block;
        A parts[lanes];
        each_widened<lanes>(x + i, [&](int j, float number) {
            parts[j] = combine(A(Function::none), term(number));
        });
        for (i += lanes; i < end; i += lanes) {
            each_widened<lanes>(x + i, [&](int j, float number) {
                parts[j] = combine(parts[j], term(number));
            });
        }
        for (int j = 0; j < half; ++j) {
            totals[j] = combine(totals[j], double(combine(parts[j], parts[j + half])));
        }
    }
    int64_t i = whole;
    for (; i + few <= count; i += few) {
        for (int j = 0; j < few; ++j) {
            totals[j] = combine(totals[j], double(term(widened(x[i + j]))));
        }
    }
    for (int j = 0; i + j < count; ++j) {
        totals[j] = combine(totals[j], double(term(widened(x[i + j]))));
    }
    return over_all(totals, combine);
}

// By way of floats, block by block.
template <class Function, class S>
double of_row_widened(const S* x, int64_t count, Mean m) {
    float wide[block];
    double total = Function::none;
    for (int64_t i = 0; i < count; i += block) {
        const int64_t some = count - i < block ? count - i : block;
        widen(wide, x + i, some);
        total = Function::combine(total, of_row<Function, float>(wide, some, m));
    }
    return total;
}

// Sums of rows that are so short that calls for each of them would take longer.
constexpr int64_t short_row = 64;

typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

void sum_short_rows(double* totals, const float* x, int64_t rows, int64_t length) {
    const int64_t whole = length / 8 * 8;
    for (int64_t row = 0; row < rows; ++row, x += length) {
        Eight parts = {};
        for (int64_t i = 0; i < whole; i += 8) {
            parts += *reinterpret_cast<const Eight*>(x + i);
        }
        double total = (parts[0] + parts[4]) + (parts[2] + parts[6]) +
                       ((parts[1] + parts[5]) + (parts[3] + parts[7]));
        for (int64_t i = whole; i < length; ++i) {
            total += x[i];
        }
        totals[row] = total;
    }
}

constexpr int64_t width = 1024;  // columns at once
constexpr int64_t narrow_width = 256;  // of narrow floats, so that what they are as floats stays near
constexpr int height = 16;             // rows that are added up in float

// Adds so many rows, a stride apart, to the totals of their columns.
template <class S>
using AddRows = void(double* totals, const S* x, int64_t rows, int64_t stride, int64_t columns,
                     const float* mean, const float* rest);

// Two numbers that follow each other: of what holds both, each is what a mask or a shift leaves.
struct Pair {
    float first, second;
    explicit Pair(const Brain* x) {
        uint32_t both;
        __builtin_memcpy(&both, x, sizeof both);
        const float low = __builtin_bit_cast(float, both << 16);
        const float high = __builtin_bit_cast(float, both & 0xffff0000u);
        constexpr bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
        first = little ? low : high;
        second = little ? high : low;
    }
};

// Parts are what comes of so many rows, one after the other.
template <class Function, int rows, class S>
inline void combine_rows(typename Function::A* __restrict parts, const S* __restrict x,
                         int64_t stride, int64_t columns, const float* __restrict mean,
                         const float* __restrict rest) {
    using A = typename Function::A;
    static_assert(std::is_same_v<S, float> || std::is_same_v<Function, Sum>, "narrow ones are added");
    int64_t j = 0;
#if defined(__F16C__)
    if constexpr (std::is_same_v<S, Half>) {
        for (; j + halves_at_once <= columns; j += halves_at_once) {
            Floats part{}, number;
            for (int i = 0; i < rows; ++i) {
                convert(reinterpret_cast<float*>(&number), x + i * stride + j);
                part += number;
            }
            __builtin_memcpy(parts + j, &part, sizeof part);
        }
    }
#endif
    if constexpr (std::is_same_v<S, Brain>) {
        for (; j + 2 <= columns; j += 2) {
            float first = 0, second = 0;
            for (int i = 0; i < rows; ++i) {
                const Pair pair(x + i * stride + j);
                first += pair.first;
                second += pair.second;
            }
            parts[j] = first;
            parts[j + 1] = second;
        }
    }
    for (; j < columns; ++j) {
        A part = Function::none;
        for (int i = 0; i < rows; ++i) {
            const float number = widened(x[i * stride + j]);
            part = Function::combine(part, A(Function::term(number, mean[j], rest[j])));
        }
        parts[j] = part;
    }
}

// (A loop of its own, as choices between doubles that were floats are no vectors.)
template <class Function, int rows, class S>
void add_some_rows(double* __restrict totals, const S* x, int64_t stride, int64_t columns,
                   const float* mean, const float* rest) {
    typename Function::A parts[width];
    combine_rows<Function, rows>(parts, x, stride, columns, mean, rest);
    for (int64_t j = 0; j < columns; ++j) {
        totals[j] = Function::combine(totals[j], double(parts[j]));
    }
}

template <class Function, class S>
void add_rows(double* totals, const S* x, int64_t rows, int64_t stride, int64_t columns,
              const float* mean, const float* rest) {
    int64_t i = 0;
    for (; i + height <= rows; i += height) {
        add_some_rows<Function, height>(totals, x + i * stride, stride, columns, mean, rest);
    }
    for (; i + 4 <= rows; i += 4) {
        add_some_rows<Function, 4>(totals, x + i * stride, stride, columns, mean, rest);
    }
    for (; i < rows; ++i) {
        add_some_rows<Function, 1>(totals, x + i * stride, stride, columns, mean, rest);
    }
}

// By way of floats, a range of columns at once.
template <class Function, class S>
void add_rows_widened(double* totals, const S* x, int64_t rows, int64_t stride, int64_t columns,
                      const float* mean, const float* rest) {
    float wide[height * narrow_width];
    for (int64_t r = 0; r < rows; r += height) {
        const int64_t few = rows - r < height ? rows - r : height;
        for (int64_t j = 0; j < columns; j += narrow_width) {
            const int64_t left = columns - j, across = left < narrow_width ? left : narrow_width;
            for (int64_t i = 0; i < few; ++i) {
                widen(wide + i * across, x + (r + i) * stride + j, across);
            }
            add_rows<Function, float>(totals + j, wide, few, across, across, mean + j, rest + j);
        }
    }
}

// What there is of a kind, of numbers S. Of narrow ones, sums alone have loops of their own.
template <class S>
struct Functions {
    OfRow<S>* of_row;
    AddRows<S>* add_rows;
    double (*combine)(double, double);
    double none;
    bool needs_mean;

    template <class Function>
    static Functions of(Function) {
        Functions found{nullptr, nullptr, Function::template combine<double>, Function::none,
                        Function::needs_mean};
        if constexpr (std::is_same_v<S, float> || std::is_same_v<Function, Sum>) {
            found.of_row = ::of_row<Function, S>;
            found.add_rows = ::add_rows<Function, S>;
        } else {
            found.of_row = of_row_widened<Function, S>;
            found.add_rows = add_rows_widened<Function, S>;
        }
        return found;
    }
};

// Parts begin..end of rows: each has so many of ``length`` elements, the last of a row fewer. Rows lie
// in groups of ``outer`` times ``inner``, and a mean is that of an outer and an inner place.
template <class S>
void reduce_rows(const Functions<S>& of, void* const* arrays, const double* numbers, int64_t begin,
                 int64_t end) {
    const int64_t row_length = int64_t(numbers[1]), length = int64_t(numbers[2]);
    const int64_t parts = int64_t(numbers[3]), middle = int64_t(numbers[4]);
    const int64_t inner = int64_t(numbers[5]);
    double* totals = static_cast<double*>(arrays[0]);
    const double* means = static_cast<const double*>(arrays[2]);
    if (std::is_same_v<S, float> && Kind(int(numbers[0])) == Kind::sum && parts == 1 &&
        row_length < short_row) {
        sum_short_rows(totals + begin, static_cast<const float*>(arrays[1]) + begin * row_length,
                       end - begin, row_length);
        return;
    }
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row = item / parts, start = item % parts * length;
        const int64_t rest = row_length - start, count = rest < length ? rest : length;
        const S* x = static_cast<const S*>(arrays[1]) + row * row_length + start;
        const Mean mean(means == nullptr ? nullptr
                                         : means + row / (middle * inner) * inner + row % inner);
        totals[item] = of.of_row(x, count, mean);
    }
}

// Pieces begin..end of an array of ``outer`` times ``rows`` times ``columns``: of an outer place, a part
// of the rows, a range of the columns. Totals are of outer places, parts and columns.
template <class S>
void reduce_columns(const Functions<S>& of, void* const* arrays, const double* numbers, int64_t begin,
                    int64_t end) {
    const int64_t rows = int64_t(numbers[1]), length = int64_t(numbers[2]);
    const int64_t parts = int64_t(numbers[3]), columns = int64_t(numbers[4]);
    const int64_t ranges = (columns + width - 1) / width;
    const double* means = static_cast<const double*>(arrays[2]);
    float mean[width], rest[width];
    double several[width];
    for (int64_t item = begin; item < end; ++item) {
        const int64_t range = item % ranges, part = item / ranges % parts;
        const int64_t outer = item / ranges / parts;
        const int64_t first = range * width, left = columns - first;
        const int64_t count = left < width ? left : width;
        const int64_t start = part * length;
        const int64_t some = rows - start < length ? rows - start : length;
        const S* x = static_cast<const S*>(arrays[1]) + (outer * rows + start) * columns + first;
        // Several narrow rows are one, as they follow each other.
        int64_t joined = columns < width / 8 ? width / 4 / columns : 1;
        joined = joined < some ? joined : some;
        const int64_t all = joined * count;
        double* totals = static_cast<double*>(arrays[0]) + (outer * parts + part) * columns + first;
        double* const found = joined == 1 ? totals : several;
        for (int64_t j = 0; j < all; ++j) {
            found[j] = of.none;
        }
        for (int64_t j = 0; of.needs_mean && j < all; ++j) {
            const Mean m(means + outer * columns + first + j % count);
            mean[j] = m.mean;
            rest[j] = m.rest;
        }
        const int64_t whole = some / joined, left_over = some - whole * joined;
        of.add_rows(found, x, whole, columns * joined, all, mean, rest);
        of.add_rows(found, x + whole * joined * columns, left_over, columns, count, mean, rest);
        for (int64_t j = 0; joined > 1 && j < count; ++j) {
            double total = found[j];
            for (int64_t i = 1; i < joined; ++i) {
                total = of.combine(total, found[i * count + j]);
            }
            totals[j] = total;
        }
    }
}

template <class S>
Functions<S> functions_of(Kind kind) {
    switch (kind) {
        case Kind::sum: return Functions<S>::of(Sum());
        case Kind::sum_wide: return Functions<S>::of(SumWide());
        case Kind::squares: return Functions<S>::of(Squares());
        case Kind::squares_wide: return Functions<S>::of(SquaresWide());
        case Kind::sizes: return Functions<S>::of(Sizes());
        case Kind::centred: return Functions<S>::of(Centred());
        case Kind::centred_wide: return Functions<S>::of(CentredWide());
        case Kind::exponentials: return Functions<S>::of(Exponentials());
        case Kind::product: return Functions<S>::of(Product());
        case Kind::largest: return Functions<S>::of(Largest());
        default: return Functions<S>::of(Smallest());
    }
}

template <class S>
void reduce(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const Functions<S> of = functions_of<S>(Kind(int(numbers[0])));
    (numbers[6] != 0 ? reduce_rows<S> : reduce_columns<S>)(of, arrays, numbers, begin, end);
}

constexpr Loops all() {
    Loops found{};
    const auto add = [&](const char* name, const char* keyword) {
        found.each[found.count++] = {name,          3,           7, reduce<float>, nullptr, keyword,
                                     reduce<Half>, reduce<Brain>};
    };
    add("sum", nullptr);
    add("column_sum", nullptr);
    add("mean", nullptr);
    add("prod", nullptr);
    add("amax", nullptr);
    add("amin", nullptr);
    add("logsumexp", nullptr);
    add("vector_norm", "order");
    add("var", "correction");
    add("std", "correction");
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(reduce);
const Loops OF_LEVEL(reduce) = all();
