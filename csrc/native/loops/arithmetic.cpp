// Arithmetic, bounds and choices, element by element.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "csrc/native/loops.h"
#include "csrc/native/spread.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/narrow.h"
#include "csrc/native/loops/spread.h"

struct Add {
    template <class A>
    static A value(A a, A b) { return a + b; }
};
struct Subtract {
    template <class A>
    static A value(A a, A b) { return a - b; }
};
struct Multiply {
    template <class A>
    static A value(A a, A b) { return a * b; }
};
struct Divide {
    template <class A>
    static A value(A a, A b) { return a / b; }
};
struct AddScaled {
    template <class A>
    static A value(A a, A b, A factor) { return a + factor * b; }
};
struct Cube {
    template <class A>
    static A value(A a, A) { return a * a * a; }
};

struct Square {
    template <class A>
    static A value(A x) { return x * x; }
};
struct Negative {
    template <class A>
    static A value(A x) { return -x; }
};
struct Absolute {
    template <class A>
    static A value(A x) { return std::fabs(x); }
};
struct Sqrt {
    template <class A>
    static A value(A x) { return std::sqrt(x); }
};
struct Rsqrt {
    template <class A>
    static A value(A x) { return A(1) / std::sqrt(x); }
};
struct Reciprocal {
    template <class A>
    static A value(A x) { return A(1) / x; }
};

// What is no number comes out; of equal ones, which may be 0 and -0, the second, as NumPy's.
struct Maximum {
    template <class A>
    static A value(A a, A b) {
        const A larger = a > b ? a : b;
        return a != a ? a : larger;
    }
};
struct Minimum {
    template <class A>
    static A value(A a, A b) {
        const A smaller = a < b ? a : b;
        return a != a ? a : smaller;
    }
};
struct Clamp {
    template <class A>
    static A value(A x, A low, A high) { return Minimum::value(Maximum::value(x, low), high); }
};

struct Threshold {
    template <class A>
    static A value(A x, A limit, A value) { return x <= limit ? value : x; }
};
struct Hardshrink {
    template <class A>
    static A value(A x, A limit) { return x < -limit || !(x <= limit) ? x : A(0); }
};

struct Where {
    template <class A>
    static A value(uint8_t condition, A a, A b) { return condition ? a : b; }
};

constexpr Loops all() {
    Loops found{};
    ADD("add", Add, 2, nullptr, YES, YES)
    ADD("subtract", Subtract, 2, nullptr, YES, YES)
    ADD("multiply", Multiply, 2, nullptr, YES, YES)
    ADD("divide", Divide, 2, nullptr, YES, YES)
    ADD("add_scaled", AddScaled, 3, nullptr, YES, NO)
    ADD("power", Cube, 2, nullptr, YES, NO)
    ADD("square", Square, 1, nullptr, YES, YES)
    ADD("negative", Negative, 1, nullptr, YES, YES)
    ADD("absolute", Absolute, 1, nullptr, YES, YES)
    ADD("sqrt", Sqrt, 1, nullptr, YES, YES)
    ADD("rsqrt", Rsqrt, 1, nullptr, YES, YES)
    ADD("reciprocal", Reciprocal, 1, nullptr, YES, YES)
    ADD("maximum", Maximum, 2, nullptr, YES, YES)
    ADD("minimum", Minimum, 2, nullptr, YES, YES)
    ADD("clip", Clamp, 3, "low\0high", YES, YES)
    ADD("clamp", Clamp, 3, nullptr, YES, YES)
    ADD("threshold", Threshold, 3, "limit\0value", YES, NO)
    ADD("hardshrink", Hardshrink, 2, "limit", YES, NO)
    // Of numbers of any kind that have 4, 8 or 2 bytes.
    found.each[found.count++] = {"where",
                                 4,
                                 0,
                                 loop<Where, 3, uint32_t, uint32_t, uint8_t>,
                                 loop<Where, 3, uint64_t, uint64_t, uint8_t>,
                                 nullptr,
                                 loop<Where, 3, uint16_t, uint16_t, uint8_t>,
                                 nullptr};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(arithmetic);
const Loops OF_LEVEL(arithmetic) = all();
