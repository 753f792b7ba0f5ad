// The rules of what folds.cpp reduces, for small contiguous arrays.
#include "folds.h"

#include <algorithm>
#include <cmath>

namespace {

// x minus its mean, and minus the mean of that: see moments.centred.
Ref centred(PyArrayObject* x, unsigned axes) {
    Block block;
    if (!is_small(x) || !block.find(x, axes)) {
        return Ref();
    }
    Ref distances(PyArray_NewCopy(x, NPY_CORDER));
    for (int twice = 0; distances && twice < 2; ++twice) {
        Ref mean = sum_small(as_array(distances), axes, true, true);
        if (!mean) {
            return Ref();
        }
        of_floats(x, [&](auto kind) {
            using T = decltype(kind);
            T* y = data_of<T>(distances);
            const T* m = data_of<T>(mean);
            block.each([=](npy_intp i, npy_intp group) { y[i] -= m[group]; });
        });
    }
    return distances;
}

double freedom_of(PyArrayObject* x, unsigned axes, double correction) {
    Block block;
    return block.find(x, axes) ? std::max(double(block.length) - correction, 0.0) : 0;
}

// What a rule of a reduction starts from: the input, and the result and its gradient, which the
// reduced dimensions of either may lack.
struct Reduced {
    PyArrayObject *x, *y, *g;
    unsigned axes = 0;
    Block block;

    // ``place``: of the axes among the parameters.
    bool read(const Node* node, PyObject* gradient, int place) {
        PyObject *input = kept_of(node, 1), *over = kept_of(node, place), *result = kept_of(node, 0);
        if (!input || !PyArray_CheckExact(input) || !PyArray_CheckExact(gradient) || !over || !is_cpu(node)) {
            return false;
        }
        x = as_array(input), g = as_array(gradient);
        y = result && PyArray_CheckExact(result) ? as_array(result) : g;
        const bool fits = is_float(x) && is_small(x) && PyArray_DESCR(g) == PyArray_DESCR(x) &&
                          PyArray_DESCR(y) == PyArray_DESCR(x) && PyArray_ISCARRAY_RO(g) &&
                          PyArray_ISCARRAY_RO(y) && read_axes(over, PyArray_NDIM(x), axes) &&
                          (PyArray_NDIM(x) == 0 || (PyTuple_Check(over) && PyTuple_GET_SIZE(over) > 0)) &&
                          block.find(x, axes);
        const npy_intp groups = block.outer * block.inner;
        return fits && PyArray_SIZE(g) == groups && PyArray_SIZE(y) == groups;
    }

    // An array like x, of what ``function(x, y, g)`` makes of each element and its group's.
    template <class Function>
    PyObject* map(PyArrayObject* from, Function function) const {
        Ref result = new_array(x, PyArray_NDIM(x), PyArray_DIMS(x));
        if (result) {
            of_floats(x, [&](auto kind) {
                using T = decltype(kind);
                const T *v = data_of<const T>(from), *of = data_of<const T>(y), *gradient = data_of<const T>(g);
                T* to = data_of<T>(result);
                block.each([&](npy_intp i, npy_intp k) { to[i] = function(v[i], of[k], gradient[k]); });
            });
        }
        return result.release();
    }
};

// What ``function(distance, y, g, factor)`` makes of each element's distance from the mean; the factor
// is ``times`` by the degrees of freedom.
template <class Function>
PyObject* of_spread(const Node* node, PyObject* g, double times, Function function) {
    Reduced of;
    double less;
    if (!of.read(node, g, 2) || !kept_of(node, 4) || !is_number(kept_of(node, 4), less)) {
        return nullptr;
    }
    const double freedom = freedom_of(of.x, of.axes, less), factor = freedom ? times / freedom : NAN;
    Ref distances = centred(of.x, of.axes);
    return distances ? of.map(as_array(distances), [=](auto d, auto y, auto gradient) {
        return function(d, y, gradient, decltype(d)(factor));
    }) : nullptr;
}

PyObject* of_var(const Node* node, int, PyObject* g) {
    return of_spread(node, g, 2, [](auto d, auto, auto gradient, auto factor) { return gradient * d * factor; });
}

PyObject* of_std(const Node* node, int, PyObject* g) {
    return of_spread(node, g, 1, [](auto d, auto y, auto gradient, auto factor) {
        using T = decltype(d);
        return (y == 0 ? T(0) : gradient) * (d / (y == 0 ? T(1) : y)) * factor;
    });
}

PyObject* of_norm(const Node* node, int, PyObject* g) {
    Reduced of;
    PyObject* order = kept_of(node, 2);
    if (!order || !PyFloat_CheckExact(order) || PyFloat_AS_DOUBLE(order) != 2 || !of.read(node, g, 3)) {
        return nullptr;
    }
    return of.map(of.x, [](auto x, auto y, auto gradient) {
        using T = decltype(x);
        return (y == 0 ? T(0) : gradient) * (x / (y == 0 ? T(1) : y));
    });
}

PyObject* of_extreme(const Node* node, int, PyObject* g) {
    Reduced of;
    if (!of.read(node, g, 2)) {
        return nullptr;
    }
    const npy_intp groups = of.block.outer * of.block.inner;
    Ref ties(PyArray_ZEROS(1, &groups, NPY_INT64, 0));
    if (!ties) {
        return nullptr;
    }
    const auto is_tie = [](auto x, auto y) { return x == y || (x != x && y != y); };
    npy_int64* count = data_of<npy_int64>(ties);
    of_floats(of.x, [&](auto kind) {
        using T = decltype(kind);
        const T *x = data_of<const T>(of.x), *y = data_of<const T>(of.y);
        of.block.each([=](npy_intp i, npy_intp k) { count[k] += is_tie(x[i], y[k]); });
    });
    Ref result = new_array(of.x, PyArray_NDIM(of.x), PyArray_DIMS(of.x));
    if (result) {
        of_floats(of.x, [&](auto kind) {
            using T = decltype(kind);
            const T *x = data_of<const T>(of.x), *y = data_of<const T>(of.y), *gradient = data_of<const T>(of.g);
            T* to = data_of<T>(result);
            of.block.each([=](npy_intp i, npy_intp k) {
                to[i] = is_tie(x[i], y[k]) ? gradient[k] / T(count[k]) : T(0);
            });
        });
    }
    return result.release();
}

// Each element's share of its group's sum.
PyObject* of_logsumexp(const Node* node, int, PyObject* g) {
    Reduced of;
    if (!of.read(node, g, 2)) {
        return nullptr;
    }
    Ref distances(of.map(of.x, [](auto x, auto y, auto) {
        using T = decltype(x);
        return y == T(-INFINITY) ? x : x == y && y == T(INFINITY) ? T(0) : x - y;
    }));
    Ref xp(distances ? PyObject_GetAttr(node->device, names.xp) : nullptr);
    Ref exp(xp ? PyObject_GetAttrString(xp, "exp") : nullptr);
    Ref part = exp ? call(exp, distances) : Ref();
    if (!part || !PyArray_CheckExact(part.object) || !is_alike(as_array(part), of.x)) {
        return nullptr;
    }
    Ref whole = sum_small(as_array(part), of.axes, false, false);
    if (!whole) {
        return nullptr;
    }
    of_floats(of.x, [&](auto kind) {
        using T = decltype(kind);
        T *sums = data_of<T>(whole), *shares = data_of<T>(part);
        const T *y = data_of<const T>(of.y), *gradient = data_of<const T>(of.g);
        for (npy_intp k = 0; k < of.block.outer * of.block.inner; ++k) {
            sums[k] = (y[k] == T(-INFINITY) ? T(0) : gradient[k]) / (sums[k] == 0 ? T(1) : sums[k]);
        }
        of.block.each([=](npy_intp i, npy_intp k) { shares[i] = sums[k] * shares[i]; });
    });
    return part.release();
}

}  // namespace

const RuleEntry fold_rules[] = {
    {"amax", of_extreme}, {"amin", of_extreme}, {"logsumexp", of_logsumexp},
    {"std", of_std},      {"var", of_var},      {"vector_norm", of_norm},
    {nullptr, nullptr},
};
