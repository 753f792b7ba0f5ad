// Doors to views: another shape or order of dimensions, and parts by ints and slices.
#include "doors.h"

#include <algorithm>

namespace {

PyArrayObject* viewed(const Given& given) {
    PyArrayObject* x = given.count ? array_in(given.values[0]) : nullptr;
    return x && PyArray_NDIM(x) <= most_axes ? x : nullptr;
}

Sizes shape_in(PyArrayObject* x) {
    Sizes shape;
    shape.count = PyArray_NDIM(x);
    std::copy_n(PyArray_DIMS(x), shape.count, shape.values);
    return shape;
}

// reshape(input, *sizes)
bool read_shape(const Given& given, PyArrayObject*& x, Sizes& shape) {
    x = viewed(given);
    return x && !given.keywords && shape.read(given.values + 1, given.count - 1) &&
           shape.complete(PyArray_SIZE(x));
}

PyObject* serve_reshape(Door& door, const Given& given) {
    PyArrayObject* x;
    Sizes shape;
    return read_shape(given, x, shape) ? reshaped(door.used[0], given.values[0], shape) : nullptr;
}

PyObject* serve_view(Door& door, const Given& given) {
    PyArrayObject* x;
    Sizes shape;
    if (!read_shape(given, x, shape) || !PyArray_ISCARRAY_RO(x)) {  // strides may not allow it
        return nullptr;
    }
    return reshaped(door.used[0], given.values[0], shape);
}

PyObject* serve_flatten(Door& door, const Given& given) {
    PyObject* places[3];
    PyArrayObject* x = viewed(given);
    if (!x || !given.place({"input", "start_dim", "end_dim"}, places)) {
        return nullptr;
    }
    const int dimensions = PyArray_NDIM(x);
    int first = 0, last = std::max(dimensions - 1, 0);
    if ((places[1] && !read_axis(places[1], dimensions, first)) ||
        (places[2] && !read_axis(places[2], dimensions, last)) || first > last) {
        return nullptr;
    }
    Sizes shape;
    const npy_intp* sizes = PyArray_DIMS(x);
    for (int i = 0; i < dimensions || i == 0; ++i) {
        if (i > first && i <= last) {
            shape.values[shape.count - 1] *= sizes[i];
        } else {
            shape.values[shape.count++] = dimensions ? sizes[i] : 1;
        }
    }
    return reshaped(door.used[0], given.values[0], shape);
}

PyObject* serve_squeeze(Door& door, const Given& given) {
    PyObject* places[2];
    PyArrayObject* x = viewed(given);
    unsigned dropped;
    if (!x || !given.place({"input", "dim"}, places) || (places[1] && PySequence_Check(places[1])) ||
        !read_axes(places[1], PyArray_NDIM(x), dropped)) {
        return nullptr;
    }
    Sizes shape;
    for (int i = 0; i < PyArray_NDIM(x); ++i) {
        if (PyArray_DIM(x, i) != 1 || !(dropped & 1u << i)) {
            shape.values[shape.count++] = PyArray_DIM(x, i);
        }
    }
    return reshaped(door.used[0], given.values[0], shape);
}

PyObject* serve_unsqueeze(Door& door, const Given& given) {
    PyObject* places[2];
    PyArrayObject* x = viewed(given);
    int axis;
    if (!x || PyArray_NDIM(x) == most_axes || !given.place({"input", "dim"}, places) ||
        !read_axis(places[1], PyArray_NDIM(x) + 1, axis)) {
        return nullptr;
    }
    Sizes shape = shape_in(x);
    std::copy_backward(shape.values + axis, shape.values + shape.count, shape.values + shape.count + 1);
    shape.values[axis] = 1;
    ++shape.count;
    return reshaped(door.used[0], given.values[0], shape);
}

PyObject* transposed(Used& used, PyObject* tensor, const Sizes& order) {
    Operands operands(*used.caller);
    if (!operands.read(&tensor) || !used.runs_body(operands.device)) {
        return nullptr;
    }
    PyArray_Dims axes = {const_cast<npy_intp*>(order.values), order.count};
    Ref array(PyArray_Transpose(as_array(operands.values[0]), &axes));
    Ref saved = operands.wanted ? order.tuple() : Ref();
    PyObject* const parameters[] = {saved};
    return array ? finish(operands, std::move(array), parameters, nullptr) : nullptr;
}

Sizes in_order(int count) {
    Sizes order;
    order.count = count;
    for (int i = 0; i < count; ++i) {
        order.values[i] = i;
    }
    return order;
}

PyObject* serve_transpose(Door& door, const Given& given) {
    PyObject* places[3];
    PyArrayObject* x = viewed(given);
    int i, j;
    if (!x || !given.place({"input", "dim0", "dim1"}, places) ||
        !read_axis(places[1], PyArray_NDIM(x), i) || !read_axis(places[2], PyArray_NDIM(x), j)) {
        return nullptr;
    }
    Sizes order = in_order(PyArray_NDIM(x));
    if (order.count) {
        std::swap(order.values[i], order.values[j]);
    }
    return transposed(door.used[0], given.values[0], order);
}

PyObject* serve_permute(Door& door, const Given& given) {
    PyArrayObject* x = viewed(given);
    Sizes order;
    if (!x || given.keywords || !order.read(given.values + 1, given.count - 1) ||
        order.count != PyArray_NDIM(x)) {
        return nullptr;
    }
    unsigned seen = 0;
    for (int i = 0; i < order.count; ++i) {
        order.values[i] += order.values[i] < 0 ? order.count : 0;
        if (order.values[i] < 0 || order.values[i] >= order.count || seen & 1u << order.values[i]) {
            return nullptr;
        }
        seen |= 1u << order.values[i];
    }
    return transposed(door.used[0], given.values[0], order);
}

PyObject* serve_T(Door& door, const Given& given) {
    PyArrayObject* x = viewed(given);
    if (!x || given.count != 1 || given.keywords) {
        return nullptr;
    }
    Sizes order = in_order(PyArray_NDIM(x));
    std::reverse(order.values, order.values + order.count);
    return transposed(door.used[0], given.values[0], order);
}

PyObject* serve_t(Door& door, const Given& given) {
    PyArrayObject* x = viewed(given);
    return x && PyArray_NDIM(x) <= 2 ? serve_T(door, given) : nullptr;
}

PyObject* serve_mT(Door& door, const Given& given) {
    PyArrayObject* x = viewed(given);
    if (!x || given.count != 1 || given.keywords || PyArray_NDIM(x) < 2) {
        return nullptr;
    }
    Sizes order = in_order(PyArray_NDIM(x));
    std::swap(order.values[order.count - 1], order.values[order.count - 2]);
    return transposed(door.used[0], given.values[0], order);
}

// expand(input, *sizes)
PyObject* serve_expand(Door& door, const Given& given) {
    Sizes shape;
    return viewed(given) && !given.keywords && shape.read(given.values + 1, given.count - 1)
               ? broadcast(door.used[0], given.values[0], shape)
               : nullptr;
}

// The tensor itself, where nothing is to be done.
PyObject* serve_contiguous(Door&, const Given& given) {
    PyArrayObject* x = given.count == 1 && !given.keywords ? array_in(given.values[0]) : nullptr;
    return x && PyArray_IS_C_CONTIGUOUS(x) ? Py_NewRef(given.values[0]) : nullptr;
}

// x[index]
PyObject* serve_subscript(Door& door, const Given& given) {
    if (given.count != 2 || given.keywords || !array_in(given.values[0])) {
        return nullptr;
    }
    PyObject* part = part_of(door.used[0], given.values[0], given.values[1]);
    return part || PyErr_Occurred() ? part : picked(door.used[0], given.values[0], given.values[1]);
}

// One end of a slice, or its step. False for what only Python can read.
bool is_end(PyObject* end) { return end == Py_None || PyLong_CheckExact(end); }

PyObject* slice_of(npy_intp start, npy_intp end) {
    Ref first(PyLong_FromSsize_t(start)), last(PyLong_FromSsize_t(end));
    return first && last ? PySlice_New(first, last, nullptr) : nullptr;
}

// The index [:, ..., start:end] along an axis.
Ref index_along(int axis, npy_intp start, npy_intp end) {
    Ref index(PyTuple_New(axis + 1));
    for (int i = 0; index && i <= axis; ++i) {
        PyObject* part = i < axis ? PySlice_New(nullptr, nullptr, nullptr) : slice_of(start, end);
        if (!part) {
            return Ref();
        }
        PyTuple_SET_ITEM(index.object, i, part);
    }
    return index;
}

// The index [:, ..., i] along an axis.
Ref index_at(int axis, npy_intp i) {
    Ref index(PyTuple_New(axis + 1));
    for (int k = 0; index && k <= axis; ++k) {
        PyObject* part = k < axis ? PySlice_New(nullptr, nullptr, nullptr) : PyLong_FromSsize_t(i);
        if (!part) {
            return Ref();
        }
        PyTuple_SET_ITEM(index.object, k, part);
    }
    return index;
}

PyObject* part_at(Used& used, PyObject* tensor, const Ref& index) {
    return index ? part_of(used, tensor, index) : nullptr;
}

// What is said by the names of two arguments behind the tensor, of which it needs the dimension.
PyArrayObject* read_parted(PyObject* tensor, PyObject* dim, int& axis) {
    PyArrayObject* x = array_in(tensor);
    const bool there = x && PyArray_NDIM(x) > 0 && (!dim || read_axis(dim, PyArray_NDIM(x), axis));
    return there ? x : nullptr;
}

PyObject* serve_select(Door& door, const Given& given) {
    PyObject* places[3];
    int axis = 0;
    npy_intp at;
    if (!given.place({"input", "dim", "index"}, places) || !places[1]) {
        return nullptr;
    }
    PyArrayObject* x = read_parted(places[0], places[1], axis);
    if (!x || !read_int(places[2], at) || at < -PyArray_DIM(x, axis) || at >= PyArray_DIM(x, axis)) {
        return nullptr;
    }
    return part_at(door.used[0], places[0], index_at(axis, at < 0 ? at + PyArray_DIM(x, axis) : at));
}

PyObject* serve_narrow(Door& door, const Given& given) {
    PyObject* places[4];
    int axis = 0;
    npy_intp start, length;
    if (!given.place({"input", "dim", "start", "length"}, places) || !places[1]) {
        return nullptr;
    }
    PyArrayObject* x = read_parted(places[0], places[1], axis);
    if (!x || !read_int(places[2], start) || !read_int(places[3], length)) {
        return nullptr;
    }
    const npy_intp size = PyArray_DIM(x, axis);
    if (start < -size || start > size || length < 0 || length > size) {
        return nullptr;
    }
    start += start < 0 ? size : 0;
    return start + length > size ? nullptr
                                 : part_at(door.used[0], places[0], index_along(axis, start, start + length));
}

// The parts of this size along an axis, or the slices without it where the size is 0.
PyObject* all_parts(Used& used, PyObject* tensor, int axis, npy_intp extent, npy_intp size) {
    const npy_intp count = size ? extent / size + (extent % size != 0) : extent;
    Ref parts(PyTuple_New(count));
    for (npy_intp i = 0; parts && i < count; ++i) {
        const npy_intp end = i + 1 < count ? (i + 1) * size : extent;
        PyObject* part = part_at(used, tensor, size ? index_along(axis, i * size, end) : index_at(axis, i));
        if (!part) {
            return nullptr;
        }
        PyTuple_SET_ITEM(parts.object, i, part);
    }
    return parts.release();
}

PyObject* serve_split(Door& door, const Given& given) {
    PyObject* places[3];
    int axis = 0;
    npy_intp size;
    if (!given.place({"tensor", "split_size_or_sections", "dim"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = read_parted(places[0], places[2], axis);
    if (!x || !read_int(places[1], size) || size <= 0 || PyArray_DIM(x, axis) == 0) {
        return nullptr;
    }
    return all_parts(door.used[0], places[0], axis, PyArray_DIM(x, axis), size);
}

PyObject* serve_chunk(Door& door, const Given& given) {
    PyObject* places[3];
    int axis = 0;
    npy_intp chunks;
    if (!given.place({"input", "chunks", "dim"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = read_parted(places[0], places[2], axis);
    if (!x || !read_int(places[1], chunks) || chunks < 1 || PyArray_DIM(x, axis) == 0) {
        return nullptr;
    }
    const npy_intp extent = PyArray_DIM(x, axis);
    return all_parts(door.used[0], places[0], axis, extent, extent / chunks + (extent % chunks != 0));
}

PyObject* serve_unbind(Door& door, const Given& given) {
    PyObject* places[2];
    int axis = 0;
    if (!given.place({"input", "dim"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = read_parted(places[0], places[1], axis);
    return x ? all_parts(door.used[0], places[0], axis, PyArray_DIM(x, axis), 0) : nullptr;
}

}  // namespace

bool Place::find(PyArrayObject* array, PyObject* index) {
    PyObject* const* parts = &index;
    Py_ssize_t count = 1;
    if (PyTuple_CheckExact(index)) {
        parts = &PyTuple_GET_ITEM(index, 0);
        count = PyTuple_GET_SIZE(index);
    }
    int used = 0, dots = 0;
    for (Py_ssize_t k = 0; k < count; ++k) {
        if (PyLong_CheckExact(parts[k]) || PySlice_Check(parts[k])) {
            ++used;
        } else if (parts[k] == Py_Ellipsis) {
            ++dots;
        } else if (parts[k] != Py_None) {
            return false;
        }
    }
    const int all = PyArray_NDIM(array);
    if (used > all || dots > 1 || count + all > NPY_MAXDIMS) {
        return false;
    }
    int axis = 0;
    const auto keep = [&](npy_intp extent, npy_intp stride) {
        shape[dimensions] = extent;
        strides[dimensions++] = stride;
    };
    const auto keep_next = [&] {
        keep(PyArray_DIM(array, axis), PyArray_STRIDE(array, axis));
        ++axis;
    };
    for (Py_ssize_t k = 0; k < count; ++k) {
        PyObject* part = parts[k];
        if (part == Py_None) {
            keep(1, 0);
        } else if (part == Py_Ellipsis) {
            for (int skipped = all - used; skipped; --skipped) {
                keep_next();
            }
        } else if (PyLong_CheckExact(part)) {
            npy_intp at;
            const npy_intp extent = PyArray_DIM(array, axis);
            if (!read_int(part, at) || at < -extent || at >= extent) {
                return false;
            }
            offset += (at < 0 ? at + extent : at) * PyArray_STRIDE(array, axis++);
        } else {
            const PySliceObject* slice = reinterpret_cast<PySliceObject*>(part);
            Py_ssize_t start, stop, step;
            if (!is_end(slice->start) || !is_end(slice->stop) || !is_end(slice->step) ||
                PySlice_Unpack(part, &start, &stop, &step) < 0 || step <= 0) {
                return false;
            }
            const npy_intp length = PySlice_AdjustIndices(PyArray_DIM(array, axis), &start, &stop, step);
            const npy_intp stride = PyArray_STRIDE(array, axis++);
            offset += length > 0 ? start * stride : 0;
            keep(length > 0 ? length : 0, length > 0 ? step * stride : stride);
        }
    }
    while (axis < all) {
        keep_next();
    }
    return true;
}

Ref Place::view(PyObject* object) const {
    PyArrayObject* array = as_array(object);
    PyArray_Descr* dtype = PyArray_DESCR(array);
    Py_INCREF(dtype);
    Ref view(PyArray_NewFromDescr(&PyArray_Type, dtype, dimensions, shape, strides,
                                  PyArray_BYTES(array) + offset, PyArray_FLAGS(array), nullptr));
    if (view && PyArray_SetBaseObject(as_array(view), Py_NewRef(object)) < 0) {
        return Ref();
    }
    return view;
}

PyObject* reshaped(Used& used, PyObject* tensor, const Sizes& shape) {
    Operands operands(*used.caller);
    if (!operands.read(&tensor) || !used.runs_body(operands.device)) {
        return nullptr;
    }
    PyArray_Dims sizes = {const_cast<npy_intp*>(shape.values), shape.count};
    Ref array(PyArray_Newshape(as_array(operands.values[0]), &sizes, NPY_CORDER));
    Ref saved = operands.wanted ? shape.tuple() : Ref();
    PyObject* const parameters[] = {saved};
    return array ? finish(operands, std::move(array), parameters, nullptr) : nullptr;
}

PyObject* broadcast(Used& used, PyObject* tensor, Sizes shape) {
    PyArrayObject* x = array_in(tensor);
    const int lead = shape.count - PyArray_NDIM(x);
    const bool single = PyArray_SIZE(x) == 1;
    Place place;
    for (int i = 0; i < shape.count; ++i) {
        const npy_intp have = i < lead ? -1 : PyArray_DIM(x, i - lead);
        npy_intp& size = shape.values[i];
        size = size == -1 ? have : size;
        if (lead < 0 || size < 0 || (i >= lead && have != 1 && have != size)) {
            return nullptr;
        }
        place.shape[i] = size;
        place.strides[i] = i >= lead && have == size && !single ? PyArray_STRIDE(x, i - lead) : 0;
    }
    place.dimensions = shape.count;
    Operands operands(*used.caller);
    if (lead < 0 || !operands.read(&tensor) || !used.runs_body(operands.device)) {
        return nullptr;
    }
    Ref array = place.view(operands.values[0]), saved = operands.wanted ? shape.tuple() : Ref();
    PyObject* const parameters[] = {saved};
    return array ? finish(operands, std::move(array), parameters, nullptr) : nullptr;
}

PyObject* part_of(Used& used, PyObject* tensor, PyObject* index) {
    Operands operands(*used.caller);
    Place place;
    if (!operands.read(&tensor) || !used.runs_body(operands.device) ||
        !place.find(as_array(operands.values[0]), index)) {
        return nullptr;
    }
    Ref array = place.view(operands.values[0]), saved;
    if (operands.wanted) {
        saved = PyTuple_CheckExact(index) ? Ref::to(index) : Ref(PyTuple_Pack(1, index));
    }
    PyObject* const parameters[] = {saved};
    return array ? finish(operands, std::move(array), parameters, nullptr) : nullptr;
}

const DoorEntry view_doors[] = {
    {"indexing.subscript.subscript", serve_subscript, {"getitem"}},
    {"movement.axes.T", serve_T, {"transpose"}},
    {"movement.shape.contiguous_tensor", serve_contiguous, {}},
    {"movement.shape.expand", serve_expand, {"broadcast_to"}},
    {"movement.shape.flatten", serve_flatten, {"reshape"}},
    {"movement.shape.mT", serve_mT, {"transpose"}},
    {"movement.shape.permute", serve_permute, {"transpose"}},
    {"movement.shape.reshape", serve_reshape, {"reshape"}},
    {"movement.shape.squeeze", serve_squeeze, {"reshape"}},
    {"movement.shape.t", serve_t, {"transpose"}},
    {"movement.shape.transpose", serve_transpose, {"transpose"}},
    {"movement.shape.unsqueeze", serve_unsqueeze, {"reshape"}},
    {"movement.shape.view", serve_view, {"reshape"}},
    {"movement.split.chunk", serve_chunk, {"getitem"}},
    {"movement.split.narrow", serve_narrow, {"getitem"}},
    {"movement.split.select", serve_select, {"getitem"}},
    {"movement.split.split", serve_split, {"getitem"}},
    {"movement.split.unbind", serve_unbind, {"getitem"}},
    {nullptr, nullptr, {}},
};
