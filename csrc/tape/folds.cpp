// Doors to what else reduces dimensions: extremes, products, whether any or all are true, counts, how
// numbers spread, norms; and the rules of those. Where there is one right result, small contiguous
// arrays are reduced here.
#include "folds.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace {

constexpr npy_intp few = 2048;

// ---- arrays ----

// Calls the function with a number of the array's dtype, of which only the type counts.
template <class Function>
auto of_floats(PyArrayObject* array, Function function) {
    return PyArray_TYPE(array) == NPY_FLOAT32 ? function(float()) : function(double());
}

template <class T>
T* data_of(const Ref& array) {
    return static_cast<T*>(PyArray_DATA(as_array(array)));
}

template <class T>
const T* data_in(PyArrayObject* array) {
    return static_cast<const T*>(PyArray_DATA(array));
}

bool is_small(PyArrayObject* x) {
    return PyArray_ISCARRAY_RO(x) && PyArray_SIZE(x) > 0 && PyArray_SIZE(x) <= few;
}

Ref empty_reduced(PyArrayObject* x, unsigned axes, bool keep, int dtype) {
    const Sizes shape = reduced_shape(x, axes, keep);
    return Ref(PyArray_SimpleNew(shape.count, shape.values, dtype));
}

// Each group's numbers in order, combined with what the first is: ``first(x)``, then ``add(y, x)``.
template <class To, class From, class First, class Next>
void fold(To* y, const From* x, const Block& block, First first, Next next) {
    for (npy_intp o = 0; o < block.outer; ++o, y += block.inner) {
        for (npy_intp k = 0; k < block.length; ++k, x += block.inner) {
            for (npy_intp i = 0; i < block.inner; ++i) {
                y[i] = k == 0 ? first(x[i]) : next(y[i], x[i]);
            }
        }
    }
}

// The largest or the smallest; null where they may be zeros of either sign, of which NumPy chooses.
Ref extremes(PyArrayObject* x, unsigned axes, bool keep, bool largest) {
    Block block;
    if (!is_small(x) || !is_float(x) || !block.find(x, axes)) {
        return Ref();
    }
    Ref result = empty_reduced(x, axes, keep, PyArray_TYPE(x));
    const bool done = result && of_floats(x, [&](auto kind) {
        using T = decltype(kind);
        T* y = data_of<T>(result);
        fold(y, data_in<T>(x), block, [](T v) { return v; },
             [=](T best, T v) { return (largest ? best >= v : best <= v) || best != best ? best : v; });
        return std::find(y, y + block.outer * block.inner, T(0)) == y + block.outer * block.inner;
    });
    return done ? std::move(result) : Ref();
}

Ref products(PyArrayObject* x, unsigned axes, bool keep) {
    Block block;
    if (!is_small(x) || !is_float(x) || !block.find(x, axes)) {
        return Ref();
    }
    Ref result = empty_reduced(x, axes, keep, PyArray_TYPE(x));
    if (result) {
        of_floats(x, [&](auto kind) {
            using T = decltype(kind);
            fold(data_of<T>(result), data_in<T>(x), block, [](T v) { return v; },
                 [](T y, T v) { return y * v; });
            return true;
        });
    }
    return result;
}

// Calls the function with the elements of an array of floats, int64 or bool; false for others.
template <class Function>
bool with_elements(PyArrayObject* x, Function function) {
    switch (PyArray_TYPE(x)) {
        case NPY_BOOL: return function(data_in<npy_bool>(x)), true;
        case NPY_INT64: return function(data_in<npy_int64>(x)), true;
        case NPY_FLOAT32: return function(data_in<float>(x)), true;
        case NPY_FLOAT64: return function(data_in<double>(x)), true;
        default: return false;
    }
}

Ref truths(PyArrayObject* x, unsigned axes, bool keep, bool all) {
    Block block;
    if (!is_small(x) || !block.find(x, axes)) {
        return Ref();
    }
    Ref result = empty_reduced(x, axes, keep, NPY_BOOL);
    const bool done = result && with_elements(x, [&](const auto* from) {
        fold(data_of<npy_bool>(result), from, block, [](auto v) { return npy_bool(v != 0); },
             [=](npy_bool y, auto v) { return npy_bool(all ? y && v != 0 : y || v != 0); });
    });
    return done ? std::move(result) : Ref();
}

Ref counts(PyArrayObject* x, unsigned axes, bool keep) {  // sums of integers and bools
    Block block;
    if (!is_small(x) || !block.find(x, axes)) {
        return Ref();
    }
    Ref result = empty_reduced(x, axes, keep, NPY_INT64);
    const bool done = result && with_elements(x, [&](const auto* from) {
        fold(data_of<npy_int64>(result), from, block, [](auto v) { return npy_int64(v); },
             [](npy_int64 y, auto v) { return npy_int64(npy_uint64(y) + npy_uint64(npy_int64(v))); });
    });
    return done ? std::move(result) : Ref();
}

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
            return true;
        });
    }
    return distances;
}

double freedom_of(PyArrayObject* x, unsigned axes, double correction) {
    Block block;
    return block.find(x, axes) ? std::max(double(block.length) - correction, 0.0) : 0;
}

// ---- doors ----

// (input, dim, keepdim)
struct Reduction {
    PyObject* tensor = nullptr;
    PyArrayObject* x = nullptr;
    unsigned axes = 0;
    bool keep = false;

    bool read(PyObject* input, PyObject* dim, PyObject* keepdim) {
        tensor = input;
        x = array_in(input);
        return x && PyArray_SIZE(x) > 0 && read_axes(dim, PyArray_NDIM(x), axes) && read_flag(keepdim, keep);
    }
    bool read(const Given& given) {
        PyObject* places[3];
        return given.place({"input", "dim", "keepdim"}, places) && read(places[0], places[1], places[2]);
    }

    // The primitive over the axes, with what ``compute()`` makes of a small array.
    template <class Compute>
    PyObject* run(Used& used, Compute compute) const {
        Operands operands(*used.caller);
        Ref over = axes_tuple(axes);
        if (!operands.read(&tensor) || !over || !is_quiet()) {
            return nullptr;
        }
        PyObject* const parameters[] = {over, keep ? Py_True : Py_False};
        if (used.runs_body(operands.device)) {
            Ref value = compute();
            if (value) {
                return finish(operands, std::move(value), parameters, nullptr);
            }
        }
        return PyErr_Occurred() ? nullptr : run_used(used, tensor, parameters[0], parameters[1]);
    }
};

template <bool largest>
PyObject* serve_extremes(Door& door, const Given& given) {
    Reduction of;
    if (!of.read(given) || !is_float(of.x)) {
        return nullptr;
    }
    return of.run(door.used[0], [&] { return extremes(of.x, of.axes, of.keep, largest); });
}

PyObject* serve_prod(Door& door, const Given& given) {
    Reduction of;
    if (!of.read(given) || !is_float(of.x)) {
        return nullptr;
    }
    return of.run(door.used[0], [&] { return products(of.x, of.axes, of.keep); });
}

template <bool all>
PyObject* serve_truth(Door& door, const Given& given) {
    Reduction of;
    PyObject* places[3];
    if (!of.read(given) || PyArray_TYPE(of.x) == NPY_UINT8 ||
        !given.place({"input", "dim", "keepdim"}, places) ||
        (places[1] && PySequence_Check(places[1]) && PySequence_Size(places[1]) == 0)) {  // of none
        return nullptr;
    }
    return of.run(door.used[0], [&] { return truths(of.x, of.axes, of.keep, all); });
}

// var(input, dim, unbiased, keepdim, correction), and std
PyObject* serve_spread(Door& door, const Given& given) {
    static PyObject *const none = PyLong_FromLong(0), *const one = PyLong_FromLong(1);
    PyObject* places[5];
    Reduction of;
    bool unbiased = true;
    double number;
    if (!given.place({"input", "dim", "unbiased", "keepdim", "correction"}, places, 4) ||
        !of.read(places[0], places[1], places[3]) || !is_float(of.x) || !read_flag(places[2], unbiased)) {
        return nullptr;
    }
    PyObject* correction = is_set(places[4]) ? places[4] : unbiased ? one : none;
    Ref over = axes_tuple(of.axes);
    if (!over || !is_number(correction, number)) {
        return nullptr;
    }
    return run_used(door.used[0], of.tensor, over, of.keep ? Py_True : Py_False, correction);
}

// norm(input, p, dim, keepdim) of order 2
PyObject* serve_norm(Door& door, const Given& given) {
    static PyObject* const two = PyFloat_FromDouble(2);
    PyObject* places[4];
    Reduction of;
    double order = 2;
    if (!given.place({"input", "p", "dim", "keepdim"}, places) || !of.read(places[0], places[2], places[3]) ||
        !is_float(of.x) || (is_set(places[1]) && !is_number(places[1], order)) || order != 2) {
        return nullptr;
    }
    Ref over = axes_tuple(of.axes);
    return over ? run_used(door.used[0], of.tensor, two, over, of.keep ? Py_True : Py_False) : nullptr;
}

// ---- rules ----

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
                          (PyArray_NDIM(x) == 0 || PyTuple_GET_SIZE(over) > 0) && block.find(x, axes);
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
                const T *v = data_in<T>(from), *of = data_in<T>(y), *gradient = data_in<T>(g);
                T* to = data_of<T>(result);
                block.each([&](npy_intp i, npy_intp k) { to[i] = function(v[i], of[k], gradient[k]); });
                return true;
            });
        }
        return result.release();
    }
};

PyObject* of_var(const Node* node, int, PyObject* g) {
    Reduced of;
    double less;
    if (!of.read(node, g, 2) || !kept_of(node, 4) || !is_number(kept_of(node, 4), less)) {
        return nullptr;
    }
    const double freedom = freedom_of(of.x, of.axes, less), factor = freedom ? 2 / freedom : NAN;
    Ref distances = centred(of.x, of.axes);
    return distances ? of.map(as_array(distances), [=](auto d, auto, auto gradient) {
        return gradient * d * decltype(d)(factor);
    }) : nullptr;
}

PyObject* of_std(const Node* node, int, PyObject* g) {
    Reduced of;
    double less;
    if (!of.read(node, g, 2) || !kept_of(node, 4) || !is_number(kept_of(node, 4), less)) {
        return nullptr;
    }
    const double freedom = freedom_of(of.x, of.axes, less), factor = freedom ? 1 / freedom : NAN;
    Ref distances = centred(of.x, of.axes);
    return distances ? of.map(as_array(distances), [=](auto d, auto y, auto gradient) {
        using T = decltype(d);
        return (y == 0 ? T(0) : gradient) * (d / (y == 0 ? T(1) : y)) * T(factor);
    }) : nullptr;
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
    npy_int64* count = data_of<npy_int64>(ties);
    of_floats(of.x, [&](auto kind) {
        using T = decltype(kind);
        const T *x = data_in<T>(of.x), *y = data_in<T>(of.y);
        of.block.each([=](npy_intp i, npy_intp k) { count[k] += x[i] == y[k]; });
        return true;
    });
    Ref result = new_array(of.x, PyArray_NDIM(of.x), PyArray_DIMS(of.x));
    if (result) {
        of_floats(of.x, [&](auto kind) {
            using T = decltype(kind);
            const T *x = data_in<T>(of.x), *y = data_in<T>(of.y), *gradient = data_in<T>(of.g);
            T* to = data_of<T>(result);
            of.block.each([=](npy_intp i, npy_intp k) {
                to[i] = x[i] == y[k] ? gradient[k] / T(count[k]) : T(0);
            });
            return true;
        });
    }
    return result.release();
}

}  // namespace

PyObject* extreme_of_all(Used& used, PyObject* tensor, bool largest) {
    Reduction of;
    if (!of.read(tensor, nullptr, nullptr) || !is_float(of.x)) {
        return nullptr;
    }
    return of.run(used, [&] { return extremes(of.x, of.axes, false, largest); });
}

PyObject* count_up(Used& used, PyObject* tensor, unsigned axes, bool keep) {
    Operands operands(*used.caller);
    if (!operands.read(&tensor) || !used.runs_body(operands.device)) {
        return nullptr;
    }
    Ref value = counts(as_array(operands.values[0]), axes, keep);
    return value ? finish(operands, std::move(value), nullptr, nullptr) : nullptr;
}

const DoorEntry fold_doors[] = {
    {"linalg.norms.p_norm", serve_norm, {"vector_norm"}},
    {"reduction.minmax.amax", serve_extremes<true>, {"amax"}},
    {"reduction.minmax.amin", serve_extremes<false>, {"amin"}},
    {"reduction.moments.std", serve_spread, {"std"}},
    {"reduction.moments.var", serve_spread, {"var"}},
    {"reduction.reduce.all", serve_truth<true>, {"all"}},
    {"reduction.reduce.any", serve_truth<false>, {"any"}},
    {"reduction.reduce.prod", serve_prod, {"prod"}},
    {nullptr, nullptr, {}},
};

const RuleEntry fold_rules[] = {
    {"amax", of_extreme}, {"amin", of_extreme},     {"std", of_std},
    {"var", of_var},      {"vector_norm", of_norm}, {nullptr, nullptr},
};
