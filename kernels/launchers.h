// Every launcher, declared once: outputs first, then inputs, sizes, scalars, and the stream last.
// Pointers marked "or null" may be null. Instantiated for float, double, half and bfloat16.
#pragma once

#include <cstdint>

#include "launch.h"

// Arithmetic type of a storage type: fp32, or fp64 for double.
template <class T>
struct Accumulator {
    using type = float;
};
template <>
struct Accumulator<double> {
    using type = double;
};
template <class T>
using acc_t = typename Accumulator<T>::type;

// ---- activation.cu ----
template <class T>
void relu_forward(T* y, const T* x, int64_t n, cudaStream_t stream);
template <class T>
void relu_backward(T* dx, const T* dy, const T* y, int64_t n, cudaStream_t stream);
template <class T>
void leaky_relu_forward(T* y, const T* x, int64_t n, double negative_slope, cudaStream_t stream);
template <class T>
void leaky_relu_backward(T* dx, const T* dy, const T* x, int64_t n, double negative_slope,
                         cudaStream_t stream);
template <class T>
void elu_forward(T* y, const T* x, int64_t n, double alpha, cudaStream_t stream);
template <class T>
void elu_backward(T* dx, const T* dy, const T* x, int64_t n, double alpha, cudaStream_t stream);
template <class T>
void gelu_forward(T* y, const T* x, int64_t n, cudaStream_t stream);
template <class T>
void gelu_backward(T* dx, const T* dy, const T* x, int64_t n, cudaStream_t stream);
template <class T>
void gelu_tanh_forward(T* y, const T* x, int64_t n, cudaStream_t stream);
template <class T>
void gelu_tanh_backward(T* dx, const T* dy, const T* x, int64_t n, cudaStream_t stream);
template <class T>
void silu_forward(T* y, const T* x, int64_t n, cudaStream_t stream);
template <class T>
void silu_backward(T* dx, const T* dy, const T* x, int64_t n, cudaStream_t stream);
template <class T>
void sigmoid_forward(T* y, const T* x, int64_t n, cudaStream_t stream);
template <class T>
void sigmoid_backward(T* dx, const T* dy, const T* y, int64_t n, cudaStream_t stream);
template <class T>
void tanh_forward(T* y, const T* x, int64_t n, cudaStream_t stream);
template <class T>
void tanh_backward(T* dx, const T* dy, const T* y, int64_t n, cudaStream_t stream);
template <class T>
void softplus_forward(T* y, const T* x, int64_t n, double beta, double threshold,
                      cudaStream_t stream);
template <class T>
void softplus_backward(T* dx, const T* dy, const T* x, int64_t n, double beta, double threshold,
                       cudaStream_t stream);

// ---- matmul.cu ----
// c[batch, m, n] = op(a) op(b) + bias[n]; lda and ldb are the row strides of a and b as stored.
// A batch stride of 0 broadcasts. bias or null.
template <class T>
void matmul(T* c, const T* a, const T* b, const T* bias, int64_t batch, int64_t m, int64_t n,
            int64_t k, int64_t a_batch_stride, int64_t b_batch_stride, int64_t lda, int64_t ldb,
            bool transpose_a, bool transpose_b, cudaStream_t stream);

// ---- softmax.cu ----
template <class T>
void softmax_forward(T* y, const T* x, int64_t rows, int64_t cols, cudaStream_t stream);
template <class T>
void softmax_backward(T* dx, const T* dy, const T* y, int64_t rows, int64_t cols,
                      cudaStream_t stream);
template <class T>
void log_softmax_forward(T* y, const T* x, int64_t rows, int64_t cols, cudaStream_t stream);
template <class T>
void log_softmax_backward(T* dx, const T* dy, const T* y, int64_t rows, int64_t cols,
                          cudaStream_t stream);

// ---- cross_entropy.cu ----
// Sum of the weights of the targets that count (their number when weight is null).
template <class T>
void cross_entropy_total(acc_t<T>* total, const int64_t* targets, const T* weight, int64_t rows,
                         int64_t cols, int64_t ignore_index, cudaStream_t stream);
// dlogits, weight, total or null.
template <class T>
void cross_entropy_forward(T* loss, T* dlogits, int32_t* invalid, const T* logits,
                           const int64_t* targets, const T* weight, const acc_t<T>* total,
                           int64_t rows, int64_t cols, int64_t ignore_index, double label_smoothing,
                           cudaStream_t stream);
template <class T>
void cross_entropy_backward(T* dx, const T* dlogits, const T* g, int64_t g_stride, int64_t rows,
                            int64_t cols, cudaStream_t stream);

// ---- norm.cu ----
// Scratch of the backward passes: accumulators per column, times 2 for layer norm.
int64_t norm_partials(int64_t rows, int64_t cols);
// weight, bias, dweight, dbias or null.
template <class T>
void layer_norm_forward(T* y, acc_t<T>* mean, acc_t<T>* rstd, const T* x, const T* weight,
                        const T* bias, int64_t rows, int64_t cols, double eps, cudaStream_t stream);
template <class T>
void layer_norm_backward(T* dx, T* dweight, T* dbias, acc_t<T>* scratch, const T* dy, const T* x,
                         const acc_t<T>* mean, const acc_t<T>* rstd, const T* weight, int64_t rows,
                         int64_t cols, cudaStream_t stream);
template <class T>
void rms_norm_forward(T* y, acc_t<T>* rstd, const T* x, const T* weight, int64_t rows, int64_t cols,
                      double eps, cudaStream_t stream);
template <class T>
void rms_norm_backward(T* dx, T* dweight, acc_t<T>* scratch, const T* dy, const T* x,
                       const acc_t<T>* rstd, const T* weight, int64_t rows, int64_t cols,
                       cudaStream_t stream);

// ---- column_sum.cu ----
int64_t column_sum_partials(int64_t rows, int64_t cols);
template <class T>
void column_sum(T* out, acc_t<T>* scratch, const T* x, int64_t rows, int64_t cols,
                cudaStream_t stream);

// ---- embedding.cu ----
template <class T>
void embedding_forward(T* y, int32_t* invalid, const T* weight, const int64_t* indices,
                       int64_t count, int64_t rows, int64_t cols, cudaStream_t stream);
// order is the stable argsort of the indices, sorted_indices the indices in that order.
template <class T>
void embedding_backward(T* dweight, const T* dy, const int64_t* order,
                        const int64_t* sorted_indices, int64_t count, int64_t rows, int64_t cols,
                        cudaStream_t stream);

// ---- dropout.cu ----
template <class T>
void dropout(T* y, const T* x, int64_t n, double p, uint64_t seed, uint64_t offset,
             cudaStream_t stream);

// ---- philox.cu ----
void philox(uint32_t* words, int64_t n, uint64_t seed, uint64_t offset, cudaStream_t stream);

// ---- optimizer.cu ----
// momentum_buffer or null (no momentum).
template <class T>
void sgd_step(T* param, const T* grad, T* momentum_buffer, int64_t n, double lr, double momentum,
              double dampening, double weight_decay, bool nesterov, bool maximize, bool first_step,
              cudaStream_t stream);
// max_exp_avg_sq or null (no AMSGrad). step counts from 1.
template <class T>
void adam_step(T* param, const T* grad, T* exp_avg, T* exp_avg_sq, T* max_exp_avg_sq, int64_t n,
               double lr, double beta1, double beta2, double eps, double weight_decay,
               bool decoupled_weight_decay, bool maximize, int64_t step, cudaStream_t stream);
