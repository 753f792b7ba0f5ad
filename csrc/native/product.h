// What the loops of matrix products are told.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

// Strides are in elements. Matrices of a batch lie ``step`` apart along each of its dimensions.
constexpr int most_batch_dimensions = 6;

struct Factor {
    const void* at;
    int64_t row, column;
    int64_t step[most_batch_dimensions];
};

// c = a b + bias, for every matrix of the batch. c has its matrices one behind the other.
struct Product {
    int64_t rows, columns, depth;
    Factor a, b;
    void* c;
    int64_t c_row, c_column;
    const void* bias;  // null, or a number for each column, or for each row
    bool bias_of_rows;

    int batch_dimensions;
    int64_t batch[most_batch_dimensions];

    // A piece has so many rows and columns of one matrix, or so many matrices.
    int64_t row_pieces, column_pieces, matrices;

    std::atomic<bool> failed{false};  // there was no memory
};
