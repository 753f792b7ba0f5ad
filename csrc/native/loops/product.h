// Products of small matrices of floats, of which the right one is packed: in panels of columns, a row
// of a panel behind the other. A tile of the result stays in registers, of which it has as many as
// there are. Included within a namespace.

#include "csrc/native/transpose.h"

constexpr int width = TAPEGRAD_VECTOR_WIDTH;
constexpr int tile_rows = width == 16 ? 8 : 6;
constexpr int panel = 2 * width;

typedef float Vector __attribute__((vector_size(4 * width), aligned(4), may_alias));

// To whole vectors.
inline int64_t padded(int64_t columns) { return (columns + width - 1) / width * width; }

// The columns to compute where the first ``columns`` of ``all`` packed ones are wanted: whole panels.
inline int64_t of_panels(int64_t columns, int64_t all) {
    const int64_t whole = (columns + panel - 1) / panel * panel;
    return whole < padded(all) ? whole : padded(all);
}

struct Matrix {
    const float* at;
    int64_t row, column;  // how far apart they are, in floats
};

// ``depth`` x ``count`` of the matrix, of which there are up to ``wide`` columns; zeros fill it up.
template <int wide>
inline void pack_panel(float* __restrict to, Matrix from, int64_t depth, int64_t count) {
    if (from.column == 1 && count == wide) {
        for (int64_t k = 0; k < depth; ++k) {
            for (int j = 0; j < wide; ++j) {
                to[k * wide + j] = from.at[k * from.row + j];
            }
        }
        return;
    }
    if (from.row == 1) {
        transpose(from.at, from.column, to, wide, count, depth);
        for (int64_t k = 0; k < depth && count < wide; ++k) {
            std::memset(to + k * wide + count, 0, size_t(wide - count) * sizeof(float));
        }
        return;
    }
    for (int64_t j = 0; j < wide; ++j) {
        const float* column = from.at + j * from.column;
        for (int64_t k = 0; k < depth; ++k) {
            to[k * wide + j] = j < count ? column[k * from.row] : 0;
        }
    }
}

// ``depth`` x ``columns`` of the matrix, in panels, of which the last may be of a single vector.
inline void pack(float* to, Matrix from, int64_t depth, int64_t columns) {
    for (int64_t first = 0; first < columns; first += panel) {
        const int64_t left = columns - first;
        const Matrix source{from.at + first * from.column, from.row, from.column};
        if (left > width) {
            pack_panel<panel>(to, source, depth, left < panel ? left : panel);
        } else {
            pack_panel<width>(to, source, depth, left);
        }
        to += depth * panel;
    }
}

template <int rows, int vectors>
inline void tile(float* __restrict c, int64_t c_row, Matrix a, const float* __restrict b,
                 int64_t depth, bool add) {
    Vector sums[rows][vectors] = {};
    for (int64_t k = 0; k < depth; ++k) {
        const Vector* right = reinterpret_cast<const Vector*>(b) + k * vectors;
        for (int i = 0; i < rows; ++i) {
            const float left = a.at[i * a.row + k * a.column];
            for (int j = 0; j < vectors; ++j) {
                sums[i][j] += left * right[j];
            }
        }
    }
    for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < vectors; ++j) {
            // By a pointer: a reference would forget that the vector may lie anywhere.
            Vector* const to = reinterpret_cast<Vector*>(c + i * c_row) + j;
            *to = add ? *to + sums[i][j] : sums[i][j];
        }
    }
}

template <int vectors>
inline void tiles(float* c, int64_t c_row, Matrix a, const float* b, int64_t rows, int64_t depth,
                  bool add) {
    int64_t i = 0;
    const auto at = [&](int64_t row) { return Matrix{a.at + row * a.row, a.row, a.column}; };
    for (; i + tile_rows <= rows; i += tile_rows) {
        tile<tile_rows, vectors>(c + i * c_row, c_row, at(i), b, depth, add);
    }
    for (; i + 2 <= rows; i += 2) {
        tile<2, vectors>(c + i * c_row, c_row, at(i), b, depth, add);
    }
    if (i < rows) {
        tile<1, vectors>(c + i * c_row, c_row, at(i), b, depth, add);
    }
}

// c = a b, or c += a b: ``rows`` x ``columns``, which are ``of_panels``, with ``depth`` columns of a and
// as many rows of b, of which ``packed`` were packed. Long sums are made of short ones.
inline void multiply(float* c, int64_t c_row, Matrix a, const float* b, int64_t rows,
                     int64_t columns, int64_t depth, int64_t packed, bool add = false) {
    constexpr int64_t at_once = 256;
    for (int64_t first = 0; first < columns; first += panel) {
        const bool whole = columns - first > width;
        for (int64_t k = 0; k < depth; k += at_once) {
            const int64_t count = depth - k < at_once ? depth - k : at_once;
            const float* from = b + first * packed + k * (whole ? panel : width);
            (whole ? tiles<2> : tiles<1>)(c + first, c_row, {a.at + k * a.column, a.row, a.column},
                                          from, rows, count, add || k > 0);
        }
    }
}
