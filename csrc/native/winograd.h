// Convolutions with 3 x 3 elements by Winograd's algorithm F(2 x 2, 3 x 3): Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks" (2016). A tile of 4 x 4 places makes 2 x 2 results by 16
// products for each channel and filter, instead of 36: tile and kernel are transformed by additions,
// multiplied element by element, and what is added up over channels is transformed back.
#pragma once

#include "convolution.h"

constexpr int64_t tiles_at_once = 64;  // that a piece has, about: then its numbers stay in the second cache
constexpr int tile_elements = 16;

// How tiles are read from the copy of a piece's images, planes by phase: begun at every other place.
struct Tiles {
    Source source;
    int32_t offsets[tile_elements];  // of a tile's elements
    int chunk;                       // so many tiles lie side by side
    const int32_t* chunks;
    int64_t panels;                  // of tiles, as many as a tile of products has places
    int64_t count, row;              // tiles of a piece, and in a row of them
};

struct Winograd {
    Tiles tiles;
    Pieces pieces;
    int64_t channels;      // of a group
    const float* weights;  // of each group, row, channel and ``kernel``
    int64_t weight_group, weight_row, weight_channel;
    int64_t kernel[9];
    float* transformed;  // by group, element, terms_at_once, tile_rows filters
    const int32_t* steps;  // from one term's places to the next's
    const float* bias;     // or null
    float* result;
    int64_t height, width;         // of a result
    int64_t scratch;
    std::atomic<bool> failed{false};  // there was no memory, or a result is not finite
};
