// Batch norm of float: what is summed up over each channel of (samples, channels, pixels), and applied
// to all its numbers.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/sums.h"

constexpr int64_t room = 2048;
constexpr int64_t few = 128;  // pixels, of which a sample's are too short a loop

// The numbers of a channel, sample by sample; where those are few, of several samples side by side, in
// a copy.
class Channel {
public:
    Channel(const double* numbers, int64_t channel)
        : samples_(int64_t(numbers[0])),
          channels_(int64_t(numbers[1])),
          pixels_(int64_t(numbers[2])),
          channel_(channel) {}

    int64_t size() const { return samples_ * pixels_; }

    // work(first, count): of the numbers of the samples from the first on.
    template <class Work>
    void for_each_part(Work work) const {
        const int64_t at_once = pixels_ < few ? room / pixels_ : 1;
        for (int64_t first = 0; first < samples_; first += at_once) {
            const int64_t left = samples_ - first;
            work(first, (left < at_once ? left : at_once) * pixels_);
        }
    }
    const float* read(const float* x, int64_t first, int64_t count, float* copy) const {
        const float* from = x + start(first);
        if (pixels_ >= few) {
            return from;
        }
        for (float* to = copy; to < copy + count; to += pixels_, from += channels_ * pixels_) {
            copy_pixels(to, from);
        }
        return copy;
    }
    // Where to write; what is written into the copy, ``put`` moves there.
    float* place(float* y, int64_t first, float* copy) const {
        return pixels_ < few ? copy : y + start(first);
    }
    void put(float* y, int64_t first, int64_t count, const float* copy) const {
        if (pixels_ < few) {
            float* to = y + start(first);
            for (const float* from = copy; from < copy + count; from += pixels_) {
                copy_pixels(to, from);
                to += channels_ * pixels_;
            }
        }
    }

private:
    int64_t start(int64_t sample) const { return (sample * channels_ + channel_) * pixels_; }
    void copy_pixels(float* to, const float* from) const {
        for (int64_t i = 0; i < pixels_; ++i) {
            to[i] = from[i];
        }
    }

    int64_t samples_, channels_, pixels_, channel_;
};

template <class Type>
Type* array(void* const* arrays, int i) {
    return static_cast<Type*>(arrays[i]);
}

// Of one pixel each, channels lie side by side: work(first, count) of this many of begin..end at a time.
constexpr int64_t width = 128;

template <class Work>
void for_each_tile(int64_t begin, int64_t end, Work work) {
    for (int64_t first = begin; first < end; first += width) {
        work(first, end - first < width ? end - first : width);
    }
}

void moments_of_columns(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t samples = int64_t(numbers[0]), channels = int64_t(numbers[1]);
    for_each_tile(begin, end, [=](int64_t first, int64_t count) {
        const float* x = array<const float>(arrays, 3) + first;
        float* centre = array<float>(arrays, 0) + first;
        float* rest = array<float>(arrays, 2) + first;
        double total[width] = {}, squares[width] = {};
        for (int64_t row = 0; row < samples; ++row) {
            for (int64_t j = 0; j < count; ++j) {
                total[j] += x[row * channels + j];
            }
        }
        for (int64_t j = 0; j < count; ++j) {
            const double mean = total[j] / double(samples);
            centre[j] = float(mean);
            rest[j] = float(mean - double(centre[j]));
        }
        for (int64_t row = 0; row < samples; ++row) {
            for (int64_t j = 0; j < count; ++j) {
                const float distance = (x[row * channels + j] - centre[j]) - rest[j];
                squares[j] += distance * distance;
            }
        }
        for (int64_t j = 0; j < count; ++j) {
            array<float>(arrays, 1)[first + j] = float(squares[j] / double(samples));
        }
    });
}

// centre, spread and rest of x: the mean, the mean square of the distances from it, and what is lost of
// the mean in float. Numbers are samples, channels and pixels.
void moments(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    if (numbers[2] == 1) {
        return moments_of_columns(arrays, numbers, begin, end);
    }
    const float* x = array<const float>(arrays, 3);
    float copy[room];
    for (int64_t i = begin; i < end; ++i) {
        const Channel channel(numbers, i);
        double total = 0;
        channel.for_each_part([&](int64_t first, int64_t count) {
            const float* part = channel.read(x, first, count, copy);
            total += sum_of(count, [=](int64_t j) { return double(part[j]); });
        });
        const double mean = total / double(channel.size());
        const float centre = float(mean), rest = float(mean - double(centre));
        double squares = 0;
        channel.for_each_part([&](int64_t first, int64_t count) {
            const float* part = channel.read(x, first, count, copy);
            squares += sum_of(count, [=](int64_t j) {
                const float distance = (part[j] - centre) - rest;
                return distance * distance;
            });
        });
        array<float>(arrays, 0)[i] = centre;
        array<float>(arrays, 1)[i] = float(squares / double(channel.size()));
        array<float>(arrays, 2)[i] = rest;
    }
}

// y = (x - centre - rest) scale + bias of rows begin..end, each of a sample's channel; of all channels,
// where they have one pixel. rest and bias may be null.
void scale(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t channels = int64_t(numbers[1]), pixels = int64_t(numbers[2]);
    const float* centre = array<const float>(arrays, 2);
    const float* rest = array<const float>(arrays, 3);
    const float* scale = array<const float>(arrays, 4);
    const float* bias = array<const float>(arrays, 5);
    if (pixels == 1) {
        for (int64_t row = begin; row < end; ++row) {
            float* __restrict y = array<float>(arrays, 0) + row * channels;
            const float* __restrict x = array<const float>(arrays, 1) + row * channels;
            if (rest == nullptr) {
                for (int64_t i = 0; i < channels; ++i) {
                    y[i] = (x[i] - centre[i]) * scale[i];
                }
            } else {
                for (int64_t i = 0; i < channels; ++i) {
                    y[i] = ((x[i] - centre[i]) - rest[i]) * scale[i];
                }
            }
            if (bias != nullptr) {
                for (int64_t i = 0; i < channels; ++i) {
                    y[i] += bias[i];
                }
            }
        }
        return;
    }
    for (int64_t row = begin; row < end; ++row) {
        float* __restrict y = array<float>(arrays, 0) + row * pixels;
        const float* __restrict x = array<const float>(arrays, 1) + row * pixels;
        const int64_t i = row % channels;
        const float from = centre[i], and_from = rest == nullptr ? 0.0f : rest[i];
        const float by = scale[i], plus = bias == nullptr ? 0.0f : bias[i];
        for (int64_t j = 0; j < pixels; ++j) {
            y[j] = ((x[j] - from) - and_from) * by + plus;
        }
    }
}

void backward_of_columns(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t samples = int64_t(numbers[0]), channels = int64_t(numbers[1]);
    const bool fixed = arrays[6] == nullptr;
    for_each_tile(begin, end, [=](int64_t first, int64_t count) {
        const float* g = array<const float>(arrays, 3) + first;
        const float* x = array<const float>(arrays, 4) + first;
        const float* centre = array<const float>(arrays, 5) + first;
        const float* scale = array<const float>(arrays, 8) + first;
        float rest[width] = {}, rstd[width], mean[width], slope[width];
        for (int64_t j = 0; j < count; ++j) {
            rest[j] = fixed ? 0.0f : array<const float>(arrays, 6)[first + j];
            rstd[j] = fixed ? 1.0f : array<const float>(arrays, 7)[first + j];
        }
        double of_both[width] = {}, of_g[width] = {};
        for (int64_t row = 0; row < samples; ++row) {
            const float* dy = g + row * channels;
            const float* part = x + row * channels;
            for (int64_t j = 0; j < count; ++j) {
                of_both[j] += dy[j] * (((part[j] - centre[j]) - rest[j]) * rstd[j]);
                of_g[j] += dy[j];
            }
        }
        for (int64_t j = 0; j < count; ++j) {
            array<float>(arrays, 1)[first + j] = float(of_both[j]);
            array<float>(arrays, 2)[first + j] = float(of_g[j]);
            mean[j] = float(of_g[j] / double(samples));
            slope[j] = float(of_both[j] / double(samples)) * rstd[j];
        }
        if (arrays[0] != nullptr) {
            float* dx = array<float>(arrays, 0) + first;
            for (int64_t row = 0; row < samples; ++row) {
                const float* dy = g + row * channels;
                const float* part = x + row * channels;
                float* __restrict result = dx + row * channels;
                if (fixed) {  // 0 times an x that is not finite would not be 0
                    for (int64_t j = 0; j < count; ++j) {
                        result[j] = dy[j] * scale[j];
                    }
                    continue;
                }
                for (int64_t j = 0; j < count; ++j) {
                    result[j] = ((dy[j] - mean[j]) - ((part[j] - centre[j]) - rest[j]) * slope[j]) *
                                scale[j];
                }
            }
        }
    });
}

// With h = (x - centre - rest) rstd: the sums of g h and of g, and, unless it is null,
// dx = (g - mean(g) - h mean(g h)) scale; or, without rest and rstd, of a centre and a scale that do not
// depend on x, g scale.
void backward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    if (numbers[2] == 1) {
        return backward_of_columns(arrays, numbers, begin, end);
    }
    float* dx = array<float>(arrays, 0);
    const float* g = array<const float>(arrays, 3);
    const float* x = array<const float>(arrays, 4);
    const bool fixed = arrays[6] == nullptr;
    float copies[3][room];
    for (int64_t i = begin; i < end; ++i) {
        const Channel channel(numbers, i);
        const float centre = array<const float>(arrays, 5)[i];
        const float rest = fixed ? 0.0f : array<const float>(arrays, 6)[i];
        const float rstd = fixed ? 1.0f : array<const float>(arrays, 7)[i];
        const float scale = array<const float>(arrays, 8)[i];
        double of_both = 0, of_g = 0;
        channel.for_each_part([&](int64_t first, int64_t count) {
            const float* dy = channel.read(g, first, count, copies[0]);
            const float* part = channel.read(x, first, count, copies[1]);
            const Sums sums = sums_of(
                count, [=](int64_t j) { return dy[j]; },
                [=](int64_t j) { return dy[j] * (((part[j] - centre) - rest) * rstd); });
            of_g += sums.first;
            of_both += sums.second;
        });
        array<float>(arrays, 1)[i] = float(of_both);
        array<float>(arrays, 2)[i] = float(of_g);
        if (dx == nullptr) {
            continue;
        }
        const double size = double(channel.size());
        const float mean = float(of_g / size), slope = float(of_both / size) * rstd;
        channel.for_each_part([&](int64_t first, int64_t count) {
            const float* __restrict dy = channel.read(g, first, count, copies[0]);
            const float* __restrict part = channel.read(x, first, count, copies[1]);
            float* __restrict result = channel.place(dx, first, copies[2]);
            if (fixed) {
                for (int64_t j = 0; j < count; ++j) {
                    result[j] = dy[j] * scale;
                }
            } else {
                for (int64_t j = 0; j < count; ++j) {
                    result[j] = ((dy[j] - mean) - ((part[j] - centre) - rest) * slope) * scale;
                }
            }
            channel.put(dx, first, count, result);
        });
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"batch_moments", 4, 3, moments, nullptr, nullptr};
    found.each[found.count++] = {"batch_norm", 6, 3, scale, nullptr, "eps"};
    found.each[found.count++] = {"batch_norm_backward", 9, 3, backward, nullptr, "eps"};
    found.each[found.count++] = {"scale_channels", 6, 3, scale, nullptr, nullptr};
    found.each[found.count++] = {"scale_channels_backward", 9, 3, backward, nullptr, nullptr};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(channels);
const Loops OF_LEVEL(channels) = all();
