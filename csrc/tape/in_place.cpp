// Doors to what changes a tensor in place (see tapegrad.ops.indexing.inplace): arithmetic and values
// straight into memory, where the tape has nothing to do with it; and every other function, from a
// record of what the tensor was, with the result written over it. Views that have to be renewed, and
// what is not contiguous, are Python's.
#include "doors.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

namespace {

constexpr npy_intp few = 1 << 12;

Storage* storage_of(const Tensor* x) {
    return reinterpret_cast<Storage*>(is_set(x->storage) ? x->storage : nullptr);
}

bool is_leaf(const Tensor* x) { return is_set(x->node) && !is_node(x->node); }

// Whether it is no leaf that requires grad, and a change here concerns no view, as far as its memory
// tells: not the tensor's own base.
bool is_open(PyObject* tensor) {
    const Tensor* x = as_tensor(tensor);
    const Storage* storage = storage_of(x);
    return PyArray_ISCARRAY(as_array(x->array)) && !(storage && storage->detached) &&
           !((is_leaf(x) || has_node(x->base)) && is_recording());
}

// Whether this memory may be written to without a word to the tape, or to views of it.
bool is_free(PyObject* tensor, PyObject* source) {
    return is_open(tensor) && !((has_node(tensor) || has_node(source)) && is_recording());
}

PyObject* noted(PyObject* tensor, PyObject* op) {
    return note_change(as_tensor(tensor), op) ? Py_NewRef(tensor) : nullptr;
}

// ---- on the tape ----

// The tensor as it is now, for what overwrites it; as a copy if the tape may keep it.
Ref snapshot(PyObject* tensor, bool copy) {
    Tensor* x = as_tensor(tensor);
    Ref array = copy ? Ref(PyArray_NewCopy(as_array(x->array), NPY_CORDER)) : Ref::to(x->array);
    Ref before(array && own_storage(x) ? new_tensor(array, x->device) : nullptr);
    if (before) {
        as_tensor(before)->node = Py_XNewRef(x->node);
        as_tensor(before)->storage = copy ? nullptr : Py_NewRef(x->storage);
    }
    return before;
}

// Whether there are views of it in use.
bool is_viewed(PyObject* tensor) {
    const Storage* storage = storage_of(as_tensor(tensor));
    PyObject* aliases = storage ? storage->aliases : nullptr;
    for (Py_ssize_t i = 0; aliases && i < PyList_GET_SIZE(aliases); ++i) {
        PyObject* other = PyWeakref_GetObject(PyList_GET_ITEM(aliases, i));
        if (other != Py_None && as_tensor(other)->base == tensor) {
            return true;
        }
    }
    return false;
}

// The node of a tensor that has become values of which nothing on the tape knows.
Ref forgotten(Used& where, PyObject* tensor, PyObject* values) {
    Ref never(PyArray_FromAny(Py_False, nullptr, 0, 0, 0, nullptr));
    Ref condition(never ? new_tensor(never, as_tensor(tensor)->device) : nullptr);
    Ref before = snapshot(tensor, false);
    if (!condition || !before) {
        return Ref();
    }
    PyObject* const given[] = {condition, before, values};
    Operands operands(*where.caller);
    Ref result(operands.read(given) ? finish(operands, Ref::to(as_tensor(values)->array), nullptr, nullptr)
                                    : nullptr);
    return result ? Ref::to(as_tensor(result)->node) : Ref();
}

// Writes the result over the tensor, which goes on from there.
PyObject* write_over(Used& where, PyObject* tensor, PyObject* result, PyObject* op) {
    Tensor* x = as_tensor(tensor);
    PyArrayObject *array = as_array(x->array), *value = array_in(result);
    const bool recorded = (has_node(tensor) || has_node(result)) && is_recording();
    const bool usual = value && is_alike(array, value) && as_tensor(result)->device == x->device &&
                       !(recorded && (is_set(x->base) || x->retains_grad || is_viewed(tensor)));
    if (!usual) {
        static PyObject* const write = [] {
            Ref module(PyImport_ImportModule("tapegrad.ops.indexing.inplace"));
            return module ? PyObject_GetAttrString(module, "write_result") : nullptr;
        }();
        return write ? call(write, tensor, result, op).release() : nullptr;
    }
    if (recorded) {
        Ref node = has_node(result) ? Ref::to(as_tensor(result)->node) : forgotten(where, tensor, result);
        if (!node) {
            return nullptr;
        }
        Py_XSETREF(x->node, node.release());
    }
    return PyArray_CopyInto(array, value) == 0 ? noted(tensor, op) : nullptr;
}

bool is_recorded(const Given& given) {
    const Py_ssize_t all = given.count + (given.keywords ? PyTuple_GET_SIZE(given.keywords) : 0);
    return std::any_of(given.values, given.values + all, has_node) && is_recording();
}

// What a function makes of the tensor and other arguments, written over it. ``reads_values``: its
// gradient may need those that are.
PyObject* serve_function(Door& door, const Given& given, bool reads_values) {
    const Py_ssize_t words = given.keywords ? PyTuple_GET_SIZE(given.keywords) : 0, all = given.count + words;
    if (given.count == 0 || all > most_arguments || !array_in(given.values[0]) || !is_open(given.values[0])) {
        return nullptr;
    }
    PyObject* const tensor = given.values[0];
    static PyObject* const name = PyUnicode_InternFromString("__name__");
    PyObject* const op = door.dict && name ? PyDict_GetItemWithError(door.dict, name) : nullptr;
    Ref before = snapshot(tensor, reads_values && is_recorded(given));
    if (!op || !before) {
        return nullptr;
    }
    PyObject* arguments[1 + most_arguments];
    for (Py_ssize_t i = 0; i < all; ++i) {
        const bool itself = i < given.count && given.values[i] == tensor;
        arguments[1 + i] = itself ? before.object : given.values[i];
    }
    Ref result(PyObject_Vectorcall(door.within, arguments + 1,
                                   size_t(given.count) | PY_VECTORCALL_ARGUMENTS_OFFSET, given.keywords));
    return result ? write_over(door.used[0], tensor, result, op) : nullptr;
}

PyObject* serve_reading(Door& door, const Given& given) { return serve_function(door, given, true); }
PyObject* serve_linear(Door& door, const Given& given) { return serve_function(door, given, false); }

// ---- arithmetic ----

bool overlap(PyArrayObject* a, PyArrayObject* b) {
    const char *x = PyArray_BYTES(a), *y = PyArray_BYTES(b);
    return x != y && x < y + PyArray_NBYTES(b) && y < x + PyArray_NBYTES(a);
}

// x.add_(other) and the like.
PyObject* change(Door& door, const Given& given, Onto& onto, PyObject* op, bool reads_values) {
    if (given.count != 2 || given.keywords || !array_in(given.values[0])) {
        const bool small = given.count && array_in(given.values[0]) && PyArray_SIZE(array_in(given.values[0])) <= few;
        return small || is_recorded(given) ? serve_function(door, given, reads_values) : nullptr;
    }
    if (!is_free(given.values[0], given.values[1])) {
        return serve_function(door, given, reads_values);
    }
    Caller& caller = *door.used[1].caller;
    Operands operands(caller);
    if (!operands.read(given.values) || !is_quiet()) {
        return nullptr;
    }
    if (!PyDict_GetItemWithError(caller.implementations, operands.device)) {  // it has not run yet
        return serve_function(door, given, reads_values);
    }
    Tensor* x = as_tensor(given.values[0]);
    if (!is_numpys(caller, operands.device) ||
        (operands.tensors[1] && overlap(as_array(x->array), as_array(operands.values[1]))) ||
        !onto(operands.values[0], operands.values[1])) {
        return nullptr;
    }
    return noted(given.values[0], op);
}

#define IN_PLACE(name, reads_values)                                              \
    PyObject* serve_##name(Door& door, const Given& given) {                      \
        static PyObject* const op = PyUnicode_InternFromString(#name "_");        \
        return change(door, given, name##_onto, op, reads_values);                \
    }
IN_PLACE(add, false)
IN_PLACE(sub, false)
IN_PLACE(mul, true)
IN_PLACE(div, true)
#undef IN_PLACE

// ---- values ----

// Whether it is a number that every dtype of floats here holds.
bool is_held(PyObject* value) {
    double number;
    return is_number(value, number) && !(std::isfinite(number) && std::fabs(number) > FLT_MAX);
}

// The same number everywhere; null: 0.
PyObject* set_all(Door& door, PyObject* tensor, PyObject* number, PyObject* op) {
    PyArrayObject* x = array_in(tensor);
    if (!is_open(tensor)) {
        return nullptr;
    }
    const bool recorded = !is_free(tensor, nullptr);
    Ref made = recorded ? new_array(x, PyArray_NDIM(x), PyArray_DIMS(x)) : Ref::to(as_tensor(tensor)->array);
    if (!made || (number && PyArray_FillWithScalar(as_array(made), number) < 0)) {
        return nullptr;
    }
    if (!number) {
        std::memset(PyArray_DATA(as_array(made)), 0, size_t(PyArray_NBYTES(x)));
    }
    if (!recorded) {
        return noted(tensor, op);
    }
    Ref values(new_tensor(made, as_tensor(tensor)->device));
    return values ? write_over(door.used[0], tensor, values, op) : nullptr;
}

// x.zero_()
PyObject* serve_zero(Door& door, const Given& given) {
    static PyObject* const op = PyUnicode_InternFromString("zero_");
    PyArrayObject* x = given.count == 1 && !given.keywords ? array_in(given.values[0]) : nullptr;
    return x && !PyDataType_REFCHK(PyArray_DESCR(x)) ? set_all(door, given.values[0], nullptr, op) : nullptr;
}

// x.fill_(value)
PyObject* serve_fill(Door& door, const Given& given) {
    static PyObject* const op = PyUnicode_InternFromString("fill_");
    PyArrayObject* x = given.count == 2 && !given.keywords ? array_in(given.values[0]) : nullptr;
    const bool usual = x && is_float(x) && is_held(given.values[1]);
    return usual ? set_all(door, given.values[0], given.values[1], op) : nullptr;
}

// x.copy_(source) of one dtype and shape
PyObject* serve_copy(Door& door, const Given& given) {
    static PyObject* const op = PyUnicode_InternFromString("copy_");
    if (given.count != 2 || given.keywords) {
        return nullptr;
    }
    PyObject *tensor = given.values[0], *source = given.values[1];
    PyArrayObject *x = array_in(tensor), *y = array_in(source);
    if (!x || !y || x == y || !is_alike(x, y) || as_tensor(tensor)->device != as_tensor(source)->device ||
        !is_open(tensor)) {
        return nullptr;
    }
    if (is_free(tensor, source)) {
        return PyArray_CopyInto(x, y) == 0 ? noted(tensor, op) : nullptr;
    }
    Sizes shape;
    Ref expanded(shape.read(x) ? broadcast(door.used[1], source, shape) : nullptr);
    return expanded ? write_over(door.used[0], tensor, expanded, op) : nullptr;
}

// Where a value is put, and the values as an array of that shape.
struct Assignment {
    Place place;
    Chunks chunks;
    bool of_chunks = false;
    Ref values;

    bool find(PyObject* tensor, PyObject* index, PyObject* value) {
        PyArrayObject *x = array_in(tensor), *given = array_in(value);
        of_chunks = !place.find(x, index);
        if (of_chunks && !chunks.find(tensor, index)) {
            return false;
        }
        const int dimensions = of_chunks ? chunks.shape.count : place.dimensions;
        const npy_intp* shape = of_chunks ? chunks.shape.values : place.shape;
        if (given) {
            values = Ref::to(as_tensor(value)->array);
            return PyArray_DESCR(given) == PyArray_DESCR(x) && PyArray_NDIM(given) == dimensions &&
                   PyArray_CompareLists(PyArray_DIMS(given), shape, dimensions) &&
                   as_tensor(value)->device == as_tensor(tensor)->device &&
                   (!of_chunks || (PyArray_ISCARRAY_RO(given) && !overlap(x, given) &&
                                   PyArray_DATA(x) != PyArray_DATA(given)));
        }
        if (!is_held(value)) {
            return false;
        }
        values = of_chunks ? new_array(x, dimensions, shape) : Ref::to(value);
        return values && (!of_chunks || PyArray_FillWithScalar(as_array(values), value) == 0);
    }

    bool write(PyObject* array) const {
        if (of_chunks) {
            chunks.write_to(as_array(array), as_array(values));
            return true;
        }
        Ref part = place.view(array);
        return part && (PyArray_CheckExact(values.object)
                            ? PyArray_CopyInto(as_array(part), as_array(values))
                            : PyArray_FillWithScalar(as_array(part), values)) == 0;
    }
};

// x[index] = value, a number or a tensor of the part's shape
PyObject* serve_setitem(Door& door, const Given& given) {
    static PyObject* const op = PyUnicode_InternFromString("setitem");
    PyArrayObject* x = given.count == 3 && !given.keywords ? array_in(given.values[0]) : nullptr;
    Assignment assignment;
    if (!x || !is_float(x) || !is_open(given.values[0]) ||
        !assignment.find(given.values[0], given.values[1], given.values[2])) {
        return nullptr;
    }
    PyObject* const tensor = given.values[0];
    if (is_free(tensor, given.values[2])) {
        return assignment.write(as_tensor(tensor)->array) && note_change(as_tensor(tensor), op)
                   ? Py_NewRef(Py_None)
                   : nullptr;
    }
    PyArrayObject* value = array_in(given.values[2]);
    if (assignment.of_chunks || (value && PyArray_NDIM(value) > 0 && PyArray_DIM(value, 0) == 1)) {
        return nullptr;
    }
    Ref before = snapshot(tensor, false), changed(PyArray_NewCopy(x, NPY_CORDER));
    Ref index = PyTuple_CheckExact(given.values[1]) ? Ref::to(given.values[1])
                                                    : Ref(PyTuple_Pack(1, given.values[1]));
    PyObject* const inputs[] = {before, given.values[2]};
    PyObject* const parameters[] = {index};
    Operands operands(*door.used[1].caller);
    if (!before || !changed || !index || !assignment.write(changed) || !operands.read(inputs) ||
        !door.used[1].runs_body(operands.device)) {
        return nullptr;
    }
    Ref result(finish(operands, std::move(changed), parameters, nullptr));
    Ref written(result ? write_over(door.used[0], tensor, result, op) : nullptr);
    return written ? Py_NewRef(Py_None) : nullptr;
}

}  // namespace

const DoorEntry in_place_doors[] = {
    {"in_place", serve_reading, {"where"}},
    {"in_place.linear", serve_linear, {"where"}},
    {"in_place.add_", serve_add, {"where", "add"}},
    {"in_place.div_", serve_div, {"where", "divide"}},
    {"in_place.mul_", serve_mul, {"where", "multiply"}},
    {"in_place.sub_", serve_sub, {"where", "subtract"}},
    {"indexing.inplace.copy_", serve_copy, {"where", "broadcast_to"}},
    {"indexing.inplace.fill_", serve_fill, {"where"}},
    {"indexing.inplace.setitem", serve_setitem, {"where", "index_put"}},
    {"indexing.inplace.zero_", serve_zero, {"where"}},
    {nullptr, nullptr, {}},
};
