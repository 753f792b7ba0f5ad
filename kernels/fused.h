// What kernels that tapegrad.fusion writes compute of one element, beside the functions of C++: plain
// C++, for loops on the CPU (csrc/fused/loop.h) and for CUDA (fused.cuh). NaN comes out where it goes
// in. Included within a namespace.

template <class A>
ELEMENT_FUNCTION A absolute_of(A x) {
    return x < A(0) ? -x : x == A(0) ? A(0) : x;
}
ELEMENT_FUNCTION bool absolute_of(bool x) { return x; }

template <class A>
ELEMENT_FUNCTION A sign_of(A x) {
    return x > A(0) ? A(1) : x < A(0) ? A(-1) : x;
}

template <class A>
ELEMENT_FUNCTION A larger_of(A a, A b) {
    const A larger = a > b ? a : b;
    return a != a ? a : larger;
}
template <class A>
ELEMENT_FUNCTION A smaller_of(A a, A b) {
    const A smaller = a < b ? a : b;
    return a != a ? a : smaller;
}

// What signbit says. (Of that itself, for many floats at once, GCC 12 can make nothing.)
template <class A>
ELEMENT_FUNCTION bool is_negative(A x) {
    return copysign(1.0f, float(x)) < 0.0f;
}

ELEMENT_FUNCTION bool invert_of(bool x) { return !x; }
template <class A>
ELEMENT_FUNCTION A invert_of(A x) {
    return A(~x);
}

template <class A>
ELEMENT_FUNCTION bool is_finite(A x) {
    return x - x == A(0);
}
template <class A>
ELEMENT_FUNCTION bool is_infinite(A x) {
    return x == x && !is_finite(x);
}

// Of the divisor's sign, as Python's. For floats.
template <class A>
ELEMENT_FUNCTION A remainder_of(A a, A b) {
    const A rest = fmod(a, b);
    return rest == A(0) ? copysign(rest, b) : (rest < A(0)) != (b < A(0)) ? rest + b : rest;
}

// A float of 16 bits: every step is computed in float, and rounded.
template <class S>
struct Narrow {
    S stored;
    Narrow() = default;
    explicit ELEMENT_FUNCTION Narrow(float x) : stored(narrowed<S>(x)) {}
    ELEMENT_FUNCTION operator float() const { return widened(stored); }
};
