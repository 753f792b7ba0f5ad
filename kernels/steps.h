// What an optimizer's step does to one element, for all optimizers whose steps are elementwise: plain
// C++, included by the kernels (optimizer.cu) and by loops on the CPU.
//
// A step is a struct template over the type A in which it computes, float or double, with
//
//   numbers, all of type A: the options of an optimizer and of its step count, prepared in double on
//       the host (optim/steps/scalars.py, in the order of the members);
//   states: how many arrays the optimizer keeps beside a parameter;
//   operator()(A& p, A g, A& state...): one element of the parameter, its gradient, its states, in the
//       order in which the optimizer names them (kept_arrays).
//
// The formulas are those of the plain bodies in optim/steps. What depends on an element is only which of
// two values is selected, both of them computed, and nothing is called but sqrt, fabs and copysign: loops
// over elements vectorise (with GCC under -fno-math-errno -fno-trapping-math). A NaN stays a NaN, whichever
// side of a maximum it is on. A weight decay of 0 makes no NaN of an infinite parameter.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define STEP_FUNCTION __host__ __device__ __forceinline__
#else
#define STEP_FUNCTION inline
#endif

namespace steps {

// ---- what several of them do ----

// The gradient: sign is -1 to maximize, else 1.
template <class A>
STEP_FUNCTION A directed(A g, A sign) {
    return sign * g;
}

// The same plus weight_decay * p.
template <class A>
STEP_FUNCTION A directed(A g, A sign, A p, A weight_decay) {
    const A pull = weight_decay * p;
    return sign * g + (weight_decay == A(0) ? A(0) : pull);
}

// The running mean of which a step replaces this part by x.
template <class A>
STEP_FUNCTION A toward(A average, A x, A part) {
    return (A(1) - part) * average + part * x;
}

template <class A>
STEP_FUNCTION A larger(A a, A b) {
    return (b < a) | (a != a) ? a : b;
}

template <class A>
STEP_FUNCTION A sign_of(A x) {
    const A one = std::copysign(A(1), x);
    return (x != A(0)) & (x == x) ? one : x;
}

// ---- along the gradient, or along its sign ----

template <class A>
struct Sgd {
    static constexpr int states = 0;
    A lr, sign, weight_decay;

    STEP_FUNCTION void operator()(A& p, A g) const { p -= lr * directed(g, sign, p, weight_decay); }
};

// At the first step the buffer is 0, kept is 0 and added 1; else they are the momentum and 1 -
// dampening. nesterov is 1 or 0.
template <class A>
struct SgdMomentum {
    static constexpr int states = 1;
    A lr, sign, weight_decay, kept, added, momentum, nesterov;

    STEP_FUNCTION void operator()(A& p, A g, A& buffer) const {
        g = directed(g, sign, p, weight_decay);
        buffer = kept * buffer + added * g;
        const A ahead = g + momentum * buffer;
        p -= lr * (nesterov != A(0) ? ahead : buffer);
    }
};

// shrink = 1 - lambd * eta
template <class A>
struct Asgd {
    static constexpr int states = 1;
    A eta, shrink, mu, sign, weight_decay;

    STEP_FUNCTION void operator()(A& p, A g, A& average) const {
        p = shrink * p - eta * directed(g, sign, p, weight_decay);
        const A moved = toward(average, p, mu);
        average = mu == A(1) ? p : moved;
    }
};

template <class A>
struct Rprop {
    static constexpr int states = 2;
    A eta_minus, eta_plus, smallest, largest, sign;

    STEP_FUNCTION void operator()(A& p, A g, A& before, A& size) const {
        g = directed(g, sign);
        const A product = g * before;
        size *= product < A(0) ? eta_minus : A(1);
        size *= product > A(0) ? eta_plus : A(1);
        size = size < smallest ? smallest : size;
        size = size > largest ? largest : size;
        before = product < A(0) ? A(0) : g;
        const A up = before > A(0) ? size : A(0);
        p -= before < A(0) ? -size : up;  // not at all where it is no number, as in PyTorch
    }
};

// shrink = 1 - lr * weight_decay, part1 and part2 = 1 - betas
template <class A>
struct Lion {
    static constexpr int states = 1;
    A lr, part1, part2, shrink, sign;

    STEP_FUNCTION void operator()(A& p, A g, A& m) const {
        g = directed(g, sign);
        p = shrink * p - lr * sign_of(toward(m, g, part1));
        m = toward(m, g, part2);
    }
};

// ---- over the root of summed or averaged squares ----

// part = 1 - alpha
template <class A>
struct RmsProp {
    static constexpr int states = 1;
    A lr, eps, part, momentum, sign, weight_decay;

    STEP_FUNCTION A ratio(A g, A& square) const {
        square = toward(square, g * g, part);
        return g / (std::sqrt(square) + eps);
    }
    STEP_FUNCTION A ratio(A g, A& square, A& mean) const {
        square = toward(square, g * g, part);
        mean = toward(mean, g, part);
        return g / (std::sqrt(square - mean * mean) + eps);
    }
    STEP_FUNCTION void operator()(A& p, A g, A& square) const {
        p -= lr * ratio(directed(g, sign, p, weight_decay), square);
    }
};

template <class A>
struct RmsPropMomentum : RmsProp<A> {
    static constexpr int states = 2;

    STEP_FUNCTION void operator()(A& p, A g, A& square, A& buffer) const {
        g = directed(g, this->sign, p, this->weight_decay);
        buffer = this->momentum * buffer + this->ratio(g, square);
        p -= this->lr * buffer;
    }
};

template <class A>
struct RmsPropCentered : RmsProp<A> {
    static constexpr int states = 2;

    STEP_FUNCTION void operator()(A& p, A g, A& square, A& mean) const {
        g = directed(g, this->sign, p, this->weight_decay);
        p -= this->lr * this->ratio(g, square, mean);
    }
};

template <class A>
struct RmsPropCenteredMomentum : RmsProp<A> {
    static constexpr int states = 3;

    STEP_FUNCTION void operator()(A& p, A g, A& square, A& buffer, A& mean) const {
        g = directed(g, this->sign, p, this->weight_decay);
        buffer = this->momentum * buffer + this->ratio(g, square, mean);
        p -= this->lr * buffer;
    }
};

// rate = lr / (1 + (step - 1) * lr_decay)
template <class A>
struct Adagrad {
    static constexpr int states = 1;
    A rate, eps, sign, weight_decay;

    STEP_FUNCTION void operator()(A& p, A g, A& total) const {
        g = directed(g, sign, p, weight_decay);
        total += g * g;
        p -= rate * g / (std::sqrt(total) + eps);
    }
};

// part = 1 - rho
template <class A>
struct Adadelta {
    static constexpr int states = 2;
    A lr, eps, part, sign, weight_decay;

    STEP_FUNCTION void operator()(A& p, A g, A& v, A& u) const {
        g = directed(g, sign, p, weight_decay);
        v = toward(v, g * g, part);
        const A d = std::sqrt(u + eps) / std::sqrt(v + eps) * g;
        u = toward(u, d * d, part);
        p -= lr * d;
    }
};

// ---- of running means m of the gradient and v of its square ----
//
// part1, part2, part3 are 1 - betas; shrink is 1 - lr * weight_decay where the decay is decoupled and 1
// where it is not; weight_decay is 0 where it is. The corrections of the means are in the rates and in
// eps: m / c1 / (sqrt(v / c2) + eps) = (sqrt(c2) / c1) * m / (sqrt(v) + eps * sqrt(c2)).

// rate = lr * sqrt(c2) / c1, eps is multiplied by sqrt(c2)
template <class A>
struct Adam {
    static constexpr int states = 2;
    A rate, eps, part1, part2, shrink, sign, weight_decay;

    STEP_FUNCTION A averaged(A& p, A g, A& m, A& v) const {
        p *= shrink;
        g = directed(g, sign, p, weight_decay);
        m = toward(m, g, part1);
        v = toward(v, g * g, part2);
        return v;
    }
    STEP_FUNCTION void operator()(A& p, A g, A& m, A& v) const {
        averaged(p, g, m, v);
        p -= rate * m / (std::sqrt(v) + eps);
    }
};

template <class A>
struct AmsGrad : Adam<A> {
    static constexpr int states = 3;

    STEP_FUNCTION void operator()(A& p, A g, A& m, A& v, A& largest) const {
        largest = larger(largest, this->averaged(p, g, m, v));
        p -= this->rate * m / (std::sqrt(largest) + this->eps);
    }
};

// rate = lr / c1
template <class A>
struct Adamax {
    static constexpr int states = 2;
    A rate, eps, part1, beta2, sign, weight_decay;

    STEP_FUNCTION void operator()(A& p, A g, A& m, A& u) const {
        g = directed(g, sign, p, weight_decay);
        m = toward(m, g, part1);
        u = larger(beta2 * u, std::fabs(g) + eps);
        p -= rate * m / u;
    }
};

// rate_g and rate_m are multiplied by sqrt(c2), as eps is
template <class A>
struct NAdam {
    static constexpr int states = 2;
    A rate_g, rate_m, eps, part1, part2, shrink, sign, weight_decay;

    STEP_FUNCTION void operator()(A& p, A g, A& m, A& v) const {
        p *= shrink;
        g = directed(g, sign, p, weight_decay);
        m = toward(m, g, part1);
        v = toward(v, g * g, part2);
        p -= (rate_g * g + rate_m * m) / (std::sqrt(v) + eps);
    }
};

// rectified is 1, or 0 while v is a mean of too few steps
template <class A>
struct RAdam {
    static constexpr int states = 2;
    A rate, eps, rectified, part1, part2, shrink, sign, weight_decay;

    STEP_FUNCTION void operator()(A& p, A g, A& m, A& v) const {
        p *= shrink;
        g = directed(g, sign, p, weight_decay);
        m = toward(m, g, part1);
        v = toward(v, g * g, part2);
        const A size = std::sqrt(v) + eps;
        p -= rate * m / (rectified != A(0) ? size : A(1));
    }
};

// rate = lr * sqrt(c2) / c1, slow_rate = lr * alpha * sqrt(c2)
template <class A>
struct AdEMAMix {
    static constexpr int states = 3;
    A rate, slow_rate, eps, part1, part2, part3, shrink, sign;

    STEP_FUNCTION void operator()(A& p, A g, A& m, A& v, A& slow) const {
        g = directed(g, sign);
        m = toward(m, g, part1);
        v = toward(v, g * g, part2);
        slow = toward(slow, g, part3);
        p = shrink * p - (rate * m + slow_rate * slow) / (std::sqrt(v) + eps);
    }
};

// root = sqrt(c2), eps is multiplied by it, pull = rate * (1 - beta1 * (1 - part))
template <class A>
struct ScheduleFree {
    static constexpr int states = 2;
    A rate, pull, part, root, eps, part2, sign, weight_decay;

    STEP_FUNCTION void operator()(A& y, A g, A& z, A& v) const {
        g = directed(g, sign);
        v = toward(v, g * g, part2);
        const A d = directed(root * g / (std::sqrt(v) + eps), A(1), y, weight_decay);
        y = toward(y, z, part) - pull * d;
        z -= rate * d;
    }
};

// All of them, by the names of their launchers.
#define FOR_EACH_STEP(use)                                           \
    use(sgd, steps::Sgd);                                            \
    use(sgd_momentum, steps::SgdMomentum);                           \
    use(asgd, steps::Asgd);                                          \
    use(rprop, steps::Rprop);                                        \
    use(lion, steps::Lion);                                          \
    use(rmsprop, steps::RmsProp);                                    \
    use(rmsprop_momentum, steps::RmsPropMomentum);                   \
    use(rmsprop_centered, steps::RmsPropCentered);                   \
    use(rmsprop_centered_momentum, steps::RmsPropCenteredMomentum);  \
    use(adagrad, steps::Adagrad);                                    \
    use(adadelta, steps::Adadelta);                                  \
    use(adam, steps::Adam);                                          \
    use(amsgrad, steps::AmsGrad);                                    \
    use(adamax, steps::Adamax);                                      \
    use(nadam, steps::NAdam);                                        \
    use(radam, steps::RAdam);                                        \
    use(ademamix, steps::AdEMAMix);                                  \
    use(schedule_free, steps::ScheduleFree)

// ---- many tensors at once ----

// The step of these numbers, in the type in which it computes.
template <template <class> class Step, class A>
STEP_FUNCTION Step<A> step_of(const double* numbers) {
    constexpr int count = sizeof(Step<double>) / sizeof(double);
    static_assert(sizeof(Step<A>) == count * sizeof(A), "a step has only numbers");
    A rounded[count];
    for (int i = 0; i < count; ++i) {
        rounded[i] = A(numbers[i]);
    }
    Step<A> result;
    std::memcpy(&result, rounded, sizeof result);
    return result;
}

// What a step is told of one tensor: its place among the chunks of all tensors (a kernel's blocks work
// on chunks of equal size), its arrays (the parameter, its gradient, the states), and its numbers.
template <template <class> class Step>
struct Row {
    static constexpr int arrays_count = 2 + Step<double>::states;
    static constexpr int numbers_count = sizeof(Step<double>) / sizeof(double);

    int64_t first_chunk;  // how many chunks the tensors before it have
    int64_t size;         // in elements
    void* arrays[arrays_count];
    double numbers[numbers_count];

    template <class A>
    STEP_FUNCTION Step<A> step() const {
        return step_of<Step, A>(numbers);
    }
};

// The same of a 16-bit parameter with a float32 master: its arrays are the parameter, its gradient, the
// master, and the states, as wide as that.
template <template <class> class Step>
struct MasterRow {
    static constexpr int arrays_count = 3 + Step<double>::states;
    static constexpr int numbers_count = Row<Step>::numbers_count;

    int64_t first_chunk;
    int64_t size;
    void* arrays[arrays_count];
    int64_t wide_gradient;  // 1 where the gradient is float32, 0 where it is of the parameter's type
    double numbers[numbers_count];

    STEP_FUNCTION Step<float> step() const { return step_of<Step, float>(numbers); }
};

}  // namespace steps
