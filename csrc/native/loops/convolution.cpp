// Convolutions of float as sums of products, where each image lies: tiles of filters by places in it.
// A vector holds neighbouring places of an image, and what an element of the kernel reads for them lies
// one behind the other in the image's copy with a border (or they are gathered, if images are small).
// For the gradient of the weight, vectors hold neighbouring filters, and tiles go through all places.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "csrc/native/convolution.h"
#include "csrc/native/level.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/transpose.h"

constexpr int width = TAPEGRAD_VECTOR_WIDTH;
constexpr int vectors = tile_vectors(width);
constexpr int places = width * vectors;  // of a tile

typedef float Vector __attribute__((vector_size(width * 4), aligned(4), may_alias));
typedef int32_t Mask __attribute__((vector_size(width * 4), aligned(4), may_alias));

inline Vector& at(float* memory) { return *reinterpret_cast<Vector*>(memory); }
inline const Vector& at(const float* memory) { return *reinterpret_cast<const Vector*>(memory); }

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t within(int64_t x, int64_t end) { return x < 0 ? 0 : smaller(x, end); }
inline int64_t divided_up(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

// ---- images with a border ----

// Those elements of a plane along an axis that an image has.
struct Inside {
    int64_t begin, end;
    int64_t first;  // where the first of them lies in the image

    Inside(const Axis& axis, int64_t plane) {
        const int64_t low = axis.low + plane;
        begin = within(divided_up(-low, axis.step), axis.length);
        end = within(divided_up(axis.size - low, axis.step), axis.length);
        first = low + begin * axis.step;
    }
};

// Every step-th of the floats before ``end``.
void copy_row(float* __restrict to, const float* __restrict from, int64_t step, int64_t count,
              const float* end) {
    int64_t i = 0;
    if (step == 1) {
        for (; i + 4 <= count; i += 4) {
            four_at(to + i) = four_at(from + i);
        }
    } else if (step == 2) {
        for (; i + 4 <= count && from + 2 * i + 8 <= end; i += 4) {
            const Four a = four_at(from + 2 * i), b = four_at(from + 2 * i + 4);
            four_at(to + i) = Four{a[0], a[2], b[0], b[2]};
        }
    }
    for (; i < count; ++i) {
        to[i] = from[i * step];
    }
}

void copy_channel(float* to, const float* from, const Axis* axes) {
    const Axis &d = axes[0], &h = axes[1], &w = axes[2];
    const int64_t size = d.size * h.size * w.size, plane = d.length * h.length * w.length;
    for (int64_t i = 0; i < d.planes * h.planes * w.planes; ++i, to += plane) {
        const Inside in_d(d, i / w.planes / h.planes), in_h(h, i / w.planes % h.planes);
        const Inside in_w(w, i % w.planes);
        const int64_t count = in_w.end - in_w.begin;
        if ((in_d.end - in_d.begin) * (in_h.end - in_h.begin) * count < plane) {
            std::memset(to, 0, size_t(plane) * sizeof(float));
        }
        const bool whole_rows = count == w.length && count == w.size && h.step == 1;
        for (int64_t z = in_d.begin; z < in_d.end; ++z) {
            const float* slice = from + (in_d.first + (z - in_d.begin) * d.step) * h.size * w.size;
            if (whole_rows) {
                std::memcpy(to + (z * h.length + in_h.begin) * w.length,
                            slice + in_h.first * w.size,
                            size_t((in_h.end - in_h.begin) * count) * sizeof(float));
                continue;
            }
            for (int64_t y = in_h.begin; y < in_h.end; ++y) {
                copy_row(to + (z * h.length + y) * w.length + in_w.begin,
                         slice + (in_h.first + (y - in_h.begin) * h.step) * w.size + in_w.first,
                         w.step, count, from + size);
            }
        }
    }
}

// So many channels of so many images, each at the start of memory for ``room`` channels, and zeros for
// a vector that begins in the last one.
void copy_images(float* memory, const Source& source, const Axis* axes, int64_t image,
                 int64_t images, int64_t channel, int64_t channels, int64_t room) {
    const int64_t size = axes[0].size * axes[1].size * axes[2].size;
    for (int64_t i = 0; i < images; ++i) {
        const float* from = source.images + ((image + i) * source.channels + channel) * size;
        float* to = memory + i * room * source.channel;
        for (int64_t c = 0; c < channels; ++c) {
            copy_channel(to, from + c * size, axes);
            to += source.channel;
        }
        for (int j = 0; j < width; ++j) {  // the next image is written over it
            to[j] = 0;
        }
    }
}

// What a piece computes.
struct Piece {
    int64_t image, images;
    int64_t unit, units;
    int64_t group, group_end;
    int64_t row, row_end;
    Axis axes[3];

    Piece(const Pieces& pieces, const Source& source, int64_t block, int64_t strip,
          int64_t group_block, int64_t row_block) {
        image = block * pieces.images;
        images = smaller(pieces.images, source.count - image);
        unit = strip * pieces.strip;
        units = pieces.strip;
        group = group_block * pieces.groups_at_once;
        group_end = smaller(group + pieces.groups_at_once, pieces.groups);
        row = row_block * pieces.rows_at_once;
        row_end = smaller(row + pieces.rows_at_once, pieces.rows);
        for (int i = 0; i < 3; ++i) {
            axes[i] = source.axes[i];
        }
        axes[pieces.strip_axis].low += unit * axes[pieces.strip_axis].step;
    }
};

// ---- the convolution, and the gradient of its input ----

// sums (rows, places) = or += weights (depth, rows) times what lies at the offsets from each vector's start
template <int rows>
void multiply(const float* weights, const int32_t* offsets, int64_t depth,
              const float* const* starts, float* sums, bool first) {
    Vector tile[rows][vectors] = {};
    const float* from[vectors];
    for (int v = 0; v < vectors; ++v) {
        from[v] = starts[v];
    }
    for (int64_t k = 0; k < depth; ++k) {
        Vector x[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            x[v] = at(from[v] + offsets[k]);
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            const float weight = weights[k * rows + r];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                tile[r][v] += weight * x[v];
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            Vector& sum = at(sums + (r * vectors + v) * width);
            sum = first ? tile[r][v] : sum + tile[r][v];
        }
    }
}

using Multiply = void(const float*, const int32_t*, int64_t, const float* const*, float*, bool);
Multiply* const multiply_rows[] = {nullptr,     multiply<1>, multiply<2>, multiply<3>,
                                   multiply<4>, multiply<5>, multiply<6>};

template <int chunk>
void gather(float* __restrict panel, const float* source, const int32_t* chunks,
            const int32_t* offsets, int64_t depth) {
    for (int64_t k = 0; k < depth; ++k) {
        const float* from = source + offsets[k];
        for (int i = 0; i < places / chunk; ++i) {
            std::memcpy(panel + i * chunk, from + chunks[i], chunk * sizeof(float));
        }
        panel += places;
    }
}

void gather_chunks(int chunk, float* panel, const float* source, const int32_t* chunks,
                   const int32_t* offsets, int64_t depth) {
    const auto run = chunk == 8   ? gather<8>
                     : chunk == 4 ? gather<4>
                     : chunk == 2 ? gather<2>
                                  : gather<1>;
    run(panel, source, chunks, offsets, depth);
}

// Those runs of a panel that there are in this piece, which may be the last of an axis.
int runs_of(const Correlation& of, const Piece& piece, const Phase& phase, int64_t panel, Run* runs) {
    int count = 0;
    const int64_t units = phase.units - piece.unit;
    for (int i = phase.run_begin[panel]; i < phase.run_begin[panel + 1]; ++i) {
        Run run = phase.runs[i];
        if (of.pieces.strip_axis == 2) {
            run.length = int32_t(smaller(run.length, units - run.unit));
        }
        if (run.image < piece.images && run.unit < units) {
            runs[count++] = run;
        }
    }
    return count;
}

// A panel's sums to where they belong.
void write(const Correlation& of, const Piece& piece, int64_t group, const Run* runs, int count,
           const float* sums, float* result) {
    for (int64_t row = piece.row; row < piece.row_end; ++row) {
        const int64_t filter = group * of.pieces.rows + row;
        const float bias = of.bias == nullptr ? 0 : of.bias[filter];
        float* const channel = result + filter * of.result_plane;
        for (int i = 0; i < count; ++i) {
            const Run& run = runs[i];
            float* __restrict to = channel + run.target;
            const float* __restrict from = sums + run.lane;
            if (of.apart == 1) {
                for (int j = 0; j < run.length; ++j) {
                    to[j] = from[j] + bias;
                }
            } else {
                for (int j = 0; j < run.length; ++j) {
                    to[j * of.apart] = from[j] + bias;
                }
            }
        }
        sums += places;
    }
}

void correlate_panel(const Correlation& of, const Piece& piece, const Phase& phase, int64_t panel,
                     int64_t group, const float* source, float* gathered, float* sums) {
    const float* weights = of.weights + group * of.group_weights + phase.weights;
    const float* starts[vectors];
    if (phase.terms == 0) {
        std::memset(sums, 0, size_t((piece.row_end - piece.row) * places) * sizeof(float));
    }
    for (int64_t term = 0; term < phase.terms; term += terms_at_once) {
        const int64_t depth = smaller(terms_at_once, phase.terms - term);
        const int32_t* offsets = phase.offsets + term;
        if (of.starts == nullptr) {
            gather_chunks(of.chunk, gathered, source, of.chunks + panel * (places / of.chunk),
                          offsets, depth);
        }
        for (int v = 0; v < vectors; ++v) {
            starts[v] = of.starts == nullptr ? gathered + v * width
                                             : source + of.starts[panel * vectors + v];
        }
        for (int64_t row = piece.row; row < piece.row_end; row += tile_rows) {
            const int64_t rows = smaller(tile_rows, piece.row_end - row);
            multiply_rows[rows](weights + term * of.pieces.rows + row * depth,
                                of.starts == nullptr ? of.steps : offsets, depth, starts,
                                sums + (row - piece.row) * places, term == 0);
        }
    }
}

void correlate(void* const* arrays, const double*, int64_t begin, int64_t end) {
    Correlation& of = *static_cast<Correlation*>(arrays[0]);
    float* source = scratch_of(of.scratch);
    if (source == nullptr) {
        of.failed = true;
        return;
    }
    float* gathered = source + of.source_scratch;
    float* sums = gathered + (of.starts == nullptr ? terms_at_once * places : 0);
    const Pieces& pieces = of.pieces;
    for (int64_t i = begin; i < end; ++i) {
        const int64_t blocks = pieces.group_blocks() * pieces.row_blocks(), image_strip = i / blocks;
        const Piece piece(pieces, of.source, image_strip / pieces.strips,
                          image_strip % pieces.strips, i % blocks / pieces.row_blocks(),
                          i % pieces.row_blocks());
        float* result = of.result +
                        piece.image * pieces.groups * pieces.rows * of.result_plane +
                        piece.unit * of.unit_stride;
        for (int64_t group = piece.group; group < piece.group_end; ++group) {
            copy_images(source, of.source, piece.axes, piece.image, piece.images,
                        group * of.source.group, of.source.group, of.source.group);
            for (int p = 0; p < of.phases; ++p) {
                for (int64_t panel = 0; panel < of.panels; ++panel) {
                    Run runs[places];
                    const int count = runs_of(of, piece, of.phase[p], panel, runs);
                    if (count == 0) {
                        continue;
                    }
                    correlate_panel(of, piece, of.phase[p], panel, group, source, gathered, sums);
                    write(of, piece, group, runs, count, sums, result);
                }
            }
        }
    }
}

// ---- the gradient of the weight ----

constexpr int64_t vectors_at_once = 64;  // that a lane adds up, before all are added

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
    Vector tile[rows] = {};
    const float* from[rows];
    for (int r = 0; r < rows; ++r) {
        from[r] = source + offsets[r];
    }
    for (int64_t i = 0; i < count; ++i) {
        const int64_t start = starts[i];
        const Vector g = at(gradients + i * width);
        const Mask mask = *reinterpret_cast<const Mask*>(masks + i * width);
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            const Mask x = *reinterpret_cast<const Mask*>(from[r] + start) & mask;
            tile[r] += reinterpret_cast<const Vector&>(x) * g;
        }
    }
    float lanes[rows][width];
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
        at(lanes[r]) = tile[r];
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
    for (int64_t begin = 0; begin < count; begin += terms_at_once) {
        const int64_t end = smaller(begin + terms_at_once, count);
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
    float* source = scratch_of(of.scratch);
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
    found.each[found.count++] = {"convolution", 1, 0, correlate, nullptr, nullptr};
    found.each[found.count++] = {"convolution_input", 1, 0, correlate, nullptr, nullptr};
    found.each[found.count++] = {"convolution_weight", 1, 0, accumulate, nullptr, nullptr};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(convolution);
const Loops OF_LEVEL(convolution) = all();
