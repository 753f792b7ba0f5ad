#include "../convolution.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "../arrays.h"
#include "../doors.h"
#include "../pool.h"

namespace {

#include "../transpose.h"

constexpr int64_t most_images = 64;                // of a piece
constexpr int64_t source_floats = 160 << 10;       // of its copy of images: in the second cache
constexpr int64_t enough_pieces = 8;               // for all threads there may be
constexpr int64_t most_floats = int64_t(1) << 30;  // that offsets reach

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- what is given ----

struct Sizes {
    int64_t of[3];
    int64_t product() const { return of[0] * of[1] * of[2]; }
};

struct Geometry {
    Sizes stride, padding, dilation;
    int64_t groups;
};

// As many ints as an image has dimensions; those that it lacks are ``missing``.
bool read_sizes(PyObject* object, int dimensions, int64_t missing, int64_t least, Sizes& sizes) {
    if (object == nullptr || !PyTuple_CheckExact(object) ||
        PyTuple_GET_SIZE(object) != dimensions) {
        return false;
    }
    for (int i = 0; i < 3; ++i) {
        const int place = i - (3 - dimensions);
        sizes.of[i] = missing;
        if (place >= 0) {
            PyObject* size = PyTuple_GET_ITEM(object, place);
            sizes.of[i] = PyLong_CheckExact(size) ? PyLong_AsLongLong(size) : -1;
        }
        if (sizes.of[i] < least || sizes.of[i] > most_floats) {
            PyErr_Clear();
            return false;
        }
    }
    return true;
}

bool read_geometry(PyObject* object, int dimensions, Geometry& geometry) {
    if (object == nullptr || !PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 4 ||
        !PyLong_CheckExact(PyTuple_GET_ITEM(object, 3))) {
        return false;
    }
    geometry.groups = PyLong_AsLongLong(PyTuple_GET_ITEM(object, 3));
    PyErr_Clear();
    return geometry.groups > 0 &&
           read_sizes(PyTuple_GET_ITEM(object, 0), dimensions, 1, 1, geometry.stride) &&
           read_sizes(PyTuple_GET_ITEM(object, 1), dimensions, 0, 0, geometry.padding) &&
           read_sizes(PyTuple_GET_ITEM(object, 2), dimensions, 1, 1, geometry.dilation);
}

// An array of float32 with one, two or three dimensions behind the first two, not empty; in memory it
// is contiguous, or a copy is made that is. Owned.
struct Images {
    PyArrayObject* array = nullptr;
    int dimensions = 0;
    int64_t first = 0, second = 0;
    Sizes sizes{};

    ~Images() { Py_XDECREF(array); }

    bool read(PyObject* object) {
        if (!PyArray_CheckExact(object)) {
            return false;
        }
        PyArrayObject* given = as_array(object);
        dimensions = PyArray_NDIM(given) - 2;
        if (PyArray_TYPE(given) != NPY_FLOAT32 || dimensions < 1 || dimensions > 3 ||
            PyArray_SIZE(given) == 0) {
            return false;
        }
        first = PyArray_DIM(given, 0);
        second = PyArray_DIM(given, 1);
        for (int i = 0; i < 3; ++i) {
            const int place = i - (3 - dimensions);
            sizes.of[i] = place < 0 ? 1 : PyArray_DIM(given, 2 + place);
        }
        array = reinterpret_cast<PyArrayObject*>(
            PyArray_FROM_OF(object, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED));
        return array != nullptr;
    }
    const float* memory() const { return static_cast<const float*>(PyArray_DATA(array)); }
};

PyObject* make_images(int64_t first, int64_t second, int dimensions, const Sizes& sizes) {
    npy_intp shape[5] = {first, second};
    for (int i = 0; i < dimensions; ++i) {
        shape[2 + i] = sizes.of[3 - dimensions + i];
    }
    return PyArray_SimpleNew(2 + dimensions, shape, NPY_FLOAT32);
}

// ---- along one axis ----

struct Tap {
    int64_t kernel;        // the element of the kernel
    int64_t plane, shift;  // what it reads for result 0, in the source
};

struct Along {
    Axis axis{};
    int64_t results;
    int64_t apart;  // how far apart a phase's results lie
    int64_t units;  // how many it has, at most
    std::vector<std::vector<Tap>> phases;

    int64_t units_of(int64_t phase) const { return (results - phase + apart - 1) / apart; }
};

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

// Of the gradient of an input with ``results`` elements: position stride * j + phase was read with
// element k for result j + (phase + padding - k dilation) / stride, where that is whole.
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

// ---- pieces ----

int first_axis(const Along* along) {
    return along[0].units > 1 ? 0 : along[1].units > 1 ? 1 : 2;
}

// Floats of a copied channel, if a piece has so many of the units along the strips' axis; the axes'
// lengths become what they are then.
int64_t lay_out(Source& source, const Along* along, int strip_axis, int64_t strip) {
    source.channel = 1;
    for (int i = 0; i < 3; ++i) {
        source.axes[i] = along[i].axis;
        source.axes[i].length += i == strip_axis ? strip : along[i].units;
        source.channel *= source.axes[i].planes * source.axes[i].length;
    }
    return source.channel;
}

// How many images or which strips make a piece with many places, whose copy stays in the cache.
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

// Where the places of a piece are in the source, image by image.
std::vector<int32_t> positions_of(const Source& source, const Pieces& pieces, const Along* along) {
    std::vector<int32_t> positions;
    int64_t units[3];
    for (int i = 0; i < 3; ++i) {
        units[i] = i == pieces.strip_axis ? pieces.strip : along[i].units;
    }
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

// The starts of vectors over all positions, each as far on as it can be, and which lane of which vector
// a position comes to lie in.
void cover(const std::vector<int32_t>& positions, int width, std::vector<int32_t>& starts,
           std::vector<int32_t>& lanes) {
    for (int32_t position : positions) {
        if (starts.empty() || position >= starts.back() + width) {
            starts.push_back(position);
        }
        lanes.push_back(int32_t((starts.size() - 1) * size_t(width)) + position - starts.back());
    }
}

// What element of the kernel ``taps`` (one for each axis) is, and where it reads in a channel.
struct Joint {
    int64_t kernel, offset;
};

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

// Runs a loop over all pieces.
void run_pieces(Loop loop, void* plan, int64_t pieces, bool many) {
    struct Call {
        Loop loop;
        void* plan;
    } call{loop, plan};
    const auto work = [](void* context, int64_t i) {
        const Call& of = *static_cast<const Call*>(context);
        of.loop(&of.plan, nullptr, i, i + 1);
    };
    if (!many) {
        loop(&call.plan, nullptr, 0, pieces);
        return;
    }
    Py_BEGIN_ALLOW_THREADS;
    in_parallel(pieces, work, &call);
    Py_END_ALLOW_THREADS;
}

constexpr int64_t many = 1 << 16;  // products

// ---- the convolution, and the gradient of its input ----

// How weights are found: of a group, of a result's channel, of a channel of the source.
struct WeightStrides {
    int64_t group, row, channel;
};

struct Packed {
    std::vector<int32_t> offsets;
    std::vector<Run> runs;
    std::vector<int32_t> run_begin;
};

// The runs of a phase, whose first result is at ``first``.
void find_runs(const Correlation& of, const Along* along, const int64_t* first,
               const std::vector<int32_t>& lanes, int places, Packed& packed) {
    const Pieces& pieces = of.pieces;
    int64_t units[3], size[3], stride[3];
    stride[2] = 1;
    stride[1] = along[2].results;
    stride[0] = along[1].results * along[2].results;
    for (int i = 0; i < 3; ++i) {
        units[i] = i == pieces.strip_axis ? pieces.strip : along[i].units;
        size[i] = along[i].units_of(first[i]);
    }
    const int64_t of_image = pieces.groups * pieces.rows * of.result_plane;
    size_t place = 0;
    for (int64_t image = 0; image < pieces.images; ++image) {
        for (int64_t i = 0; i < units[0]; ++i) {
            for (int64_t j = 0; j < units[1]; ++j) {
                for (int64_t k = 0; k < units[2]; ++k, ++place) {
                    const int64_t at[3] = {i, j, k};
                    const int32_t panel = lanes[place] / places, lane = lanes[place] % places;
                    while (int32_t(packed.run_begin.size()) <= panel) {
                        packed.run_begin.push_back(int32_t(packed.runs.size()));
                    }
                    int64_t target = image * of_image;
                    bool there = true;
                    for (int a = 0; a < 3; ++a) {
                        target += (at[a] * along[a].apart + first[a]) * stride[a];
                        there = there && at[a] < size[a];
                    }
                    if (!there) {
                        continue;
                    }
                    const bool begun = int32_t(packed.runs.size()) > packed.run_begin[size_t(panel)];
                    Run* last = begun ? &packed.runs.back() : nullptr;
                    const bool same_strip = pieces.strips == 1 || (last != nullptr && k > 0);
                    if (begun && same_strip && last->image == image &&
                        last->lane + last->length == lane &&
                        last->target + last->length * along[2].apart == target) {
                        ++last->length;
                    } else {
                        packed.runs.push_back({int32_t(image), int32_t(at[pieces.strip_axis]), lane,
                                               1, target});
                    }
                }
            }
        }
    }
    while (int64_t(packed.run_begin.size()) <= of.panels) {
        packed.run_begin.push_back(int32_t(packed.runs.size()));
    }
}

// The weights of a group and phase, in the order in which tiles read them.
void pack(const float* weights, const std::vector<int64_t>& of_term, int64_t rows, int64_t row_stride,
          float* to) {
    const int64_t terms = int64_t(of_term.size());
    for (int64_t begin = 0; begin < terms; begin += terms_at_once) {
        const int64_t end = std::min(terms, begin + terms_at_once);
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

// result (images, groups * rows, results) of source images with groups * channels channels. Raises, and
// returns false, where there is no memory.
bool correlate(Loop loop, const Images& images, const Along* along, const Sizes& kernel,
               const float* weights, const WeightStrides& strides, const float* bias, int64_t groups,
               int64_t rows, float* result) {
    const int width = level->vector_width, places = width * tile_vectors(width);
    const int64_t channels = images.second / groups;
    Correlation of{};
    of.source.images = images.memory();
    of.source.count = images.first;
    of.source.channels = images.second;
    of.source.group = of.source.channels_at_once = channels;
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
                 packed.get() + group * of.group_weights + phases[i].weights);
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
               images.first * of.result_plane * groups * rows * channels * kernel.product() > many);
    if (of.failed) {
        PyErr_NoMemory();
    }
    return !of.failed;
}

// convolution(x, weight, bias, out, geometry)
PyObject* convolve(Loop loop, const Images& x, const Images& weight, const float* bias,
                   const Sizes& out, const Geometry& geometry) {
    const int64_t groups = geometry.groups, filters = weight.first;
    if (filters % groups != 0 || x.second != weight.second * groups) {
        return nullptr;
    }
    Along along[3];
    for (int i = 0; i < 3; ++i) {
        along[i] = forward(x.sizes.of[i], out.of[i], weight.sizes.of[i], geometry.stride.of[i],
                           geometry.padding.of[i], geometry.dilation.of[i]);
    }
    const int64_t taps = weight.sizes.product(), rows = filters / groups;
    PyObject* result = make_images(x.first, filters, x.dimensions, out);
    if (result != nullptr &&
        !correlate(loop, x, along, weight.sizes, weight.memory(),
                   {rows * weight.second * taps, weight.second * taps, taps}, bias, groups, rows,
                   static_cast<float*>(memory_of(result)))) {
        Py_CLEAR(result);
    }
    return result;
}

// convolution_input(y_grad, weight, size, geometry)
PyObject* convolve_back(Loop loop, const Images& y, const Images& weight, const Sizes& size,
                        const Geometry& geometry) {
    const int64_t groups = geometry.groups, filters = weight.first;
    if (filters % groups != 0 || y.second != filters) {
        return nullptr;
    }
    Along along[3];
    for (int i = 0; i < 3; ++i) {
        along[i] = backward(y.sizes.of[i], size.of[i], weight.sizes.of[i], geometry.stride.of[i],
                            geometry.padding.of[i], geometry.dilation.of[i]);
    }
    // Each element of the input is a sum over all that may reach it. Where few do, as few windows cover
    // it, the body is faster, which goes through the windows.
    constexpr int64_t sparse = 4;
    if (size.product() / geometry.stride.product() > sparse * y.sizes.product()) {
        return nullptr;
    }
    const int64_t taps = weight.sizes.product(), channels = weight.second;
    PyObject* result = make_images(y.first, channels * groups, y.dimensions, size);
    if (result != nullptr &&
        !correlate(loop, y, along, weight.sizes, weight.memory(),
                   {filters / groups * channels * taps, taps, channels * taps}, nullptr, groups,
                   channels, static_cast<float*>(memory_of(result)))) {
        Py_CLEAR(result);
    }
    return result;
}

// ---- the gradient of the weight ----

constexpr int64_t few_filters = 8;  // for which vectors hold places rather than filters
constexpr int64_t terms_in_piece = 576;

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
               x.first * of.places * groups * filters * terms > many);
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

// convolution_weight(x, y_grad, kernel, geometry)
PyObject* convolve_weight(Loop loop, const Images& x, const Images& y, const Sizes& kernel,
                          const Geometry& geometry) {
    const int64_t groups = geometry.groups;
    if (x.first != y.first || x.second % groups != 0 || y.second % groups != 0) {
        return nullptr;
    }
    Along along[3];
    for (int i = 0; i < 3; ++i) {
        along[i] = forward(x.sizes.of[i], y.sizes.of[i], kernel.of[i], geometry.stride.of[i],
                           geometry.padding.of[i], geometry.dilation.of[i]);
    }
    PyObject* result = make_images(y.second, x.second / groups, x.dimensions, kernel);
    if (result != nullptr &&
        !accumulate(loop, x, along, kernel, y.memory(), groups, y.second / groups,
                    static_cast<float*>(memory_of(result)))) {
        Py_CLEAR(result);
    }
    return result;
}

}  // namespace

PyObject* convolution(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                      PyObject* keywords) {
    static const char* const names[] = {"geometry", "out", "size", "kernel"};
    PyObject* found[4] = {};
    const int which = std::strcmp(entry.name, "convolution") == 0         ? 1
                      : std::strcmp(entry.name, "convolution_input") == 0 ? 2
                                                                          : 3;
    Images a, b;
    Geometry geometry;
    Sizes sizes;
    if (count != (which == 1 ? 3 : 2) || keywords == nullptr || PyTuple_GET_SIZE(keywords) != 2 ||
        !read_keywords(keywords, given + count, names, found) || !a.read(given[0]) ||
        !b.read(given[1]) || a.dimensions != b.dimensions ||
        !read_geometry(found[0], a.dimensions, geometry) ||
        !read_sizes(found[which], a.dimensions, 1, 1, sizes)) {
        return nullptr;
    }
    try {
        if (which == 1) {
            if (given[2] != Py_None &&
                (!is_float32(given[2], 1) || PyArray_DIM(as_array(given[2]), 0) != b.first)) {
                return nullptr;
            }
            const float* bias = static_cast<const float*>(memory_of(given[2]));
            return convolve(entry.float32, a, b, bias, sizes, geometry);
        }
        return (which == 2 ? convolve_back : convolve_weight)(entry.float32, a, b, sizes, geometry);
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
}
