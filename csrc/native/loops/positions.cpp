// Elements of flattened images at positions: where maxima are, read, added up.
#include <cstdint>
#include <cstring>

#include "csrc/native/loops.h"
#include "csrc/native/pixels.h"

namespace {  // each level has its own, whether inlined or not

// Of some windows, the elements at ``indices`` of a row that begins at ``row``: where they are the first,
// or larger, or not a number.
void take_larger(float* __restrict best, int64_t* __restrict position, const float* __restrict x,
                 int64_t row, const int64_t* __restrict indices, int64_t count, bool first) {
    if (first) {
        for (int64_t i = 0; i < count; ++i) {
            position[i] = row + indices[i];
            best[i] = x[row + indices[i]];
        }
        return;
    }
    for (int64_t i = 0; i < count; ++i) {
        const float value = x[row + indices[i]];
        const bool better = value > best[i] || value != value;
        position[i] = better ? row + indices[i] : position[i];
        best[i] = better ? value : best[i];
    }
}

void find_largest(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const LargestAt& of = *static_cast<const LargestAt*>(arrays[2]);
    const Elements &d = of.axes[0], &h = of.axes[1], &w = of.axes[2];
    constexpr int64_t some = 256;  // windows at once
    float best[some];
    int64_t* found = static_cast<int64_t*>(arrays[0]) + begin * d.windows * h.windows * w.windows;
    for (int64_t image = begin; image < end; ++image) {
        const float* x = static_cast<const float*>(arrays[1]) + image * d.size * h.size * w.size;
        const int64_t batch = image / of.channels, channel = image % of.channels;
        const int64_t* in_d = d.of_image(batch, channel);
        const int64_t* in_h = h.of_image(batch, channel);
        const int64_t* in_w = w.of_image(batch, channel);
        for (int64_t i = 0; i < d.windows * h.windows; ++i, found += w.windows) {
            const int64_t depth = i / h.windows, height = i % h.windows;
            for (int64_t first = 0; first < w.windows; first += some) {
                const int64_t count = w.windows - first < some ? w.windows - first : some;
                bool is_first = true;
                for (int64_t a = 0; a < d.count; ++a) {
                    const int64_t slice = in_d[a * d.step + depth] * h.size;
                    for (int64_t b = 0; b < h.count; ++b) {
                        const int64_t row = (slice + in_h[b * h.step + height]) * w.size;
                        for (int64_t c = 0; c < w.count; ++c, is_first = false) {
                            take_larger(best, found + first, x, row, in_w + c * w.step + first,
                                        count, is_first);
                        }
                    }
                }
            }
        }
    }
}

const int64_t* positions_of(const At& of, int64_t image) {
    return of.positions + (of.shared ? image / of.channels : image) * of.count;
}

void read(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const At& of = *static_cast<const At*>(arrays[2]);
    for (int64_t image = begin; image < end; ++image) {
        float* __restrict y = static_cast<float*>(arrays[0]) + image * of.count;
        const float* __restrict x = static_cast<const float*>(arrays[1]) + image * of.size;
        const int64_t* __restrict positions = positions_of(of, image);
        for (int64_t i = 0; i < of.count; ++i) {
            y[i] = x[positions[i]];
        }
    }
}

void add(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const At& of = *static_cast<const At*>(arrays[2]);
    for (int64_t image = begin; image < end; ++image) {
        float* y = static_cast<float*>(arrays[0]) + image * of.size;
        const float* x = static_cast<const float*>(arrays[1]) + image * of.count;
        std::memset(y, 0, size_t(of.size) * sizeof(float));
        const int64_t* positions = positions_of(of, image);
        for (int64_t i = 0; i < of.count; ++i) {
            y[positions[i]] += x[i];
        }
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"largest_at", 3, 0, find_largest, nullptr, "elements"};
    found.each[found.count++] = {"read_positions", 3, 0, read, nullptr, nullptr};
    found.each[found.count++] = {"add_positions", 3, 0, add, nullptr, "size"};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(positions);
const Loops OF_LEVEL(positions) = all();
