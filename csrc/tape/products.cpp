// Doors to matrix products.
#include "doors.h"

#include <algorithm>

namespace {

bool do_multiply(PyArrayObject* a, PyArrayObject* b) {
    const int of_a = a ? PyArray_NDIM(a) : 0, of_b = b ? PyArray_NDIM(b) : 0;
    return of_a >= 2 && of_b >= 2 && is_float(a) && PyArray_DESCR(a) == PyArray_DESCR(b) &&
           PyArray_DIM(a, of_a - 1) == PyArray_DIM(b, of_b - 2);
}

PyObject* product_of_two(Used& used, PyObject* const* tensors) {
    Operands operands(*used.caller);
    if (!operands.read(tensors) || !is_quiet()) {
        return nullptr;
    }
    PyArrayObject *a = as_array(operands.values[0]), *b = as_array(operands.values[1]);
    if (!is_small_product(PyArray_SIZE(a), PyArray_DIM(b, 1)) || !used.runs_body(operands.device)) {
        return run_used(used, tensors[0], tensors[1]);
    }
    Ref value(multiply_matrices(operands.values[0], operands.values[1]));
    return value ? finish(operands, std::move(value), nullptr, nullptr) : nullptr;
}

// Of a stack and a matrix: one product of all rows.
PyObject* product_of_rows(Door& door, PyObject* const* tensors, PyArrayObject* a, PyArrayObject* b) {
    Sizes rows, whole;
    whole.count = PyArray_NDIM(a);
    std::copy_n(PyArray_DIMS(a), whole.count, whole.values);
    const npy_intp inner = PyArray_DIM(b, 0);
    whole.values[whole.count - 1] = PyArray_DIM(b, 1);
    rows.count = 2;
    rows.values[0] = PyArray_SIZE(a) / inner;
    rows.values[1] = inner;
    Ref flat(reshaped(door.used[1], tensors[0], rows));
    PyObject* const operands[] = {flat, tensors[1]};
    Ref product(flat ? product_of_two(door.used[0], operands) : nullptr);
    Ref result(product ? reshaped(door.used[1], product, whole) : nullptr);
    if (result) {
        Py_CLEAR(as_tensor(result)->base);  // of which nobody else has seen anything
    }
    return result.release();
}

// matmul(input, other) of matrices, or of a stack with one, or as large a stack of them
PyObject* serve_matmul(Door& door, const Given& given) {
    if (given.count != 2 || given.keywords) {
        return nullptr;
    }
    PyArrayObject *a = array_in(given.values[0]), *b = array_in(given.values[1]);
    if (!do_multiply(a, b) || PyArray_NDIM(a) > most_axes) {
        return nullptr;
    }
    if (PyArray_NDIM(b) == 2) {
        const bool stack = PyArray_NDIM(a) > 2;
        return !stack              ? product_of_two(door.used[0], given.values)
               : PyArray_SIZE(a) > 0 ? product_of_rows(door, given.values, a, b)
                                     : nullptr;
    }
    const bool alike = PyArray_NDIM(a) == PyArray_NDIM(b) &&
                       std::equal(PyArray_DIMS(a), PyArray_DIMS(a) + PyArray_NDIM(a) - 2, PyArray_DIMS(b));
    return alike ? run_used(door.used[0], given.values[0], given.values[1]) : nullptr;
}

// The same of so many dimensions.
template <int dimensions>
PyObject* serve_product(Door& door, const Given& given) {
    PyObject* places[2];
    if (!given.place({"input", "mat2"}, places)) {
        return nullptr;
    }
    for (PyObject* each : places) {
        if (!array_in(each) || PyArray_NDIM(array_in(each)) != dimensions) {
            return nullptr;
        }
    }
    return serve_matmul(door, {places, 2, nullptr});
}

// linear(input, weight, bias)
PyObject* serve_linear(Door& door, const Given& given) {
    PyObject* places[3];
    if (!given.place({"input", "weight", "bias"}, places)) {
        return nullptr;
    }
    PyArrayObject *x = array_in(places[0]), *w = array_in(places[1]);
    if (!x || !w || !is_float(x) || PyArray_DESCR(x) != PyArray_DESCR(w) ||
        PyArray_NDIM(x) < 2 || PyArray_NDIM(x) > most_axes || PyArray_SIZE(x) == 0 ||
        PyArray_NDIM(w) != 2 || PyArray_DIM(x, PyArray_NDIM(x) - 1) != PyArray_DIM(w, 1)) {
        return nullptr;
    }
    PyArrayObject* b = nullptr;
    if (!is_set(places[2])) {
        places[2] = Py_None;
    } else {
        b = array_in(places[2]);
        if (!b || PyArray_DESCR(b) != PyArray_DESCR(x) || PyArray_NDIM(b) != 1 ||
            PyArray_DIM(b, 0) != PyArray_DIM(w, 0)) {
            return nullptr;
        }
    }
    Used& used = door.used[0];
    Operands operands(*used.caller);
    if (!operands.read(places) || !is_quiet()) {
        return nullptr;
    }
    if (!is_small_product(PyArray_SIZE(x), PyArray_DIM(w, 0)) || !used.runs_body(operands.device)) {
        return run_used(used, places[0], places[1], places[2]);
    }
    const int dimensions = PyArray_NDIM(x);
    npy_intp shape[most_axes] = {PyArray_SIZE(x) / PyArray_DIM(w, 1), PyArray_DIM(w, 1)};
    PyArray_Dims rows = {shape, 2};
    Ref left = dimensions == 2 ? Ref::to(operands.values[0]) : Ref(PyArray_Newshape(x, &rows, NPY_CORDER));
    Ref right(PyArray_Transpose(w, nullptr));
    Ref value(left && right ? multiply_matrices(left, right) : nullptr);
    if (!value || (b && !add_row(value, operands.values[2]))) {
        return nullptr;
    }
    if (dimensions > 2) {
        std::copy_n(PyArray_DIMS(x), dimensions, shape);
        shape[dimensions - 1] = PyArray_DIM(w, 0);
        PyArray_Dims whole = {shape, dimensions};
        value = Ref(PyArray_Newshape(as_array(value), &whole, NPY_CORDER));
        if (!value) {
            return nullptr;
        }
    }
    return finish(operands, std::move(value), nullptr, nullptr);
}

}  // namespace

const DoorEntry product_doors[] = {
    {"linalg.matmul.bmm", serve_product<3>, {"matmul", "reshape"}},
    {"linalg.matmul.linear", serve_linear, {"linear"}},
    {"linalg.matmul.matmul", serve_matmul, {"matmul", "reshape"}},
    {"linalg.matmul.mm", serve_product<2>, {"matmul", "reshape"}},
    {nullptr, nullptr, {}},
};
