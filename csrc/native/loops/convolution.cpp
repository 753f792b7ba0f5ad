// Convolutions of float as sums of products, where each image lies: tiles of filters by places in it.
// A vector holds neighbouring places of an image, and what an element of the kernel reads for them lies
// one behind the other in the image's copy with a border (or they are gathered, if images are small).
#include <cstring>

#include "csrc/native/convolution.h"
#include "csrc/native/loops.h"
#include "csrc/native/scratch.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/transpose.h"
#include "csrc/native/loops/convolution.h"
#include "csrc/native/loops/tile.h"

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
    for (int64_t term = 0; term < phase.terms; term += of.at_once) {
        const int64_t depth = smaller(of.at_once, phase.terms - term);
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
    const Scratch scratch(of.scratch);
    float* source = scratch.memory;
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

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"convolution", 1, 0, correlate, nullptr, nullptr};
    found.each[found.count++] = {"convolution_input", 1, 0, correlate, nullptr, nullptr};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(convolution);
const Loops OF_LEVEL(convolution) = all();
