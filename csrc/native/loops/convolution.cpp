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

// Every step-th element of a row, from ``first`` on, with zeros where the row has none.
void copy_row(float* __restrict to, const float* __restrict row, int64_t first, const Axis& axis) {
    const int64_t step = axis.step, length = axis.length;
    const int64_t begin = within(divided_up(-first, step), length);
    const int64_t end = within(divided_up(axis.size - first, step), length);
    int64_t i = 0;
    for (; i < begin; ++i) {
        to[i] = 0;
    }
    if (step == 1) {
        for (; i < end; ++i) {
            to[i] = row[first + i];
        }
    } else if (step == 2) {
        for (; i < end; ++i) {
            to[i] = row[first + i * 2];
        }
    } else {
        for (; i < end; ++i) {
            to[i] = row[first + i * step];
        }
    }
    for (; i < length; ++i) {
        to[i] = 0;
    }
}

float* copy_channel(float* to, const float* from, const Axis* axes) {
    const Axis &d = axes[0], &h = axes[1], &w = axes[2];
    for (int64_t plane = 0; plane < d.planes * h.planes * w.planes; ++plane) {
        const int64_t first_w = w.low + plane % w.planes;
        const int64_t first_h = h.low + plane / w.planes % h.planes;
        const int64_t first_d = d.low + plane / w.planes / h.planes;
        for (int64_t i = 0; i < d.length; ++i) {
            const int64_t z = first_d + i * d.step;
            for (int64_t j = 0; j < h.length; ++j) {
                const int64_t y = first_h + j * h.step;
                if (z >= 0 && z < d.size && y >= 0 && y < h.size) {
                    copy_row(to, from + (z * h.size + y) * w.size, first_w, w);
                } else {
                    for (int64_t k = 0; k < w.length; ++k) {
                        to[k] = 0;
                    }
                }
                to += w.length;
            }
        }
    }
    return to;
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
            to = copy_channel(to, from + c * size, axes);
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
    for (int r = 0; r < rows; ++r) {
        float sum = 0;
        for (int i = 0; i < width; ++i) {
            sum += tile[r][i];
        }
        sums[r * row] += sum;
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

// Gradients of some filters at some of a piece's places, in the order of places.
void transpose_gradients(const WeightGradient& of, const Piece& piece, int64_t filter,
                         int64_t filters, int64_t begin, int64_t end, float* to, int64_t row) {
    const int64_t of_image = of.strip_places;
    while (begin < end) {
        const int64_t image = begin / of_image, first = begin % of_image;
        const int64_t count = smaller(end - begin, of_image - first);
        const float* from = of.gradients +
                            ((piece.image + image) * of.pieces.groups * of.filters + filter) * of.places +
                            piece.unit * of.unit_places + first;
        transpose(from, of.places, to, row, filters, count);
        to += count * row;
        begin += count;
    }
}

void accumulate_by_tiles(const WeightGradient& of, const Piece& piece, int64_t group, int64_t count,
                         const float* source, float* gradients, float* sums) {
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
                           int64_t count, const float* source, float* gradients, float* sums) {
    const int64_t terms = (piece.row_end - piece.row) * of.taps;
    for (int64_t filter = 0; filter < of.filters; ++filter) {
        std::memset(gradients, 0, size_t(of.vectors * width) * sizeof(float));
        for (int64_t i = 0; i < count; ++i) {
            const int64_t image = i / of.strip_places, place = i % of.strip_places;
            gradients[of.lanes[i]] =
                of.gradients[((piece.image + image) * of.pieces.groups * of.filters +
                              group * of.filters + filter) *
                                 of.places +
                             piece.unit * of.unit_places + place];
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

void accumulate(void* const* arrays, const double*, int64_t begin, int64_t end) {
    WeightGradient& of = *static_cast<WeightGradient*>(arrays[0]);
    float* source = scratch_of(of.scratch);
    if (source == nullptr) {
        of.failed = true;
        return;
    }
    float* gradients = source + of.source_scratch;
    const Pieces& pieces = of.pieces;
    const int64_t blocks = pieces.group_blocks() * pieces.row_blocks();
    const int64_t all = pieces.image_blocks(of.source.count);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t part = i / blocks;
        for (int64_t block = part * all / pieces.parts; block < (part + 1) * all / pieces.parts; ++block) {
            for (int64_t strip = 0; strip < pieces.strips; ++strip) {
                const Piece piece(pieces, of.source, block, strip, i % blocks / pieces.row_blocks(),
                                  i % pieces.row_blocks());
                const int64_t in_strip = smaller(of.strip_places, of.places - piece.unit * of.unit_places);
                const int64_t count = piece.images * in_strip;  // of several images, all are whole
                for (int64_t group = piece.group; group < piece.group_end; ++group) {
                    copy_images(source, of.source, piece.axes, piece.image, piece.images,
                                group * of.source.group + piece.row, piece.row_end - piece.row,
                                of.source.channels_at_once);
                    float* sums = of.sums + ((part * pieces.groups + group) * of.terms +
                                             piece.row * of.taps) * of.row;
                    (of.starts == nullptr ? accumulate_by_tiles : accumulate_by_filters)(
                        of, piece, group, count, source, gradients, sums);
                }
            }
        }
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
