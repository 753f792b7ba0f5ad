// Parts of a tensor that index tensors name: rows, elements where a mask is True, and along a dimension.
#include "doors.h"

#include <algorithm>

namespace {

constexpr npy_intp few = 1 << 14;

// A tensor of int64 or bool, contiguous and on this device.
PyArrayObject* index_in(PyObject* part, PyObject* device, int type) {
    PyArrayObject* array = array_in(part);
    const bool fits = array && PyArray_TYPE(array) == type && PyArray_ISCARRAY_RO(array) &&
                      as_tensor(part)->device == device;
    return fits ? array : nullptr;
}

const npy_int64* numbers(PyArrayObject* index) { return static_cast<const npy_int64*>(PyArray_DATA(index)); }

bool is_whole(PyObject* part) {
    if (!PySlice_Check(part)) {
        return false;
    }
    const PySliceObject* slice = reinterpret_cast<PySliceObject*>(part);
    return slice->start == Py_None && slice->stop == Py_None && slice->step == Py_None;
}

// The index as the tape keeps it: arrays, which nobody changes, in the place of tensors.
Ref kept_index(PyObject* index) {
    if (!PyTuple_CheckExact(index)) {
        Ref copy(PyArray_NewCopy(array_in(index), NPY_CORDER));
        return copy ? Ref(PyTuple_Pack(1, copy.object)) : Ref();
    }
    Ref kept(PyTuple_New(PyTuple_GET_SIZE(index)));
    for (Py_ssize_t i = 0; kept && i < PyTuple_GET_SIZE(index); ++i) {
        PyObject* part = PyTuple_GET_ITEM(index, i);
        PyObject* copy = is_tensor(part) ? PyArray_NewCopy(array_in(part), NPY_CORDER) : Py_NewRef(part);
        if (!copy) {
            return Ref();
        }
        PyTuple_SET_ITEM(kept.object, i, copy);
    }
    return kept;
}

// gather(input, dim, index): where each element stands, and the index of the whole that says so.
bool find_along(PyArrayObject* x, PyArrayObject* index, int axis, Chunks& chunks) {
    const int dimensions = PyArray_NDIM(x);
    if (PyArray_NDIM(index) != dimensions || PyArray_SIZE(index) == 0 || PyArray_SIZE(index) > few) {
        return false;
    }
    for (int i = 0; i < dimensions; ++i) {
        if (i != axis && PyArray_DIM(index, i) > PyArray_DIM(x, i)) {
            return false;
        }
    }
    chunks.size = PyArray_ITEMSIZE(x);
    npy_intp at[most_axes] = {}, base = 0;
    for (npy_intp k = 0; k < PyArray_SIZE(index); ++k) {
        const npy_int64 chosen = numbers(index)[k];
        if (chosen < 0 || chosen >= PyArray_DIM(x, axis)) {
            return false;
        }
        chunks.offsets.push_back(base + chosen * PyArray_STRIDE(x, axis));
        for (int i = dimensions; i-- > 0;) {  // the next element
            base += i == axis ? 0 : PyArray_STRIDE(x, i);
            if (++at[i] < PyArray_DIM(index, i)) {
                break;
            }
            base -= i == axis ? 0 : at[i] * PyArray_STRIDE(x, i);
            at[i] = 0;
        }
    }
    return chunks.shape.read(index);
}

// 0, 1, ... along one of so many dimensions.
PyObject* numbers_along(int axis, int dimensions, npy_intp size) {
    npy_intp shape[most_axes];
    std::fill_n(shape, dimensions, 1);
    shape[axis] = size;
    PyObject* array = PyArray_SimpleNew(dimensions, shape, NPY_INT64);
    for (npy_intp i = 0; array && i < size; ++i) {
        static_cast<npy_int64*>(PyArray_DATA(as_array(array)))[i] = i;
    }
    return array;
}

PyObject* serve_gather(Door& door, const Given& given) {
    PyObject* places[3];
    int axis = 0;
    Chunks chunks;
    if (!given.place({"input", "dim", "index"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = array_in(places[0]);
    if (!x || PyArray_NDIM(x) == 0 || PyArray_NDIM(x) > most_axes || !PyArray_ISCARRAY_RO(x) ||
        PyDataType_REFCHK(PyArray_DESCR(x)) || !read_axis(places[1], PyArray_NDIM(x), axis)) {
        return nullptr;
    }
    PyArrayObject* index = index_in(places[2], as_tensor(places[0])->device, NPY_INT64);
    Operands operands(*door.used[0].caller);
    if (!index || !find_along(x, index, axis, chunks) || !operands.read(places) ||
        !door.used[0].runs_body(operands.device)) {
        return nullptr;
    }
    Ref saved(operands.wanted ? PyTuple_New(PyArray_NDIM(x)) : nullptr);
    for (int i = 0; saved && i < PyArray_NDIM(x); ++i) {
        PyObject* part = i == axis ? PyArray_NewCopy(index, NPY_CORDER)
                                   : numbers_along(i, PyArray_NDIM(x), PyArray_DIM(index, i));
        if (!part) {
            return nullptr;
        }
        PyTuple_SET_ITEM(saved.object, i, part);
    }
    PyObject* const parameters[] = {saved};
    return finish(operands, chunks.read_from(x), parameters, nullptr);
}

// index_select(input, dim, index)
PyObject* serve_index_select(Door& door, const Given& given) {
    PyObject* places[3];
    int axis = 0;
    if (!given.place({"input", "dim", "index"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = array_in(places[0]);
    if (!x || PyArray_NDIM(x) == 0 || !read_axis(places[1], PyArray_NDIM(x), axis)) {
        return nullptr;
    }
    PyArrayObject* index = index_in(places[2], as_tensor(places[0])->device, NPY_INT64);
    if (!index || PyArray_NDIM(index) != 1 ||
        std::any_of(numbers(index), numbers(index) + PyArray_SIZE(index), [](npy_int64 i) { return i < 0; })) {
        return nullptr;
    }
    Ref parts(PyTuple_New(axis + 1));
    for (int i = 0; parts && i < axis; ++i) {
        PyTuple_SET_ITEM(parts.object, i, PySlice_New(nullptr, nullptr, nullptr));
    }
    if (!parts) {
        return nullptr;
    }
    PyTuple_SET_ITEM(parts.object, axis, Py_NewRef(places[2]));
    return picked(door.used[0], places[0], parts);
}

}  // namespace

bool Chunks::find(PyObject* tensor, PyObject* index) {
    PyArrayObject* x = array_in(tensor);
    PyObject* const device = as_tensor(tensor)->device;
    if (!x || !PyArray_ISCARRAY_RO(x) || PyArray_NDIM(x) > most_axes || PyDataType_REFCHK(PyArray_DESCR(x))) {
        return false;
    }
    PyArrayObject* mask = index_in(index, device, NPY_BOOL);
    if (mask) {
        return PyArray_NDIM(x) > 0 && PyArray_SAMESHAPE(x, mask) && find_true(x, mask);
    }
    PyObject* const* parts = &index;
    int count = 1, axis = 0;
    if (PyTuple_CheckExact(index)) {
        parts = &PyTuple_GET_ITEM(index, 0);
        count = int(std::min(PyTuple_GET_SIZE(index), Py_ssize_t(1 + most_axes)));
    }
    while (axis < count && is_whole(parts[axis])) {
        ++axis;
    }
    if (axis == count || count > PyArray_NDIM(x)) {
        return false;
    }
    PyArrayObject* indices[most_axes];
    for (int i = axis; i < count; ++i) {
        indices[i] = index_in(parts[i], device, NPY_INT64);
        if (!indices[i] || PyArray_NDIM(indices[i]) == 0 || !PyArray_SAMESHAPE(indices[i], indices[axis])) {
            return false;
        }
    }
    return find_rows(x, indices, axis, count);
}

bool Chunks::find_true(PyArrayObject* x, PyArrayObject* mask) {
    const npy_bool* chosen = static_cast<const npy_bool*>(PyArray_DATA(mask));
    size = PyArray_ITEMSIZE(x);
    if (PyArray_SIZE(x) > few) {
        return false;
    }
    for (npy_intp i = 0; i < PyArray_SIZE(x); ++i) {
        if (chosen[i]) {
            offsets.push_back(i * size);
        }
    }
    shape.count = 1;
    shape.values[0] = npy_intp(offsets.size());
    return true;
}

bool Chunks::find_rows(PyArrayObject* x, PyArrayObject* const* indices, int axis, int count) {
    PyArrayObject* first = indices[axis];
    const int behind = PyArray_NDIM(x) - count;
    if (axis + PyArray_NDIM(first) + behind > most_axes) {
        return false;
    }
    npy_intp outer = 1;
    size = PyArray_ITEMSIZE(x);
    for (int i = 0; i < axis; ++i) {
        outer *= shape.values[shape.count++] = PyArray_DIM(x, i);
    }
    for (int i = 0; i < PyArray_NDIM(first); ++i) {
        shape.values[shape.count++] = PyArray_DIM(first, i);
    }
    for (int i = count; i < PyArray_NDIM(x); ++i) {
        size *= shape.values[shape.count++] = PyArray_DIM(x, i);
    }
    const npy_intp rows = PyArray_SIZE(first), step = axis ? bytes_below(x, axis - 1) : 0;
    if (rows * outer > few || PyArray_SIZE(x) == 0) {
        return false;
    }
    offsets.resize(size_t(rows * outer));
    for (npy_intp k = 0; k < rows; ++k) {
        for (int i = axis; i < count; ++i) {
            const npy_int64 at = numbers(indices[i])[k], extent = PyArray_DIM(x, i);
            if (at < -extent || at >= extent) {
                return false;
            }
            offsets[size_t(k)] += (at < 0 ? at + extent : at) * PyArray_STRIDE(x, i);
        }
    }
    for (npy_intp o = rows; o < rows * outer; ++o) {
        offsets[size_t(o)] = offsets[size_t(o - rows)] + step;
    }
    return true;
}

Ref Chunks::read_from(PyArrayObject* x) const {
    Ref part = new_array(x, shape.count, shape.values);
    char* to = part ? PyArray_BYTES(as_array(part)) : nullptr;
    for (size_t i = 0; part && i < offsets.size(); ++i, to += size) {
        std::memcpy(to, PyArray_BYTES(x) + offsets[i], size_t(size));
    }
    return part;
}

void Chunks::write_to(PyArrayObject* x, PyArrayObject* part) const {
    const char* from = PyArray_BYTES(part);
    for (size_t i = 0; i < offsets.size(); ++i, from += size) {
        std::memcpy(PyArray_BYTES(x) + offsets[i], from, size_t(size));
    }
}

PyObject* picked(Used& used, PyObject* tensor, PyObject* index) {
    Operands operands(*used.caller);
    Chunks chunks;
    if (!operands.read(&tensor) || !used.runs_body(operands.device) || !chunks.find(tensor, index)) {
        return nullptr;
    }
    Ref saved = operands.wanted ? kept_index(index) : Ref();
    PyObject* const parameters[] = {saved};
    return finish(operands, chunks.read_from(as_array(operands.values[0])), parameters, nullptr);
}

const DoorEntry chunk_doors[] = {
    {"indexing.gather.gather", serve_gather, {"getitem"}},
    {"indexing.gather.index_select", serve_index_select, {"getitem"}},
    {nullptr, nullptr, {}},
};
