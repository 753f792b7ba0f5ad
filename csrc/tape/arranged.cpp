// Doors to the same elements in another order, or some of them: flip, roll, triangles.
#include "doors.h"

#include <algorithm>

namespace {

constexpr npy_intp few = 1 << 14;

// A small tensor, which the primitive's body would read as it is.
PyArrayObject* read_small(Used& used, PyObject* tensor, Operands& operands) {
    PyArrayObject* x = array_in(tensor);
    const bool fits = x && PyArray_ISCARRAY_RO(x) && PyArray_SIZE(x) > 0 && PyArray_SIZE(x) <= few &&
                      PyArray_NDIM(x) <= most_axes && !PyDataType_REFCHK(PyArray_DESCR(x));
    return fits && operands.read(&tensor) && used.runs_body(operands.device) ? x : nullptr;
}

// All of an array.
Place whole(PyArrayObject* x) {
    Place place;
    place.dimensions = PyArray_NDIM(x);
    std::copy_n(PyArray_DIMS(x), place.dimensions, place.shape);
    std::copy_n(PyArray_STRIDES(x), place.dimensions, place.strides);
    return place;
}

// flip(input, *dims)
PyObject* serve_flip(Door& door, const Given& given) {
    Sizes dims;
    if (given.count < 2 || given.keywords || !dims.read(given.values + 1, given.count - 1)) {
        return nullptr;
    }
    Operands operands(*door.used[0].caller);
    PyArrayObject* x = read_small(door.used[0], given.values[0], operands);
    if (!x || PyArray_NDIM(x) == 0) {
        return nullptr;
    }
    Place place = whole(x);
    for (int i = 0; i < dims.count; ++i) {
        npy_intp& dim = dims.values[i];
        dim += dim < 0 ? place.dimensions : 0;
        if (dim < 0 || dim >= place.dimensions || std::find(dims.values, dims.values + i, dim) != dims.values + i) {
            return nullptr;
        }
        place.offset += (place.shape[dim] - 1) * place.strides[dim];
        place.strides[dim] *= -1;
    }
    Ref view = place.view(operands.values[0]), axes = dims.tuple();
    PyObject* const parameters[] = {axes};
    Ref value(view && axes ? PyArray_NewCopy(as_array(view), NPY_CORDER) : nullptr);
    return finish(operands, std::move(value), parameters, nullptr);
}

// roll(input, shifts, dims) by one int along one dimension
PyObject* serve_roll(Door& door, const Given& given) {
    PyObject* places[3];
    npy_intp shift;
    int axis;
    if (!given.place({"input", "shifts", "dims"}, places) || !read_int(places[1], shift)) {
        return nullptr;
    }
    Operands operands(*door.used[0].caller);
    PyArrayObject* x = read_small(door.used[0], places[0], operands);
    if (!x || PyArray_NDIM(x) == 0 || !read_axis(places[2], PyArray_NDIM(x), axis)) {
        return nullptr;
    }
    Ref moves(PyTuple_Pack(1, places[1])), along(PyLong_FromLong(axis));
    Ref axes(along ? PyTuple_Pack(1, along.object) : nullptr);
    Ref value = new_array(x, PyArray_NDIM(x), PyArray_DIMS(x));
    if (!moves || !axes || !value) {
        return nullptr;
    }
    const npy_intp length = PyArray_DIM(x, axis), row = bytes_below(x, axis);
    const npy_intp first = (shift % length + length) % length;  // where element 0 goes
    char* to = PyArray_BYTES(as_array(value));
    const char* from = PyArray_BYTES(x);
    for (const char* end = from + PyArray_NBYTES(x); from < end; from += length * row, to += length * row) {
        std::memcpy(to + first * row, from, size_t((length - first) * row));
        std::memcpy(to, from + (length - first) * row, size_t(first * row));
    }
    PyObject* const parameters[] = {moves, axes};
    return finish(operands, std::move(value), parameters, nullptr);
}

// tril(input, diagonal), triu
template <bool upper>
PyObject* serve_triangle(Door& door, const Given& given) {
    static PyObject* const main_one = PyLong_FromLong(0);
    PyObject* places[2];
    npy_intp diagonal = 0;
    if (!given.place({"input", "diagonal"}, places) || (places[1] && !read_int(places[1], diagonal))) {
        return nullptr;
    }
    Operands operands(*door.used[0].caller);
    PyArrayObject* x = read_small(door.used[0], places[0], operands);
    if (!x || PyArray_NDIM(x) < 2) {
        return nullptr;
    }
    Ref value(PyArray_NewCopy(x, NPY_CORDER));
    const npy_intp rows = PyArray_DIM(x, PyArray_NDIM(x) - 2), columns = PyArray_DIM(x, PyArray_NDIM(x) - 1);
    const npy_intp size = PyArray_ITEMSIZE(x), all = PyArray_SIZE(x) / columns;
    diagonal = std::clamp(diagonal, -rows - 1, columns + 1);
    for (npy_intp row = 0; value && row < all; ++row) {
        // up to ``split`` the elements lie below the diagonal, or on it if that is kept
        const npy_intp split = std::clamp(row % rows + diagonal + !upper, npy_intp(0), columns);
        char* start = PyArray_BYTES(as_array(value)) + row * columns * size;
        std::memset(start + (upper ? 0 : split * size), 0, size_t((upper ? split : columns - split) * size));
    }
    PyObject* const parameters[] = {places[1] ? places[1] : main_one};
    return finish(operands, std::move(value), parameters, nullptr);
}

}  // namespace

const DoorEntry arranged_doors[] = {
    {"movement.flip.flip", serve_flip, {"flip"}},
    {"movement.flip.roll", serve_roll, {"roll"}},
    {"movement.tril_triu.tril", serve_triangle<false>, {"tril"}},
    {"movement.tril_triu.triu", serve_triangle<true>, {"triu"}},
    {nullptr, nullptr, {}},
};
