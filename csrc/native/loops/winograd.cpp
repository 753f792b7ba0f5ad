// Convolutions by Winograd's algorithm: their results, and the gradient of their input.
#include "csrc/native/winograd.h"

#include <cstring>

#include "csrc/native/loops.h"
#include "csrc/native/scratch.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/transpose.h"
#include "csrc/native/loops/convolution.h"
#include "csrc/native/loops/tile.h"
#include "csrc/native/loops/winograd.h"

// Four numbers for three of a kernel, along one axis.
void transform_kernel(const float* x, int64_t x_step, float* y, int64_t y_step, int64_t count) {
    const float *first = x, *second = x + x_step, *third = x + 2 * x_step;
    float* __restrict y0 = y;
    float* __restrict y1 = y + y_step;
    float* __restrict y2 = y + 2 * y_step;
    float* __restrict y3 = y + 3 * y_step;
    for (int64_t i = 0; i < count; ++i) {
        const float ends = 0.5f * (first[i] + third[i]), middle = 0.5f * second[i];
        y0[i] = first[i];
        y1[i] = ends + middle;
        y2[i] = ends - middle;
        y3[i] = third[i];
    }
}

// The transformed kernels of a tile of filters and some channels, in the order of multiplications.
void transform_tile(const Winograd& of, int64_t group, int64_t row, int64_t term) {
    constexpr int64_t most = channels_in_block * tile_rows;
    constexpr int64_t line_floats = 16, lines = most / line_floats;
    const int64_t all_rows = of.pieces.rows, element = of.channels * all_rows;
    const int64_t rows = smaller(tile_rows, all_rows - row);
    const int64_t depth = smaller(channels_in_block, of.channels - term);
    const float* from = of.weights + group * of.weight_group + row * of.weight_row +
                        term * of.weight_channel;
    float* to = of.transformed + group * tile_elements * element + term * all_rows + row * depth;
    float kernel[9][most], half[12][most];
    for (int64_t k = 0; k < depth; ++k) {
        transpose(from + k * of.weight_channel, of.weight_row,
                  kernel[of.mirrored ? 8 : 0] + k * rows, of.mirrored ? -most : most, rows, 9);
        // What is written below is far away, if filters are many: its cache lines come meanwhile.
        for (int64_t line = k; line < tile_elements * lines; line += depth) {
            __builtin_prefetch(to + line / lines * element + line % lines * line_floats, 1);
        }
    }
    for (int j = 0; j < 3; ++j) {
        transform_kernel(kernel[j], 3 * most, half[j], 3 * most, depth * rows);
    }
    for (int j = 0; j < 4; ++j) {
        transform_kernel(half[3 * j], most, to + 4 * j * element, element, depth * rows);
    }
}

// Blocks of tiles of filters, as what they read of a channel may lie side by side.
void transform_weights(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const Winograd& of = *static_cast<const Winograd*>(arrays[0]);
    const int64_t blocks = divided_up(of.pieces.rows, filters_at_once);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t row = i % blocks * filters_at_once;
        const int64_t last = smaller(row + filters_at_once, of.pieces.rows);
        for (int64_t term = 0; term < of.channels; term += channels_in_block) {
            for (int64_t r = row; r < last; r += tile_rows) {
                transform_tile(of, i / blocks, r, term);
            }
        }
    }
}

// sums (panels, tile_elements, rows, places) of tiles (panels, tile_elements, channels, places).
void multiply_tiles(const Winograd& of, const Piece& piece, int64_t group, const float* tiles,
                    float* sums) {
    const int64_t stride = element_stride(piece.row_end - piece.row);
    for (int e = 0; e < tile_elements; ++e) {
        const float* weights =
            of.transformed + (group * tile_elements + e) * of.channels * of.pieces.rows;
        for (int64_t term = 0; term < of.channels; term += channels_in_block) {
            const int64_t depth = smaller(channels_in_block, of.channels - term);
            for (int64_t panel = 0; panel < of.tiles.panels; ++panel) {
                const int64_t place = panel * tile_elements + e;
                const float* first = tiles + place * element_stride(of.channels) + term * places;
                const float* starts[vectors];
                for (int v = 0; v < vectors; ++v) {
                    starts[v] = first + v * width;
                }
                for (int64_t row = piece.row; row < piece.row_end; row += tile_rows) {
                    const int64_t rows = smaller(tile_rows, piece.row_end - row);
                    float* to = sums + place * stride + (row - piece.row) * places;
                    multiply_rows[rows](weights + term * of.pieces.rows + row * depth, of.steps,
                                        depth, starts, to, term == 0);
                }
            }
        }
    }
}

// A filter's results, (2, panels, places, 2), of its sums; false where one is not finite.
bool transform_sums(const float* sums, int64_t panels, int64_t stride, float bias, float* results) {
    Vector zeros = {};
    for (int64_t panel = 0; panel < panels; ++panel) {
        for (int v = 0; v < vectors; ++v) {
            const float* from = sums + panel * tile_elements * stride + v * width;
            Vector half[2][4];
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j) {
                Vector x[4];
#pragma GCC unroll 4
                for (int i = 0; i < 4; ++i) {
                    x[i] = at(from + (4 * i + j) * stride);
                }
                half[0][j] = x[0] + x[1] + x[2];
                half[1][j] = x[1] - x[2] - x[3];
            }
            for (int i = 0; i < 2; ++i) {
                const Vector* x = half[i];
                float even[width], odd[width];
                at(even) = x[0] + x[1] + x[2];
                at(odd) = x[1] - x[2] - x[3];
                zeros += 0 * at(even) + 0 * at(odd);
                float* to = results + ((i * panels + panel) * places + v * width) * 2;
                for (int j = 0; j < width; ++j) {
                    to[2 * j] = even[j] + bias;
                    to[2 * j + 1] = odd[j] + bias;
                }
            }
        }
    }
    bool finite = true;
    for (int j = 0; j < width; ++j) {
        finite = finite && zeros[j] == 0;
    }
    return finite;
}

// What of them belongs to the result.
void write(const Winograd& of, const Piece& piece, const float* results, int64_t filter) {
    const Tiles& tiles = of.tiles;
    const int64_t rows_of_tiles = smaller(piece.units, (of.height + 1) / 2 - piece.unit);
    const size_t bytes = size_t(of.width) * sizeof(float);
    for (int64_t image = 0; image < piece.images; ++image) {
        const int64_t plane = (piece.image + image) * of.pieces.groups * of.pieces.rows + filter;
        for (int64_t unit = 0; unit < rows_of_tiles; ++unit) {
            const float* from = results + (image * piece.units + unit) * tiles.row * 2;
            const int64_t row = 2 * (piece.unit + unit);
            float* to = of.result + (plane * of.height + row) * of.width;
            std::memcpy(to, from, bytes);
            if (row + 1 < of.height) {
                std::memcpy(to + of.width, from + 2 * tiles.panels * places, bytes);
            }
        }
    }
}

void convolve(void* const* arrays, const double*, int64_t begin, int64_t end) {
    Winograd& of = *static_cast<Winograd*>(arrays[0]);
    const Pieces& pieces = of.pieces;
    const int64_t panels = of.tiles.panels;
    const Scratch scratch(of.scratch);
    float* const tiles = scratch.memory;
    if (tiles == nullptr) {
        of.failed = true;
        return;
    }
    float* const sums = tiles + panels * tile_elements * element_stride(of.channels);
    float* const results = sums + panels * tile_elements * element_stride(pieces.rows_at_once);
    float* const copy = results + 4 * panels * places;
    const int64_t blocks = pieces.group_blocks() * pieces.row_blocks();
    for (int64_t i = begin; i < end && !of.failed; ++i) {
        const int64_t image_strip = i / blocks, group = i % blocks / pieces.row_blocks();
        const Piece piece(pieces, of.tiles.source, image_strip / pieces.strips,
                          image_strip % pieces.strips, group, i % pieces.row_blocks());
        transform_tiles<tile_elements>(of.tiles, piece, pieces.images, group * of.channels,
                                       of.channels, copy, tiles, TransformImages());
        multiply_tiles(of, piece, group, tiles, sums);
        const int64_t rows = piece.row_end - piece.row;
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t filter = group * pieces.rows + piece.row + row;
            const float bias = of.bias == nullptr ? 0 : of.bias[filter];
            if (!transform_sums(sums + row * places, panels, element_stride(rows), bias, results)) {
                of.failed = true;
                return;
            }
            write(of, piece, results, filter);
        }
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"weights", 1, 0, transform_weights, nullptr, nullptr};
    found.each[found.count++] = {"results", 1, 0, convolve, nullptr, nullptr};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(winograd);
const Loops OF_LEVEL(winograd) = all();
