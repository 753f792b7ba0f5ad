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
template<class T> void transpose(const T* from, int64_t from_row, T* to, int64_t to_row, int64_t rows,
                      int64_t columns) {
    for (int64_t i = 0; i < rows; ++i) for (int64_t j = 0; j < columns; ++j) to[j*to_row+i]=from[i*from_row+j];
}
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

template <class T>
void multiply_block(const Task<T>& of, int64_t k, int64_t depth, int64_t first_column, int64_t columns, T* packed, T* packed_a) {
    const bool in_place = of.b.column == 1 && of.rows <= few;
    const int64_t vectors = parts_of(columns, lanes<T>), panels = parts_of(vectors, most_vectors);
    const bool packs_a = of.a.column != 1 && of.columns >= pack_a;
    const MatrixOf<const T> b = of.b.from(k, first_column);
    for (int64_t p = 0; p < panels; ++p) {
        const int64_t begin = part(p, panels, vectors) * lanes<T>, end = part(p + 1, panels, vectors) * lanes<T>;
        if (!in_place || end > columns) {
            pack_panel(packed + begin * depth, b.from(0, begin), depth, std::min(end, columns) - begin, end - begin);
        }
    }
    const int64_t blocks = parts_of(of.rows, tall);
    for (int64_t block = 0; block < blocks; ++block) {
        const int64_t first = part(block, blocks, of.rows), rows = part(block + 1, blocks, of.rows) - first;
        const int64_t tiles = parts_of(rows, most_rows);
        const MatrixOf<const T> a = of.a.from(first, k);
        for (int64_t t = 0; packs_a && t < tiles; ++t) {
            const int64_t i = part(t, tiles, rows), count = part(t + 1, tiles, rows) - i;
            pack_panel<T>(packed_a + i * depth, {a.at + i * a.row, a.column, a.row}, depth, count, count);
        }
        for (int64_t p = 0; p < panels; ++p) {
            const int64_t begin = part(p, panels, vectors) * lanes<T>, end = part(p + 1, panels, vectors) * lanes<T>;
            const MatrixOf<const T> panel = in_place && end <= columns ? b.from(0, begin) : MatrixOf<const T>{packed + begin * depth, end - begin, 1};
            for (int64_t t = 0; t < tiles; ++t) {
                const int64_t i = part(t, tiles, rows), count = part(t + 1, tiles, rows) - i;
                const MatrixOf<T> c = of.c.from(first + i, first_column + begin);
                const MatrixOf<const T> start = k > 0 ? MatrixOf<const T>{c.at, c.row, c.column} : of.bias.at ? of.bias.from(first + i, first_column + begin) : MatrixOf<const T>{};
                const MatrixOf<const T> left = packs_a ? MatrixOf<const T>{packed_a + i * depth, 1, count} : a.from(i, 0);
                if (c.column == 1 && end <= columns && (start.at == nullptr || start.column == 1)) {
                    tile_of<T>(count, (end - begin) / lanes<T>)(c, start, left, panel, depth);
                } else {
                    ragged_tile<T>(c, start, left, panel, depth, count, std::min(end, columns) - begin);
                }
            }
        }
    }
}

template <class T>
void multiply(const Task<T>& of) {
    const int64_t deeps = parts_of(of.depth, deep), broads = parts_of(of.columns, broad);
    const int64_t depth = parts_of(of.depth, deeps);
    const int64_t v = parts_of(of.columns, lanes<T>), most_columns = parts_of(v, broads) * lanes<T>;
    const Scratch scratch((most_columns + tall) * depth * (sizeof(T) / sizeof(float)));
    T* packed = reinterpret_cast<T*>(scratch.memory);
    for (int64_t j = 0; j < broads; ++j) {
        const int64_t first = part(j, broads, v)*lanes<T>, columns = std::min(of.columns,part(j + 1, broads, v)*lanes<T>) - first;
        for (int64_t d = 0; d < deeps; ++d) {
            const int64_t k = part(d, deeps, of.depth);
            multiply_block(of, k, part(d + 1, deeps, of.depth) - k, first, columns, packed, packed + most_columns * depth);
        }
    }
}

}
