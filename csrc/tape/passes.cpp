// Doors that hand their arguments on: to a primitive as they are, or in place.
#include "doors.h"

#include <cfloat>
#include <cmath>
#include <cstring>

namespace {

// f(input), f(input, other)
PyObject* serve_as_given(Door& door, const Given& given) {
    Caller& caller = *door.used[0].caller;
    const bool plain = !given.keywords && PyTuple_GET_SIZE(caller.parameters) == 0;
    return plain ? run(caller, given.values, given.count, nullptr) : nullptr;
}

// f(input, inplace=False) of floats
PyObject* serve_activation(Door& door, const Given& given) {
    PyObject* found[2];
    bool in_place = false;
    PyArrayObject* x = given.place({"input", "inplace"}, found) ? array_in(found[0]) : nullptr;
    if (!x || !is_float(x) || !read_flag(found[1], in_place) || in_place) {
        return nullptr;
    }
    return run_used(door.used[0], found[0]);
}

// gelu(input, approximate="none")
PyObject* serve_gelu(Door& door, const Given& given) {
    PyObject* found[2];
    PyArrayObject* x = given.place({"input", "approximate"}, found) ? array_in(found[0]) : nullptr;
    if (!x || !is_float(x) || (found[1] && !PyUnicode_CheckExact(found[1]))) {
        return nullptr;
    }
    if (!found[1] || PyUnicode_CompareWithASCIIString(found[1], "none") == 0) {
        return run_used(door.used[0], found[0]);
    }
    const bool near = PyUnicode_CompareWithASCIIString(found[1], "tanh") == 0;
    return near ? run_used(door.used[1], found[0]) : nullptr;
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

// Whether this memory may be written to without a word to the tape, or to views of it.
bool is_free(PyObject* tensor, PyObject* source) {
    const Tensor* x = as_tensor(tensor);
    const bool traced = is_set(x->node) || (is_set(x->base) && is_set(as_tensor(x->base)->node)) ||
                        (source && is_tensor(source) && is_set(as_tensor(source)->node));
    const Storage* storage = reinterpret_cast<Storage*>(is_set(x->storage) ? x->storage : nullptr);
    return !(traced && is_recording()) && !(storage && storage->detached) &&
           PyArray_ISCARRAY(as_array(x->array));
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
    if (!is_free(given.values[0], given.values[1]) ||
        (operands.tensors[1] && overlap(as_array(x->array), as_array(operands.values[1])))) {
        return nullptr;
    }
    if (!onto(operands.values[0], operands.values[1]) || !note_change(x, op)) {
        return nullptr;
    }
    return Py_NewRef(given.values[0]);
}

// x.zero_()
PyObject* serve_zero(Door&, const Given& given) {
    static PyObject* const op = PyUnicode_InternFromString("zero_");
    PyArrayObject* x = given.count == 1 && !given.keywords ? array_in(given.values[0]) : nullptr;
    if (!x || PyDataType_REFCHK(PyArray_DESCR(x)) || !is_free(given.values[0], nullptr)) {
        return nullptr;
    }
    std::memset(PyArray_DATA(x), 0, size_t(PyArray_NBYTES(x)));
    return note_change(as_tensor(given.values[0]), op) ? Py_NewRef(given.values[0]) : nullptr;
}

// x.copy_(source) of one dtype and shape
PyObject* serve_copy(Door&, const Given& given) {
    static PyObject* const op = PyUnicode_InternFromString("copy_");
    if (given.count != 2 || given.keywords) {
        return nullptr;
    }
    PyArrayObject *x = array_in(given.values[0]), *y = array_in(given.values[1]);
    if (!x || !y || x == y || PyArray_DESCR(x) != PyArray_DESCR(y) || !PyArray_SAMESHAPE(x, y) ||
        as_tensor(given.values[0])->device != as_tensor(given.values[1])->device ||
        !is_free(given.values[0], given.values[1]) || PyArray_CopyInto(x, y) < 0) {
        return nullptr;
    }
    return note_change(as_tensor(given.values[0]), op) ? Py_NewRef(given.values[0]) : nullptr;
}

// Whether it is a number that every dtype of floats here holds.
bool is_held(PyObject* value) {
    double number;
    return is_number(value, number) && !(std::isfinite(number) && std::fabs(number) > FLT_MAX);
}

// x.fill_(value)
PyObject* serve_fill(Door&, const Given& given) {
    static PyObject* const op = PyUnicode_InternFromString("fill_");
    PyArrayObject* x = given.count == 2 && !given.keywords ? array_in(given.values[0]) : nullptr;
    if (!x || !is_float(x) || !is_held(given.values[1]) || !is_free(given.values[0], nullptr) ||
        PyArray_FillWithScalar(x, given.values[1]) < 0) {
        return nullptr;
    }
    return note_change(as_tensor(given.values[0]), op) ? Py_NewRef(given.values[0]) : nullptr;
}

// x[index] = value, a number or a tensor of the part's shape
PyObject* serve_setitem(Door&, const Given& given) {
    static PyObject* const op = PyUnicode_InternFromString("setitem");
    PyArrayObject* x = given.count == 3 && !given.keywords ? array_in(given.values[0]) : nullptr;
    Place place;
    if (!x || !is_float(x) || !is_free(given.values[0], given.values[2]) || !place.find(x, given.values[1])) {
        return nullptr;
    }
    PyArrayObject* value = array_in(given.values[2]);
    if (value ? PyArray_DESCR(value) != PyArray_DESCR(x) ||
                    as_tensor(given.values[2])->device != as_tensor(given.values[0])->device
              : !is_held(given.values[2])) {
        return nullptr;
    }
    Ref part = place.view(as_tensor(given.values[0])->array);
    if (!part || (value && !PyArray_SAMESHAPE(as_array(part), value)) ||
        (value ? PyArray_CopyInto(as_array(part), value)
               : PyArray_FillWithScalar(as_array(part), given.values[2])) < 0) {
        return nullptr;
    }
    return note_change(as_tensor(given.values[0]), op) ? Py_NewRef(Py_None) : nullptr;
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
    {"activation.activation.gelu", serve_gelu, {"gelu", "gelu_tanh"}},
    {"activation.activation.relu", serve_activation, {"relu"}},
    {"activation.activation.silu", serve_activation, {"silu"}},
    {"pointwise.arithmetic.add", serve_as_given, {"add"}},
    {"pointwise.arithmetic.div", serve_as_given, {"divide"}},
    {"pointwise.arithmetic.pow", serve_pow, {"square", "power"}},
    {"pointwise.arithmetic.sub", serve_as_given, {"subtract"}},
    {"indexing.inplace.copy_", serve_copy, {}},
    {"indexing.inplace.fill_", serve_fill, {}},
    {"indexing.inplace.setitem", serve_setitem, {}},
    {"indexing.inplace.zero_", serve_zero, {}},
    {"in_place.add_", serve_add, {"add"}},
    {"in_place.div_", serve_div, {"divide"}},
    {"in_place.mul_", serve_mul, {"multiply"}},
    {"in_place.sub_", serve_sub, {"subtract"}},
    {nullptr, nullptr, {}},
};
