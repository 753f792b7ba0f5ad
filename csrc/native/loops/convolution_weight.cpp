// The gradient of a convolution's weight: vectors hold neighbouring filters, and tiles go through all
// places; of few filters, vectors hold places.
#include <cstring>

#include "csrc/native/convolution.h"
#include "csrc/native/loops.h"
#include "csrc/native/scratch.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/transpose.h"
#include "csrc/native/loops/convolution.h"

constexpr int64_t vectors_at_once = 64;  // for which lanes add up, before all are added
constexpr int64_t in_a_row = 16;         // one by one

// sums (rows, row) += the products of what lies at each row's offset from every position, and of the
// filters' gradients there, (count, across vectors).
template <int across>
void accumulate_tile(const float* source, const int32_t* offsets, const int32_t* positions,
                     int64_t count, const float* gradients, float* sums, int64_t row) {
    constexpr int rows = tile_rows;
    Vector tile[rows][across] = {};
    const float* from[rows];
    for (int r = 0; r < rows; ++r) {
        from[r] = source + offsets[r];
    }
    for (int64_t i = 0; i < count; ++i) {
        const int64_t position = positions[i];
        Vector g[across];
#pragma GCC unroll 4
        for (int v = 0; v < across; ++v) {
            g[v] = at(gradients + (i * across + v) * width);
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            const float x = from[r][position];
#pragma GCC unroll 4
            for (int v = 0; v < across; ++v) {
                tile[r][v] += x * g[v];
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < across; ++v) {
            at(sums + r * row + v * width) += tile[r][v];
        }
    }
}

// For one filter: sums (rows, row) += what lies at each row's offset from the places of each vector,
// times their gradients.
template <int rows>
void accumulate_filter(const float* source, const int32_t* offsets, const int32_t* starts,
                       const int32_t* masks, int64_t count, const float* gradients, float* sums,
                       int64_t row) {
    Vector all[rows] = {};
    const float* from[rows];
    for (int r = 0; r < rows; ++r) {
        from[r] = source + offsets[r];
    }
    for (int64_t begin = 0; begin < count; begin += in_a_row) {
        Vector tile[rows] = {};
        for (int64_t i = begin; i < smaller(begin + in_a_row, count); ++i) {
            const int64_t start = starts[i];
            const Vector g = at(gradients + i * width);
            const Mask mask = *reinterpret_cast<const Mask*>(masks + i * width);
#pragma GCC unroll 6
            for (int r = 0; r < rows; ++r) {
                const Mask x = *reinterpret_cast<const Mask*>(from[r] + start) & mask;
                tile[r] += reinterpret_cast<const Vector&>(x) * g;
            }
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            all[r] += tile[r];
        }
    }
    float lanes[rows][width];
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
        at(lanes[r]) = all[r];
    }
    for (int r = 0; r < rows; ++r) {
        for (int half = width / 2; half > 0; half /= 2) {
            for (int i = 0; i < half; ++i) {
                lanes[r][i] += lanes[r][i + half];
            }
        }
        sums[r * row] += lanes[r][0];
    }
}

using AccumulateTile = void(const float*, const int32_t*, const int32_t*, int64_t, const float*,
                            float*, int64_t);
AccumulateTile* const accumulate_vectors[] = {
    accumulate_tile<1>, accumulate_tile<2>,
#if TAPEGRAD_VECTOR_WIDTH == 16
    accumulate_tile<3>, accumulate_tile<4>,
#endif
};
using AccumulateFilter = void(const float*, const int32_t*, const int32_t*, const int32_t*, int64_t,
                              const float*, float*, int64_t);
AccumulateFilter* const accumulate_rows[] = {accumulate_filter<1>, accumulate_filter<2>,
                                             accumulate_filter<3>, accumulate_filter<4>,
                                             accumulate_filter<5>, accumulate_filter<6>};

// A filter's gradients at the places of one of a piece's images.
const float* gradients_of(const WeightGradient& of, const Piece& piece, int64_t image,
                          int64_t filter) {
    const int64_t row = (piece.image + image) * of.pieces.groups * of.filters + filter;
    return of.gradients + row * of.places + piece.unit * of.unit_places;
}

// Gradients of some filters at some of a piece's places, in the order of places.
void transpose_gradients(const WeightGradient& of, const Piece& piece, int64_t filter,
                         int64_t filters, int64_t begin, int64_t end, float* to, int64_t row) {
    const int64_t of_image = of.strip_places;
    while (begin < end) {
        const int64_t image = begin / of_image, first = begin % of_image;
        const int64_t count = smaller(end - begin, of_image - first);
        const float* from = gradients_of(of, piece, image, filter) + first;
        transpose(from, of.places, to, row, filters, count);
        to += count * row;
        begin += count;
    }
}

void accumulate_by_tiles(const WeightGradient& of, const Piece& piece, int64_t group,
                         int64_t in_strip, const float* source, float* gradients, float* sums) {
    const int64_t count = piece.images * in_strip;  // of several images, all are whole
    const int64_t terms = (piece.row_end - piece.row) * of.taps;
    for (int64_t begin = 0; begin < count; begin += of.at_once) {
        const int64_t end = smaller(begin + of.at_once, count);
        for (int64_t filter = 0; filter < of.filters; filter += places) {
            const int64_t filters = smaller(places, of.filters - filter);
            const int64_t across = (filters + width - 1) / width;
            transpose_gradients(of, piece, group * of.filters + filter, filters, begin, end,
                                gradients, across * width);
            for (int64_t term = 0; term < terms; term += tile_rows) {
                accumulate_vectors[across - 1](source, of.offsets + term, of.positions + begin,
                                               end - begin, gradients, sums + term * of.row + filter,
                                               of.row);
            }
        }
    }
}

void accumulate_by_filters(const WeightGradient& of, const Piece& piece, int64_t group,
                           int64_t in_strip, const float* source, float* gradients, float* sums) {
    const int64_t terms = (piece.row_end - piece.row) * of.taps;
    for (int64_t filter = 0; filter < of.filters; ++filter) {
        std::memset(gradients, 0, size_t(of.vectors * width) * sizeof(float));
        for (int64_t image = 0; image < piece.images; ++image) {
            const float* from = gradients_of(of, piece, image, group * of.filters + filter);
            const int32_t* lanes = of.lanes + image * of.strip_places;
            for (int64_t place = 0; place < in_strip; place += of.row_places) {
                copy_row(gradients + lanes[place], from + place, 1,
                         smaller(of.row_places, in_strip - place), nullptr);
            }
        }
        for (int64_t begin = 0; begin < of.vectors; begin += vectors_at_once) {
            const int64_t some = smaller(vectors_at_once, of.vectors - begin);
            for (int64_t term = 0; term < terms; term += tile_rows) {
                const int64_t rows = smaller(tile_rows, terms - term);
                accumulate_rows[rows - 1](source, of.offsets + term, of.starts + begin,
                                          of.masks + begin * width, some, gradients + begin * width,
                                          sums + term * of.row + filter, of.row);
            }
        }
    }
}

// A piece's sums, (terms, row) for each group, to the filters of the result.
void write_sums(const WeightGradient& of, const Piece& piece, const float* sums, float* result) {
    const int64_t terms = (piece.row_end - piece.row) * of.taps, all = of.pieces.rows * of.taps;
    constexpr int64_t rows = 64, columns = 16;  // such blocks stay in the first cache
    for (int64_t group = piece.group; group < piece.group_end; ++group, sums += of.group_sums) {
        float* to = result + group * of.filters * all + piece.row * of.taps;
        for (int64_t term = 0; term < terms; term += rows) {
            for (int64_t filter = 0; filter < of.filters; filter += columns) {
                transpose(sums + term * of.row + filter, of.row, to + filter * all + term, all,
                          smaller(rows, terms - term), smaller(columns, of.filters - filter));
            }
        }
    }
}

void accumulate(void* const* arrays, const double*, int64_t begin, int64_t end) {
    WeightGradient& of = *static_cast<WeightGradient*>(arrays[0]);
    const Scratch scratch(of.scratch);
    float* source = scratch.memory;
    if (source == nullptr) {
        of.failed = true;
        return;
    }
    float* sums = source + of.source_scratch;
    float* gradients = sums + of.pieces.groups_at_once * of.group_sums;
    const Pieces& pieces = of.pieces;
    const int64_t blocks = pieces.group_blocks() * pieces.row_blocks();
    const int64_t image_blocks = pieces.image_blocks(of.source.count);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t part = i / blocks, group_block = i % blocks / pieces.row_blocks();
        const int64_t first = part * image_blocks / pieces.parts;
        const int64_t last = (part + 1) * image_blocks / pieces.parts;
        std::memset(sums, 0, size_t(pieces.groups_at_once * of.group_sums) * sizeof(float));
        for (int64_t block = first; block < last; ++block) {
            for (int64_t strip = 0; strip < pieces.strips; ++strip) {
                const Piece piece(pieces, of.source, block, strip, group_block,
                                  i % pieces.row_blocks());
                const int64_t in_strip =
                    smaller(of.strip_places, of.places - piece.unit * of.unit_places);
                for (int64_t group = piece.group; group < piece.group_end; ++group) {
                    copy_images(source, of.source, piece.axes, piece.image, piece.images,
                                group * of.source.group + piece.row, piece.row_end - piece.row,
                                of.source.channels_at_once);
                    (of.starts == nullptr ? accumulate_by_tiles : accumulate_by_filters)(
                        of, piece, group, in_strip, source, gradients,
                        sums + (group - piece.group) * of.group_sums);
                }
            }
        }
        const Piece piece(pieces, of.source, 0, 0, group_block, i % pieces.row_blocks());
        write_sums(of, piece, sums,
                   part == 0 ? of.result : of.parts + (part - 1) * of.result_size);
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"convolution_weight", 1, 0, accumulate, nullptr, nullptr};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(convolution_weight);
const Loops OF_LEVEL(convolution_weight) = all();
