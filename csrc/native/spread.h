// How the elements of broadcast arrays lie in memory.
#pragma once

#include <cstdint>

constexpr int max_inputs = 4;
constexpr int max_dims = 8;

// The result lies in row-major order. It consists of ``rows`` of ``length`` elements, in each of which
// an input has as many that follow each other, or one for all. Where a row of an input begins, its
// steps along the outer dimensions say.
struct Spread {
    int64_t rows = 1, length = 1;
    int dims = 0;  // outer ones
    int64_t sizes[max_dims];
    int64_t steps[max_inputs][max_dims];  // in elements
    bool repeated[max_inputs] = {};
    bool number[max_inputs] = {};  // of the type that is computed with, which may be a wider one
};
