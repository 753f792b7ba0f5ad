// What the loops of attention are told.
#pragma once

#include <atomic>
#include <cstdint>

// Of every head a matrix. Its strides are in elements.
template <class T>
struct Heads {
    T* at;
    int64_t batch, head, row, column;
};

struct Attention {
    int64_t heads;  // in each of the batch
    int64_t queries, keys, inner, outer;
    int64_t chunk, chunks;  // queries of a head that a thread takes at once, and into how many they fall
    float scale;
    bool causal;
    Heads<const float> q, k, v, g;
    Heads<const float> added;  // to scores
    Heads<const uint8_t> seen;
    Heads<float> y, dq, dk, dv;
    float *peaks, *totals;       // of every row: its largest score, and the sum of exp(score - peak)
    std::atomic<bool> failed{false};  // there was no memory
};
