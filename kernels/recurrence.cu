// Steps of recurrent layers: what is done with the gates of an LSTM or a GRU once the products with the
// weights are there. The layers' walks, ops/layers/recurrence_kernels.py, launch a product and one of these
// for each step, forward and backward; what x adds to the gates is one product for all steps.
//
// A thread has one number of one sequence's state, and the gates that belong to it, which are `hidden` apart
// in a row of gates. It reads them before it writes the gates' values in their place. A step is some hundred
// thousand numbers at most: it is the launch that takes the time, so that nothing here is packed.
//
// Formulas: ops/layers/recurrence.py. The slope of y = sigmoid(z) is y (1 - y), that of y = tanh(z) 1 - y y.
#include "device.cuh"

#include "activation.h"

namespace {

using activation::sigmoid_of;

constexpr int threads = 256;

// gates: in, what x adds to them; out, i, f, new and o. (What h adds is from_h.) state and cell: in, those
// before the step; out, those after it. before, cells: those before it. squashed: tanh(c'). before and y may be
// null.
template <class T>
__global__ void lstm_step_kernel(T* gates, T* state, T* cell, T* before, T* cells, T* squashed, T* y,
                                 const T* from_h, int64_t rows, int64_t hidden) {
    for (int64_t at = global_thread(); at < rows * hidden; at += thread_count()) {
        const int64_t first = at / hidden * 3 * hidden + at;  // of four gates a row
        T z[4];
#pragma unroll
        for (int gate = 0; gate < 4; ++gate) z[gate] = gates[first + gate * hidden] + from_h[first + gate * hidden];
        const T i = sigmoid_of(z[0]), f = sigmoid_of(z[1]), fresh = tanh(z[2]), o = sigmoid_of(z[3]);
        const T was = cell[at], now = f * was + i * fresh, squash = tanh(now), h = o * squash;
        gates[first] = i;
        gates[first + hidden] = f;
        gates[first + 2 * hidden] = fresh;
        gates[first + 3 * hidden] = o;
        cells[at] = was;
        cell[at] = now;
        squashed[at] = squash;
        if (before) before[at] = state[at];
        state[at] = h;
        if (y) y[at] = h;
    }
}

// at_gates: the gradient before sigmoid and tanh. dcell: in, that of c'; out, that of c. dh + g: that of h' (g may
// be null). output: h' again, if it is not null.
template <class T>
__global__ void lstm_step_backward_kernel(T* at_gates, T* dcell, T* output, const T* dh, const T* g, const T* gates,
                                          const T* cells, const T* squashed, int64_t rows, int64_t hidden) {
    for (int64_t at = global_thread(); at < rows * hidden; at += thread_count()) {
        const int64_t first = at / hidden * 3 * hidden + at;
        const T i = gates[first], f = gates[first + hidden];
        const T fresh = gates[first + 2 * hidden], o = gates[first + 3 * hidden];
        const T squash = squashed[at], d = g ? dh[at] + g[at] : dh[at];
        const T dc = dcell[at] + d * o * (T(1) - squash * squash);
        at_gates[first] = dc * fresh * i * (T(1) - i);
        at_gates[first + hidden] = dc * cells[at] * f * (T(1) - f);
        at_gates[first + 2 * hidden] = dc * i * (T(1) - fresh * fresh);
        at_gates[first + 3 * hidden] = d * squash * o * (T(1) - o);
        dcell[at] = dc * f;
        if (output) output[at] = o * squash;
    }
}

// gates: in, what x adds to them; out, reset, update and new. from_h: what h adds, of which inner keeps the third.
// state: in, that before the step, which before keeps; out, that after it, as is y.
template <class T>
__global__ void gru_step_kernel(T* gates, T* state, T* inner, T* before, T* y, const T* from_h, int64_t rows,
                                int64_t hidden) {
    for (int64_t at = global_thread(); at < rows * hidden; at += thread_count()) {
        const int64_t first = at / hidden * 2 * hidden + at;  // of three gates a row
        const T reset = sigmoid_of(gates[first] + from_h[first]);
        const T update = sigmoid_of(gates[first + hidden] + from_h[first + hidden]);
        const T of_h = from_h[first + 2 * hidden];
        const T fresh = tanh(gates[first + 2 * hidden] + reset * of_h);
        const T was = state[at], now = fresh + update * (was - fresh);
        gates[first] = reset;
        gates[first + hidden] = update;
        gates[first + 2 * hidden] = fresh;
        inner[at] = of_h;
        before[at] = was;
        state[at] = now;
        y[at] = now;
    }
}

// at_gates: the gradient of from_h; at_new: that of tanh's argument. dh: in, with `later` on its first rows, what the
// steps behind this one say of h'; out, what reaches h past the gates. g, which may be null, is what else reaches h'.
// Without rows, only `later` is added.
template <class T>
__global__ void gru_step_backward_kernel(T* at_gates, T* at_new, T* dh, const T* later, const T* g, const T* gates,
                                         const T* inner, const T* before, int64_t rows, int64_t later_rows,
                                         int64_t hidden) {
    for (int64_t at = global_thread(); at < max(rows, later_rows) * hidden; at += thread_count()) {
        T d = dh[at];
        if (at < later_rows * hidden) d += later[at];
        if (at < rows * hidden) {
            if (g) d += g[at];
            const int64_t first = at / hidden * 2 * hidden + at;
            const T reset = gates[first], update = gates[first + hidden], fresh = gates[first + 2 * hidden];
            const T of_new = d * (T(1) - update) * (T(1) - fresh * fresh);
            at_gates[first] = of_new * inner[at] * reset * (T(1) - reset);
            at_gates[first + hidden] = d * (before[at] - fresh) * update * (T(1) - update);
            at_gates[first + 2 * hidden] = of_new * reset;
            at_new[at] = of_new;
            d *= update;
        }
        dh[at] = d;
    }
}

}  // namespace

template <class T>
void lstm_step(T* gates, T* state, T* cell, T* before, T* cells, T* squashed, T* y, const T* from_h, int64_t rows,
               int64_t hidden, cudaStream_t stream) {
    if (rows * hidden == 0) return;
    LAUNCH(lstm_step_kernel<T>, blocks_for(rows * hidden, threads), threads, 0, stream, gates, state, cell, before,
           cells, squashed, y, from_h, rows, hidden);
}
LAUNCHER_FROM_FLOAT32(lstm_step);

template <class T>
void lstm_step_backward(T* at_gates, T* dcell, T* output, const T* dh, const T* g, const T* gates, const T* cells,
                        const T* squashed, int64_t rows, int64_t hidden, cudaStream_t stream) {
    if (rows * hidden == 0) return;
    LAUNCH(lstm_step_backward_kernel<T>, blocks_for(rows * hidden, threads), threads, 0, stream, at_gates, dcell,
           output, dh, g, gates, cells, squashed, rows, hidden);
}
LAUNCHER_FROM_FLOAT32(lstm_step_backward);

template <class T>
void gru_step(T* gates, T* state, T* inner, T* before, T* y, const T* from_h, int64_t rows, int64_t hidden,
              cudaStream_t stream) {
    if (rows * hidden == 0) return;
    LAUNCH(gru_step_kernel<T>, blocks_for(rows * hidden, threads), threads, 0, stream, gates, state, inner, before,
           y, from_h, rows, hidden);
}
LAUNCHER_FROM_FLOAT32(gru_step);

// `later` has later_rows rows; the others rows of their own, dh the larger of the two.
template <class T>
void gru_step_backward(T* at_gates, T* at_new, T* dh, const T* later, const T* g, const T* gates, const T* inner,
                       const T* before, int64_t rows, int64_t later_rows, int64_t hidden, cudaStream_t stream) {
    const int64_t numbers = (rows > later_rows ? rows : later_rows) * hidden;
    if (numbers == 0) return;
    LAUNCH(gru_step_backward_kernel<T>, blocks_for(numbers, threads), threads, 0, stream, at_gates, at_new, dh, later,
           g, gates, inner, before, rows, later_rows, hidden);
}
LAUNCHER_FROM_FLOAT32(gru_step_backward);
