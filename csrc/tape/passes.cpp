// Doors that hand their arguments on to a primitive as they are.
#include "doors.h"

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
    {"activation.activation.relu", serve_as_given, {"relu"}},
    {"pointwise.arithmetic.add", serve_as_given, {"add"}},
    {"pointwise.arithmetic.div", serve_as_given, {"divide"}},
    {"pointwise.arithmetic.pow", serve_pow, {"square", "power"}},
    {"pointwise.arithmetic.sub", serve_as_given, {"subtract"}},
    {nullptr, nullptr, {}},
};
