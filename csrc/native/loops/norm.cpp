// Layer norm of rows of float, and its gradient. It is computed in float; a row whose squares leave
// the range, in double.
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/sums.h"

// x less its mean: what is lost of the mean in float is subtracted, too.
template <class A>
struct Distances {
    const float* x;
    A mean, rest;

    Distances(const float* x, double exact) : x(x), mean(A(exact)), rest(A(exact - double(mean))) {}
    A operator()(int64_t i) const { return (A(x[i]) - mean) - rest; }
};

double mean_of(const float* x, int64_t count) {
    return sum_of(count, [=](int64_t i) { return double(x[i]); }) / double(count);
}

// Whether the squares of floats of this mean square keep their digits.
bool keeps_digits(double square) { return square > 1e-30 && square < 1e30; }

template <class A>
double variance_of(const Distances<A>& distances, int64_t count) {
    return sum_of(count, [=](int64_t i) { return distances(i) * distances(i); }) / double(count);
}

template <class A>
void write(float* __restrict y, const Distances<A>& distances, A rstd, const float* weight,
           const float* bias, int64_t count) {
    if (weight == nullptr) {
        for (int64_t i = 0; i < count; ++i) {
            y[i] = float(distances(i) * rstd);
        }
    } else {
        for (int64_t i = 0; i < count; ++i) {
            y[i] = float(distances(i) * rstd * A(weight[i]));
        }
    }
    if (bias != nullptr) {
        for (int64_t i = 0; i < count; ++i) {
            y[i] += bias[i];
        }
    }
}

// y, mean and rstd of x, weight and bias (or null); numbers are the columns and eps.
void forward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t count = int64_t(numbers[0]);
    const double eps = numbers[1];
    const float* weight = static_cast<const float*>(arrays[4]);
    const float* bias = static_cast<const float*>(arrays[5]);
    for (int64_t row = begin; row < end; ++row) {
        float* y = static_cast<float*>(arrays[0]) + row * count;
        const float* x = static_cast<const float*>(arrays[3]) + row * count;
        const double mean = mean_of(x, count);
        const Distances<float> distances(x, mean);
        double variance = variance_of(distances, count);
        double rstd = 1 / std::sqrt(variance + eps);
        if (keeps_digits(variance)) {
            write(y, distances, float(rstd), weight, bias, count);
        } else {
            const Distances<double> wide(x, mean);
            variance = variance_of(wide, count);
            rstd = 1 / std::sqrt(variance + eps);
            write(y, wide, rstd, weight, bias, count);
        }
        static_cast<float*>(arrays[1])[row] = float(mean);
        static_cast<float*>(arrays[2])[row] = float(rstd);
    }
}

// dx = rstd (u - mean(u) - h mean(u h)), with u = dy weight and h = (x - mean) rstd; false where that
// is not finite.
template <class A>
bool gradient(float* __restrict dx, const float* __restrict dy, const Distances<A>& distances,
              A rstd, const float* __restrict weight, int64_t count) {
    const auto u = [=](int64_t i) { return weight == nullptr ? A(dy[i]) : A(dy[i]) * A(weight[i]); };
    const A of_u = A(sum_of(count, u) / double(count));
    const A of_both =
        A(sum_of(count, [=](int64_t i) { return u(i) * (distances(i) * rstd); }) / double(count));
    for (int64_t i = 0; i < count; ++i) {
        dx[i] = float(rstd * ((u(i) - of_u) - distances(i) * rstd * of_both));
    }
    return std::isfinite(of_u) && std::isfinite(of_both);
}

// dx of dy, x, weight (or null) and rstd; numbers are the columns and how many rows there are in a
// piece. A piece's sums of dy h and of dy are added to its part of arrays[1], which is zero or null.
void backward(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t count = int64_t(numbers[0]);
    const float* weight = static_cast<const float*>(arrays[4]);
    double* sums = static_cast<double*>(arrays[1]);
    if (sums != nullptr) {
        sums += begin / int64_t(numbers[1]) * 2 * count;
    }
    for (int64_t row = begin; row < end; ++row) {
        float* dx = static_cast<float*>(arrays[0]) + row * count;
        const float* dy = static_cast<const float*>(arrays[2]) + row * count;
        const float* x = static_cast<const float*>(arrays[3]) + row * count;
        const float rstd = static_cast<const float*>(arrays[5])[row];
        const double mean = mean_of(x, count);
        const Distances<float> distances(x, mean);
        const bool narrow = keeps_digits(double(rstd) * double(rstd)) &&
                            gradient(dx, dy, distances, rstd, weight, count);
        const Distances<double> wide(x, mean);
        if (!narrow) {
            gradient(dx, dy, wide, double(rstd), weight, count);
        }
        if (sums != nullptr) {
            double* __restrict of_both = sums;
            double* __restrict of_dy = sums + count;
            if (narrow) {
                for (int64_t i = 0; i < count; ++i) {
                    of_both[i] += dy[i] * (distances(i) * rstd);
                    of_dy[i] += dy[i];
                }
            } else {
                for (int64_t i = 0; i < count; ++i) {
                    of_both[i] += dy[i] * (wide(i) * rstd);
                    of_dy[i] += dy[i];
                }
            }
        }
    }
}

constexpr Loops all() {
    Loops found{};
    found.each[found.count++] = {"layer_norm", 6, 2, forward, nullptr, "eps"};
    found.each[found.count++] = {"layer_norm_backward", 6, 2, backward, nullptr, "needs"};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(norm);
const Loops OF_LEVEL(norm) = all();
