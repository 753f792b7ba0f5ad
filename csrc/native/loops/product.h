// Products of small matrices of floats, of which the right one is packed: in panels of columns, a row
// of a panel behind the other. Included within a namespace, after ../loops.h.
#include "csrc/native/loops/tiles.h"

constexpr int width = TAPEGRAD_VECTOR_WIDTH;
constexpr int panel = 2 * width;

using Matrix = MatrixOf<const float>;

// To whole vectors.
inline int64_t padded(int64_t columns) { return (columns + width - 1) / width * width; }

// The columns to compute where the first ``columns`` of ``all`` packed ones are wanted: whole panels.
inline int64_t of_panels(int64_t columns, int64_t all) {
    const int64_t whole = (columns + panel - 1) / panel * panel;
    return whole < padded(all) ? whole : padded(all);
}

// ``depth`` x ``columns`` of the matrix, in panels, of which the last may be of a single vector.
inline void pack(float* to, Matrix from, int64_t depth, int64_t columns) {
    for (int64_t first = 0; first < columns; first += panel) {
        const int64_t left = columns - first, wide = left > width ? panel : width;
        pack_panel(to, from.from(0, first), depth, left < wide ? left : wide, wide);
        to += depth * panel;
    }
}

// c = a b, or c += a b: ``rows`` x ``columns``, which are ``of_panels``, with ``depth`` columns of a and
// as many rows of b, of which ``packed`` were packed. Long sums are made of short ones.
inline void multiply(float* c, int64_t c_row, Matrix a, const float* b, int64_t rows,
                     int64_t columns, int64_t depth, int64_t packed, bool add = false) {
    constexpr int64_t at_once = 256;
    const Split tiles(rows, most_rows);
    for (int64_t first = 0; first < columns; first += panel) {
        const int64_t vectors = columns - first > width ? 2 : 1;
        for (int64_t k = 0; k < depth; k += at_once) {
            const int64_t count = depth - k < at_once ? depth - k : at_once;
            const Matrix right{b + first * packed + k * vectors * width, vectors * width, 1};
            for (int64_t t = 0; t < tiles.count; ++t) {
                const int64_t i = tiles.begin(t);
                float* to = c + i * c_row + first;
                const float* start = add || k > 0 ? to : nullptr;
                tile_of<float>(tiles.size(t), vectors)({to, c_row, 1}, {start, start == nullptr ? 0 : c_row, 1},
                                                       a.from(i, k), right, count);
            }
        }
    }
}
