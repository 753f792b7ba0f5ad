// Softmax and its logarithm along the rows of a matrix, and their gradients.
//
//   softmax      y = exp(x - max x) / sum exp(x - max x)    dx = y (dy - sum dy y)
//   log_softmax  y = x - max x - log sum exp(x - max x)     dx = dy - exp(y) sum dy
//
// Bound by memory: forward reads x and writes y, backward reads dy and y and writes dx, each once
// as long as a row fits into the registers of its team of threads, or into shared memory (row.cuh).
// Longer rows are read twice: forward finds maximum and sum in one walk, by the online softmax.
#include "softmax.cuh"

namespace {

constexpr int kept_bytes = 128;

template <class T>
struct SoftmaxForward {
    T* y;
    const T* x;
    bool logarithm;

    template <class Own>
    __device__ void operator()(const Own& columns, int64_t row, int64_t start) const {
        using A = acc_t<T>;
        const Row<Own> x_row(columns, x + start);
        const Softmax<A> softmax = softmax_of(columns, x_row);
        if (logarithm) {
            const A log_total = log(softmax.total);
            columns.write(
                y + start, [&](auto, A value) { return value - softmax.largest - log_total; }, x_row);
        } else {
            const A scale = A(1) / softmax.total;
            columns.write(
                y + start,
                [&](auto, A value) { return exp_for<T>(value - softmax.largest) * scale; }, x_row);
        }
    }
};

template <class T>
struct SoftmaxBackward {
    T* dx;
    const T *dy, *y;
    bool logarithm;

    template <class Own>
    __device__ void operator()(const Own& columns, int64_t row, int64_t start) const {
        using A = acc_t<T>;
        const Row<Own> dy_row(columns, dy + start);
        const Row<Own, 1> y_row(columns, y + start);
        A sum = 0;
        columns.each([&](auto, A dy, A y) { sum += logarithm ? dy : dy * y; }, dy_row, y_row);
        sum = columns.reduce(sum, Sum());
        columns.write(
            dx + start,
            [&](auto, A dy, A y) { return logarithm ? dy - exp_for<T>(y) * sum : y * (dy - sum); },
            dy_row, y_row);
    }
};

template <class T, bool logarithm>
void forward(T* y, const T* x, int64_t rows, int64_t cols, cudaStream_t stream) {
    for_each_row<T, kept_bytes, 1>("softmax_forward", rows, cols, stream,
                                SoftmaxForward<T>{y, x, logarithm}, y, x);
}

template <class T, bool logarithm>
void backward(T* dx, const T* dy, const T* y, int64_t rows, int64_t cols, cudaStream_t stream) {
    for_each_row<T, kept_bytes, 2>("softmax_backward", rows, cols, stream,
                                SoftmaxBackward<T>{dx, dy, y, logarithm}, dx, dy, y);
}

}  // namespace

LAUNCHER_AS(softmax_forward, forward<T, false>);
LAUNCHER_AS(softmax_backward, backward<T, false>);
LAUNCHER_AS(log_softmax_forward, forward<T, true>);
LAUNCHER_AS(log_softmax_backward, backward<T, true>);
