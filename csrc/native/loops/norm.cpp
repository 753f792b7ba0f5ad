// Layer, RMS and group norm of rows of float, and their gradients. They are computed in float; a row
// whose squares leave the range, in double.
//
// A row has one weight and bias for each of its numbers; or, in group norm, for each of its channels,
// of ``pixels`` numbers, and the rows of a sample one after the other have theirs.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/sums.h"

struct Shape {
    int64_t count, rows, pixels;  // numbers of a row, rows of a sample, numbers with one weight
    bool centred;                 // or RMS norm

    explicit Shape(const double* numbers)
        : count(int64_t(numbers[0])),
          rows(int64_t(numbers[1])),
          pixels(int64_t(numbers[2])),
          centred(numbers[3] != 0) {}

    int64_t channels() const { return count / pixels; }
    template <class A>
    A* of_row(A* vector, int64_t row) const {
        return vector == nullptr ? nullptr : vector + row % rows * channels();
    }
};

// x less its mean: what is lost of the mean in float is subtracted, too.
template <class A>
struct Distances {
    const float* x;
    A mean, rest;

    Distances(const float* x, double exact) : x(x), mean(A(exact)), rest(A(exact - double(mean))) {}
    A operator()(int64_t i) const { return (A(x[i]) - mean) - rest; }
};

// Of the distances from the first number, which floats tell better; in double where they overflow.
double mean_of(const float* x, int64_t count) {
    const float first = x[0];
    const double sum = sum_of(count, [=](int64_t i) { return x[i] - first; });
    return std::isfinite(sum)
               ? double(first) + sum / double(count)
               : sum_of(count, [=](int64_t i) { return double(x[i]); }) / double(count);
}

// Whether the squares of floats of this mean square keep their digits.
bool keeps_digits(double square) { return square > 1e-30 && square < 1e30; }

template <class A>
double variance_of(const Distances<A>& distances, int64_t count) {
    return sum_of(count, [=](int64_t i) { return distances(i) * distances(i); }) / double(count);
}

template <class A>
void write(float* __restrict y, const Distances<A>& distances, A rstd, const float* weight,
           const float* bias, const Shape& shape) {
    const int64_t count = shape.count;
    if (shape.pixels > 1) {
        for (int64_t channel = 0; channel < shape.channels(); ++channel) {
            const A by = A(weight[channel]), plus = bias == nullptr ? A(0) : A(bias[channel]);
            for (int64_t i = channel * shape.pixels; i < (channel + 1) * shape.pixels; ++i) {
                y[i] = float(distances(i) * rstd * by + plus);
            }
        }
        return;
    }
    if (weight == nullptr && bias == nullptr) {
        for (int64_t i = 0; i < count; ++i) {
            y[i] = float(distances(i) * rstd);
        }
    } else if (bias == nullptr) {
        for (int64_t i = 0; i < count; ++i) {
            y[i] = float(distances(i) * rstd * A(weight[i]));
        }
    } else if (weight == nullptr) {
        for (int64_t i = 0; i < count; ++i) {
            y[i] = float(distances(i) * rstd + A(bias[i]));
        }
    } else {
        for (int64_t i = 0; i < count; ++i) {
            y[i] = float(distances(i) * rstd * A(weight[i]) + A(bias[i]));
        }
    }
}

// y, mean (or null) and rstd of x, weight and bias (or null); numbers are the shape's and eps.
void forward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const Shape shape(numbers);
    const double eps = numbers[4];
    for (int64_t row = begin; row < end; ++row) {
        float* y = static_cast<float*>(arrays[0]) + row * shape.count;
        const float* x = static_cast<const float*>(arrays[3]) + row * shape.count;
        const float* weight = shape.of_row(static_cast<const float*>(arrays[4]), row);
        const float* bias = shape.of_row(static_cast<const float*>(arrays[5]), row);
        const double mean = shape.centred ? mean_of(x, shape.count) : 0.0;
        const Distances<float> distances(x, mean);
        double variance = variance_of(distances, shape.count);
        double rstd = 1 / std::sqrt(variance + eps);
        if (keeps_digits(variance)) {
            write(y, distances, float(rstd), weight, bias, shape);
        } else {
            const Distances<double> wide(x, mean);
            variance = variance_of(wide, shape.count);
            rstd = 1 / std::sqrt(variance + eps);
            write(y, wide, rstd, weight, bias, shape);
        }
        if (arrays[1] != nullptr) {
            static_cast<float*>(arrays[1])[row] = float(mean);
        }
        static_cast<float*>(arrays[2])[row] = float(rstd);
    }
}

// dx = rstd (u - mean(u) - h mean(u h)), with u = dy weight and h = (x - mean) rstd (no mean(u) in RMS
// norm); false where that is not finite.
template <class A>
bool gradient(float* __restrict dx, const float* __restrict dy, const Distances<A>& distances,
              A rstd, const float* __restrict weight, const Shape& shape) {
    const int64_t count = shape.count;
    const auto u = [=](int64_t i) { return weight == nullptr ? A(dy[i]) : A(dy[i]) * A(weight[i]); };
    const auto both = sums_of(count, u, [=](int64_t i) { return u(i) * (distances(i) * rstd); });
    const A of_u = shape.centred ? A(both.first / double(count)) : A(0);
    const A of_both = A(both.second / double(count));
    for (int64_t i = 0; i < count; ++i) {
        dx[i] = float(rstd * ((u(i) - of_u) - distances(i) * rstd * of_both));
    }
    return std::isfinite(of_u) && std::isfinite(of_both);
}

// The same where channels have their weights; writes their sums of dy h and of dy.
template <class A>
bool gradient_of_channels(float* __restrict dx, const float* __restrict dy,
                          const Distances<A>& distances, A rstd, const float* weight,
                          const Shape& shape, double* of_both, double* of_dy) {
    double sum_of_u = 0, sum_of_both = 0;
    for (int64_t channel = 0; channel < shape.channels(); ++channel) {
        const int64_t first = channel * shape.pixels;
        const auto sums = sums_of(
            shape.pixels, [=](int64_t i) { return A(dy[first + i]); },
            [=](int64_t i) { return A(dy[first + i]) * (distances(first + i) * rstd); });
        of_dy[channel] = sums.first;
        of_both[channel] = sums.second;
        sum_of_u += weight[channel] * sums.first;
        sum_of_both += weight[channel] * sums.second;
    }
    const A mean_of_u = A(sum_of_u / double(shape.count));
    const A mean_of_both = A(sum_of_both / double(shape.count));
    for (int64_t channel = 0; channel < shape.channels(); ++channel) {
        const A by = A(weight[channel]);
        for (int64_t i = channel * shape.pixels; i < (channel + 1) * shape.pixels; ++i) {
            dx[i] = float(rstd * ((dy[i] * by - mean_of_u) - distances(i) * rstd * mean_of_both));
        }
    }
    return std::isfinite(mean_of_u) && std::isfinite(mean_of_both);
}

// Rows of which dy h and dy are added to sums together.
constexpr int together = 4;

struct Some {
    int count = 0;
    const float* dy[together];
    const float* x[together];
    float mean[together], rest[together], rstd[together];

    void add(const float* its_dy, const Distances<float>& distances, float its_rstd) {
        dy[count] = its_dy;
        x[count] = distances.x;
        mean[count] = distances.mean;
        rest[count] = distances.rest;
        rstd[count] = its_rstd;
        ++count;
    }
    void move_to(double* __restrict of_both, double* __restrict of_dy, int64_t columns) {
        if (count == together) {
            for (int64_t i = 0; i < columns; ++i) {
                float both = 0, alone = 0;
                for (int j = 0; j < together; ++j) {
                    both += dy[j][i] * (((x[j][i] - mean[j]) - rest[j]) * rstd[j]);
                    alone += dy[j][i];
                }
                of_both[i] += both;
                of_dy[i] += alone;
            }
        } else {
            for (int j = 0; j < count; ++j) {
                for (int64_t i = 0; i < columns; ++i) {
                    of_both[i] += dy[j][i] * (((x[j][i] - mean[j]) - rest[j]) * rstd[j]);
                    of_dy[i] += dy[j][i];
                }
            }
        }
        count = 0;
    }
};

// With all its digits, where those that float has lost are of importance.
double mean_again(void* const* arrays, int64_t row, const float* x, const Shape& shape) {
    if (!shape.centred) {
        return 0;
    }
    const float mean = static_cast<const float*>(arrays[6])[row];
    const float rstd = static_cast<const float*>(arrays[5])[row];
    return std::fabs(mean) * rstd < 2 ? double(mean) : mean_of(x, shape.count);
}

// dx of dy, x, weight (or null), rstd and mean (null in RMS norm); numbers are the shape's and how many rows there are in a
// piece. A piece's sums of dy h and of dy are added to its part of arrays[1], which is zero or null; a
// part has room for those of a row behind them.
void backward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const Shape shape(numbers);
    const int64_t count = shape.count, of_row = shape.channels(), channels = shape.rows * of_row;
    double* sums = static_cast<double*>(arrays[1]);
    if (sums != nullptr) {
        sums += begin / int64_t(numbers[4]) * 2 * (channels + of_row);
    }
    Some some;
    for (int64_t row = begin; row < end; ++row) {
        float* dx = static_cast<float*>(arrays[0]) + row * count;
        const float* dy = static_cast<const float*>(arrays[2]) + row * count;
        const float* x = static_cast<const float*>(arrays[3]) + row * count;
        const float* weight = shape.of_row(static_cast<const float*>(arrays[4]), row);
        double* of_both = shape.of_row(sums, row);
        const float rstd = static_cast<const float*>(arrays[5])[row];
        const double mean = mean_again(arrays, row, x, shape);
        const Distances<float> distances(x, mean);
        const Distances<double> wide(x, mean);
        const bool digits = keeps_digits(double(rstd) * double(rstd));
        if (shape.pixels > 1) {
            double* own = sums + 2 * channels;
            if (!digits || !gradient_of_channels(dx, dy, distances, rstd, weight, shape, own,
                                                 own + of_row)) {
                gradient_of_channels(dx, dy, wide, double(rstd), weight, shape, own, own + of_row);
            }
            for (int64_t i = 0; i < of_row; ++i) {
                of_both[i] += own[i];
                of_both[channels + i] += own[of_row + i];
            }
            continue;
        }
        const bool narrow = digits && gradient(dx, dy, distances, rstd, weight, shape);
        if (!narrow) {
            gradient(dx, dy, wide, double(rstd), weight, shape);
        }
        if (sums != nullptr && narrow) {
            some.add(dy, distances, rstd);
            if (some.count == together || shape.rows > 1) {
                some.move_to(of_both, of_both + channels, count);
            }
        } else if (sums != nullptr) {
            for (int64_t i = 0; i < count; ++i) {
                of_both[i] += dy[i] * (wide(i) * rstd);
                of_both[channels + i] += dy[i];
            }
        }
    }
    some.move_to(sums, sums + channels, count);
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"layer_norm", 6, 5, forward, nullptr, "eps"};
    found.each[found.count++] = {"layer_norm_backward", 7, 5, backward, nullptr, "needs"};
    found.each[found.count++] = {"rms_norm", 6, 5, forward, nullptr, "eps"};
    found.each[found.count++] = {"rms_norm_backward", 7, 5, backward, nullptr, "needs"};
    found.each[found.count++] = {"group_norm", 6, 5, forward, nullptr, "eps"};
    found.each[found.count++] = {"group_norm_backward", 7, 5, backward, nullptr, "needs"};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(norm);
const Loops OF_LEVEL(norm) = all();
