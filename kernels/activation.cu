// Activations and their gradients: relu, leaky_relu, elu, gelu (exact and tanh), silu, sigmoid, tanh,
// softplus; and gelu of a sum with a bias.
//
// One pass over memory: forward reads x and writes y; backward reads dy and one of x or y and writes
// dx. There is so little arithmetic that both are bound by memory, so a thread moves 16 bytes at a
// time. Arrays that are not 16-byte aligned, and tails, are read element by element in the same loop.
//
// What is computed is in activation.h, and activation16.cuh.
//
// With a bias, y = f(x + b) for each row of a matrix (row.cuh), the sum is never written: where the
// two functions by themselves move 4 matrices forward, these move 2. Backward adds up again; the
// gradient of the bias is the column sum of dx.
#include "row.cuh"

#include "activation16.cuh"

namespace {

constexpr int threads_per_block = 256;

template <class T, class Function>
__global__ void activation_forward_kernel(T* y, const T* x, int64_t n, bool aligned,
                                          Function function) {
    constexpr int size = Pack<T>::size;
    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {
        const Pack<T> pack = load_pack(x, i, n, aligned);
        acc_t<T> values[size];
#pragma unroll
        for (int j = 0; j < size; ++j) {
            values[j] = function.value(to_acc(pack[j]));
        }
        store_pack(y, pack_of<T>(values), i, n, aligned);
    }
}

template <class T, class Function>
__global__ void activation_backward_kernel(T* dx, const T* dy, const T* saved, int64_t n,
                                           bool aligned, Function function) {
    constexpr int size = Pack<T>::size;
    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {
        const Pack<T> gradient = load_pack(dy, i, n, aligned);
        const Pack<T> pack = load_pack(saved, i, n, aligned);
        acc_t<T> values[size];
#pragma unroll
        for (int j = 0; j < size; ++j) {
            values[j] = function.gradient(to_acc(gradient[j]), to_acc(pack[j]));
        }
        store_pack(dx, pack_of<T>(values), i, n, aligned);
    }
}

// The two launchers of a Function whose members are `Parameters`, which follow n.
template <class T, template <class> class Function, class... Parameters>
struct Elementwise {
    using A = acc_t<T>;
    using F = activation::function_of<Function, T>;

    static void forward(T* y, const T* x, int64_t n, Parameters... parameters,
                        cudaStream_t stream) {
        if (n > 0) {
            LAUNCH((activation_forward_kernel<T, F>),
                   blocks_for(n, threads_per_block * Pack<T>::size), threads_per_block, 0, stream,
                   y, x, n, aligned_for_packs(y, x), F{A(parameters)...});
        }
    }

    static void backward(T* dx, const T* dy, const T* saved, int64_t n, Parameters... parameters,
                         cudaStream_t stream) {
        if (n > 0) {
            LAUNCH((activation_backward_kernel<T, F>),
                   blocks_for(n, threads_per_block * Pack<T>::size), threads_per_block, 0, stream,
                   dx, dy, saved, n, aligned_for_packs(dx, dy, saved), F{A(parameters)...});
        }
    }
};

template <class T, class Function>
struct BiasedForward {
    T* y;
    const T *x, *bias;

    template <class Own>
    __device__ void operator()(const Own& columns, int64_t, int64_t start) const {
        using A = acc_t<T>;
        const Row<Own> x_row(columns, x + start);
        const OptionalRow<Own> bias_row(columns, bias);
        columns.write(
            y + start, [](auto, A x, A b) { return Function{}.value(x + b); }, x_row, bias_row);
    }
};

template <class T, class Function>
struct BiasedBackward {
    T* dx;
    const T *dy, *x, *bias;

    template <class Own>
    __device__ void operator()(const Own& columns, int64_t, int64_t start) const {
        using A = acc_t<T>;
        const Row<Own> dy_row(columns, dy + start), x_row(columns, x + start);
        const OptionalRow<Own> bias_row(columns, bias);
        columns.write(
            dx + start, [](auto, A dy, A x, A b) { return Function{}.gradient(dy, x + b); }, dy_row,
            x_row, bias_row);
    }
};

template <class T, template <class> class Function>
struct Biased {
    using F = activation::function_of<Function, T>;

    static void forward(T* y, const T* x, const T* bias, int64_t rows, int64_t cols,
                        cudaStream_t stream) {
        for_each_row<T, 0>("biased_forward", rows, cols, stream,
                                    BiasedForward<T, F>{y, x, bias}, y, x, bias);
    }

    static void backward(T* dx, const T* dy, const T* x, const T* bias, int64_t rows, int64_t cols,
                         cudaStream_t stream) {
        for_each_row<T, 0>("biased_backward", rows, cols, stream,
                                    BiasedBackward<T, F>{dx, dy, x, bias}, dx, dy,
                                    x, bias);
    }
};

}  // namespace

// Launchers <name>_forward and <name>_backward of a Function, whose parameters' types may follow it.
#define ELEMENTWISE(name, ...)                                            \
    LAUNCHER_AS(name##_forward, Elementwise<T, __VA_ARGS__>::forward);    \
    LAUNCHER_AS(name##_backward, Elementwise<T, __VA_ARGS__>::backward)

ELEMENTWISE(relu, activation::Relu);
ELEMENTWISE(leaky_relu, activation::LeakyRelu, double);
ELEMENTWISE(elu, activation::Elu, double);
ELEMENTWISE(gelu, activation::Gelu);
ELEMENTWISE(gelu_tanh, activation::GeluTanh);
ELEMENTWISE(silu, activation::Silu);
ELEMENTWISE(sigmoid, activation::Sigmoid);
ELEMENTWISE(tanh, activation::Tanh);
ELEMENTWISE(softplus, activation::Softplus, double, double);

LAUNCHER_AS(bias_gelu_forward, Biased<T, activation::Gelu>::forward);
LAUNCHER_AS(bias_gelu_backward, Biased<T, activation::Gelu>::backward);
LAUNCHER_AS(bias_gelu_tanh_forward, Biased<T, activation::GeluTanh>::forward);
LAUNCHER_AS(bias_gelu_tanh_backward, Biased<T, activation::GeluTanh>::backward);
