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
    static constexpr bool needs_mean = false, adds = true;
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
    static constexpr bool adds = false;
    static double term(float x, float, float) { return double(x); }
    template <class A>
    static A combine(A a, A b) { return a * b; }
};
// What is no number comes out.
struct Largest : Combined {
    static constexpr float none = -INFINITY;
    static constexpr bool adds = false;
    static float term(float x, float, float) { return x; }
    template <class A>
    static A combine(A a, A b) { return b > a ? b : b != b ? b : a; }
};
struct Smallest : Combined {
    static constexpr float none = INFINITY;
    static constexpr bool adds = false;
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

// Of a block.
using OfBlock = double(const float* x, int64_t count, Mean m);

template <class Function>
double of_block(const float* x, int64_t count, Mean m) {
    using A = typename Function::A;
    if constexpr (Function::adds) {
        return sum_of(count, [=](int64_t i) { return Function::term(x[i], m.mean, m.rest); });
    } else {
        A total = Function::none;
        int64_t i = 0;
        if (count >= lanes) {
            A parts[lanes];
            for (int j = 0; j < lanes; ++j) {
                parts[j] = Function::term(x[j], 0, 0);
            }
            for (i = lanes; i + lanes <= count; i += lanes) {
                for (int j = 0; j < lanes; ++j) {
                    parts[j] = Function::combine(parts[j], A(Function::term(x[i + j], 0, 0)));
                }
            }
            total = over_all(parts, [](A a, A b) { return Function::combine(a, b); });
        }
        for (; i < count; ++i) {
            total = Function::combine(total, A(Function::term(x[i], 0, 0)));
        }
        return double(total);
    }
}

constexpr int64_t width = 1024;  // columns at once
constexpr int64_t narrow_width = 256;  // of narrow floats, so that what they are as floats stays near
constexpr int64_t height = 16;   // rows that are added up in float

// Adds so many rows, a stride apart, to the totals of their columns.
using AddRows = void(double* totals, const float* x, int64_t rows, int64_t stride, int64_t columns,
                     const float* mean, const float* rest);

// Combines parts with so many rows, one after the other.
template <class Function, int rows>
inline void combine_rows(typename Function::A* __restrict parts, const float* __restrict x,
                         int64_t stride, int64_t columns, const float* __restrict mean,
                         const float* __restrict rest) {
    using A = typename Function::A;
    for (int64_t j = 0; j < columns; ++j) {
        A part = parts[j];
        for (int i = 0; i < rows; ++i) {
            part = Function::combine(part, A(Function::term(x[i * stride + j], mean[j], rest[j])));
        }
        parts[j] = part;
    }
}

template <class Function>
void add_rows(double* __restrict totals, const float* x, int64_t rows, int64_t stride,
              int64_t columns, const float* mean, const float* rest) {
    using A = typename Function::A;
    A parts[width];
    for (int64_t j = 0; j < columns; ++j) {
        parts[j] = A(Function::none);
    }
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        combine_rows<Function, 4>(parts, x + i * stride, stride, columns, mean, rest);
    }
    for (; i < rows; ++i) {
        combine_rows<Function, 1>(parts, x + i * stride, stride, columns, mean, rest);
    }
    for (int64_t j = 0; j < columns; ++j) {
        totals[j] = Function::combine(totals[j], double(parts[j]));
    }
}

// What there is of a kind.
struct Functions {
    OfBlock* of_block;
    AddRows* add_rows;
    double (*combine)(double, double);
    double none;
    bool needs_mean;

    template <class Function>
    static Functions of(Function) {
        return {::of_block<Function>, ::add_rows<Function>, Function::template combine<double>,
                Function::none, Function::needs_mean};
    }
};

// Parts begin..end of rows: each has so many of ``length`` elements, the last of a row fewer. Rows lie
// in groups of ``outer`` times ``inner``, and a mean is that of an outer and an inner place.
template <class S>
void reduce_rows(const Functions& of, void* const* arrays, const double* numbers, int64_t begin,
                 int64_t end) {
    const int64_t row_length = int64_t(numbers[1]), length = int64_t(numbers[2]);
    const int64_t parts = int64_t(numbers[3]), middle = int64_t(numbers[4]);
    const int64_t inner = int64_t(numbers[5]);
    double* totals = static_cast<double*>(arrays[0]);
    const double* means = static_cast<const double*>(arrays[2]);
    float wide[block];
    for (int64_t item = begin; item < end; ++item) {
        const int64_t row = item / parts, start = item % parts * length;
        const int64_t rest = row_length - start, count = rest < length ? rest : length;
        const S* x = static_cast<const S*>(arrays[1]) + row * row_length + start;
        const Mean mean(means == nullptr ? nullptr
                                         : means + row / (middle * inner) * inner + row % inner);
        double total = of.none;
        for (int64_t i = 0; i < count; i += block) {
            const int64_t some = count - i < block ? count - i : block;
            const float* read;
            if constexpr (std::is_same_v<S, float>) {
                read = x + i;
            } else {
                widen(wide, x + i, some);
                read = wide;
            }
            total = of.combine(total, of.of_block(read, some, mean));
        }
        totals[item] = total;
    }
}

// Pieces begin..end of an array of ``outer`` times ``rows`` times ``columns``: of an outer place, a part
// of the rows, a range of the columns. Totals are of outer places, parts and columns.
template <class S>
void reduce_columns(const Functions& of, void* const* arrays, const double* numbers, int64_t begin,
                    int64_t end) {
    const int64_t rows = int64_t(numbers[1]), length = int64_t(numbers[2]);
    const int64_t parts = int64_t(numbers[3]), columns = int64_t(numbers[4]);
    const int64_t ranges = (columns + width - 1) / width;
    const double* means = static_cast<const double*>(arrays[2]);
    float mean[width], rest[width], wide[std::is_same_v<S, float> ? 1 : height * narrow_width];
    double found[width];
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
        for (int64_t j = 0; j < all; ++j) {
            found[j] = of.none;
            if (of.needs_mean) {
                const Mean m(means + outer * columns + first + j % count);
                mean[j] = m.mean;
                rest[j] = m.rest;
            }
        }
        const auto add = [&](const S* x, int64_t rows, int64_t stride, int64_t columns) {
            for (int64_t r = 0; r < rows; r += height) {
                const int64_t few = rows - r < height ? rows - r : height;
                if constexpr (std::is_same_v<S, float>) {
                    of.add_rows(found, x + r * stride, few, stride, columns, mean, rest);
                } else {
                    for (int64_t j = 0; j < columns; j += narrow_width) {
                        const int64_t left = columns - j;
                        const int64_t across = left < narrow_width ? left : narrow_width;
                        for (int64_t i = 0; i < few; ++i) {
                            widen(wide + i * across, x + (r + i) * stride + j, across);
                        }
                        of.add_rows(found + j, wide, few, across, across, mean + j, rest + j);
                    }
                }
            }
        };
        const int64_t whole = some / joined;
        add(x, whole, columns * joined, all);
        add(x + whole * joined * columns, some - whole * joined, columns, count);
        double* totals = static_cast<double*>(arrays[0]) + (outer * parts + part) * columns + first;
        for (int64_t j = 0; j < count; ++j) {
            double total = found[j];
            for (int64_t i = 1; i < joined; ++i) {
                total = of.combine(total, found[i * count + j]);
            }
            totals[j] = total;
        }
    }
}

Functions functions_of(Kind kind) {
    switch (kind) {
        case Kind::sum: return Functions::of(Sum());
        case Kind::sum_wide: return Functions::of(SumWide());
        case Kind::squares: return Functions::of(Squares());
        case Kind::squares_wide: return Functions::of(SquaresWide());
        case Kind::sizes: return Functions::of(Sizes());
        case Kind::centred: return Functions::of(Centred());
        case Kind::centred_wide: return Functions::of(CentredWide());
        case Kind::exponentials: return Functions::of(Exponentials());
        case Kind::product: return Functions::of(Product());
        case Kind::largest: return Functions::of(Largest());
        default: return Functions::of(Smallest());
    }
}

template <class S>
void reduce(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const Functions of = functions_of(Kind(int(numbers[0])));
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
