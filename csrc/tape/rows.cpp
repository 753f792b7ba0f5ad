// Doors to what works along rows: softmax, layer norm, cross-entropy.
#include "doors.h"

#include <cmath>
#include <type_traits>

namespace {

constexpr npy_intp few = 1 << 12;

// softmax(input, dim)
PyObject* serve_softmax(Door& door, const Given& given) {
    PyObject* places[2];
    if (!given.place({"input", "dim"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = array_in(places[0]);
    int axis;
    if (!x || !is_float(x) || PyArray_NDIM(x) == 0 || PyArray_SIZE(x) == 0 ||
        !read_axis(places[1], PyArray_NDIM(x), axis)) {
        return nullptr;
    }
    Ref along(PyLong_FromLong(axis));
    return along ? run_used(door.used[0], places[0], along) : nullptr;
}

// A vector of so many, or none.
bool is_vector(PyObject* given, npy_intp size) {
    if (!is_set(given)) {
        return true;
    }
    PyArrayObject* array = array_in(given);
    return array && PyArray_NDIM(array) == 1 && PyArray_DIM(array, 0) == size;
}

// layer_norm(input, normalized_shape, weight, bias, eps) of rows
PyObject* serve_layer_norm(Door& door, const Given& given) {
    PyObject* places[5];
    if (!given.place({"input", "normalized_shape", "weight", "bias", "eps"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = array_in(places[0]);
    Sizes shape;
    if (!x || !is_float(x) || PyArray_NDIM(x) != 2 || !places[1] || !shape.read(places + 1, 1) ||
        shape.count != 1 || shape.values[0] != PyArray_DIM(x, 1) || !is_vector(places[2], shape.values[0]) ||
        !is_vector(places[3], shape.values[0]) || (places[4] && !PyFloat_CheckExact(places[4]))) {
        return nullptr;
    }
    static PyObject* const usual = PyFloat_FromDouble(1e-5);
    PyObject *weight = places[2] ? places[2] : Py_None, *bias = places[3] ? places[3] : Py_None;
    return run_used(door.used[0], places[0], weight, bias, places[4] ? places[4] : usual);
}

// Cross-entropy of the rows of x, each with the class of its target: what the body computes without
// weights or smoothing, in its order, where exp and log are those of the device.
template <class T>
struct CrossEntropy {
    npy_intp rows, classes, counted = 0;  // rows that are not ignored
    const T* x;
    const npy_int64* targets;
    long long ignored;
    bool mean;

    bool is_counted(npy_intp row) const { return targets[row] != ignored; }
    T share() const { return T(1) / (mean ? T(counted) : T(1)); }

    // False for a class out of range, numbers out of range, and where every target is ignored.
    bool shift(T* shifted) {
        for (npy_intp row = 0; row < rows; ++row) {
            const T* from = x + row * classes;
            T most = -INFINITY;
            for (npy_intp k = 0; k < classes; ++k) {
                most = from[k] > most ? from[k] : most;
                if (from[k] != from[k]) {
                    return false;
                }
            }
            if (!std::isfinite(most) || (is_counted(row) && (targets[row] < 0 || targets[row] >= classes))) {
                return false;
            }
            counted += is_counted(row);
            for (npy_intp k = 0; k < classes; ++k) {
                shifted[row * classes + k] = from[k] - most;
            }
        }
        return counted || !mean;
    }

    T at_target(const T* of, npy_intp row) const {
        return is_counted(row) ? of[row * classes + targets[row]] : T(0);
    }

    void lose(T* loss, const T* logarithms, const T* at) const {
        for (npy_intp row = 0; row < rows; ++row) {
            loss[row] = is_counted(row) ? share() * logarithms[row] - share() * at[row] : T(0);
        }
    }

    // From exponentials to the gradient.
    void slope(T* p, const T* norms) const {
        for (npy_intp row = 0; row < rows; ++row) {
            T* of = p + row * classes;
            const T scale = (is_counted(row) ? share() : T(0)) / norms[row];
            for (npy_intp k = 0; k < classes; ++k) {
                of[k] = is_counted(row) ? of[k] * scale : T(0);
            }
            if (is_counted(row)) {
                of[targets[row]] -= share();
            }
        }
    }
};

Ref new_like(PyArrayObject* x, int dimensions) { return new_array(x, dimensions, PyArray_DIMS(x)); }

// The tuple of losses and, if wanted, gradient. Null where it declines.
template <class T>
Ref cross_entropies(CrossEntropy<T> rule, PyArrayObject* x, PyObject* xp, bool gradient) {
    static PyObject* const exp = PyUnicode_InternFromString("exp");
    static PyObject* const log = PyUnicode_InternFromString("log");
    const auto data = [](PyObject* array) { return static_cast<T*>(PyArray_DATA(as_array(array))); };
    rule.rows = PyArray_DIM(x, 0);
    rule.classes = PyArray_DIM(x, 1);
    rule.x = static_cast<const T*>(PyArray_DATA(x));
    Ref shifted = new_like(x, 2), at = new_like(x, 1), loss = new_like(x, 1);
    if (!shifted || !at || !loss || !rule.shift(data(shifted))) {
        return Ref();
    }
    for (npy_intp row = 0; row < rule.rows; ++row) {
        data(at)[row] = rule.at_target(data(shifted), row);
    }
    PyObject* const written[] = {xp, shifted, shifted};
    Ref p(PyObject_VectorcallMethod(exp, written, 3, nullptr));
    const bool usual = p && PyArray_CheckExact(p.object) && PyArray_ISCARRAY(as_array(p)) &&
                       PyArray_SAMESHAPE(as_array(p), x);
    Ref norms = usual ? sum_small(as_array(p), 2u, false, false) : Ref();
    Ref logarithms(norms ? PyObject_CallMethodOneArg(xp, log, norms) : nullptr);
    if (!logarithms || !PyArray_CheckExact(logarithms.object) || !PyArray_ISCARRAY(as_array(logarithms))) {
        return Ref();
    }
    rule.lose(data(loss), data(logarithms), data(at));
    if (gradient) {
        rule.slope(data(p), data(norms));
    }
    return Ref(PyTuple_Pack(2, loss.object, gradient ? p.object : Py_None));
}

// cross_entropy(input, target, ignore_index=, reduction=) of rows: used are cross_entropy and sum
PyObject* serve_cross_entropy(Door& door, const Given& given) {
    PyObject* places[4];
    if (!given.place({"input", "target", "ignore_index", "reduction"}, places, 2)) {
        return nullptr;
    }
    PyArrayObject *x = array_in(places[0]), *t = array_in(places[1]);
    npy_intp ignored = -100;
    if (!x || !t || !is_float(x) || PyArray_NDIM(x) != 2 || !PyArray_ISCARRAY_RO(x) || PyArray_NDIM(t) != 1 ||
        PyArray_TYPE(t) != NPY_INT64 || !PyArray_ISCARRAY_RO(t) || PyArray_DIM(t, 0) != PyArray_DIM(x, 0) ||
        PyArray_SIZE(x) == 0 || PyArray_SIZE(x) > few || (places[2] && !read_int(places[2], ignored)) ||
        (places[3] && !PyUnicode_CheckExact(places[3])) || is_set(as_tensor(places[1])->node)) {
        return nullptr;
    }
    const bool mean = !places[3] || PyUnicode_CompareWithASCIIString(places[3], "mean") == 0;
    if (!mean && PyUnicode_CompareWithASCIIString(places[3], "sum") != 0) {
        return nullptr;
    }
    Ref labels(PyArray_NewCopy(t, NPY_CORDER));
    Ref targets(labels ? new_tensor(labels, as_tensor(places[1])->device) : nullptr);
    if (!targets) {
        return nullptr;
    }
    PyObject* const tensors[] = {places[0], targets, Py_None};
    Operands operands(*door.used[0].caller);
    if (!operands.read(tensors) || !door.used[0].runs_body(operands.device) || !is_quiet()) {
        return nullptr;
    }
    Ref xp(PyObject_GetAttr(operands.device, names.xp));
    const bool gradient = operands.wanted && is_recording();
    Ref number(PyLong_FromSsize_t(ignored)), smoothing(PyFloat_FromDouble(0));
    if (!number || !smoothing) {
        return nullptr;
    }
    PyObject* const parameters[] = {number, smoothing, mean ? Py_True : Py_False, gradient ? Py_True : Py_False};
    if (door.used[0].accepted != door.used[0].body) {  // it has a loop, which does it all
        Ref losses(run_used(door.used[0], places[0], targets, Py_None, parameters[0], parameters[1],
                            parameters[2], parameters[3]));
        return losses ? reduced(door.used[1], losses, 1u, false, false) : nullptr;
    }
    const auto compute = [&](auto kind) {
        CrossEntropy<decltype(kind)> rule{};
        rule.targets = static_cast<const npy_int64*>(PyArray_DATA(as_array(labels)));
        rule.ignored = ignored;
        rule.mean = mean;
        return cross_entropies(rule, x, xp, gradient);
    };
    Ref all = !xp ? Ref() : of_floats(x, compute);
    if (!all) {
        return nullptr;
    }
    Ref losses(finish(operands, Ref::to(PyTuple_GET_ITEM(all.object, 0)), parameters, all));
    return losses ? reduced(door.used[1], losses, 1u, false, false) : nullptr;
}

// nll_loss(input, target, ignore_index=, reduction=) of (n, classes) and int64 classes
PyObject* serve_nll(Door& door, const Given& given) {
    static PyObject *const op = PyUnicode_InternFromString("nll_loss"),
                    *const usual = PyUnicode_InternFromString("mean"), *const nowhere = PyLong_FromLong(-100);
    PyObject* places[4];
    npy_intp ignored;
    if (!given.place({"input", "target", "ignore_index", "reduction"}, places, 2)) {
        return nullptr;
    }
    PyArrayObject *x = array_in(places[0]), *t = array_in(places[1]);
    PyObject *ignore = places[2] ? places[2] : nowhere, *reduction = places[3] ? places[3] : usual;
    if (!x || !t || !is_float(x) || PyArray_NDIM(x) != 2 || PyArray_NDIM(t) != 1 || PyArray_SIZE(x) == 0 ||
        PyArray_TYPE(t) != NPY_INT64 || PyArray_DIM(t, 0) != PyArray_DIM(x, 0) || !read_int(ignore, ignored) ||
        !PyUnicode_CheckExact(reduction)) {
        return nullptr;
    }
    for (const char* word : {"mean", "sum", "none"}) {
        if (PyUnicode_CompareWithASCIIString(reduction, word) == 0) {
            return run_used(door.used[0], places[0], places[1], Py_None, op, ignore, reduction);
        }
    }
    return nullptr;
}

// mse_loss(input, target, reduction=) of tensors alike
PyObject* serve_mse(Door& door, const Given& given) {
    PyObject* places[3];
    if (!given.place({"input", "target", "reduction"}, places, 2)) {
        return nullptr;
    }
    PyArrayObject *x = array_in(places[0]), *y = array_in(places[1]);
    if (!x || !y || !is_float(x) || PyArray_DESCR(x) != PyArray_DESCR(y) || !PyArray_SAMESHAPE(x, y) ||
        PyArray_SIZE(x) == 0 || (places[2] && !PyUnicode_CheckExact(places[2])) || !is_quiet()) {
        return nullptr;
    }
    const bool mean = !places[2] || PyUnicode_CompareWithASCIIString(places[2], "mean") == 0;
    if (!mean && PyUnicode_CompareWithASCIIString(places[2], "sum") != 0) {
        return nullptr;
    }
    Ref total(PyLong_FromSsize_t(mean ? PyArray_SIZE(x) : 1)), number(PyFloat_FromDouble(0));
    return total && number ? run_used(door.used[0], places[0], places[1], total, number) : nullptr;
}

}  // namespace

const DoorEntry row_doors[] = {
    {"activation.implicit_dim.log_softmax", serve_softmax, {"log_softmax"}},
    {"activation.implicit_dim.softmax", serve_softmax, {"softmax"}},
    {"activation.softmax.log_softmax", serve_softmax, {"log_softmax"}},
    {"activation.softmax.softmax", serve_softmax, {"softmax"}},
    {"layers.norm.layer_norm", serve_layer_norm, {"layer_norm"}},
    {"loss.classification.cross_entropy", serve_cross_entropy, {"cross_entropy", "sum"}},
    {"loss.classification.nll_loss", serve_nll, {"nll"}},
    {"loss.elementwise.mse_loss", serve_mse, {"squared_distance"}},
    {nullptr, nullptr, {}},
};
