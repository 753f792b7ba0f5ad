// Doors to what chooses among numbers: where, clamp.
#include "doors.h"

#include <cmath>

namespace {

// where(condition, input, other) of tensors alike
PyObject* serve_where(Door& door, const Given& given) {
    PyObject* places[3];
    if (!given.place({"condition", "input", "other"}, places)) {
        return nullptr;
    }
    PyArrayObject *condition = array_in(places[0]), *a = array_in(places[1]), *b = array_in(places[2]);
    if (!condition || !a || !b || PyArray_TYPE(condition) != NPY_BOOL ||
        PyArray_DESCR(a) != PyArray_DESCR(b)) {
        return nullptr;
    }
    Used& used = door.used[0];
    Operands operands(*used.caller);
    if (!operands.read(places) || !is_quiet()) {
        return nullptr;
    }
    if (used.runs_body(operands.device) && is_alike(a, b)) {
        Ref value(choose(operands.values));
        if (value) {
            return finish(operands, std::move(value), nullptr, nullptr);
        }
    }
    return PyErr_Occurred() ? nullptr : run_used(used, places[0], places[1], places[2]);
}

// A bound: a number that is no nan. An absent one is infinite.
bool read_bound(PyObject* given, double absent, Ref& bound, double& value) {
    if (!is_set(given)) {
        value = absent;
        bound = Ref(PyFloat_FromDouble(absent));
        return bound;
    }
    bound = Ref::to(given);
    return is_number(given, value) && !std::isnan(value);
}

// clamp(input, min, max) between numbers
PyObject* serve_clamp(Door& door, const Given& given) {
    PyObject* places[3];
    if (!given.place({"input", "min", "max"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = array_in(places[0]);
    Ref low, high;
    double least, most;
    if (!x || !is_float(x) || (!is_set(places[1]) && !is_set(places[2])) ||
        !read_bound(places[1], -INFINITY, low, least) || !read_bound(places[2], INFINITY, high, most)) {
        return nullptr;
    }
    Used& used = door.used[0];
    Operands operands(*used.caller);
    if (!operands.read(places) || !is_quiet()) {
        return nullptr;
    }
    PyObject* const parameters[] = {low, high};
    if (used.runs_body(operands.device)) {
        Ref value(clip_between(operands.values[0], least, most));
        if (value) {
            return finish(operands, std::move(value), parameters, nullptr);
        }
    }
    return PyErr_Occurred() ? nullptr : run_used(used, places[0], low, high);
}

}  // namespace

const DoorEntry choice_doors[] = {
    {"indexing.where.select_where", serve_where, {"where"}},
    {"pointwise.arithmetic.clamp", serve_clamp, {"clip"}},
    {nullptr, nullptr, {}},
};
