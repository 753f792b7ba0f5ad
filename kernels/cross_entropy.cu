// Softmax cross-entropy with class indices, and the gradient of its logits in the same pass.
//
// For a row x with target t, C classes of weight w (1 when absent), label smoothing e, and
// p = softmax(x):
//   loss = (1 - e) w_t (-log p_t) + e/C sum_c w_c (-log p_c)
//   dloss/dx_c = ((1 - e) w_t + e/C sum w) p_c - (1 - e) w_t [c = t] - e/C w_c
// Rows whose target is ignore_index have loss 0 and gradient 0. The losses are not reduced here, nor
// rounded to 16 bits, as they are still to be added up; for their mean, `total` (the sum of the
// weights of the targets that count) divides the gradient.
//
// The gradient is written while the logits are at hand, because reading them again is what a
// backward pass would cost: rows that fit into registers or shared memory (row.cuh) are read once
// and their gradient is written once; longer ones are read twice, by the online softmax (softmax.cuh). Backward only
// multiplies by the incoming gradient: reads dlogits, writes dx.
//
// A target outside [0, C) is reported in `invalid` (device.cuh) and counts like an ignored one, so
// that nothing is read or written out of bounds; the caller raises the error.
#include "softmax.cuh"

namespace {

constexpr int kept_bytes = 128;

__device__ inline bool is_class(int64_t target, int64_t classes) {
    return target >= 0 && target < classes;
}

template <class A>
struct Smoothing {
    A weights, distances;  // sums of w_c and of w_c (x_c - largest)
    __device__ Smoothing operator+(const Smoothing& other) const {
        return {weights + other.weights, distances + other.distances};
    }
};

template <class T>
struct CrossEntropyForward {
    acc_t<T>* loss;
    T* dlogits;
    int64_t* invalid;
    const T* logits;
    const int64_t* targets;
    const T* weight;
    const acc_t<T>* total;
    int64_t ignore_index;
    acc_t<T> label_smoothing;

    template <class Own>
    __device__ void operator()(const Own& columns, int64_t row, int64_t start) const {
        using A = acc_t<T>;
        const int64_t target = targets[row];
        if (target == ignore_index || !is_class(target, columns.cols)) {
            if (columns.lane() == 0) {
                loss[row] = A(0);
                if (target != ignore_index) {
                    report_invalid(invalid, target);
                }
            }
            if (dlogits) {
                columns.write(dlogits + start, [](auto) { return A(0); });
            }
            return;
        }

        const T* logits_row = logits + start;
        const A scale = total ? A(1) / *total : A(1);
        const A share = label_smoothing / A(columns.cols);  // of each class
        const A class_weight = weight ? to_acc(weight[target]) : A(1);
        const A target_weight = (A(1) - label_smoothing) * class_weight;
        const Row<Own> x_row(columns, logits_row);
        const Softmax<A> softmax = softmax_of(columns, x_row);
        const A target_logit = to_acc(logits_row[target]);  // cached by now
        const A log_total = log(softmax.total);

        A row_loss = target_weight * (log_total - (target_logit - softmax.largest));
        A of_all = scale * target_weight / softmax.total;  // of exp(x - largest)
        A of_each = A(0);                                  // of w
        if (label_smoothing > A(0)) {
            const OptionalRow<Own> w_row(columns, weight, A(1));
            Smoothing<A> sums{};
            columns.each(
                [&](auto, A x, A w) { sums = sums + Smoothing<A>{w, w * (x - softmax.largest)}; },
                x_row, w_row);
            sums = columns.reduce(sums, Sum());
            row_loss += share * (sums.weights * log_total - sums.distances);
            of_all = scale * (target_weight + share * sums.weights) / softmax.total;
            of_each = scale * share;
            if (dlogits) {
                columns.write(
                    dlogits + start,
                    [&](auto, A x, A w) {
                        return of_all * exp_for<T>(x - softmax.largest) - of_each * w;
                    },
                    x_row, w_row);
            }
        } else if (dlogits) {
            columns.write(
                dlogits + start,
                [&](auto, A x) { return of_all * exp_for<T>(x - softmax.largest); }, x_row);
        }
        // Once more for the target, which to look for would cost every column a comparison.
        if (dlogits && columns.owns(target)) {
            const A probability = of_all * exp_for<T>(target_logit - softmax.largest);
            dlogits[start + target] =
                from_acc<T>(probability - (of_each * class_weight + scale * target_weight));
        }
        if (columns.lane() == 0) {
            loss[row] = row_loss;
        }
    }
};

template <class T>
struct CrossEntropyBackward {
    T* dx;
    const T* dlogits;
    const acc_t<T>* g;
    int64_t g_stride;

    template <class Own>
    __device__ void operator()(const Own& columns, int64_t row, int64_t start) const {
        const acc_t<T> factor = g[row * g_stride];
        const Row<Own> dlogits_row(columns, dlogits + start);
        columns.write(
            dx + start, [&](auto, acc_t<T> value) { return value * factor; },
            dlogits_row);
    }
};

constexpr int total_threads = 1024;

// One block, so that the order of the additions is fixed; the targets are few next to the logits.
template <class T>
__global__ void __launch_bounds__(total_threads)
    cross_entropy_total_kernel(acc_t<T>* total, const int64_t* targets, const T* weight,
                               int64_t rows, int64_t cols, int64_t ignore_index) {
    using A = acc_t<T>;
    A sum = 0;
    for (int64_t row = threadIdx.x; row < rows; row += total_threads) {
        const int64_t target = targets[row];
        if (target != ignore_index && is_class(target, cols)) {
            sum += weight ? to_acc(weight[target]) : A(1);
        }
    }
    sum = block_sum<total_threads>(sum);
    if (threadIdx.x == 0) {
        *total = sum;
    }
}

constexpr int check_threads = 256;

__global__ void check_classes_kernel(int64_t* invalid, const int64_t* targets, int64_t n,
                                     int64_t classes, int64_t ignore_index) {
    for (int64_t i = global_thread(); i < n; i += thread_count()) {
        if (targets[i] != ignore_index && !is_class(targets[i], classes)) {
            report_invalid(invalid, targets[i]);
        }
    }
}

}  // namespace

// Only the check of the targets, for losses that are put together from other operations.
void check_classes(const int64_t* targets, int64_t* invalid, int64_t n, int64_t classes,
                   int64_t ignore_index, cudaStream_t stream) {
    if (n > 0) {
        LAUNCH(check_classes_kernel, blocks_for(n, check_threads), check_threads, 0, stream, invalid,
               targets, n, classes, ignore_index);
    }
}
FUNCTION(check_classes);

// The sum of the weights of the targets that count: of classes, and not ignored. weight or null, for 1 each.
template <class T>
void target_weight(acc_t<T>* total, const int64_t* targets, const T* weight, int64_t rows, int64_t cols,
                   int64_t ignore_index, cudaStream_t stream) {
    LAUNCH(cross_entropy_total_kernel<T>, 1, total_threads, 0, stream, total, targets, weight, rows, cols,
           ignore_index);
}
LAUNCHER(target_weight);

// dlogits, total, weight or null. total, by which dlogits are divided: the sum of the weights of the
// targets that count (their number when weight is null).
template <class T>
void cross_entropy_forward(acc_t<T>* loss, T* dlogits, acc_t<T>* total, const T* logits,
                           const int64_t* targets, const T* weight, int64_t* invalid, int64_t rows,
                           int64_t cols, int64_t ignore_index, double label_smoothing,
                           cudaStream_t stream) {
    if (total) target_weight(total, targets, weight, rows, cols, ignore_index, stream);
    const CrossEntropyForward<T> body{loss,    dlogits, invalid, logits,
                                      targets, weight,  total,   ignore_index,
                                      acc_t<T>(label_smoothing)};
    for_each_row<T, kept_bytes, 1>("cross_entropy_forward", rows, cols, stream, body, dlogits, logits,
                                weight);
}
LAUNCHER(cross_entropy_forward);

template <class T>
void cross_entropy_backward(T* dx, const T* dlogits, const acc_t<T>* g, int64_t rows, int64_t cols,
                            int64_t count, cudaStream_t stream) {
    const int64_t g_stride = count == rows;  // else there is one number for all rows
    for_each_row<T, 0>("cross_entropy_backward", rows, cols, stream,
                         CrossEntropyBackward<T>{dx, dlogits, g, g_stride}, dx, dlogits);
}
LAUNCHER(cross_entropy_backward);
