// Products of matrices of floats or doubles in tiles of the result, of as many rows and vectors as
// the registers hold. Included within a namespace, after ../loops.h.
#include "csrc/native/transpose.h"

constexpr int vector_bytes = 4 * TAPEGRAD_VECTOR_WIDTH;
constexpr int most_rows = TAPEGRAD_VECTOR_WIDTH == 16 ? 8 : 6;
constexpr int most_vectors = TAPEGRAD_VECTOR_WIDTH == 16 ? 3 : 2;

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
    typedef float Vector __attribute__((vector_size(vector_bytes), aligned(4), may_alias));
};
template <>
struct Lanes<double> {
    typedef double Vector __attribute__((vector_size(vector_bytes), aligned(8), may_alias));
};
template <class T>
constexpr int in_vector = vector_bytes / sizeof(T);

template <class T>
struct MatrixOf {
    T* at;
    int64_t row, column;  // how far apart they are, in numbers

    MatrixOf from(int64_t i, int64_t j) const { return {at + i * row + j * column, row, column}; }
};

// So many nearly equal parts of a whole, the first of which have one more.
struct Split {
    int64_t count, each, larger;

    // Of at most ``most``; or ``parts`` of them.
    Split(int64_t all, int64_t most) : Split(all, (all + most - 1) / most, 0) {}
    Split(int64_t all, int64_t parts, int) : count(parts), each(all / parts), larger(all % parts) {}
    int64_t size(int64_t i) const { return each + (i < larger); }
    int64_t begin(int64_t i) const { return each * i + (i < larger ? i : larger); }
    int64_t largest() const { return each + (larger > 0); }
};

// to[j * to_row + i] = from[i * from_row + j]
template <class T>
void transpose_block(const T* from, int64_t from_row, T* to, int64_t to_row, int64_t rows,
                     int64_t columns) {
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
            to[j * to_row + i] = from[i * from_row + j];
        }
    }
}

#if TAPEGRAD_VECTOR_WIDTH >= 8
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

template <int... from>
inline Eight pick(Eight a, Eight b) {
    return Eight{(from < 8 ? a[from & 7] : b[from & 7])...};
}

inline void transpose_eights(const float* from, int64_t from_row, float* to, int64_t to_row) {
    Eight a[8], b[8];
    for (int i = 0; i < 8; ++i) {
        a[i] = *reinterpret_cast<const Eight*>(from + i * from_row);
    }
    for (int i = 0; i < 8; i += 2) {
        b[i] = pick<0, 8, 1, 9, 4, 12, 5, 13>(a[i], a[i + 1]);
        b[i + 1] = pick<2, 10, 3, 11, 6, 14, 7, 15>(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int k = 0; k < 2; ++k) {
            a[i + 2 * k] = pick<0, 1, 8, 9, 4, 5, 12, 13>(b[i + k], b[i + k + 2]);
            a[i + 2 * k + 1] = pick<2, 3, 10, 11, 6, 7, 14, 15>(b[i + k], b[i + k + 2]);
        }
    }
    for (int i = 0; i < 4; ++i) {
        *reinterpret_cast<Eight*>(to + i * to_row) = pick<0, 1, 2, 3, 8, 9, 10, 11>(a[i], a[i + 4]);
        *reinterpret_cast<Eight*>(to + (i + 4) * to_row) =
            pick<4, 5, 6, 7, 12, 13, 14, 15>(a[i], a[i + 4]);
    }
}
#endif

// (Not for convolutions, whose small transposes by eights make a step with 256 channels slower.)
inline void transpose_block(const float* from, int64_t from_row, float* to, int64_t to_row,
                            int64_t rows, int64_t columns) {
    int64_t i = 0;
#if TAPEGRAD_VECTOR_WIDTH >= 8
    for (; i + 8 <= rows; i += 8) {
        int64_t j = 0;
        for (; j + 8 <= columns; j += 8) {
            transpose_eights(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
        }
        transpose(from + i * from_row + j, from_row, to + j * to_row + i, to_row, 8, columns - j);
    }
#endif
    transpose(from + i * from_row, from_row, to + i, to_row, rows - i, columns);
}

// c = start + a b, or a b where start is null. Of b ``vectors`` lie side by side in a row.
template <class T, int rows, int vectors>
__attribute__((noinline)) void tile(MatrixOf<T> c, MatrixOf<const T> start, MatrixOf<const T> a,
                                    MatrixOf<const T> b, int64_t depth) {
    using Vector = typename Lanes<T>::Vector;
    Vector sums[rows][vectors];
    for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < vectors; ++j) {
            sums[i][j] = Vector{};
        }
    }
    for (int i = 0; i < rows; ++i) {  // while it is computed, its memory arrives
        for (int j = 0; j < vectors; ++j) {
            __builtin_prefetch(c.at + i * c.row + j * in_vector<T>, 1);
        }
        __builtin_prefetch(c.at + i * c.row + vectors * in_vector<T> - 1, 1);
    }
    const T *left = a.at, *right = b.at;
    do {
        for (int i = 0; i < rows; ++i) {
            for (int j = 0; j < vectors; ++j) {
                sums[i][j] += left[i * a.row] * reinterpret_cast<const Vector*>(right)[j];
            }
        }
        left += a.column;
        right += b.row;
    } while (--depth);
    for (int i = 0; i < rows; ++i) {
        Vector* to = reinterpret_cast<Vector*>(c.at + i * c.row);
        const Vector* from = reinterpret_cast<const Vector*>(start.at + i * start.row);
        for (int j = 0; j < vectors; ++j) {
            to[j] = start.at == nullptr ? sums[i][j] : from[j] + sums[i][j];
        }
    }
}

template <class T>
using MakeTile = void(MatrixOf<T> c, MatrixOf<const T> start, MatrixOf<const T> a, MatrixOf<const T> b,
                  int64_t depth);

template <class T, int rows = most_rows>
MakeTile<T>* tile_of(int64_t count, int64_t vectors) {
    if constexpr (rows > 1) {
        if (count < rows) {
            return tile_of<T, rows - 1>(count, vectors);
        }
    }
    return vectors == 1   ? tile<T, rows, 1>
           : vectors == 2 ? tile<T, rows, 2>
                          : tile<T, rows, most_vectors>;
}

// The same for less than whole vectors, and for a result that lies, with its start, in columns.
template <class T>
__attribute__((noinline)) void ragged_tile(MatrixOf<T> c, MatrixOf<const T> start,
                                           MatrixOf<const T> a, MatrixOf<const T> b, int64_t depth,
                                           int64_t rows, int64_t columns) {
    constexpr int64_t wide = most_vectors * in_vector<T>;
    T sums[most_rows * wide], across[wide * most_rows];
    tile_of<T>(rows, (columns + in_vector<T> - 1) / in_vector<T>)({sums, wide, 1}, {}, a, b, depth);
    const bool in_rows = c.column == 1;
    if (!in_rows && start.at == nullptr) {
        transpose_block(sums, wide, c.at, c.column, rows, columns);
        return;
    }
    if (!in_rows) {
        transpose_block(sums, wide, across, most_rows, rows, columns);
        std::swap(rows, columns);
        c.row = c.column;
        start.row = start.column;
    }
    for (int64_t i = 0; i < rows; ++i) {
        const T* from = in_rows ? sums + i * wide : across + i * most_rows;
        for (int64_t j = 0; j < columns; ++j) {
            c.at[i * c.row + j] = from[j] + (start.at == nullptr ? 0 : start.at[i * start.row + j]);
        }
    }
}

template <int wide, class T>
void copy_rows(T* __restrict to, MatrixOf<const T> from, int64_t depth) {
    for (int64_t k = 0; k < depth; ++k) {
        for (int j = 0; j < wide; ++j) {
            to[k * wide + j] = from.at[k * from.row + j];
        }
    }
}

// ``depth`` x ``count`` of the matrix, in a panel of ``wide`` columns side by side; zeros fill it up.
template <class T>
void pack_panel(T* __restrict to, MatrixOf<const T> from, int64_t depth, int64_t count,
                int64_t wide) {
    if (from.row == 1) {
        transpose_block(from.at, from.column, to, wide, count, depth);
        for (int64_t k = 0; count < wide && k < depth; ++k) {
            for (int64_t j = count; j < wide; ++j) {
                to[k * wide + j] = 0;
            }
        }
        return;
    }
    if (from.column == 1 && count == wide) {
        switch (wide) {
            case in_vector<T>: return copy_rows<in_vector<T>>(to, from, depth);
            case 2 * in_vector<T>: return copy_rows<2 * in_vector<T>>(to, from, depth);
            case 3 * in_vector<T>: return copy_rows<3 * in_vector<T>>(to, from, depth);
        }
    }
    for (int64_t k = 0; k < depth; ++k) {
        for (int64_t j = 0; j < wide; ++j) {
            to[k * wide + j] = j < count ? from.at[k * from.row + j * from.column] : 0;
        }
    }
}
