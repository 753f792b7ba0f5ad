// What the loops of matrix products are told.
#pragma once

#include <atomic>
#include <cstdint>

constexpr int most_batch = 6;  // dimensions

// A matrix of a batch. Strides are in numbers.
struct Factor {
    const void* at;
    int64_t row, column;
    int64_t step[most_batch];  // from matrix to matrix, along each dimension of the batch
};

// c = a b + bias for each of a batch of matrices. Those of c lie one behind the other.
struct Product {
    int64_t rows, columns, depth;
    Factor a, b;
    void* c;
    const void* bias;  // a number for each column, or null
    int batch_dimensions;
    int64_t batch[most_batch];
    int64_t row_pieces, column_pieces;  // that threads take of a matrix
    std::atomic<bool> failed{false};    // there was no memory
};
