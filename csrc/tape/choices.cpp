// Doors to what chooses among numbers: where, clamp.
#include "doors.h"

#include <cmath>

namespace {

// where of tensors alike, or of one and a number.
PyObject* choose_between(Used& used, PyObject* const* given) {
    PyArrayObject *condition = array_in(given[0]), *a = array_in(given[1]), *b = array_in(given[2]);
    double number;
    if (!condition || PyArray_TYPE(condition) != NPY_BOOL || !(a || b) || !is_float(a ? a : b) ||
        (a && b ? PyArray_DESCR(a) != PyArray_DESCR(b) : !is_number(given[a ? 2 : 1], number))) {
        return nullptr;
    }
    Operands operands(*used.caller);
    if (!operands.read(given) || !is_quiet()) {
        return nullptr;
    }
    if (used.runs_body(operands.device)) {
        Ref value(choose(operands.values));
        if (value) {
            return finish(operands, std::move(value), nullptr, nullptr);
        }
    }
    return PyErr_Occurred() || !(a && b) ? nullptr : run_used(used, given[0], given[1], given[2]);
}

PyObject* serve_where(Door& door, const Given& given) {
    PyObject* places[3];
    const bool all = given.place({"condition", "input", "other"}, places) && places[1] && places[2];
    return all ? choose_between(door.used[0], places) : nullptr;
}

PyObject* serve_where_method(Door& door, const Given& given) {
    PyObject* places[3];
    if (!given.place({"self", "condition", "other"}, places) || !places[0] || !places[2]) {
        return nullptr;
    }
    PyObject* const ordered[] = {places[1], places[0], places[2]};
    return choose_between(door.used[0], ordered);
}

// masked_fill(input, mask, value) by a number that the dtype holds
PyObject* serve_masked_fill(Door& door, const Given& given) {
    PyObject* places[3];
    double number;
    if (!given.place({"input", "mask", "value"}, places) || !array_in(places[0]) || !places[2] ||
        !is_number(places[2], number) || std::isnan(number) || !is_held(number)) {
        return nullptr;
    }
    PyObject* const ordered[] = {places[1], places[2], places[0]};
    return choose_between(door.used[0], ordered);
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

// input, min, max, of which the bounds are numbers
PyObject* clamp(Door& door, PyObject* const* places) {
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

PyObject* serve_clamp(Door& door, const Given& given) {
    PyObject* places[3];
    return given.place({"input", "min", "max"}, places) ? clamp(door, places) : nullptr;
}

PyObject* serve_clamp_min(Door& door, const Given& given) {
    PyObject* places[2];
    if (!given.place({"input", "min"}, places)) {
        return nullptr;
    }
    PyObject* const ordered[] = {places[0], places[1], nullptr};
    return clamp(door, ordered);
}

PyObject* serve_clamp_max(Door& door, const Given& given) {
    PyObject* places[2];
    if (!given.place({"input", "max"}, places)) {
        return nullptr;
    }
    PyObject* const ordered[] = {places[0], nullptr, places[1]};
    return clamp(door, ordered);
}

}  // namespace

const DoorEntry choice_doors[] = {
    {"indexing.where.masked_fill", serve_masked_fill, {"where"}},
    {"indexing.where.select_where", serve_where, {"where"}},
    {"indexing.where.where_method", serve_where_method, {"where"}},
    {"pointwise.arithmetic.clamp", serve_clamp, {"clip"}},
    {"pointwise.arithmetic.clamp_max", serve_clamp_max, {"clip"}},
    {"pointwise.arithmetic.clamp_min", serve_clamp_min, {"clip"}},
    {nullptr, nullptr, {}},
};
