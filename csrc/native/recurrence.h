// What the loops of recurrences are told of one step.
#pragma once

#include <cstdint>

constexpr int64_t units_at_once = 32;  // hidden units that a thread takes at once

struct Recurrence {
    int64_t gates, hidden;
    float* weight;  // (gates * hidden, hidden)
    float* bias;    // (gates * hidden,), or null
    float* packed;  // the weight, as the products take it
    bool packing;   // only that is to be done

    // Of all sequences, (batch, hidden).
    float *state, *cell;

    // Of this step, (rows, hidden) or (rows, gates * hidden).
    int64_t rows;
    float* from_x;
    float* values;  // of the gates, of each (rows, hidden)
    float *before, *cells, *squashed, *inner, *y;

    // On the way back, with the gates' gradients of the step after this, which was made last.
    float *g, *later;
    int64_t later_rows;
    float *at, *third;
};
