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

void transform_kernel(const float* __restrict a, const float* __restrict b, const float* __restrict c,
                      float* __restrict y0, float* __restrict y1, float* __restrict y2,
                      float* __restrict y3, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        const float ends = 0.5f * (a[i] + c[i]), middle = 0.5f * b[i];
        y0[i] = a[i];
        y1[i] = ends + middle;
        y2[i] = ends - middle;
        y3[i] = c[i];
    }
}

// The transformed kernels of tiles of filters, in the order in which they are multiplied.
void transform_weights(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const Winograd& of = *static_cast<const Winograd*>(arrays[0]);
    const int64_t all_rows = of.pieces.rows, row_tiles = (all_rows + tile_rows - 1) / tile_rows;
    constexpr int64_t most = terms_at_once * tile_rows;
    for (int64_t i = begin; i < end; ++i) {
        const int64_t group = i / row_tiles, row = i % row_tiles * tile_rows;
        const int64_t rows = smaller(tile_rows, all_rows - row);
        for (int64_t term = 0; term < of.channels; term += terms_at_once) {
            const int64_t depth = smaller(terms_at_once, of.channels - term);
            const float* from = of.weights + group * of.weight_group + row * of.weight_row +
                                term * of.weight_channel;
            float kernel[9][most];
            for (int64_t k = 0; k < depth; ++k) {
                for (int64_t r = 0; r < rows; ++r) {
                    for (int j = 0; j < 9; ++j) {
                        kernel[j][k * rows + r] =
                            from[k * of.weight_channel + r * of.weight_row + of.kernel[j]];
                    }
                }
            }
            float half[12][most], whole[tile_elements][most];
            for (int j = 0; j < 3; ++j) {
                transform_kernel(kernel[j], kernel[3 + j], kernel[6 + j], half[j], half[3 + j],
                                 half[6 + j], half[9 + j], depth * rows);
            }
            for (int j = 0; j < 4; ++j) {
                transform_kernel(half[3 * j], half[3 * j + 1], half[3 * j + 2], whole[4 * j],
                                 whole[4 * j + 1], whole[4 * j + 2], whole[4 * j + 3], depth * rows);
            }
            for (int e = 0; e < tile_elements; ++e) {
                std::memcpy(of.transformed +
                                ((group * tile_elements + e) * of.channels + term) * all_rows +
                                row * depth,
                            whole[e], size_t(depth * rows) * sizeof(float));
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
        for (int64_t term = 0; term < of.channels; term += terms_at_once) {
            const int64_t depth = smaller(terms_at_once, of.channels - term);
            for (int64_t panel = 0; panel < of.tiles.panels; ++panel) {
                const int64_t at_panel = panel * tile_elements + e;
                const float* starts[vectors];
                for (int v = 0; v < vectors; ++v) {
                    starts[v] = tiles + at_panel * element_stride(of.channels) + term * places + v * width;
                }
                for (int64_t row = piece.row; row < piece.row_end; row += tile_rows) {
                    const int64_t rows = smaller(tile_rows, piece.row_end - row);
                    multiply_rows[rows](weights + term * of.pieces.rows + row * depth, of.steps,
                                        depth, starts,
                                        sums + at_panel * stride + (row - piece.row) * places, term == 0);
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
