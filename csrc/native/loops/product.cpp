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

#include "csrc/native/loops/tiles.h"

// Measured with AVX-512, and with AVX2. A block of b of so many rows and columns stays in the second
// cache.
constexpr int64_t deep = 256, broad = 720;
constexpr int64_t few = 160;  // rows, to which it is not worth while to pack b
// Columns from which on it is worth while to pack an a that does not lie in rows.
constexpr int64_t pack_a = TAPEGRAD_VECTOR_WIDTH == 16 ? 192 : 96;

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
    Split vectors;
    int64_t columns;

    explicit Panels(int64_t of)
        : vectors((of + in_vector<T> - 1) / in_vector<T>, most_vectors), columns(of) {}
    int64_t begin(int64_t i) const { return vectors.begin(i) * in_vector<T>; }
    int64_t width(int64_t i) const { return vectors.size(i) * in_vector<T>; }
    int64_t count(int64_t i) const { return std::min(width(i), columns - begin(i)); }
};

// Rows of a in panels, each as a tile reads it.
template <class T>
void pack_strip(T* __restrict to, MatrixOf<const T> from, int64_t depth, const Split& tiles) {
    if (from.row == 1 && tiles.larger == 0 && tiles.each == most_rows) {
        for (int64_t k = 0; k < depth; ++k) {  // along what lies side by side
            const T* next = from.at + k * from.column;
            for (int64_t t = 0; t < tiles.count; ++t, next += most_rows) {
                for (int i = 0; i < most_rows; ++i) {
                    to[(t * depth + k) * most_rows + i] = next[i];
                }
            }
        }
        return;
    }
    for (int64_t t = 0; t < tiles.count; ++t) {
        const int64_t i = tiles.begin(t), rows = tiles.size(t);
        const MatrixOf<const T> across{from.at + i * from.row, from.column, from.row};
        pack_panel(to + i * depth, across, depth, rows, rows);
    }
}

// What the columns from ``first`` on get of ``depth`` rows of b from ``k`` on.
template <class T>
void multiply_block(const Task<T>& of, int64_t k, int64_t depth, int64_t first, int64_t columns,
                    T* packed_a, T* packed_b) {
    using Read = MatrixOf<const T>;
    const bool in_place = of.b.column == 1 && of.rows <= few;
    const bool packs_a = of.a.column != 1 && of.columns >= pack_a;
    const Read b = of.b.from(k, first);
    const Panels<T> panels(columns);
    const auto is_packed = [&](int64_t p) { return !in_place || panels.count(p) < panels.width(p); };
    for (int64_t p = 0; p < panels.vectors.count; ++p) {
        if (is_packed(p)) {
            const int64_t j = panels.begin(p);
            pack_panel(packed_b + j * depth, b.from(0, j), depth, panels.count(p), panels.width(p));
        }
    }
    const int64_t at_once = packs_a ? strip : of.rows;
    for (int64_t top = 0; top < of.rows; top += at_once) {
        const Split tiles(std::min(at_once, of.rows - top), most_rows);
        const Read a = of.a.from(top, k);
        if (packs_a) {
            pack_strip(packed_a, a, depth, tiles);
        }
        for (int64_t t = 0; t < tiles.count; ++t) {
            const int64_t i = tiles.begin(t), rows = tiles.size(t);
            const Read left = packs_a ? Read{packed_a + i * depth, 1, rows} : a.from(i, 0);
            for (int64_t p = 0; p < panels.vectors.count; ++p) {
                const int64_t j = panels.begin(p), width = panels.width(p), count = panels.count(p);
                const Read right = is_packed(p) ? Read{packed_b + j * depth, width, 1} : b.from(0, j);
                const MatrixOf<T> c = of.c.from(top + i, first + j);
                Read start{c.at, c.row, c.column};
                if (k == 0) {
                    start = of.bias.at == nullptr ? Read{} : of.bias.from(top + i, first + j);
                }
                if (c.column == 1 && count == width) {
                    tile_of<T>(rows, panels.vectors.size(p))(c, start, left, right, depth);
                } else {
                    ragged_tile<T>(c, start, left, right, depth, rows, count);
                }
            }
        }
    }
}

// False where there is no memory.
template <class T>
bool multiply(const Task<T>& of) {
    const Split depths(of.depth, deep);
    const Split blocks((of.columns + in_vector<T> - 1) / in_vector<T>, broad / in_vector<T>);
    const int64_t widest = blocks.largest() * in_vector<T>, deepest = depths.largest();
    const Scratch scratch((widest + strip) * deepest * int64_t(sizeof(T) / sizeof(float)));
    if (scratch.memory == nullptr) {
        return false;
    }
    T* packed = reinterpret_cast<T*>(scratch.memory);
    for (int64_t j = 0; j < blocks.count; ++j) {
        const int64_t first = blocks.begin(j) * in_vector<T>;
        const int64_t columns = std::min(blocks.size(j) * in_vector<T>, of.columns - first);
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
    const auto is_few = [](int64_t count, int64_t beside) {
        return count >= 8 && count <= 48 && beside >= 2 * count;
    };
    return of.depth >= 64 && ((of.b.column != 1 && is_few(of.rows, of.columns)) ||
                              (of.a.column != 1 && is_few(of.columns, of.rows)));
}

template <class T>
Task<T> turned(const Task<T>& of) {
    const auto across = [](auto m) { return decltype(m){m.at, m.column, m.row}; };
    return {across(of.c), across(of.b), across(of.a), across(of.bias),
            of.columns,   of.rows,      of.depth};
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

// A piece is some rows and columns of one of the batch, by whole tiles.
template <class T>
void product_loop(void* const* arrays, const double*, int64_t begin, int64_t end) {
    Product& of = *static_cast<Product*>(arrays[0]);
    const Split rows((of.rows + most_rows - 1) / most_rows, of.row_pieces, 0);
    const Split columns((of.columns + in_vector<T> - 1) / in_vector<T>, of.column_pieces, 0);
    for (int64_t piece = begin; piece < end; ++piece) {
        const int64_t number = piece / (rows.count * columns.count);
        const int64_t down = piece / columns.count % rows.count, across = piece % columns.count;
        const int64_t i = rows.begin(down) * most_rows, j = columns.begin(across) * in_vector<T>;
        T* c = static_cast<T*>(of.c) + number * of.rows * of.columns;
        const Task<T> task{
            MatrixOf<T>{c, of.columns, 1}.from(i, j),
            matrix_of<T>(of.a, of, number).from(i, 0),
            matrix_of<T>(of.b, of, number).from(0, j),
            {of.bias == nullptr ? nullptr : static_cast<const T*>(of.bias) + j, 0, 1},
            std::min(rows.size(down) * most_rows, of.rows - i),
            std::min(columns.size(across) * in_vector<T>, of.columns - j),
            of.depth,
        };
        if (!multiply(turns(task) ? turned(task) : task)) {
            of.failed = true;
        }
    }
}

}  // namespace

extern const Loops OF_LEVEL(product);
const Loops OF_LEVEL(product) = {
    2,
    {
        {"linear", 1, 0, product_loop<float>, product_loop<double>, "bias"},
        {"matmul", 1, 0, product_loop<float>, product_loop<double>, nullptr},
    }};
