// Doors that hand their arguments on: to a primitive, or to two or three one after the other.
#include "doors.h"

#include <algorithm>
#include <cmath>

namespace {

// f(input), f(input, other)
PyObject* serve_as_given(Door& door, const Given& given) {
    Caller& caller = *door.used[0].caller;
    const bool plain = !given.keywords && PyTuple_GET_SIZE(caller.parameters) == 0;
    return plain ? run(caller, given.values, given.count, nullptr) : nullptr;
}

// f(input) of a function that is a door itself
PyObject* serve_one(Door& door, const Given& given) {
    const bool alone = given.count == 1 && !given.keywords && array_in(given.values[0]);
    return alone ? PyObject_CallOneArg(door.within, given.values[0]) : nullptr;
}

// f(input) of floats, and a primitive whose parameters are the first arguments behind the input, which
// have their defaults
PyObject* serve_usual(Door& door, const Given& given) {
    PyArrayObject* x = given.count == 1 && !given.keywords ? array_in(given.values[0]) : nullptr;
    PyObject* defaults = PyFunction_Check(door.within) ? PyFunction_GET_DEFAULTS(door.within) : nullptr;
    Caller& caller = *door.used[0].caller;
    const Py_ssize_t parameters = PyTuple_GET_SIZE(caller.parameters);
    if (!x || !is_float(x) || parameters > (defaults ? PyTuple_GET_SIZE(defaults) : 0)) {
        return nullptr;
    }
    PyObject* arguments[1 + most_arguments] = {given.values[0]};
    std::copy_n(defaults ? &PyTuple_GET_ITEM(defaults, 0) : nullptr, parameters, arguments + 1);
    return run(caller, arguments, 1, caller.parameters);
}

// Whether these are tensors of one dtype of floats.
template <class... Tensors>
bool are_floats(PyObject* first, Tensors... others) {
    PyArrayObject* x = array_in(first);
    return x && is_float(x) && ((array_in(others) && PyArray_DESCR(array_in(others)) == PyArray_DESCR(x)) && ...);
}

// add(input, other, alpha), and sub: used are it and multiply
PyObject* serve_scaled(Door& door, const Given& given) {
    PyObject* places[3];
    double alpha;
    if (!given.keywords) {
        return serve_as_given(door, given);
    }
    if (!given.place({"input", "other", "alpha"}, places, 2) || !are_floats(places[0], places[1]) ||
        !places[2] || !is_number(places[2], alpha)) {
        return nullptr;
    }
    Ref other = alpha == 1 ? Ref::to(places[1]) : Ref(run_used(door.used[1], places[1], places[2]));
    return other ? run_used(door.used[0], places[0], other) : nullptr;
}

// addcmul(input, tensor1, tensor2, value), and addcdiv: used are add, multiply, and what combines
PyObject* serve_combined(Door& door, const Given& given) {
    PyObject* places[4];
    double value = 1;
    if (!given.place({"input", "tensor1", "tensor2", "value"}, places, 3) ||
        !are_floats(places[0], places[1], places[2]) || (places[3] && !is_number(places[3], value))) {
        return nullptr;
    }
    Ref term(run_used(door.used[2], places[1], places[2]));
    if (term && value != 1) {
        term = Ref(run_used(door.used[1], term, places[3]));
    }
    return term ? run_used(door.used[0], places[0], term) : nullptr;
}

// lerp(input, end, weight) by a number: used are add, subtract and multiply
PyObject* serve_lerp(Door& door, const Given& given) {
    PyObject* places[3];
    double weight;
    if (!given.place({"input", "end", "weight"}, places) || !are_floats(places[0], places[1]) || !places[2] ||
        !is_number(places[2], weight)) {
        return nullptr;
    }
    Used &add = door.used[0], &subtract = door.used[1], &multiply = door.used[2];
    Ref way(run_used(subtract, places[1], places[0]));
    if (std::fabs(weight) < 0.5) {
        Ref part(way ? run_used(multiply, way, places[2]) : nullptr);
        return part ? run_used(add, places[0], part) : nullptr;
    }
    static PyObject* const one = PyLong_FromLong(1);
    Ref rest(way ? PyNumber_Subtract(one, places[2]) : nullptr);
    Ref part(rest ? run_used(multiply, way, rest) : nullptr);
    return part ? run_used(subtract, places[1], part) : nullptr;
}

PyObject* serve_pow(Door& door, const Given& given) {
    PyArrayObject* x = given.count == 2 && !given.keywords ? array_in(given.values[0]) : nullptr;
    double exponent;
    if (!x || !is_float(x) || !is_number(given.values[1], exponent)) {
        return nullptr;
    }
    if (exponent == 2) {
        return run_used(door.used[0], given.values[0]);
    }
    return run_used(door.used[1], given.values[0], given.values[1]);
}

}  // namespace

const DoorEntry pass_doors[] = {
    {"of_one", serve_one, {}},
    {"primitive", serve_as_given, {}},
    {"activation.activation.elu", serve_usual, {"elu"}},
    {"activation.activation.gelu", serve_usual, {"gelu"}},
    {"activation.activation.leaky_relu", serve_usual, {"leaky_relu"}},
    {"activation.activation.relu", serve_as_given, {"relu"}},
    {"activation.activation.silu", serve_usual, {"silu"}},
    {"activation.activation.softplus", serve_usual, {"softplus"}},
    {"activation.gated.logsigmoid", serve_usual, {"logsigmoid"}},
    {"activation.gated.mish", serve_usual, {"mish"}},
    {"activation.piecewise.hardsigmoid", serve_usual, {"hardsigmoid"}},
    {"activation.piecewise.hardswish", serve_usual, {"hardswish"}},
    {"pointwise.arithmetic.add", serve_scaled, {"add", "multiply"}},
    {"pointwise.arithmetic.div", serve_as_given, {"divide"}},
    {"pointwise.arithmetic.pow", serve_pow, {"square", "power"}},
    {"pointwise.arithmetic.round", serve_usual, {"rint"}},
    {"pointwise.arithmetic.sub", serve_scaled, {"subtract", "multiply"}},
    {"pointwise.lerp.addcdiv", serve_combined, {"add", "multiply", "divide"}},
    {"pointwise.lerp.addcmul", serve_combined, {"add", "multiply", "multiply"}},
    {"pointwise.lerp.lerp", serve_lerp, {"add", "subtract", "multiply"}},
    {nullptr, nullptr, {}},
};
