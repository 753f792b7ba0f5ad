// Activations and their gradients: relu, leaky_relu, elu, gelu (exact and tanh), silu, sigmoid, tanh,
// softplus; and gelu of a sum with a bias.
//
// One pass over memory: forward reads x and writes y; backward reads dy and one of x or y and writes
// dx. There is so little arithmetic that both are bound by memory, so a thread moves 16 bytes at a
// time. Arrays that are not 16-byte aligned, and tails, are read element by element in the same loop.
//
// Every function is a struct with its value y(x) and its gradient dx, in terms of dy and of what is
// cheapest to have saved: the result y for relu, sigmoid and tanh, x for the others.
//
// With a bias, y = f(x + b) for each row of a matrix (row.cuh), the sum is never written: where the
// two functions by themselves move 4 matrices forward, these move 2. Backward adds up again; the
// gradient of the bias is the column sum of dx.
#include "row.cuh"

namespace {

constexpr int threads_per_block = 256;

template <class T, class Function>
__global__ void activation_forward_kernel(T* y, const T* x, int64_t n, bool aligned,
                                          Function function) {
    constexpr int size = Pack<T>::size;
    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {
        Pack<T> pack = load_pack(x, i, n, aligned);
#pragma unroll
        for (int j = 0; j < size; ++j) {
            pack[j] = from_acc<T>(function.value(to_acc(pack[j])));
        }
        store_pack(y, pack, i, n, aligned);
    }
}

template <class T, class Function>
__global__ void activation_backward_kernel(T* dx, const T* dy, const T* saved, int64_t n,
                                           bool aligned, Function function) {
    constexpr int size = Pack<T>::size;
    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {
        Pack<T> gradient = load_pack(dy, i, n, aligned);
        const Pack<T> pack = load_pack(saved, i, n, aligned);
#pragma unroll
        for (int j = 0; j < size; ++j) {
            gradient[j] = from_acc<T>(function.gradient(to_acc(gradient[j]), to_acc(pack[j])));
        }
        store_pack(dx, gradient, i, n, aligned);
    }
}

template <class A>
__device__ inline A sigmoid_of(A x) {
    return A(1) / (A(1) + exp(-x));
}

// Beyond +-1000 gelu and silu are relu in every type, and so are their slopes: there x is not
// multiplied by itself, which overflows, or by what is 0, which for infinities is NaN.
template <class A>
__device__ inline bool is_far(A x) {
    return x > A(1000) || x < A(-1000);
}
template <class A>
__device__ inline A ramp(A x, A if_positive) {
    return x > A(0) ? if_positive : A(0);
}

// y = max(x, 0), keeping NaN. A choice rather than a product with 0 or 1: 0 * inf would be NaN.
template <class A>
struct Relu {
    __device__ A value(A x) const { return x < A(0) ? A(0) : x; }
    __device__ A gradient(A dy, A y) const { return y <= A(0) ? A(0) : dy; }
};

// y = x where x > 0, else negative_slope * x
template <class A>
struct LeakyRelu {
    A negative_slope;
    __device__ A value(A x) const { return x > A(0) ? x : negative_slope * x; }
    __device__ A gradient(A dy, A x) const { return x > A(0) ? dy : negative_slope * dy; }
};

// y = x where x > 0, else alpha (e^x - 1)
template <class A>
struct Elu {
    A alpha;
    __device__ A value(A x) const { return x > A(0) ? x : alpha * expm1(x); }
    __device__ A gradient(A dy, A x) const { return x > A(0) ? dy : dy * alpha * exp(x); }
};

// y = x Phi(x), Phi the normal distribution function; dy/dx = Phi(x) + x phi(x)
template <class A>
struct Gelu {
    static constexpr A sqrt_half = A(0.70710678118654752440);
    static constexpr A inverse_sqrt_two_pi = A(0.39894228040143267794);
    __device__ A value(A x) const { return is_far(x) ? ramp(x, x) : x * distribution(x); }
    __device__ A gradient(A dy, A x) const {
        if (is_far(x)) {
            return ramp(x, dy);
        }
        return dy * (distribution(x) + x * inverse_sqrt_two_pi * exp(A(-0.5) * x * x));
    }
    __device__ A distribution(A x) const { return A(0.5) * (A(1) + erf(x * sqrt_half)); }
};

// y = x (1 + tanh(u)) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3)
template <class A>
struct GeluTanh {
    static constexpr A scale = A(0.79788456080286535588);
    static constexpr A cubic = A(0.044715);
    __device__ A value(A x) const {
        return is_far(x) ? ramp(x, x) : A(0.5) * x * (A(1) + tanh(inner(x)));
    }
    __device__ A gradient(A dy, A x) const {
        if (is_far(x)) {
            return ramp(x, dy);
        }
        const A t = tanh(inner(x));
        const A inner_slope = scale * (A(1) + A(3) * cubic * x * x);
        return dy * (A(0.5) * (A(1) + t) + A(0.5) * x * (A(1) - t * t) * inner_slope);
    }
    __device__ A inner(A x) const { return scale * (x + cubic * x * x * x); }
};

// y = x s(x), s the sigmoid; dy/dx = s (1 + x (1 - s))
template <class A>
struct Silu {
    __device__ A value(A x) const { return is_far(x) ? ramp(x, x) : x / (A(1) + exp(-x)); }
    __device__ A gradient(A dy, A x) const {
        if (is_far(x)) {
            return ramp(x, dy);
        }
        const A s = sigmoid_of(x);
        return dy * s * (A(1) + x * (A(1) - s));
    }
};

template <class A>
struct Sigmoid {
    __device__ A value(A x) const { return sigmoid_of(x); }
    __device__ A gradient(A dy, A y) const { return dy * y * (A(1) - y); }
};

template <class A>
struct Tanh {
    __device__ A value(A x) const { return tanh(x); }
    __device__ A gradient(A dy, A y) const { return dy * (A(1) - y * y); }
};

// y = log(1 + e^(beta x)) / beta, and x itself where beta x > threshold
template <class A>
struct Softplus {
    A beta, threshold;
    __device__ A value(A x) const {
        return beta * x > threshold ? x : log1p(exp(beta * x)) / beta;
    }
    __device__ A gradient(A dy, A x) const {
        return beta * x > threshold ? dy : dy * sigmoid_of(beta * x);
    }
};

// The two launchers of a Function whose members are `Parameters`, which follow n.
template <class T, template <class> class Function, class... Parameters>
struct Elementwise {
    using A = acc_t<T>;

    static void forward(T* y, const T* x, int64_t n, Parameters... parameters,
                        cudaStream_t stream) {
        if (n > 0) {
            LAUNCH((activation_forward_kernel<T, Function<A>>),
                   blocks_for(n, threads_per_block * Pack<T>::size), threads_per_block, 0, stream,
                   y, x, n, aligned_for_packs(y, x), Function<A>{A(parameters)...});
        }
    }

    static void backward(T* dx, const T* dy, const T* saved, int64_t n, Parameters... parameters,
                         cudaStream_t stream) {
        if (n > 0) {
            LAUNCH((activation_backward_kernel<T, Function<A>>),
                   blocks_for(n, threads_per_block * Pack<T>::size), threads_per_block, 0, stream,
                   dx, dy, saved, n, aligned_for_packs(dx, dy, saved),
                   Function<A>{A(parameters)...});
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
        const Row<Own> x_row(columns, x + start), bias_row(columns, bias);
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
        const Row<Own> bias_row(columns, bias);
        columns.write(
            dx + start, [](auto, A dy, A x, A b) { return Function{}.gradient(dy, x + b); }, dy_row,
            x_row, bias_row);
    }
};

template <class T, template <class> class Function>
struct Biased {
    static void forward(T* y, const T* x, const T* bias, int64_t rows, int64_t cols,
                        cudaStream_t stream) {
        for_each_row<T, 0>("biased_forward", rows, cols, stream,
                                    BiasedForward<T, Function<acc_t<T>>>{y, x, bias}, y, x, bias);
    }

    static void backward(T* dx, const T* dy, const T* x, const T* bias, int64_t rows, int64_t cols,
                         cudaStream_t stream) {
        for_each_row<T, 0>("biased_backward", rows, cols, stream,
                                    BiasedBackward<T, Function<acc_t<T>>>{dx, dy, x, bias}, dx, dy,
                                    x, bias);
    }
};

}  // namespace

// Launchers <name>_forward and <name>_backward of a Function, whose parameters' types may follow it.
#define ELEMENTWISE(name, ...)                                            \
    LAUNCHER_AS(name##_forward, Elementwise<T, __VA_ARGS__>::forward);    \
    LAUNCHER_AS(name##_backward, Elementwise<T, __VA_ARGS__>::backward)

ELEMENTWISE(relu, Relu);
ELEMENTWISE(leaky_relu, LeakyRelu, double);
ELEMENTWISE(elu, Elu, double);
ELEMENTWISE(gelu, Gelu);
ELEMENTWISE(gelu_tanh, GeluTanh);
ELEMENTWISE(silu, Silu);
ELEMENTWISE(sigmoid, Sigmoid);
ELEMENTWISE(tanh, Tanh);
ELEMENTWISE(softplus, Softplus, double, double);

LAUNCHER_AS(bias_gelu_forward, Biased<T, Gelu>::forward);
LAUNCHER_AS(bias_gelu_backward, Biased<T, Gelu>::backward);
LAUNCHER_AS(bias_gelu_tanh_forward, Biased<T, GeluTanh>::forward);
LAUNCHER_AS(bias_gelu_tanh_backward, Biased<T, GeluTanh>::backward);
