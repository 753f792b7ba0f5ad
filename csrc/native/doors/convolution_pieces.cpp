// How the places of a convolution are divided into pieces, and what its kernel reads for them.
#include <algorithm>

#include "convolution.h"

namespace convolutions {

namespace {

constexpr int64_t most_images = 64;           // of a piece
constexpr int64_t source_floats = 160 << 10;  // of its copy of images: in the second cache

int first_axis(const Along* along) {
    return along[0].units > 1 ? 0 : along[1].units > 1 ? 1 : 2;
}

}  // namespace

int64_t lay_out(Source& source, const Along* along, int strip_axis, int64_t strip) {
    source.channel = 1;
    for (int i = 0; i < 3; ++i) {
        source.axes[i] = along[i].axis;
        source.axes[i].length += i == strip_axis ? strip : along[i].units;
        source.channel *= source.axes[i].planes * source.axes[i].length;
    }
    return source.channel;
}

Along forward(int64_t size, int64_t results, int64_t kernel, int64_t stride, int64_t padding,
              int64_t dilation) {
    Along along{};
    along.results = along.units = results;
    along.apart = 1;
    along.axis = {size, -padding, stride, 0, 0};
    along.phases.resize(1);
    int64_t furthest = 0;
    for (int64_t k = 0; k < kernel; ++k) {
        const Tap tap{k, k * dilation % stride, k * dilation / stride};
        along.phases[0].push_back(tap);
        along.axis.planes = std::max(along.axis.planes, tap.plane + 1);
        furthest = std::max(furthest, tap.shift);
    }
    along.axis.length = furthest;  // and as many as there are units in a piece
    return along;
}

// Position stride * j + phase was read with element k for result
// j + (phase + padding - k dilation) / stride, where that is whole.
Along backward(int64_t size, int64_t results, int64_t kernel, int64_t stride, int64_t padding,
               int64_t dilation) {
    Along along{};
    along.results = results;
    along.apart = stride;
    along.units = divided_up(results, stride);
    along.phases.resize(size_t(std::min(stride, results)));
    int64_t low = 0, high = 0;
    bool any = false;
    for (int64_t phase = 0; phase < int64_t(along.phases.size()); ++phase) {
        for (int64_t k = 0; k < kernel; ++k) {
            const int64_t reached = phase + padding - k * dilation;
            if (reached % stride == 0) {
                const int64_t shift = reached / stride;
                along.phases[size_t(phase)].push_back({k, 0, shift});
                low = any ? std::min(low, shift) : shift;
                high = any ? std::max(high, shift) : shift;
                any = true;
            }
        }
    }
    for (auto& phase : along.phases) {
        for (Tap& tap : phase) {
            tap.shift -= low;
        }
    }
    along.axis = {size, low, 1, 1, high - low};
    return along;
}

void divide(Source& source, Pieces& pieces, const Along* along, int64_t width) {
    const int axis = pieces.strip_axis = first_axis(along);
    const int64_t units = along[axis].units, channels = source.channels_at_once;
    const int64_t each = along[0].units * along[1].units * along[2].units / units;
    pieces.images = 1;
    pieces.strip = units;
    const int64_t room = source_floats / channels;
    if (lay_out(source, along, axis, units) > room) {
        const int64_t border = lay_out(source, along, axis, 0);
        const int64_t of_unit = std::max<int64_t>(lay_out(source, along, axis, 1) - border, 1);
        const int64_t fits = std::max({(room - border) / of_unit, divided_up(64, each), int64_t(1)});
        pieces.strip = std::min(fits, units);
        if (axis == 2 && pieces.strip > width) {
            pieces.strip -= pieces.strip % width;
        }
        lay_out(source, along, axis, pieces.strip);
    } else {
        // The fewest that leave little of the last tile empty.
        const int64_t places = width * tile_vectors(int(width));
        double least = 2;
        for (int64_t n = 1; n <= std::min(source.count, most_images) && n * source.channel <= room;
             ++n) {
            const int64_t found = n * each * units;
            const double taken = double(divided_up(found, places) * places) / double(found);
            if (n == 1 || taken < least - 0.02) {
                pieces.images = n;
                least = taken;
            }
        }
    }
    pieces.strips = divided_up(units, pieces.strip);
    pieces.strip = axis == 2 ? pieces.strip : divided_up(units, pieces.strips);
    lay_out(source, along, axis, pieces.strip);
}

std::vector<int32_t> positions_of(const Source& source, const Pieces& pieces, const Along* along) {
    std::vector<int32_t> positions;
    int64_t units[3];
    for (int i = 0; i < 3; ++i) {
        units[i] = i == pieces.strip_axis ? pieces.strip : along[i].units;
    }
    positions.reserve(size_t(pieces.images * units[0] * units[1] * units[2]));
    for (int64_t image = 0; image < pieces.images; ++image) {
        for (int64_t i = 0; i < units[0]; ++i) {
            for (int64_t j = 0; j < units[1]; ++j) {
                const int64_t row = image * source.channels_at_once * source.channel +
                                    (i * source.axes[1].length + j) * source.axes[2].length;
                for (int64_t k = 0; k < units[2]; ++k) {
                    positions.push_back(int32_t(row + k));
                }
            }
        }
    }
    return positions;
}

void cover(const std::vector<int32_t>& positions, int width, std::vector<int32_t>& starts,
           std::vector<int32_t>& lanes) {
    lanes.reserve(positions.size());
    for (int32_t position : positions) {
        if (starts.empty() || position >= starts.back() + width) {
            starts.push_back(position);
        }
        lanes.push_back(int32_t((starts.size() - 1) * size_t(width)) + position - starts.back());
    }
}

std::vector<Joint> joined(const Source& source, const std::vector<Tap>* taps, const Sizes& kernel) {
    std::vector<Joint> all;
    const Axis* axes = source.axes;
    for (const Tap& d : taps[0]) {
        for (const Tap& h : taps[1]) {
            for (const Tap& w : taps[2]) {
                const int64_t plane = (d.plane * axes[1].planes + h.plane) * axes[2].planes + w.plane;
                all.push_back({(d.kernel * kernel.of[1] + h.kernel) * kernel.of[2] + w.kernel,
                               plane * source.plane() +
                                   (d.shift * axes[1].length + h.shift) * axes[2].length + w.shift});
            }
        }
    }
    return all;
}

void run_pieces(Loop loop, void* plan, int64_t pieces, int64_t products) {
    constexpr int64_t many = 1 << 16;
    run_anyhow(loop, &plan, nullptr, pieces, products > many ? piece : 0);
}

}  // namespace convolutions
