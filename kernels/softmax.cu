// Softmax and its logarithm along the rows of a matrix, and their gradients.
//
//   softmax      y = exp(x - max x) / sum exp(x - max x)    dx = y (dy - sum dy y)
//   log_softmax  y = x - max x - log sum exp(x - max x)     dx = dy - exp(y) sum dy
//
// Bound by memory: forward reads x and writes y, backward reads dy and y and writes dx, each once
// as long as a row fits into the registers of its team of threads (row.cuh). Longer rows are read
// twice: forward finds maximum and sum in one walk, by the online softmax.
#include "softmax.cuh"

namespace {

constexpr int kept_bytes = 128;

template <class T, class Plan, bool logarithm>
__global__ void __launch_bounds__(Plan::threads, 1)
    softmax_forward_kernel(T* y, const T* x, int64_t rows, int64_t cols, bool in_packs) {
    using Columns = Columns<T, Plan>;
    using A = typename Columns::A;
    const Columns columns(cols, in_packs);
    for (int64_t row = team_index<Plan>(); row < rows; row += team_count<Plan>()) {
        const Row<Columns> x_row(columns, x + row * cols);
        const Softmax<A> softmax = softmax_of(columns, x_row);
        const A log_total = log(softmax.total), scale = A(1) / softmax.total;
        columns.write(
            y + row * cols,
            [&](auto, A value) {
                const A distance = value - softmax.largest;
                return logarithm ? distance - log_total : exp(distance) * scale;
            },
            x_row);
    }
}

template <class T, class Plan, bool logarithm>
__global__ void __launch_bounds__(Plan::threads, 1)
    softmax_backward_kernel(T* dx, const T* dy, const T* y, int64_t rows, int64_t cols,
                            bool in_packs) {
    using Columns = Columns<T, Plan>;
    using A = typename Columns::A;
    const Columns columns(cols, in_packs);
    for (int64_t row = team_index<Plan>(); row < rows; row += team_count<Plan>()) {
        const Row<Columns> dy_row(columns, dy + row * cols), y_row(columns, y + row * cols);
        A sum = 0;
        columns.each([&](auto, A dy, A y) { sum += logarithm ? dy : dy * y; }, dy_row, y_row);
        sum = columns.reduce(sum, Sum());
        columns.write(
            dx + row * cols,
            [&](auto, A dy, A y) { return logarithm ? dy - exp(y) * sum : y * (dy - sum); },
            dy_row, y_row);
    }
}

template <class T, bool logarithm>
void forward(T* y, const T* x, int64_t rows, int64_t cols, cudaStream_t stream) {
    if (rows == 0 || cols == 0) {
        return;
    }
    choose_plan<T, kept_bytes>(cols, [&](auto plan) {
        using Plan = decltype(plan);
        LAUNCH((softmax_forward_kernel<T, Plan, logarithm>),
               blocks_for(rows, Plan::rows_per_block), Plan::threads, 0, stream, y, x, rows, cols,
               rows_in_packs<T>(cols, y, x));
    });
}

template <class T, bool logarithm>
void backward(T* dx, const T* dy, const T* y, int64_t rows, int64_t cols, cudaStream_t stream) {
    if (rows == 0 || cols == 0) {
        return;
    }
    choose_plan<T, kept_bytes>(cols, [&](auto plan) {
        using Plan = decltype(plan);
        LAUNCH((softmax_backward_kernel<T, Plan, logarithm>),
               blocks_for(rows, Plan::rows_per_block), Plan::threads, 0, stream, dx, dy, y, rows,
               cols, rows_in_packs<T>(cols, dx, dy, y));
    });
}

}  // namespace

template <class T>
void softmax_forward(T* y, const T* x, int64_t rows, int64_t cols, cudaStream_t stream) {
    forward<T, false>(y, x, rows, cols, stream);
}

template <class T>
void softmax_backward(T* dx, const T* dy, const T* y, int64_t rows, int64_t cols,
                      cudaStream_t stream) {
    backward<T, false>(dx, dy, y, rows, cols, stream);
}

template <class T>
void log_softmax_forward(T* y, const T* x, int64_t rows, int64_t cols, cudaStream_t stream) {
    forward<T, true>(y, x, rows, cols, stream);
}

template <class T>
void log_softmax_backward(T* dx, const T* dy, const T* y, int64_t rows, int64_t cols,
                          cudaStream_t stream) {
    backward<T, true>(dx, dy, y, rows, cols, stream);
}

INSTANTIATE(softmax_forward);
INSTANTIATE(softmax_backward);
INSTANTIATE(log_softmax_forward);
INSTANTIATE(log_softmax_backward);
