// Doors to what else reduces dimensions: extremes, products, whether any or all are true, counts, how
// numbers spread, norms. Where there is one right result, small contiguous arrays are reduced here.
#include "folds.h"

#include <algorithm>

namespace {

// ---- arrays ----

Ref empty_reduced(PyArrayObject* x, unsigned axes, bool keep, int dtype) {
    const Sizes shape = reduced_shape(x, axes, keep);
    return Ref(PyArray_SimpleNew(shape.count, shape.values, dtype));
}

// Each group's numbers in order, combined with what the first is: ``first(x)``, then ``next(y, x)``.
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
        fold(y, data_of<const T>(x), block, [](T v) { return v; },
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
            fold(data_of<T>(result), data_of<const T>(x), block, [](T v) { return v; },
                 [](T y, T v) { return y * v; });
        });
    }
    return result;
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

// cumsum(input, dim), cumprod: their primitives have the axis, and cumsum whether from the end
PyObject* serve_cumulative(Door& door, const Given& given) {
    PyObject* places[2];
    int axis;
    if (!given.place({"input", "dim"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = array_in(places[0]);
    if (!x || !is_float(x) || PyArray_NDIM(x) == 0 || PyArray_SIZE(x) == 0 ||
        !read_axis(places[1], PyArray_NDIM(x), axis)) {
        return nullptr;
    }
    Caller& caller = *door.used[0].caller;
    Ref along(PyLong_FromLong(axis));
    PyObject* const arguments[] = {places[0], along, Py_False};
    return along ? run(caller, arguments, 1, caller.parameters) : nullptr;
}

// logsumexp(input, dim, keepdim)
PyObject* serve_logsumexp(Door& door, const Given& given) {
    Reduction of;
    PyObject* places[3];
    return of.read(given) && is_float(of.x) && given.place({"input", "dim", "keepdim"}, places) && places[1]
               ? of.run(door.used[0], [] { return Ref(); })
               : nullptr;
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
    {"reduction.cumulative.cumprod", serve_cumulative, {"cumprod"}},
    {"reduction.cumulative.cumsum", serve_cumulative, {"cumsum"}},
    {"reduction.minmax.amax", serve_extremes<true>, {"amax"}},
    {"reduction.minmax.amin", serve_extremes<false>, {"amin"}},
    {"reduction.moments.std", serve_spread, {"std"}},
    {"reduction.moments.var", serve_spread, {"var"}},
    {"reduction.reduce.all", serve_truth<true>, {"all"}},
    {"reduction.reduce.any", serve_truth<false>, {"any"}},
    {"reduction.reduce.logsumexp", serve_logsumexp, {"logsumexp"}},
    {"reduction.reduce.prod", serve_prod, {"prod"}},
    {nullptr, nullptr, {}},
};
