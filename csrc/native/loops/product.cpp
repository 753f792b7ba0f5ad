// Products of matrices of any strides, in blocks (Goto and van de Geijn 2008): a panel of b's columns
// stays in the first cache while tiles of the result are made with it, of as many rows as fill the
// registers. a is read where it lies, b where few rows use it, else it is packed.
#include "csrc/native/product.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include "csrc/native/loops.h"
#include "csrc/native/scratch.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/transpose.h"
#include "csrc/native/loops/tiles.h"

#ifdef EXPERIMENT
int64_t deep=EXPERIMENT_DEEP, tall=EXPERIMENT_TALL, broad=EXPERIMENT_BROAD, few=EXPERIMENT_FEW, pack_a=EXPERIMENT_PACKA;
#else
constexpr int64_t deep = 256, tall = 256, broad = 240, few = 64, pack_a = 192;
#endif

template <class T>
struct Task {
    MatrixOf<T> c;
    MatrixOf<const T> a, b, bias;
    int64_t rows, columns, depth;
};

constexpr int64_t strip = 64;  // rows of a that are packed at once

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
    const Parts strips(of.rows, packs_a ? strip : of.rows);
    for (int64_t s = 0; s < strips.count; ++s) {
        const Parts tiles(strips.size(s), most_rows);
        const MatrixOf<const T> a = of.a.from(strips.begin(s), k);
        if (packs_a) {
            pack_strip(packed_a, a, depth, tiles);
        }
        for (int64_t t = 0; t < tiles.count; ++t) {
            const int64_t i = tiles.begin(t), rows = tiles.size(t);
            const MatrixOf<const T> left = packs_a ? MatrixOf<const T>{packed_a + i * depth, 1, rows} : a.from(i, 0);
            for (int64_t p = 0; p < panels.vectors.count; ++p) {
                const int64_t j = panels.begin(p), width = panels.width(p), count = panels.count(p);
                const MatrixOf<const T> right = in_place && count == width ? b.from(0, j) : MatrixOf<const T>{packed_b + j * depth, width, 1};
                const MatrixOf<T> c = of.c.from(strips.begin(s) + i, first + j);
                MatrixOf<const T> start{c.at, c.row, c.column};
                if (k == 0) {
                    start = of.bias.at == nullptr ? of.bias : of.bias.from(strips.begin(s) + i, first + j);
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
void multiply(const Task<T>& of) {
    const Parts depths(of.depth, deep), blocks((of.columns + lanes<T> - 1) / lanes<T>, broad / lanes<T>);
    const int64_t most_columns = blocks.largest() * lanes<T>;
    const Scratch scratch((most_columns + strip) * depths.largest() * (sizeof(T) / sizeof(float)));
    T* packed = reinterpret_cast<T*>(scratch.memory);
    for (int64_t j = 0; j < blocks.count; ++j) {
        const int64_t first = blocks.begin(j) * lanes<T>, columns = std::min(blocks.size(j) * lanes<T>, of.columns - first);
        for (int64_t d = 0; d < depths.count; ++d) {
            multiply_block(of, depths.begin(d), depths.size(d), first, columns, packed + most_columns * depths.largest(), packed);
        }
    }
}

}
