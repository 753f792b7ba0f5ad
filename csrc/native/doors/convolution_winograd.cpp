// Convolutions by Winograd's algorithm: where it pays, and how tiles are divided into pieces.
#include "../winograd.h"

#include <algorithm>
#include <memory>

#include "../pool.h"
#include "convolution.h"

namespace convolutions {

namespace {

// How many rows of tiles, or images, make a piece, so that little of its panels is empty.
void divide_tiles(Tiles& tiles, Pieces& pieces, const Along* along) {
    const int64_t row = along[2].units, rows = along[1].units, image = row * rows;
    double least = 0;
    const auto consider = [&](int64_t images, int64_t strip) {
        const int64_t strips = divided_up(rows, strip);
        const int64_t panels = strips * divided_up(images * strip * row, tiles_at_once);
        const double taken = double(panels) / double(images);
        if (least == 0 || taken < 0.95 * least) {
            least = taken;
            pieces.images = images;
            pieces.strips = strips;
            pieces.strip = divided_up(rows, strips);
        }
    };
    for (int64_t strip = 1; strip < rows && strip * row <= 4 * tiles_at_once; ++strip) {
        consider(1, strip);
    }
    for (int64_t n = 1; n <= tiles.source.count && n * image <= 4 * tiles_at_once; ++n) {
        consider(n, rows);
    }
    if (least == 0) {
        consider(1, 1);
    }
    pieces.strip_axis = 1;
    tiles.row = row;
    tiles.count = pieces.images * pieces.strip * row;
}

// Tiles of so many elements along each axis, and where they are read.
struct TilesRead : Tiles {
    std::vector<int32_t> all_chunks;

    void lay_out(const Pieces& pieces, const Along* along, const Sizes& elements) {
        source.channel = 1;
        for (int i = 0; i < 3; ++i) {
            source.axes[i] = along[i].axis;
            source.axes[i].length += i == 1 ? pieces.strip : along[i].units;
            source.channel *= source.axes[i].planes * source.axes[i].length;
        }
        const std::vector<Tap> taps[] = {along[0].phases[0], along[1].phases[0],
                                         along[2].phases[0]};
        int element = 0;
        for (const Joint& tap : joined(source, taps, elements)) {
            offsets[element++] = int32_t(tap.offset);
        }
        const int places = level->vector_width * tile_vectors(level->vector_width);
        panels = divided_up(count, places);
        chunk = row % 8 == 0 ? 8 : row % 4 == 0 ? 4 : row % 2 == 0 ? 2 : 1;
        const std::vector<int32_t> positions = positions_of(source, pieces, along);
        for (size_t i = 0; i < positions.size(); i += size_t(chunk)) {
            all_chunks.push_back(positions[i]);
        }
        all_chunks.resize(size_t(panels * (places / chunk)));
        chunks = all_chunks.data();
    }
};

}  // namespace

bool by_winograd(const Images& images, const Sizes& results, const Sizes& padding, bool mirrored,
                 const float* weights, const WeightStrides& strides, const float* bias,
                 int64_t groups, int64_t rows, float* result) {
    const int64_t channels = images.second / groups;
    Winograd of{};
    TilesRead tiles;
    tiles.source.images = images.memory();
    tiles.source.count = images.first;
    tiles.source.channels = images.second;
    tiles.source.group = channels;
    tiles.source.channels_at_once = std::min<int64_t>(channels, 16);
    Along along[3];
    for (int i = 0; i < 3; ++i) {
        along[i] = i == 0 ? forward(1, 1, 1, 1, 0, 1)
                          : forward(images.sizes.of[i], divided_up(results.of[i], 2), 4, 2,
                                    padding.of[i], 1);
    }
    Pieces& pieces = of.pieces;
    divide_tiles(tiles, pieces, along);
    tiles.lay_out(pieces, along, {1, 4, 4});
    of.tiles = tiles;
    pieces.groups = groups;
    pieces.groups_at_once = 1;
    pieces.rows = rows;
    of.channels = channels;
    of.weights = weights;
    of.weight_group = strides.group;
    of.weight_row = strides.row;
    of.weight_channel = strides.channel;
    for (int i = 0; i < 9; ++i) {
        of.kernel[i] = mirrored ? 8 - i : i;
    }
    of.bias = bias;
    of.result = result;
    of.height = results.of[1];
    of.width = results.of[2];
    const int64_t places = level->vector_width * tile_vectors(level->vector_width);
    int32_t steps[terms_at_once];
    for (int i = 0; i < terms_at_once; ++i) {
        steps[i] = int32_t(i * places);
    }
    of.steps = steps;
    const std::unique_ptr<float[]> transformed(
        new float[size_t(groups * tile_elements * channels * rows)]);
    of.transformed = transformed.get();
    // A piece's filters are shared only by threads that would have none: its tiles are then
    // transformed by each of them.
    const int64_t blocks = pieces.image_blocks(images.first) * pieces.strips * groups;
    const int64_t tiles_of_rows = divided_up(rows, tile_rows);
    const int64_t shared = std::clamp<int64_t>(get_threads() / blocks, 1, tiles_of_rows);
    pieces.rows_at_once = divided_up(tiles_of_rows, shared) * tile_rows;
    of.scratch = tiles.panels * (places * (tile_elements * (channels + pieces.rows_at_once) + 4) +
                                 2 * tile_elements * 16) +
                 pieces.images * tiles.source.channels_at_once * tiles.source.channel +
                 level->vector_width;
    const int64_t products = tiles.count * tile_elements * blocks * rows * channels;
    run_pieces(level->winograd.each[0].float32, &of, groups * tiles_of_rows, products);
    run_pieces(level->winograd.each[1].float32, &of, blocks * pieces.row_blocks(), products);
    return !of.failed;
}

}  // namespace convolutions
