// Doors to what makes one tensor of several: cat, stack.
#include "doors.h"

#include <algorithm>
#include <cstring>

namespace {

// The tensors in a list or tuple, of one dtype and device, each contiguous.
struct Parts {
    PyObject* const* tensors = nullptr;
    Py_ssize_t count = 0;

    bool read(PyObject* given) {
        if (!given || !(PyTuple_CheckExact(given) || PyList_CheckExact(given))) {
            return false;
        }
        tensors = PySequence_Fast_ITEMS(given);
        count = PySequence_Fast_GET_SIZE(given);
        PyArrayObject* first = count ? array_in(tensors[0]) : nullptr;
        for (Py_ssize_t i = 0; i < count; ++i) {
            PyArrayObject* x = array_in(tensors[i]);
            if (!first || !x || !PyArray_ISCARRAY_RO(x) || PyArray_DESCR(x) != PyArray_DESCR(first) ||
                PyArray_NDIM(x) != PyArray_NDIM(first) ||
                as_tensor(tensors[i])->device != as_tensor(tensors[0])->device ||
                (engine.makes_others && is_set(as_tensor(tensors[i])->node))) {
                return false;
            }
        }
        return first && PyArray_NDIM(first) < most_axes && !PyDataType_REFCHK(PyArray_DESCR(first));
    }
    PyArrayObject* array(Py_ssize_t i) const { return as_array(as_tensor(tensors[i])->array); }

    // Side by side: what follows ``axis`` of each, as often as what is before it says.
    Ref join(const Sizes& shape, int axis) const {
        Ref result = new_array(array(0), shape.count, shape.values);
        npy_intp rows = 1;
        for (int i = 0; i < axis; ++i) {
            rows *= shape.values[i];
        }
        char* to = result ? PyArray_BYTES(as_array(result)) : nullptr;
        for (npy_intp row = 0; result && row < rows; ++row) {
            for (Py_ssize_t i = 0; i < count; ++i) {
                const size_t bytes = size_t(PyArray_NBYTES(array(i)) / rows);
                std::memcpy(to, PyArray_BYTES(array(i)) + size_t(row) * bytes, bytes);
                to += bytes;
            }
        }
        return result;
    }
};

bool read(const Given& given, Parts& parts, PyObject*& dim) {
    PyObject* places[2];
    if (!given.place({"tensors", "dim"}, places) || !parts.read(places[0])) {
        return false;
    }
    dim = places[1];
    return true;
}

PyObject* serve_cat(Door& door, const Given& given) {
    Parts parts;
    PyObject* dim;
    int axis = 0;
    if (!read(given, parts, dim)) {
        return nullptr;
    }
    const int dimensions = PyArray_NDIM(parts.array(0));
    if (dimensions == 0 || (dim && !read_axis(dim, dimensions, axis)) ||
        !door.used[0].runs_body(as_tensor(parts.tensors[0])->device)) {
        return nullptr;
    }
    Sizes shape;
    shape.count = dimensions;
    std::copy_n(PyArray_DIMS(parts.array(0)), dimensions, shape.values);
    shape.values[axis] = 0;
    Ref sizes(PyTuple_New(parts.count));
    for (Py_ssize_t i = 0; sizes && i < parts.count; ++i) {
        for (int k = 0; k < dimensions; ++k) {
            if (k != axis && PyArray_DIM(parts.array(i), k) != shape.values[k]) {
                return nullptr;
            }
        }
        const npy_intp size = PyArray_DIM(parts.array(i), axis);
        shape.values[axis] += size;
        PyTuple_SET_ITEM(sizes.object, i, PyLong_FromSsize_t(size));
    }
    Ref value = parts.join(shape, axis), along(PyLong_FromLong(axis));
    Ref parameters(along && sizes ? PyTuple_Pack(2, along.object, sizes.object) : nullptr);
    if (!value || !parameters) {
        return nullptr;
    }
    return finish_joined(*door.used[0].caller, parts.tensors, parts.count, value, parameters);
}

PyObject* serve_stack(Door& door, const Given& given) {
    Parts parts;
    PyObject* dim;
    int axis = 0;
    if (!read(given, parts, dim)) {
        return nullptr;
    }
    const int dimensions = PyArray_NDIM(parts.array(0));
    if ((dim && !read_axis(dim, dimensions + 1, axis)) ||
        !door.used[0].runs_body(as_tensor(parts.tensors[0])->device)) {
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < parts.count; ++i) {
        if (!PyArray_SAMESHAPE(parts.array(i), parts.array(0))) {
            return nullptr;
        }
    }
    Sizes shape;
    shape.count = dimensions + 1;
    const npy_intp* each = PyArray_DIMS(parts.array(0));
    shape.values[axis] = parts.count;
    std::copy(each, each + axis, shape.values);
    std::copy(each + axis, each + dimensions, shape.values + axis + 1);
    Ref value = parts.join(shape, axis), along(PyLong_FromLong(axis));
    Ref parameters(along ? PyTuple_Pack(1, along.object) : nullptr);
    if (!value || !parameters) {
        return nullptr;
    }
    return finish_joined(*door.used[0].caller, parts.tensors, parts.count, value, parameters);
}

}  // namespace

const DoorEntry join_doors[] = {
    {"movement.cat.cat", serve_cat, {"concatenate"}},
    {"movement.cat.stack", serve_stack, {"stack"}},
    {nullptr, nullptr, {}},
};
