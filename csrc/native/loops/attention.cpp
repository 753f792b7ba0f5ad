// softmax(q k^T scale + mask) v and its gradient, head by head, a strip of queries at a time: the scores
// of a strip are all that is ever there of them (Dao et al. 2022). What is kept of a row for the
// gradient is its peak and total; the scores are computed anew.
#include "csrc/native/attention.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "csrc/native/loops.h"
#include "csrc/native/scratch.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/product.h"
#include "csrc/native/loops/sums.h"
#include "csrc/native/loops/vector.h"

// How many queries are in a strip. Few waste little where scores are masked; more share what is read
// of many keys.
int64_t strip_of(int64_t columns) { return columns < 512 ? 16 : columns < 1024 ? 32 : 64; }

// One piece of memory, cut into parts.
template <size_t count>
class Parts {
public:
    explicit Parts(const int64_t (&sizes)[count]) : scratch_(total(sizes)) {
        float* next = scratch_.memory;
        for (size_t i = 0; i < count; ++i) {
            each_[i] = next;
            next += next == nullptr ? 0 : sizes[i];
        }
    }
    explicit operator bool() const { return scratch_.memory != nullptr; }
    float* operator[](size_t i) const { return each_[i]; }

private:
    static int64_t total(const int64_t* sizes) {
        int64_t sum = 0;
        for (size_t i = 0; i < count; ++i) {
            sum += sizes[i];
        }
        return sum;
    }

    Scratch scratch_;
    float* each_[count];
};

template <class T>
Heads<T> of_head(Heads<T> all, const Attention& of, int64_t head) {
    if (all.at != nullptr) {
        all.at += head / of.heads * all.batch + head % of.heads * all.head;
    }
    return all;
}

Matrix matrix(Heads<const float> all, int64_t row = 0) {
    return {all.at + row * all.row, all.row, all.column};
}

Matrix transposed(Heads<const float> all) { return {all.at, all.column, all.row}; }

// to = from * scale, each with rows and columns of its own.
void copy(float* to, int64_t to_row, int64_t to_column, Matrix from, int64_t rows, int64_t columns,
          float scale) {
    for (int64_t i = 0; i < rows; ++i) {
        float* line = to + i * to_row;
        const float* source = from.at + i * from.row;
        if (to_column == 1 && from.column == 1) {
            for (int64_t j = 0; j < columns; ++j) {
                line[j] = source[j] * scale;
            }
        } else {
            for (int64_t j = 0; j < columns; ++j) {
                line[j * to_column] = source[j * from.column] * scale;
            }
        }
    }
}

void write(Heads<float> to, int64_t row, Matrix from, int64_t rows, int64_t columns,
           float scale = 1) {
    copy(to.at + row * to.row, to.row, to.column, from, rows, columns, scale);
}

// The keys that queries before ``end`` may look at.
int64_t seen_by(const Attention& of, int64_t end) {
    return of.causal && end < of.keys ? end : of.keys;
}

// The strip of scores of one head, before softmax and after.
struct Strip {
    const Attention& of;
    Heads<const float> added;
    Heads<const uint8_t> seen;
    float* scores;
    int64_t row;  // how far apart rows are

    Strip(const Attention& of, int64_t head, float* scores)
        : of(of),
          added(of_head(of.added, of, head)),
          seen(of_head(of.seen, of, head)),
          scores(scores),
          row(row_of(of)) {}

    // A power of two would put all rows in the same lines of the cache.
    static int64_t row_of(const Attention& of) { return padded(of.keys) + width; }

    // Scores of the query ``at``, which is row i of the strip; -inf where it may not look.
    float* masked(int64_t i, int64_t at, int64_t columns) const {
        float* line = scores + i * row;
        const int64_t count = seen_by(of, at + 1);
        if (added.at != nullptr) {
            const float* mask = added.at + at * added.row;
            for (int64_t j = 0; j < count; ++j) {
                line[j] += mask[j * added.column];
            }
        }
        if (seen.at != nullptr) {
            const uint8_t* mask = seen.at + at * seen.row;
            for (int64_t j = 0; j < count; ++j) {
                line[j] = mask[j * seen.column] ? line[j] : -INFINITY;
            }
        }
        for (int64_t j = count; j < columns; ++j) {
            line[j] = -INFINITY;
        }
        return line;
    }

    // What is subtracted of a row: not -inf, where a mask leaves nothing to look at.
    float peak_of(const float* line, int64_t columns) const {
        const float peak = largest_of(line, columns);
        const bool may_be_blind = added.at != nullptr || seen.at != nullptr;
        return may_be_blind && peak == -INFINITY ? 0 : peak;
    }
};

// 0 of a row that may look at nothing.
float inverse(float total) { return total == 0 ? 0 : 1 / total; }

// Chunks begin..end of the queries of all heads.
void forward(void* const* arrays, const double*, int64_t begin, int64_t end) {
    Attention& of = *static_cast<Attention*>(arrays[0]);
    const int64_t keys = padded(of.keys), outer = padded(of.outer);
    const int64_t rows = strip_of(keys), row_size = Strip::row_of(of);
    const Parts<5> parts({of.inner * keys, of.keys * outer, rows * row_size, rows * of.inner,
                          rows * outer});
    if (!parts) {
        of.failed = true;
        return;
    }
    float *k = parts[0], *v = parts[1], *scores = parts[2], *q = parts[3], *y = parts[4];
    for (int64_t item = begin; item < end; ++item) {
        const int64_t head = item / of.chunks, first = item % of.chunks * of.chunk;
        const int64_t last = first + of.chunk < of.queries ? first + of.chunk : of.queries;
        const int64_t near = seen_by(of, last);
        const Heads<const float> given = of_head(of.q, of, head);
        const Strip strip(of, head, scores);
        pack(k, transposed(of_head(of.k, of, head)), of.inner, near);
        pack(v, matrix(of_head(of.v, of, head)), near, of.outer);
        for (int64_t row = first; row < last; row += rows) {
            const int64_t count = last - row < rows ? last - row : rows;
            const int64_t depth = seen_by(of, row + count), columns = of_panels(depth, near);
            copy(q, of.inner, 1, matrix(given, row), count, of.inner, of.scale);
            multiply(scores, row_size, {q, of.inner, 1}, k, count, columns, of.inner, of.inner);
            float* peaks = of.peaks + head * of.queries + row;
            float* totals = of.totals + head * of.queries + row;
            for (int64_t i = 0; i < count; ++i) {
                float* line = strip.masked(i, row + i, columns);
                const float peak = strip.peak_of(line, columns);
                peaks[i] = peak;
                totals[i] = float(sum_of(columns, [=](int64_t j) {
                    return line[j] = exp_below(line[j] - peak);
                }));
            }
            multiply(y, outer, {scores, row_size, 1}, v, count, outer, depth, near);
            const Heads<float> to = of_head(of.y, of, head);
            for (int64_t i = 0; i < count; ++i) {
                write(to, row + i, {y + i * outer, outer, 1}, 1, of.outer, inverse(totals[i]));
            }
        }
    }
}

// Heads begin..end.
void backward(void* const* arrays, const double*, int64_t begin, int64_t end) {
    Attention& of = *static_cast<Attention*>(arrays[0]);
    const int64_t keys = padded(of.keys), inner = padded(of.inner), outer = padded(of.outer);
    const int64_t rows = strip_of(2 * keys), row_size = Strip::row_of(of);
    const Parts<11> parts({of.inner * keys, of.outer * keys, of.keys * inner, of.keys * inner,
                           of.keys * outer, rows * row_size, rows * row_size, rows * of.inner,
                           rows * inner, rows * outer, rows * inner});
    if (!parts) {
        of.failed = true;
        return;
    }
    float *k_across = parts[0], *v_across = parts[1], *k_packed = parts[2], *dk = parts[3],
          *dv = parts[4], *weights = parts[5], *slopes = parts[6], *q = parts[7],
          *q_packed = parts[8], *g_packed = parts[9], *dq = parts[10];
    for (int64_t head = begin; head < end; ++head) {
        const Heads<const float> given = of_head(of.q, of, head), g = of_head(of.g, of, head);
        const Heads<const float> k = of_head(of.k, of, head), v = of_head(of.v, of, head);
        const Strip strip(of, head, weights);
        pack(k_across, transposed(k), of.inner, of.keys);
        pack(v_across, transposed(v), of.outer, of.keys);
        pack(k_packed, matrix(k), of.keys, of.inner);
        std::memset(dk, 0, size_t(of.keys * inner) * sizeof(float));
        std::memset(dv, 0, size_t(of.keys * outer) * sizeof(float));
        for (int64_t row = 0; row < of.queries; row += rows) {
            const int64_t count = of.queries - row < rows ? of.queries - row : rows;
            const int64_t depth = seen_by(of, row + count), columns = of_panels(depth, of.keys);
            const Matrix arrived = matrix(g, row), here{q, of.inner, 1};
            copy(q, of.inner, 1, matrix(given, row), count, of.inner, of.scale);
            pack(q_packed, here, count, of.inner);
            pack(g_packed, arrived, count, of.outer);
            multiply(weights, row_size, here, k_across, count, columns, of.inner, of.inner);
            multiply(slopes, row_size, arrived, v_across, count, columns, of.outer, of.outer);
            for (int64_t i = 0; i < count; ++i) {
                const int64_t at = head * of.queries + row + i;
                float* __restrict p = strip.masked(i, row + i, columns);
                float* __restrict d = slopes + i * row_size;
                const float peak = of.peaks[at], factor = inverse(of.totals[at]);
                const float dot = float(sum_of(columns, [=](int64_t j) {
                    p[j] = exp_below(p[j] - peak) * factor;
                    return p[j] * d[j];
                }));
                for (int64_t j = 0; j < columns; ++j) {
                    d[j] = p[j] * (d[j] - dot);
                }
            }
            const Matrix p_across{weights, 1, row_size}, d_across{slopes, 1, row_size};
            multiply(dv, outer, p_across, g_packed, depth, outer, count, count, true);
            multiply(dk, inner, d_across, q_packed, depth, inner, count, count, true);
            multiply(dq, inner, {slopes, row_size, 1}, k_packed, count, inner, depth, of.keys);
            write(of_head(of.dq, of, head), row, {dq, inner, 1}, count, of.inner, of.scale);
        }
        write(of_head(of.dk, of, head), 0, {dk, inner, 1}, of.keys, of.inner);
        write(of_head(of.dv, of, head), 0, {dv, outer, 1}, of.keys, of.outer);
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"attention", 1, 0, forward, nullptr, "causal"};
    found.each[found.count++] = {"attention_backward", 1, 0, backward, nullptr, "needs"};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(attention);
const Loops OF_LEVEL(attention) = all();
