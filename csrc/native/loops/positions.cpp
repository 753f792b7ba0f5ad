// Elements of flattened images at positions: where maxima are, read, added up.
#include <cstdint>
#include <cstring>

#include "csrc/native/loops.h"
#include "csrc/native/pixels.h"

namespace {  // each level has its own, whether inlined or not

void find_largest(void* const* arrays, const double*, int64_t begin, int64_t end) {
    const LargestAt& of = *static_cast<const LargestAt*>(arrays[2]);
    const Elements *d = of.axes, *h = of.axes + 1, *w = of.axes + 2;
    int64_t* found = static_cast<int64_t*>(arrays[0]) + begin * d->windows * h->windows * w->windows;
    for (int64_t image = begin; image < end; ++image) {
        const float* x = static_cast<const float*>(arrays[1]) + image * d->size * h->size * w->size;
        const int64_t batch = image / of.channels, channel = image % of.channels;
        const int64_t* indices[3];
        for (int i = 0; i < 3; ++i) {
            indices[i] = of.axes[i].of_image(batch, channel);
        }
        for (int64_t i = 0; i < d->windows * h->windows; ++i) {
            const int64_t depth = i / h->windows, height = i % h->windows;
            for (int64_t width = 0; width < w->windows; ++width) {
                int64_t position = -1;
                float best = 0;
                for (int64_t a = 0; a < d->count; ++a) {
                    const int64_t slice = indices[0][a * d->step + depth] * h->size;
                    for (int64_t b = 0; b < h->count; ++b) {
                        const int64_t row = (slice + indices[1][b * h->step + height]) * w->size;
                        for (int64_t c = 0; c < w->count; ++c) {
                            const int64_t place = row + indices[2][c * w->step + width];
                            const float value = x[place];
                            const bool better = value > best || value != value || position < 0;
                            position = better ? place : position;
                            best = better ? value : best;
                        }
                    }
                }
                *found++ = position;
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
