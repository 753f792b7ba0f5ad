// Doors that hand their arguments on: to a primitive as they are, or in place.
#include "doors.h"

namespace {

// f(input), f(input, other)
PyObject* serve_as_given(Door& door, const Given& given) {
    Caller& caller = *door.used[0].caller;
    const bool plain = !given.keywords && PyTuple_GET_SIZE(caller.parameters) == 0;
    return plain ? run(caller, given.values, given.count, nullptr) : nullptr;
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

bool overlap(PyArrayObject* a, PyArrayObject* b) {
    const char *x = PyArray_BYTES(a), *y = PyArray_BYTES(b);
    return x != y && x < y + PyArray_NBYTES(b) && y < x + PyArray_NBYTES(a);
}

// x.add_(other) and the like, where the tape has nothing to do with it.
PyObject* change(Door& door, const Given& given, Onto& onto, PyObject* op) {
    if (given.count != 2 || given.keywords || !is_tensor(given.values[0]) || !op) {
        return nullptr;
    }
    Caller& caller = *door.used[0].caller;
    Operands operands(caller);
    if (!operands.read(given.values) || !is_numpys(caller, operands.device) || !is_quiet()) {
        return nullptr;
    }
    Tensor* x = as_tensor(given.values[0]);
    const bool traced = operands.wanted || (is_set(x->base) && is_set(as_tensor(x->base)->node));
    if (traced && is_recording()) {
        return nullptr;
    }
    Storage* storage = reinterpret_cast<Storage*>(is_set(x->storage) ? x->storage : nullptr);
    if ((storage && storage->detached) ||
        (operands.tensors[1] && overlap(as_array(x->array), as_array(operands.values[1])))) {
        return nullptr;
    }
    if (!onto(operands.values[0], operands.values[1]) || !note_change(x, op)) {
        return nullptr;
    }
    return Py_NewRef(given.values[0]);
}

#define IN_PLACE(name)                                                          \
    PyObject* serve_##name(Door& door, const Given& given) {                    \
        static PyObject* const op = PyUnicode_InternFromString(#name "_");      \
        return change(door, given, name##_onto, op);                            \
    }
IN_PLACE(add)
IN_PLACE(sub)
IN_PLACE(mul)
IN_PLACE(div)
#undef IN_PLACE

}  // namespace

const DoorEntry pass_doors[] = {
    {"primitive", serve_as_given, {}},
    {"activation.activation.relu", serve_as_given, {"relu"}},
    {"pointwise.arithmetic.add", serve_as_given, {"add"}},
    {"pointwise.arithmetic.div", serve_as_given, {"divide"}},
    {"pointwise.arithmetic.pow", serve_pow, {"square", "power"}},
    {"pointwise.arithmetic.sub", serve_as_given, {"subtract"}},
    {"in_place.add_", serve_add, {"add"}},
    {"in_place.div_", serve_div, {"divide"}},
    {"in_place.mul_", serve_mul, {"multiply"}},
    {"in_place.sub_", serve_sub, {"subtract"}},
    {nullptr, nullptr, {}},
};
