// The gradient of a convolution's weight: sums over places, of parts of the batch.
#include <algorithm>
#include <cmath>
#include <memory>

#include "convolution.h"

namespace convolutions {

namespace {

constexpr int64_t few_filters = 8;  // for which vectors hold places rather than filters
constexpr int64_t terms_in_piece = 576;

}  // namespace

bool accumulate(Loop loop, const Images& x, const Along* along, const Sizes& kernel,
                const float* gradients, int64_t groups, int64_t filters, float* result) {
    const int width = level->vector_width, places = width * tile_vectors(width);
    const bool few = filters < few_filters;
    WeightGradient of{};
    Pieces& pieces = of.pieces;
    of.source.images = x.memory();
    of.source.count = x.first;
    of.source.channels = x.second;
    of.source.group = x.second / groups;
    of.gradients = gradients;
    of.filters = filters;
    of.places = along[0].results * along[1].results * along[2].results;
    of.at_once = in_a_block(int64_t(std::sqrt(double(x.first * of.places))));
    of.taps = kernel.product();
    const int64_t at_once = std::clamp<int64_t>(terms_in_piece / of.taps, 1, 64);
    of.source.channels_at_once = std::min(of.source.group, at_once);
    divide(of.source, pieces, along, width);
    of.strip_places = of.places / along[pieces.strip_axis].units * pieces.strip;
    of.unit_places = of.places / along[pieces.strip_axis].units;
    of.row_places = along[2].units;
    pieces.groups = groups;
    pieces.rows = of.source.group;
    pieces.rows_at_once = of.source.channels_at_once;
    const int64_t copy = pieces.images * of.source.channels_at_once * of.source.channel + width;
    if (copy > most_floats) {
        PyErr_NoMemory();
        return false;
    }
    of.source_scratch = divided_up(copy, 16) * 16;

    const std::vector<int32_t> positions = positions_of(of.source, pieces, along);
    of.positions = positions.data();
    std::vector<int32_t> starts, lanes, masks, offsets;
    if (few) {
        cover(positions, width, starts, lanes);
        masks.resize(starts.size() * size_t(width));
        for (int32_t lane : lanes) {
            masks[size_t(lane)] = -1;
        }
        of.starts = starts.data();
        of.masks = masks.data();
        of.lanes = lanes.data();
        of.vectors = int64_t(starts.size());
    }
    const std::vector<Tap> taps[] = {along[0].phases[0], along[1].phases[0], along[2].phases[0]};
    const std::vector<Joint> all = joined(of.source, taps, kernel);
    for (int64_t c = 0; c < of.source.channels_at_once; ++c) {
        for (const Joint& tap : all) {
            offsets.push_back(int32_t(c * of.source.channel + tap.offset));
        }
    }
    offsets.resize(offsets.size() + tile_rows);
    of.offsets = offsets.data();

    const int64_t wanted = divided_up(enough_pieces, pieces.row_blocks());
    pieces.groups_at_once = std::max<int64_t>(groups / wanted, 1);
    const int64_t terms = of.source.group * of.taps;
    of.row = few ? filters : divided_up(filters, width) * width;
    of.group_sums = divided_up((of.source.channels_at_once * of.taps + tile_rows) * of.row, 16) * 16;
    of.result = result;
    of.result_size = groups * filters * terms;
    pieces.parts = std::min(pieces.image_blocks(x.first), divided_up(wanted, pieces.group_blocks()));
    const std::unique_ptr<float[]> parts(new float[size_t((pieces.parts - 1) * of.result_size)]);
    of.parts = parts.get();
    of.scratch = of.source_scratch + pieces.groups_at_once * of.group_sums +
                 (few ? of.vectors * width : terms_at_once * places);
    run_pieces(loop, &of, pieces.parts * pieces.group_blocks() * pieces.row_blocks(),
               x.first * of.places * groups * filters * terms);
    if (of.failed) {
        PyErr_NoMemory();
        return false;
    }
    for (int64_t part = 0; part < pieces.parts - 1; ++part) {
        const float* more = of.parts + part * of.result_size;
        for (int64_t i = 0; i < of.result_size; ++i) {
            result[i] += more[i];
        }
    }
    return true;
}

}  // namespace convolutions
