// Fused optimizer steps: SGD (momentum, Nesterov, weight decay) and Adam / AdamW (AMSGrad), with
// PyTorch's formulas.
//
// One pass: every state array is read once and written once, where separate operations would make
// five to ten passes. Parameters are updated in place. Scalars are prepared in double on the host;
// 16-bit states are read into fp32, updated and rounded once.
#include <cmath>

#include "device.cuh"

namespace {

constexpr int threads_per_block = 256;

template <class A>
struct SgdSettings {
    A lr, momentum, undamped, weight_decay;
    bool nesterov, maximize, first_step;
};

// g = grad + weight_decay * param;  buffer = momentum * buffer + (1 - dampening) * g, or g at the
// first step;  param -= lr * (buffer, or g + momentum * buffer for Nesterov)
template <class T>
__global__ void sgd_step_kernel(T* param, const T* grad, T* momentum_buffer, int64_t n, bool aligned,
                                SgdSettings<acc_t<T>> settings) {
    using A = acc_t<T>;
    constexpr int size = Pack<T>::size;
    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {
        Pack<T> parameters = load_pack(param, i, n, aligned);
        const Pack<T> gradients = load_pack(grad, i, n, aligned);
        Pack<T> buffers = gradients;
        if (momentum_buffer != nullptr && !settings.first_step) {
            buffers = load_pack(momentum_buffer, i, n, aligned);
        }
#pragma unroll
        for (int j = 0; j < size; ++j) {
            const A p = to_acc(parameters[j]);
            A g = to_acc(gradients[j]);
            g = settings.maximize ? -g : g;
            if (settings.weight_decay != A(0)) {  // an infinite parameter is no reason for a NaN
                g += settings.weight_decay * p;
            }
            if (momentum_buffer != nullptr) {
                const A buffer = settings.first_step
                                     ? g
                                     : settings.momentum * to_acc(buffers[j]) + settings.undamped * g;
                buffers[j] = from_acc<T>(buffer);
                g = settings.nesterov ? g + settings.momentum * buffer : buffer;
            }
            parameters[j] = from_acc<T>(p - settings.lr * g);
        }
        store_pack(param, parameters, i, n, aligned);
        if (momentum_buffer != nullptr) {
            store_pack(momentum_buffer, buffers, i, n, aligned);
        }
    }
}

template <class A>
struct AdamSettings {
    A step_size, root_correction, one_minus_beta1, beta2, one_minus_beta2, eps;
    A decay;          // 1 - lr * weight_decay, multiplies the parameter (AdamW)
    A coupled_decay;  // weight_decay, joins the gradient (Adam)
    bool maximize;
};

// m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
// param -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps),  v the largest so far under
// AMSGrad
template <class T>
__global__ void adam_step_kernel(T* param, const T* grad, T* exp_avg, T* exp_avg_sq,
                                 T* max_exp_avg_sq, int64_t n, bool aligned,
                                 AdamSettings<acc_t<T>> settings) {
    using A = acc_t<T>;
    constexpr int size = Pack<T>::size;
    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {
        Pack<T> parameters = load_pack(param, i, n, aligned);
        const Pack<T> gradients = load_pack(grad, i, n, aligned);
        Pack<T> averages = load_pack(exp_avg, i, n, aligned);
        Pack<T> squares = load_pack(exp_avg_sq, i, n, aligned);
        Pack<T> maxima = squares;
        if (max_exp_avg_sq != nullptr) {
            maxima = load_pack(max_exp_avg_sq, i, n, aligned);
        }
#pragma unroll
        for (int j = 0; j < size; ++j) {
            A p = to_acc(parameters[j]) * settings.decay;
            A g = to_acc(gradients[j]);
            g = settings.maximize ? -g : g;
            if (settings.coupled_decay != A(0)) {  // an infinite parameter is no reason for a NaN
                g += settings.coupled_decay * p;
            }
            A m = to_acc(averages[j]);
            m += settings.one_minus_beta1 * (g - m);
            A v = settings.beta2 * to_acc(squares[j]) + settings.one_minus_beta2 * g * g;
            averages[j] = from_acc<T>(m);
            squares[j] = from_acc<T>(v);
            if (max_exp_avg_sq != nullptr) {
                const A largest = to_acc(maxima[j]);
                v = v < largest || isnan(largest) ? largest : v;  // a NaN in either stays
                maxima[j] = from_acc<T>(v);
            }
            const A denominator = sqrt(v) / settings.root_correction + settings.eps;
            parameters[j] = from_acc<T>(p - settings.step_size * m / denominator);
        }
        store_pack(param, parameters, i, n, aligned);
        store_pack(exp_avg, averages, i, n, aligned);
        store_pack(exp_avg_sq, squares, i, n, aligned);
        if (max_exp_avg_sq != nullptr) {
            store_pack(max_exp_avg_sq, maxima, i, n, aligned);
        }
    }
}

}  // namespace

// momentum_buffer or null (no momentum).
template <class T>
void sgd_step(T* param, const T* grad, T* momentum_buffer, int64_t n, double lr, double momentum,
              double dampening, double weight_decay, bool nesterov, bool maximize, bool first_step,
              cudaStream_t stream) {
    using A = acc_t<T>;
    if (n > 0) {
        const SgdSettings<A> settings{A(lr),    A(momentum), A(1.0 - dampening), A(weight_decay),
                                      nesterov, maximize,    first_step};
        LAUNCH(sgd_step_kernel<T>, blocks_for(n, threads_per_block * Pack<T>::size),
               threads_per_block, 0, stream, param, grad, momentum_buffer, n,
               aligned_for_packs(param, grad, momentum_buffer), settings);
    }
}
LAUNCHER(sgd_step);

// max_exp_avg_sq or null (no AMSGrad). step counts from 1.
template <class T>
void adam_step(T* param, const T* grad, T* exp_avg, T* exp_avg_sq, T* max_exp_avg_sq, int64_t n,
               double lr, double beta1, double beta2, double eps, double weight_decay,
               bool decoupled_weight_decay, bool maximize, int64_t step, cudaStream_t stream) {
    using A = acc_t<T>;
    if (n > 0) {
        const double correction1 = 1.0 - std::pow(beta1, double(step));
        const double correction2 = 1.0 - std::pow(beta2, double(step));
        const AdamSettings<A> settings{
            A(lr / correction1),
            A(std::sqrt(correction2)),
            A(1.0 - beta1),
            A(beta2),
            A(1.0 - beta2),
            A(eps),
            A(decoupled_weight_decay ? 1.0 - lr * weight_decay : 1.0),
            A(decoupled_weight_decay ? 0.0 : weight_decay),
            maximize,
        };
        LAUNCH(adam_step_kernel<T>, blocks_for(n, threads_per_block * Pack<T>::size),
               threads_per_block, 0, stream, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, n,
               aligned_for_packs(param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq), settings);
    }
}
LAUNCHER(adam_step);
