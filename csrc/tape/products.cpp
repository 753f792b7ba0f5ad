// Doors to matrix products.
#include "doors.h"

namespace {

// matmul(input, other) of two matrices
PyObject* serve_matmul(Door& door, const Given& given) {
    if (given.count != 2 || given.keywords) {
        return nullptr;
    }
    PyArrayObject *a = array_in(given.values[0]), *b = array_in(given.values[1]);
    if (!a || !b || !is_float(a) || PyArray_DESCR(a) != PyArray_DESCR(b) || PyArray_NDIM(a) != 2 ||
        PyArray_NDIM(b) != 2 || PyArray_DIM(a, 1) != PyArray_DIM(b, 0)) {
        return nullptr;
    }
    Used& used = door.used[0];
    Operands operands(*used.caller);
    if (!operands.read(given.values) || !is_quiet()) {
        return nullptr;
    }
    if (!used.runs_body(operands.device)) {
        return run_used(used, given.values[0], given.values[1]);
    }
    Ref value(multiply_matrices(operands.values[0], operands.values[1]));
    return value ? finish(operands, std::move(value), nullptr, nullptr) : nullptr;
}

// linear(input, weight, bias) of rows
PyObject* serve_linear(Door& door, const Given& given) {
    PyObject* places[3];
    if (!given.place({"input", "weight", "bias"}, places)) {
        return nullptr;
    }
    PyArrayObject *x = array_in(places[0]), *w = array_in(places[1]);
    if (!x || !w || !is_float(x) || PyArray_DESCR(x) != PyArray_DESCR(w) || PyArray_NDIM(x) != 2 ||
        PyArray_NDIM(w) != 2 || PyArray_DIM(x, 1) != PyArray_DIM(w, 1)) {
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
    if (!used.runs_body(operands.device)) {
        return run_used(used, places[0], places[1], places[2]);
    }
    Ref right(PyArray_Transpose(w, nullptr));
    Ref value(right ? multiply_matrices(operands.values[0], right) : nullptr);
    if (!value || (b && !add_row(value, operands.values[2]))) {
        return nullptr;
    }
    return finish(operands, std::move(value), nullptr, nullptr);
}

}  // namespace

const DoorEntry product_doors[] = {
    {"linalg.matmul.linear", serve_linear, {"linear"}},
    {"linalg.matmul.matmul", serve_matmul, {"matmul"}},
    {nullptr, nullptr, {}},
};
