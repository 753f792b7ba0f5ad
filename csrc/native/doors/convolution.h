// What the files of the doors to convolutions share: what is given, how it is divided into pieces, and
// the two plans (../convolution.h) that are made of it and run.
#pragma once

#include <vector>

#include "../arrays.h"
#include "../convolution.h"

namespace convolutions {

constexpr int64_t enough_pieces = 8;               // for all threads there may be
constexpr int64_t most_floats = int64_t(1) << 30;  // that offsets reach

inline int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many products are added up one by one, where a body's sums are of ``count``, or it adds up pairs of
// sums: the rounding errors of n products in blocks of b grow as the root of b + n / b.
inline int64_t in_a_block(int64_t count) {
    return count < terms_at_once / 4   ? terms_at_once / 4
           : count < terms_at_once / 2 ? terms_at_once / 2
                                       : terms_at_once;
}

struct Sizes {
    int64_t of[3];
    int64_t product() const { return of[0] * of[1] * of[2]; }
};

// An array of float32 with one, two or three dimensions behind the first two, not empty; in memory it
// is contiguous, or a copy is made that is. Owned.
struct Images {
    PyArrayObject* array = nullptr;
    int dimensions = 0;
    int64_t first = 0, second = 0;
    Sizes sizes{};

    ~Images() { Py_XDECREF(array); }

    bool read(PyObject* object);
    const float* memory() const { return static_cast<const float*>(PyArray_DATA(array)); }
};

// ---- along one axis (convolution_pieces.cpp) ----

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
              int64_t dilation);
// Of the gradient of an input with ``results`` elements.
Along backward(int64_t size, int64_t results, int64_t kernel, int64_t stride, int64_t padding,
               int64_t dilation);

// ---- pieces (convolution_pieces.cpp) ----

// How many images or which strips make a piece with many places, whose copy stays in the cache.
void divide(Source& source, Pieces& pieces, const Along* along, int64_t width);

// Where the places of a piece are in the source, image by image.
std::vector<int32_t> positions_of(const Source& source, const Pieces& pieces, const Along* along);

// The starts of vectors over all positions, each as far on as it can be, and which lane of which vector
// a position comes to lie in.
void cover(const std::vector<int32_t>& positions, int width, std::vector<int32_t>& starts,
           std::vector<int32_t>& lanes);

// What element of the kernel ``taps`` (one for each axis) is, and where it reads in a channel.
struct Joint {
    int64_t kernel, offset;
};

std::vector<Joint> joined(const Source& source, const std::vector<Tap>* taps, const Sizes& kernel);

// The loop over all pieces of so many products: where there are many, each for any thread.
void run_pieces(Loop loop, void* plan, int64_t pieces, int64_t products);

// ---- plans, made and run: both raise, and return false, where there is no memory ----

// How weights are found: of a group, of a result's channel, of a channel of the source.
struct WeightStrides {
    int64_t group, row, channel;
};

// result (images, groups * rows, results) of source images with groups * channels channels, so many
// terms of a sum at once
// (convolution_results.cpp).
bool correlate(Loop loop, const Images& images, const Along* along, const Sizes& kernel,
               int64_t at_once, const float* weights, const WeightStrides& strides, const float* bias, int64_t groups,
               int64_t rows, float* result);

// The same by Winograd's algorithm, for kernels of 3 x 3 (``mirrored``: read from their end) that are
// applied at every place of images with so much padding; false where the result is not made: there is
// no memory, or a number is not finite, which other numbers of its tiles must not become
// (convolution_winograd.cpp).
bool by_winograd(const Images& images, const Sizes& results, const Sizes& padding, bool mirrored,
                 const float* weights, const WeightStrides& strides, const float* bias,
                 int64_t groups, int64_t rows, float* result);

// result (groups * filters, channels, kernel) of images and the results' gradients
// (convolution_weight.cpp).
bool accumulate(Loop loop, const Images& x, const Along* along, const Sizes& kernel,
                const float* gradients, int64_t groups, int64_t filters, float* result);

}  // namespace convolutions
