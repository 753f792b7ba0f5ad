// Doors to the largest and the smallest along a dimension, with where they stand.
#include "doors.h"

#include <algorithm>
#include <type_traits>

namespace {

constexpr npy_intp few = 1 << 12;

// The first position of the most extreme along the axis, or of the first nan, and what is there.
template <class T, class Beats>
void find_extremes(const T* x, npy_intp outer, npy_intp length, npy_intp inner, T* values,
                   npy_int64* positions, Beats beats) {
    for (npy_intp o = 0; o < outer; ++o, x += length * inner) {
        for (npy_intp i = 0; i < inner; ++i) {
            npy_intp best = 0;
            for (npy_intp k = 1; k < length && x[best * inner + i] == x[best * inner + i]; ++k) {
                const T candidate = x[k * inner + i];
                if (beats(candidate, x[best * inner + i]) || candidate != candidate) {
                    best = k;
                }
            }
            *values++ = x[best * inner + i];
            *positions++ = best;
        }
    }
}

PyObject* pair_type() {
    static PyObject* const type = [] {
        Ref module(PyImport_ImportModule("tapegrad.ops.indexing.take_along"));
        return module ? PyObject_GetAttrString(module, "Picked") : nullptr;
    }();
    return type;
}

// The tensor without the dimension: a view of what nobody else sees, and so of nothing.
Ref squeezed(Used& used, const Ref& tensor, const Sizes& shape) {
    Ref result(reshaped(used, tensor, shape));
    if (result) {
        Py_CLEAR(as_tensor(result)->base);
    }
    return result;
}

// max(input, dim, keepdim): used are take_along, reshape and argmax
PyObject* find_along(Door& door, const Given& given, bool largest) {
    PyObject* places[3];
    if (!given.place({"input", "dim", "keepdim"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = array_in(places[0]);
    int axis;
    bool keep = false;
    if (!x || !is_float(x) || !PyArray_ISCARRAY_RO(x) || PyArray_NDIM(x) == 0 ||
        PyArray_NDIM(x) > most_axes || PyArray_SIZE(x) == 0 || PyArray_SIZE(x) > few ||
        !read_axis(places[1], PyArray_NDIM(x), axis) || !read_flag(places[2], keep)) {
        return nullptr;
    }
    Sizes kept, dropped;
    npy_intp outer = 1, inner = 1;
    kept.count = PyArray_NDIM(x);
    for (int i = 0; i < kept.count; ++i) {
        kept.values[i] = i == axis ? 1 : PyArray_DIM(x, i);
        if (i != axis) {
            dropped.values[dropped.count++] = PyArray_DIM(x, i);
            (i < axis ? outer : inner) *= PyArray_DIM(x, i);
        }
    }
    Ref values = new_array(x, kept.count, kept.values);
    Ref positions(PyArray_SimpleNew(kept.count, kept.values, NPY_INT64));
    Ref where(positions ? new_tensor(positions, as_tensor(places[0])->device) : nullptr);
    Ref along(PyLong_FromLong(axis));
    if (!values || !where || !along) {
        return nullptr;
    }
    PyObject* const tensors[] = {places[0], where};
    Operands operands(*door.used[0].caller);
    if (!operands.read(tensors) || !door.used[0].runs_body(operands.device) ||
        !door.used[1].runs_body(operands.device) || !door.used[2].runs_body(operands.device) || !is_quiet()) {
        return nullptr;
    }
    const auto find = [&](auto* y) {
        using T = std::remove_pointer_t<decltype(y)>;
        const auto beats = [=](T a, T b) { return largest ? a > b : a < b; };
        find_extremes(static_cast<const T*>(PyArray_DATA(x)), outer, PyArray_DIM(x, axis), inner, y,
                      static_cast<npy_int64*>(PyArray_DATA(as_array(positions))), beats);
    };
    if (PyArray_TYPE(x) == NPY_FLOAT32) {
        find(static_cast<float*>(PyArray_DATA(as_array(values))));
    } else {
        find(static_cast<double*>(PyArray_DATA(as_array(values))));
    }
    PyObject* const parameters[] = {along};
    Ref found(finish(operands, std::move(values), parameters, nullptr));
    if (found && !keep) {
        found = squeezed(door.used[1], found, dropped);
        where = squeezed(door.used[1], where, dropped);
    }
    PyTypeObject* type = reinterpret_cast<PyTypeObject*>(pair_type());
    Ref pair(found && where && type ? type->tp_alloc(type, 2) : nullptr);
    if (pair) {
        PyTuple_SET_ITEM(pair.object, 0, found.release());
        PyTuple_SET_ITEM(pair.object, 1, where.release());
    }
    return pair.release();
}

PyObject* serve_max(Door& door, const Given& given) { return find_along(door, given, true); }
PyObject* serve_min(Door& door, const Given& given) { return find_along(door, given, false); }

}  // namespace

const DoorEntry extreme_doors[] = {
    {"reduction.minmax.max", serve_max, {"take_along", "reshape", "argmax"}},
    {"reduction.minmax.min", serve_min, {"take_along", "reshape", "argmin"}},
    {nullptr, nullptr, {}},
};
