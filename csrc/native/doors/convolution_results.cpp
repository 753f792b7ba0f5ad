// The results of a convolution, and the gradient of its input: which tiles there are, what they read, and
// where their sums belong.
#include <algorithm>
#include <memory>

#include "convolution.h"

namespace convolutions {

namespace {

#include "../transpose.h"

struct Packed {
    std::vector<int32_t> offsets;
    std::vector<Run> runs;
    std::vector<int32_t> run_begin;
};

// The runs of a phase, whose first result is at ``first``.
void find_runs(const Correlation& of, const Along* along, const int64_t* first,
               const std::vector<int32_t>& lanes, int places, Packed& packed) {
    const Pieces& pieces = of.pieces;
    int64_t units[3], size[3];
    for (int i = 0; i < 3; ++i) {
        units[i] = i == pieces.strip_axis ? pieces.strip : along[i].units;
        size[i] = along[i].units_of(first[i]);
    }
    const int64_t of_image = pieces.groups * pieces.rows * of.result_plane;
    const int64_t in_row = std::min(units[2], size[2]);
    const int32_t* lane = lanes.data();
    for (int64_t row = 0; row < pieces.images * units[0] * units[1]; ++row, lane += units[2]) {
        const int64_t image = row / units[1] / units[0];
        const int64_t i = row / units[1] % units[0], j = row % units[1];
        if (i >= size[0] || j >= size[1]) {
            continue;
        }
        const int64_t depth = i * along[0].apart + first[0], height = j * along[1].apart + first[1];
        const int64_t target = image * of_image + first[2] +
                               (depth * along[1].results + height) * along[2].results;
        for (int64_t k = 0, length; k < in_row; k += length) {
            const int32_t panel = lane[k] / places, in_panel = lane[k] % places;
            const int64_t most = std::min<int64_t>(in_row - k, places - in_panel);
            for (length = 1; length < most && lane[k + length] == lane[k] + length;) {
                ++length;
            }
            while (int32_t(packed.run_begin.size()) <= panel) {
                packed.run_begin.push_back(int32_t(packed.runs.size()));
            }
            const int64_t to = target + k * along[2].apart;
            const bool begun = int32_t(packed.runs.size()) > packed.run_begin[size_t(panel)];
            Run* last = begun ? &packed.runs.back() : nullptr;
            if (begun && (pieces.strips == 1 || k > 0) && last->image == image &&
                last->lane + last->length == in_panel &&
                last->target + last->length * along[2].apart == to) {
                last->length += int32_t(length);
            } else {
                const int64_t at[3] = {i, j, k};
                packed.runs.push_back({int32_t(image), int32_t(at[pieces.strip_axis]), in_panel,
                                       int32_t(length), to});
            }
        }
    }
    while (int64_t(packed.run_begin.size()) <= of.panels) {
        packed.run_begin.push_back(int32_t(packed.runs.size()));
    }
}

// The weights of a group and phase, in the order in which tiles read them.
void pack(const float* weights, const std::vector<int64_t>& of_term, int64_t rows, int64_t row_stride,
          int64_t at_once, float* to) {
    const int64_t terms = int64_t(of_term.size());
    for (int64_t begin = 0; begin < terms; begin += at_once) {
        const int64_t end = std::min(terms, begin + at_once);
        int64_t row = 0;
        for (; row + tile_rows <= rows; row += tile_rows) {
            for (int64_t term = begin; term < end;) {
                const float* from = weights + row * row_stride + of_term[size_t(term)];
                int64_t count = 1;
                while (term + count < end && of_term[size_t(term + count)] == of_term[size_t(term)] + count) {
                    ++count;
                }
                transpose(from, row_stride, to, tile_rows, tile_rows, count);
                to += count * tile_rows;
                term += count;
            }
        }
        for (int64_t term = begin; term < end; ++term) {
            for (int64_t i = row; i < rows; ++i) {
                *to++ = weights[i * row_stride + of_term[size_t(term)]];
            }
        }
    }
}

}  // namespace

bool correlate(Loop loop, const Images& images, const Along* along, const Sizes& kernel,
               int64_t at_once, const float* weights, const WeightStrides& strides,
               const float* bias, int64_t groups, int64_t rows, float* result) {
    const int width = level->vector_width, places = width * tile_vectors(width);
    const int64_t channels = images.second / groups;
    Correlation of{};
    of.source.images = images.memory();
    of.source.count = images.first;
    of.source.channels = images.second;
    of.source.group = of.source.channels_at_once = channels;
    const int64_t terms = channels * kernel.product();
    of.at_once = at_once = divided_up(terms, divided_up(terms, at_once));  // blocks alike
    of.bias = bias;
    of.result = result;
    of.result_plane = along[0].results * along[1].results * along[2].results;
    of.apart = along[2].apart;
    Pieces& pieces = of.pieces;
    divide(of.source, pieces, along, width);
    pieces.groups = groups;
    pieces.rows = rows;
    int64_t unit_stride = along[pieces.strip_axis].apart;
    for (int i = pieces.strip_axis + 1; i < 3; ++i) {
        unit_stride *= along[i].results;
    }
    of.unit_stride = unit_stride;

    const int64_t copy = pieces.images * channels * of.source.channel + width;
    if (copy > most_floats) {
        PyErr_NoMemory();
        return false;
    }
    of.source_scratch = divided_up(copy, 16) * 16;

    // Vectors over neighbouring places of the source; or gathered ones, where too many of their lanes
    // would be no places.
    const std::vector<int32_t> positions = positions_of(of.source, pieces, along);
    std::vector<int32_t> starts, lanes, chunks;
    cover(positions, width, starts, lanes);
    const int64_t units = pieces.strip_axis == 2 ? pieces.strip : along[2].units;
    of.chunk = units % 8 == 0 ? 8 : units % 4 == 0 ? 4 : units % 2 == 0 ? 2 : 1;
    const int64_t found = int64_t(positions.size());
    const int64_t vectors = divided_up(found, width);
    const int64_t products = std::min(rows, int64_t(1) << 20);
    if (int64_t(starts.size()) * products > vectors * products + 2 * (found / of.chunk)) {
        of.panels = divided_up(found, places);
        for (int64_t i = 0; i < found; i += of.chunk) {
            chunks.push_back(positions[size_t(i)]);
        }
        chunks.resize(size_t(of.panels * (places / of.chunk)));
        of.chunks = chunks.data();
        for (int64_t i = 0; i < found; ++i) {
            lanes[size_t(i)] = int32_t(i);
        }
    } else {
        starts.resize(size_t(divided_up(int64_t(starts.size()), tile_vectors(width)) *
                             tile_vectors(width)));
        of.panels = int64_t(starts.size()) / tile_vectors(width);
        of.starts = starts.data();
    }
    int32_t steps[terms_at_once];
    for (int i = 0; i < terms_at_once; ++i) {
        steps[i] = i * places;
    }
    of.steps = steps;
    // The phases, their terms and weights.
    std::vector<Phase> phases;
    std::vector<Packed> tables;
    std::vector<std::vector<int64_t>> of_terms;
    int64_t all_terms = 0;
    for (size_t d = 0; d < along[0].phases.size(); ++d) {
        for (size_t h = 0; h < along[1].phases.size(); ++h) {
            for (size_t w = 0; w < along[2].phases.size(); ++w) {
                const std::vector<Tap> taps[] = {along[0].phases[d], along[1].phases[h],
                                                 along[2].phases[w]};
                const int64_t first[] = {int64_t(d), int64_t(h), int64_t(w)};
                const std::vector<Joint> all = joined(of.source, taps, kernel);
                Packed packed;
                std::vector<int64_t> of_term;
                for (int64_t c = 0; c < channels; ++c) {
                    for (const Joint& tap : all) {
                        packed.offsets.push_back(int32_t(c * of.source.channel + tap.offset));
                        of_term.push_back(c * strides.channel + tap.kernel);
                    }
                }
                find_runs(of, along, first, lanes, places, packed);
                Phase phase{};
                phase.terms = int64_t(of_term.size());
                phase.units = along[pieces.strip_axis].units_of(first[pieces.strip_axis]);
                phase.weights = all_terms * rows;
                all_terms += phase.terms;
                phases.push_back(phase);
                tables.push_back(std::move(packed));
                of_terms.push_back(std::move(of_term));
            }
        }
    }
    for (size_t i = 0; i < phases.size(); ++i) {
        phases[i].offsets = tables[i].offsets.data();
        phases[i].runs = tables[i].runs.data();
        phases[i].run_begin = tables[i].run_begin.data();
    }
    of.phase = phases.data();
    of.phases = int(phases.size());
    of.group_weights = all_terms * rows;
    const std::unique_ptr<float[]> packed(new float[size_t(groups * of.group_weights)]);
    for (int64_t group = 0; group < groups; ++group) {
        for (size_t i = 0; i < phases.size(); ++i) {
            pack(weights + group * strides.group, of_terms[i], rows, strides.row,
                 at_once, packed.get() + group * of.group_weights + phases[i].weights);
        }
    }
    of.weights = packed.get();

    const int64_t blocks = pieces.image_blocks(of.source.count) * pieces.strips;
    const int64_t wanted = divided_up(enough_pieces, blocks);
    pieces.groups_at_once = std::max<int64_t>(groups / wanted, 1);
    const int64_t row_blocks = divided_up(wanted, pieces.group_blocks());
    pieces.rows_at_once =
        std::min(rows, std::max<int64_t>(divided_up(divided_up(rows, row_blocks), 48) * 48, 96));
    of.scratch = of.source_scratch + (of.starts == nullptr ? terms_at_once * places : 0) +
                 pieces.rows_at_once * places;
    run_pieces(loop, &of, blocks * pieces.group_blocks() * pieces.row_blocks(),
               images.first * of.result_plane * groups * rows * channels * kernel.product());
    if (of.failed) {
        PyErr_NoMemory();
    }
    return !of.failed;
}

}  // namespace convolutions
