// Steps of LSTM and GRU layers, and the way back through them, for blocks of hidden units: the product
// with the state, or with the gates' gradients of the step after, and what is made of it, unit by unit.
// The formulas are those of ops/layers/recurrence.py.
#include "csrc/native/recurrence.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/product.h"
#include "csrc/native/loops/vector.h"
#include "kernels/activation.h"

using activation::sigmoid_of;

constexpr int64_t rows_of_tile = 32, tile_size = rows_of_tile * units_at_once;
constexpr int most_gates = 4;

// Some rows and units of a step: places in arrays of (rows, hidden), and products.
struct Tile {
    int64_t row, unit, rows, units;
    float products[most_gates][tile_size];
};

// Each gate's columns of the transposed weight by themselves.
void pack_forward(const Recurrence& of) {
    const int64_t n = of.hidden;
    for (int64_t gate = 0; gate < of.gates; ++gate) {
        pack(of.packed + gate * n * padded(n), {of.weight + gate * n * n, 1, n}, n, n);
    }
}

void pack_backward(const Recurrence& of) {
    pack(of.packed, {of.weight, of.hidden, 1}, of.gates * of.hidden, of.hidden);
}

int64_t columns_of(const Recurrence& of, int64_t unit) {
    const int64_t left = padded(of.hidden) - unit;
    return left < units_at_once ? left : units_at_once;
}

// function(i, k) for the rows of a tile: i is the row's place in it, k that of its first unit in an array
// of (rows, hidden).
template <class Function>
inline void for_rows(const Recurrence& of, const Tile& tile, Function function) {
    for (int64_t i = 0; i < tile.rows; ++i) {
        function(i, (tile.row + i) * of.hidden + tile.unit);
    }
}

template <class Function>
void for_tiles(const Recurrence& of, int64_t block, int64_t rows, Function function) {
    Tile tile;
    tile.unit = block * units_at_once;
    tile.units = of.hidden - tile.unit < units_at_once ? of.hidden - tile.unit : units_at_once;
    for (tile.row = 0; tile.row < rows; tile.row += rows_of_tile) {
        tile.rows = rows - tile.row < rows_of_tile ? rows - tile.row : rows_of_tile;
        function(tile);
    }
}

// What the state before the step adds to each gate, with the bias.
void from_state(const Recurrence& of, Tile& tile) {
    const int64_t n = of.hidden, units = tile.units;
    for (int64_t gate = 0; gate < of.gates; ++gate) {
        float* product = tile.products[gate];
        multiply(product, units_at_once, {of.before + tile.row * n, n, 1},
                 of.packed + gate * n * padded(n) + tile.unit * n, tile.rows,
                 columns_of(of, tile.unit), n, n);
        for (int64_t i = 0; i < tile.rows && of.bias != nullptr; ++i) {
            const float* bias = of.bias + gate * n + tile.unit;
            for (int64_t j = 0; j < units; ++j) {
                product[i * units_at_once + j] += bias[j];
            }
        }
    }
}

// The gates' gradients of the step after this, as they reach the state.
void from_later(const Recurrence& of, Tile& tile) {
    const int64_t all = of.gates * of.hidden;
    multiply(tile.products[0], units_at_once, {of.later + tile.row * all, all, 1},
             of.packed + tile.unit * all, tile.rows, columns_of(of, tile.unit), all, all);
}

// Where the row i has its units of the first gate, in an array of (rows, gates * hidden).
int64_t of_gates(const Recurrence& of, const Tile& tile, int64_t i) {
    return (tile.row + i) * of.gates * of.hidden + tile.unit;
}

// Below, no loop writes what it reads of another unit: pointers may be taken for different arrays.

void lstm_row(const Recurrence& of, const Tile& tile, int64_t i, int64_t k) {
    const int64_t n = of.hidden, size = of.rows * n, units = tile.units;
    const float* x = of.from_x + of_gates(of, tile, i);
    const float* z = tile.products[0] + i * units_at_once;
    float *values = of.values + k, *cells = of.cells + k, *cell = of.cell + k;
    float *squashed = of.squashed + k, *state = of.state + k, *y = of.y + k;
#pragma GCC ivdep
    for (int64_t j = 0; j < units; ++j) {
        const float in = sigmoid_of(x[j] + z[j]);
        const float forget = sigmoid_of(x[n + j] + z[tile_size + j]);
        const float fresh = tanh(x[2 * n + j] + z[2 * tile_size + j]);
        const float out = sigmoid_of(x[3 * n + j] + z[3 * tile_size + j]);
        const float before = cell[j], next = forget * before + in * fresh;
        const float t = tanh(next);
        values[j] = in;
        values[size + j] = forget;
        values[2 * size + j] = fresh;
        values[3 * size + j] = out;
        cells[j] = before;
        cell[j] = next;
        squashed[j] = t;
        state[j] = y[j] = out * t;
    }
}

void lstm_back_row(const Recurrence& of, const Tile& tile, int64_t i, int64_t k) {
    const int64_t n = of.hidden, size = of.rows * n, units = tile.units;
    const float *values = of.values + k, *cells = of.cells + k, *squashed = of.squashed + k;
    float *at = of.at + of_gates(of, tile, i), *cell = of.cell + k, *state = of.state + k;
#pragma GCC ivdep
    for (int64_t j = 0; j < units; ++j) {
        const float in = values[j], forget = values[size + j];
        const float fresh = values[2 * size + j], out = values[3 * size + j], t = squashed[j];
        const float along = state[j] * out, of_out = along * t;
        const float dc = cell[j] + (along - of_out * t);
        const float of_fresh = dc * in, of_in = of_fresh * fresh, before = dc * forget;
        at[j] = of_in * (1 - in);
        at[n + j] = (1 - forget) * before * cells[j];
        at[2 * n + j] = of_fresh - of_in * fresh;
        at[3 * n + j] = of_out * (1 - out);
        cell[j] = before;
    }
}

void gru_row(const Recurrence& of, const Tile& tile, int64_t i, int64_t k) {
    const int64_t n = of.hidden, size = of.rows * n, units = tile.units;
    const float* x = of.from_x + of_gates(of, tile, i);
    const float* z = tile.products[0] + i * units_at_once;
    const float* before = of.before + k;
    float *values = of.values + k, *inner = of.inner + k, *state = of.state + k, *y = of.y + k;
#pragma GCC ivdep
    for (int64_t j = 0; j < units; ++j) {
        const float reset = sigmoid_of(x[j] + z[j]);
        const float update = sigmoid_of(x[n + j] + z[tile_size + j]);
        const float from_h = z[2 * tile_size + j];
        const float fresh = tanh(reset * from_h + x[2 * n + j]);
        values[j] = reset;
        values[size + j] = update;
        values[2 * size + j] = fresh;
        inner[j] = from_h;
        state[j] = y[j] = (before[j] - fresh) * update + fresh;
    }
}

void gru_back_row(const Recurrence& of, const Tile& tile, int64_t i, int64_t k) {
    const int64_t n = of.hidden, size = of.rows * n, units = tile.units;
    const float *values = of.values + k, *inner = of.inner + k, *before = of.before + k;
    float *at = of.at + of_gates(of, tile, i), *state = of.state + k, *thirds = of.third + k;
#pragma GCC ivdep
    for (int64_t j = 0; j < units; ++j) {
        const float reset = values[j], update = values[size + j], fresh = values[2 * size + j];
        const float dh = state[j], third = (1 - update) * (1 - fresh * fresh) * dh;
        at[j] = (1 - reset) * reset * third * inner[j];
        at[n + j] = (1 - update) * update * dh * (before[j] - fresh);
        at[2 * n + j] = third * reset;
        thirds[j] = third;
        state[j] = dh * update;
    }
}

using Row = void (*)(const Recurrence&, const Tile&, int64_t i, int64_t k);

// Blocks begin..end of hidden units.
template <Row row>
void forward(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const Recurrence& of = *static_cast<const Recurrence*>(arrays[0]);
    if (of.packing) {
        pack_forward(of);
        return;
    }
    for (int64_t block = begin; block < end; ++block) {
        for_tiles(of, block, of.rows, [&](Tile& tile) {
            from_state(of, tile);
            for_rows(of, tile, [&](int64_t i, int64_t k) { row(of, tile, i, k); });
        });
    }
}

// What the step after this passes on replaces what is in ``state`` of its rows, or is added.
template <Row row, bool add>
void backward(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const Recurrence& of = *static_cast<const Recurrence*>(arrays[0]);
    if (of.packing) {
        pack_backward(of);
        return;
    }
    for (int64_t block = begin; block < end; ++block) {
        for_tiles(of, block, of.later_rows, [&](Tile& tile) {
            from_later(of, tile);
            for_rows(of, tile, [&, units = tile.units](int64_t i, int64_t k) {
                float* state = of.state + k;
                const float* product = tile.products[0] + i * units_at_once;
                for (int64_t j = 0; j < units; ++j) {
                    state[j] = add ? state[j] + product[j] : product[j];
                }
            });
        });
        for_tiles(of, block, of.rows, [&](Tile& tile) {
            for_rows(of, tile, [&, units = tile.units](int64_t i, int64_t k) {
                if (of.g != nullptr) {
                    float* state = of.state + k;
                    const float* g = of.g + k;
                    for (int64_t j = 0; j < units; ++j) {
                        state[j] += g[j];
                    }
                }
                row(of, tile, i, k);
            });
        });
    }
}

constexpr Loops all() {
    Loops found{};
    const auto add = [&](const char* name, int gates, Loop loop) {
        found.each[found.count++] = {name, 1, gates, loop, nullptr, nullptr};
    };
    add("lstm_steps", 4, forward<lstm_row>);
    add("lstm_steps_backward", 4, backward<lstm_back_row, false>);
    add("gru_steps", 3, forward<gru_row>);
    add("gru_steps_backward", 3, backward<gru_back_row, true>);
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(recurrence);
const Loops OF_LEVEL(recurrence) = all();
