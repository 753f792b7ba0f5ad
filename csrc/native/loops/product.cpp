// Products of matrices of any strides, in blocks (Goto and van de Geijn 2008): a panel of b's columns
// stays in the first cache while tiles of the result are made with it, of as many rows as fill the
// registers. a is read where it lies, b where few rows use it, else it is packed.
#include "csrc/native/product.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "csrc/native/loops.h"
#include "csrc/native/scratch.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/transpose.h"
#include "csrc/native/loops/tiles.h"

#ifndef EXPERIMENT
// Measured with AVX-512, and with AVX2. A block of b of so many rows and columns stays in the second
// cache.
constexpr int64_t deep = 384, broad = 480;
constexpr int64_t few = 160;  // rows, to which it is not worth while to pack b
// Columns from which on it is worth while to pack an a that does not lie in rows.
constexpr int64_t pack_a = TAPEGRAD_VECTOR_WIDTH == 16 ? 192 : 96;
#endif

template <class T>
struct Task {
    MatrixOf<T> c;
    MatrixOf<const T> a, b, bias;
    int64_t rows, columns, depth;
};

constexpr int64_t strip = 8 * most_rows;  // rows of a that are packed at once

// Some columns of b, in panels, of which a row has a whole number of vectors.
template <class T>
struct Panels {
    Parts vectors;
    int64_t columns;

    explicit Panels(int64_t of) : vectors((of + lanes<T> - 1) / lanes<T>, most_vectors), columns(of) {}
    int64_t begin(int64_t i) const { return vectors.begin(i) * lanes<T>; }
    int64_t width(int64_t i) const { return vectors.size(i) * lanes<T>; }
    int64_t count(int64_t i) const { return std::min(width(i), columns - begin(i)); }
};

// Rows of a in panels, each as a tile reads it.
template <class T>
void pack_strip(T* __restrict to, MatrixOf<const T> from, int64_t depth, const Parts& tiles) {
    if (from.row == 1 && tiles.larger == 0 && tiles.each == most_rows) {
        for (int64_t k = 0; k < depth; ++k) {
            for (int64_t t = 0; t < tiles.count; ++t) {
                for (int i = 0; i < most_rows; ++i) {
                    to[(t * depth + k) * most_rows + i] = from.at[k * from.column + t * most_rows + i];
                }
            }
        }
        return;
    }
    for (int64_t t = 0; t < tiles.count; ++t) {
        const int64_t i = tiles.begin(t), rows = tiles.size(t);
        pack_panel<T>(to + i * depth, {from.at + i * from.row, from.column, from.row}, depth, rows, rows);
    }
}

// What the columns from ``first`` on get of ``depth`` rows of b from ``k`` on.
template <class T>
void multiply_block(const Task<T>& of, int64_t k, int64_t depth, int64_t first, int64_t columns,
                    T* packed_a, T* packed_b) {
    const bool in_place = of.b.column == 1 && of.rows <= few;
    const bool packs_a = of.a.column != 1 && of.columns >= pack_a;
    const MatrixOf<const T> b = of.b.from(k, first);
    const Panels<T> panels(columns);
    for (int64_t p = 0; p < panels.vectors.count; ++p) {
        if (!in_place || panels.count(p) < panels.width(p)) {
            const int64_t j = panels.begin(p);
            pack_panel(packed_b + j * depth, b.from(0, j), depth, panels.count(p), panels.width(p));
        }
    }
    const int64_t at_once = packs_a ? strip : of.rows;
    for (int64_t top = 0; top < of.rows; top += at_once) {
        const Parts tiles(std::min(at_once, of.rows - top), most_rows);
        const MatrixOf<const T> a = of.a.from(top, k);
        if (packs_a) {
            pack_strip(packed_a, a, depth, tiles);
        }
        for (int64_t t = 0; t < tiles.count; ++t) {
            const int64_t i = tiles.begin(t), rows = tiles.size(t);
            const MatrixOf<const T> left = packs_a ? MatrixOf<const T>{packed_a + i * depth, 1, rows} : a.from(i, 0);
            for (int64_t p = 0; p < panels.vectors.count; ++p) {
                const int64_t j = panels.begin(p), width = panels.width(p), count = panels.count(p);
                const MatrixOf<const T> right = in_place && count == width ? b.from(0, j) : MatrixOf<const T>{packed_b + j * depth, width, 1};
                const MatrixOf<T> c = of.c.from(top + i, first + j);
                MatrixOf<const T> start{c.at, c.row, c.column};
                if (k == 0) {
                    start = of.bias.at == nullptr ? of.bias : of.bias.from(top + i, first + j);
                }
                if (c.column == 1 && count == width && (start.at == nullptr || start.column == 1)) {
                    tile_of<T>(rows, panels.vectors.size(p))(c, start, left, right, depth);
                } else {
                    ragged_tile<T>(c, start, left, right, depth, rows, count);
                }
            }
        }
    }
}

template <class T>
bool multiply(const Task<T>& of) {
    const Parts depths(of.depth, deep);
    const Parts blocks((of.columns + lanes<T> - 1) / lanes<T>, broad / lanes<T>);
    const int64_t widest = blocks.largest() * lanes<T>, deepest = depths.largest();
    const Scratch scratch((widest + strip) * deepest * int64_t(sizeof(T) / sizeof(float)));
    if (scratch.memory == nullptr) {
        return false;
    }
    T* packed = reinterpret_cast<T*>(scratch.memory);
    for (int64_t j = 0; j < blocks.count; ++j) {
        const int64_t first = blocks.begin(j) * lanes<T>;
        const int64_t columns = std::min(blocks.size(j) * lanes<T>, of.columns - first);
        for (int64_t d = 0; d < depths.count; ++d) {
            multiply_block(of, depths.begin(d), depths.size(d), first, columns,
                           packed + widest * deepest, packed);
        }
    }
    return true;
}

// Whether it is better to make the transposed of c: where a packed b would serve few rows, or where a
// lies as a b should, and serves few columns.
template <class T>
bool turns(const Task<T>& of) {
    const auto is_few = [](int64_t count, int64_t of) { return count >= 8 && count <= 48 && of >= 2 * count; };
    return of.depth >= 64 && ((of.b.column != 1 && is_few(of.rows, of.columns)) ||
                              (of.a.column != 1 && is_few(of.columns, of.rows)));
}

template <class T>
Task<T> turned(const Task<T>& of) {
    const auto across = [](auto m) { return decltype(m){m.at, m.column, m.row}; };
    return {across(of.c), across(of.b), across(of.a), across(of.bias), of.columns, of.rows, of.depth};
}

template <class T>
MatrixOf<const T> matrix_of(const Factor& factor, const Product& of, int64_t number) {
    const T* at = static_cast<const T*>(factor.at);
    for (int i = of.batch_dimensions - 1; i >= 0; --i) {
        at += number % of.batch[i] * factor.step[i];
        number /= of.batch[i];
    }
    return {at, factor.row, factor.column};
}

template <class T>
void product_loop(void* const* arrays, const double*, int64_t begin, int64_t end) {
    Product& of = *static_cast<Product*>(arrays[0]);
    const Parts rows((of.rows + most_rows - 1) / most_rows, of.row_pieces, 0);
    const Parts columns((of.columns + lanes<T> - 1) / lanes<T>, of.column_pieces, 0);
    for (int64_t piece = begin; piece < end; ++piece) {
        const int64_t matrix = piece / (rows.count * columns.count);
        const int64_t down = piece / columns.count % rows.count, across = piece % columns.count;
        const int64_t i = rows.begin(down) * most_rows, j = columns.begin(across) * lanes<T>;
        T* c = static_cast<T*>(of.c) + matrix * of.rows * of.columns;
        const Task<T> task{
            MatrixOf<T>{c, of.columns, 1}.from(i, j),
            matrix_of<T>(of.a, of, matrix).from(i, 0),
            matrix_of<T>(of.b, of, matrix).from(0, j),
            {of.bias == nullptr ? nullptr : static_cast<const T*>(of.bias) + j, 0, 1},
            std::min(rows.size(down) * most_rows, of.rows - i),
            std::min(columns.size(across) * lanes<T>, of.columns - j),
            of.depth,
        };
        if (!multiply(turns(task) ? turned(task) : task)) {
            of.failed = true;
        }
    }
}

}  // namespace

extern const Loops OF_LEVEL(product);
const Loops OF_LEVEL(product) = {2,
                                 {
                                     {"linear", 1, 0, product_loop<float>, product_loop<double>, "bias"},
                                     {"matmul", 1, 0, product_loop<float>, product_loop<double>, nullptr},
                                 }};
