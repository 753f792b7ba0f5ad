// Products of matrices of floats or doubles in tiles of the result, of as many rows and vectors as
// the registers hold. Included within a namespace.

constexpr int vector_bytes = 4 * TAPEGRAD_VECTOR_WIDTH;
constexpr int most_rows = TAPEGRAD_VECTOR_WIDTH == 16 ? 8 : 4, most_vectors = 3;

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
constexpr int lanes = vector_bytes / sizeof(T);

template <class T>
struct MatrixOf {
    T* at;
    int64_t row, column;  // how far apart they are, in numbers

    MatrixOf from(int64_t i, int64_t j) const { return {at + i * row + j * column, row, column}; }
};

// Where part ``i`` begins of so many nearly equal ones.
inline int64_t part(int64_t i, int64_t parts, int64_t all) { return i * all / parts; }
inline int64_t parts_of(int64_t all, int64_t most) { return (all + most - 1) / most; }

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
using Tile = void(MatrixOf<T> c, MatrixOf<const T> start, MatrixOf<const T> a, MatrixOf<const T> b,
                  int64_t depth);

template <class T, int rows = most_rows>
Tile<T>* tile_of(int64_t count, int64_t vectors) {
    if constexpr (rows > 1) {
        if (count < rows) {
            return tile_of<T, rows - 1>(count, vectors);
        }
    }
    return vectors == 1 ? tile<T, rows, 1> : vectors == 2 ? tile<T, rows, 2> : tile<T, rows, 3>;
}

// The same for a result of less than whole vectors, or in another order.
template <class T>
void ragged_tile(MatrixOf<T> c, MatrixOf<const T> start, MatrixOf<const T> a, MatrixOf<const T> b,
                 int64_t depth, int64_t rows, int64_t columns) {
    constexpr int wide = most_vectors * lanes<T>;
    T sums[most_rows * wide];
    tile_of<T>(rows, parts_of(columns, lanes<T>))({sums, wide, 1}, {}, a, b, depth);
    if (c.column == 1) {
        for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < columns; ++j) {
                const T from = start.at == nullptr ? 0 : start.at[i * start.row + j * start.column];
                c.at[i * c.row + j] = from + sums[i * wide + j];
            }
        }
        return;
    }
    T across[wide * most_rows];
    transpose(sums, wide, across, most_rows, rows, columns);
    for (int64_t j = 0; j < columns; ++j) {
        for (int64_t i = 0; i < rows; ++i) {
            const T from = start.at == nullptr ? 0 : start.at[i * start.row + j * start.column];
            c.at[i * c.row + j * c.column] = from + across[j * most_rows + i];
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

// ``depth`` x ``count`` of the matrix, of ``wide`` columns side by side; zeros fill it up.
template <class T>
void pack_panel(T* __restrict to, MatrixOf<const T> from, int64_t depth, int64_t count,
                int64_t wide) {
    if (from.row == 1) {
        transpose(from.at, from.column, to, wide, count, depth);
        for (int64_t k = 0; count < wide && k < depth; ++k) {
            for (int64_t j = count; j < wide; ++j) {
                to[k * wide + j] = 0;
            }
        }
        return;
    }
    if (from.column == 1 && count == wide) {
        switch (wide) {
            case most_rows: return copy_rows<most_rows>(to, from, depth);
            case lanes<T>: return copy_rows<lanes<T>>(to, from, depth);
            case 2 * lanes<T>: return copy_rows<2 * lanes<T>>(to, from, depth);
            case 3 * lanes<T>: return copy_rows<3 * lanes<T>>(to, from, depth);
        }
    }
    for (int64_t k = 0; k < depth; ++k) {
        const T* row = from.at + k * from.row;
        T* next = to + k * wide;
        for (int64_t j = 0; j < wide; ++j) {
            next[j] = j < count ? row[j * from.column] : 0;
        }
    }
}
