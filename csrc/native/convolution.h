// A convolution as its loops (loops/convolution*.cpp) take it: prepared once a call
// (doors/convolution*.cpp), then computed piece by piece. There are three dimensions; those that an image lacks have size 1.
#pragma once

#include <atomic>
#include <cstdint>

// Sums of products are made in tiles that fit the registers: so many rows of so many vectors.
constexpr int tile_rows = 6;
constexpr int tile_vectors(int width) { return width == 16 ? 4 : 2; }

// At most so many products are added up in a register, then the sum is added to others in memory: long
// sums keep their digits, and what a tile reads stays in the first cache.
constexpr int64_t terms_at_once = 64;

// Images with a border of zeros, copied for each piece. Neighbouring results read elements that lie
// ``step`` apart; those are made neighbours: element step * q + r is the q-th of plane r.
struct Axis {
    int64_t size;    // of the image
    int64_t low;     // where the border begins, in the image's coordinates
    int64_t step;
    int64_t planes;  // those that are read
    int64_t length;  // of a plane
};

struct Source {
    const float* images;  // (images, channels, size, size, size)
    int64_t count, channels;
    int64_t group;             // channels of a group
    int64_t channels_at_once;  // that a piece copies
    Axis axes[3];
    int64_t channel;  // numbers of a channel in the copy

    int64_t plane() const { return axes[0].length * axes[1].length * axes[2].length; }
};

// How results are divided into pieces: so many images at once, or of one image so many of the places
// along its first dimension.
struct Pieces {
    int64_t images, strips;
    int strip_axis;
    int64_t strip;
    int64_t groups, groups_at_once;
    int64_t rows, rows_at_once;  // filters of a group; or channels
    int64_t parts = 1;           // of the batch, whose sums are added up at the end

    int64_t image_blocks(int64_t count) const { return (count + images - 1) / images; }
    int64_t group_blocks() const { return (groups + groups_at_once - 1) / groups_at_once; }
    int64_t row_blocks() const { return (rows + rows_at_once - 1) / rows_at_once; }
};

// Results that lie in a row, in a tile as in the result.
struct Run {
    int32_t image;   // of the piece
    int32_t unit;    // where along the strips' axis
    int32_t lane, length;
    int64_t target;  // behind the first result of the piece's first image and strip
};

// Of a convolution, all results. Of the gradient of a strided one's input, those that the same elements
// of the kernel reach: every so many-th along each axis.
struct Phase {
    int64_t terms;  // channels times elements of the kernel
    int64_t units;  // results along the strips' axis
    int64_t weights;         // where they begin, within a group's
    const int32_t* offsets;  // of each term, from a result's place in the source
    const Run* runs;
    const int32_t* run_begin;  // of each panel, and the end
};

struct Correlation {
    Source source;
    Pieces pieces;
    const float* weights;  // by group, phase, at_once terms, tile_rows filters
    int64_t group_weights;
    const float* bias;  // or null
    float* result;
    int64_t result_plane;    // the size of a result image
    int64_t unit_stride;     // of results, along the strips' axis
    int64_t apart;           // of a phase's results, along the last
    int64_t at_once;         // terms, up to terms_at_once
    int phases;
    const Phase* phase;
    int64_t panels;          // of a piece, as many places as a tile has
    const int32_t* starts;   // of the tiles' vectors in the source, or null: then places are gathered
    int chunk;               // from chunks of so many
    const int32_t* chunks;
    const int32_t* steps;        // from a gathered panel's term to its next
    int64_t source_scratch, scratch;  // floats that a piece needs: for the copy, and in all
    std::atomic<bool> failed{false};  // there was no memory for them
};

struct WeightGradient {
    Source source;
    Pieces pieces;           // rows are channels of a group
    const float* gradients;  // of the results: (images, groups * filters, places)
    int64_t filters, places;
    int64_t taps;               // elements of the kernel
    int64_t at_once;            // places, up to terms_at_once
    const int32_t* offsets;     // of each channel and tap of those copied at once
    const int32_t* positions;   // of all places of a piece, in the source
    int64_t strip_places;       // of an image, in a piece
    int64_t unit_places;        // in one of the units that strips consist of
    int64_t row_places;         // along the last axis
    // For few filters, with vectors of places (else null):
    const int32_t* starts;      // of the vectors in the source
    const int32_t* masks;       // of their lanes that are places
    const int32_t* lanes;       // of all places of a piece, in the vectors
    int64_t vectors;
    int64_t row, group_sums;  // a piece adds up (groups, channels * taps, row), a row for all filters
    float* result;            // (groups * filters, channels * taps) of the first part of the batch
    float* parts;             // and of the others
    int64_t result_size;
    int64_t source_scratch, scratch;
    std::atomic<bool> failed{false};
};
