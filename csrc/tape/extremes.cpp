// Doors to the largest and the smallest along a dimension, with where they stand.
#include "folds.h"

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

// The tensor without the dimension: a view of what nobody else sees, and so of nothing.
Ref squeezed(Used& used, const Ref& tensor, const Sizes& shape) {
    Ref result(reshaped(used, tensor, shape));
    if (result) {
        Py_CLEAR(as_tensor(result)->base);
    }
    return result;
}

// A small array, and the axis along which to look.
struct Search {
    PyArrayObject* x = nullptr;
    int axis = 0;
    bool keep = false;
    npy_intp outer = 1, length = 1, inner = 1;
    Sizes kept, dropped;  // the shapes of the result, with the dimension and without

    // (input, dim, keepdim); ``flat``: all elements where there is no dim
    bool read(PyObject* const* places, bool flat = false) {
        x = array_in(places[0]);
        if (!x || !is_float(x) || !PyArray_ISCARRAY_RO(x) || PyArray_NDIM(x) == 0 ||
            PyArray_NDIM(x) > most_axes || PyArray_SIZE(x) == 0 || PyArray_SIZE(x) > few ||
            !read_flag(places[2], keep)) {
            return false;
        }
        if (flat && !is_set(places[1]) && !keep) {
            length = PyArray_SIZE(x);
            return true;
        }
        if (!read_axis(places[1], PyArray_NDIM(x), axis)) {
            return false;
        }
        length = PyArray_DIM(x, axis);
        kept.count = PyArray_NDIM(x);
        for (int i = 0; i < kept.count; ++i) {
            kept.values[i] = i == axis ? 1 : PyArray_DIM(x, i);
            if (i != axis) {
                dropped.values[dropped.count++] = PyArray_DIM(x, i);
                (i < axis ? outer : inner) *= PyArray_DIM(x, i);
            }
        }
        return true;
    }

    Ref new_values() const {
        PyArray_Descr* dtype = PyArray_DESCR(x);
        Py_INCREF(dtype);
        return Ref(PyArray_NewFromDescr(&PyArray_Type, dtype, kept.count, kept.values, nullptr, nullptr, 0,
                                        nullptr));
    }
    Ref new_positions(const Sizes& shape) const {
        return Ref(PyArray_SimpleNew(shape.count, shape.values, NPY_INT64));
    }

    void find(PyObject* values, PyObject* positions, bool largest) const {
        of_floats(x, [&](auto kind) {
            using T = decltype(kind);
            const auto beats = [=](T a, T b) { return largest ? a > b : a < b; };
            find_extremes(data_of<const T>(x), outer, length, inner, data_of<T>(values),
                          data_of<npy_int64>(positions), beats);
        });
    }
};

// max(input, dim, keepdim): used are take_along, reshape, argmax, amax of all elements, and maximum
PyObject* find_along(Door& door, const Given& given, bool largest) {
    if (given.count == 1 && !given.keywords) {
        return extreme_of_all(door.used[3], given.values[0], largest);
    }
    if (given.count == 2 && !given.keywords && array_in(given.values[0]) && array_in(given.values[1])) {
        return run_used(door.used[4], given.values[0], given.values[1]);
    }
    PyObject* places[3];
    Search search;
    if (!given.place({"input", "dim", "keepdim"}, places) || !search.read(places)) {
        return nullptr;
    }
    Ref values = search.new_values(), positions = search.new_positions(search.kept);
    Ref where(positions ? new_tensor(positions, as_tensor(places[0])->device) : nullptr);
    Ref along(PyLong_FromLong(search.axis));
    if (!values || !where || !along) {
        return nullptr;
    }
    PyObject* const tensors[] = {places[0], where};
    Operands operands(*door.used[0].caller);
    bool open = operands.read(tensors) && is_quiet();
    for (int i = 0; i < 3; ++i) {
        open = open && door.used[i].runs_body(operands.device);
    }
    if (!open) {
        return nullptr;
    }
    search.find(values, positions, largest);
    PyObject* const parameters[] = {along};
    Ref found(finish(operands, std::move(values), parameters, nullptr));
    if (found && !search.keep) {
        found = squeezed(door.used[1], found, search.dropped);
        where = squeezed(door.used[1], where, search.dropped);
    }
    return found && where ? new_pair(std::move(found), std::move(where)) : nullptr;
}

// argmax(input, dim, keepdim)
PyObject* find_positions(Door& door, const Given& given, bool largest) {
    PyObject* places[3];
    Search search;
    if (!given.place({"input", "dim", "keepdim"}, places) || !search.read(places, true)) {
        return nullptr;
    }
    Operands operands(*door.used[0].caller);
    if (!operands.read(places) || !door.used[0].runs_body(operands.device) || !is_quiet()) {
        return nullptr;
    }
    Ref values = search.new_values();
    Ref positions = search.new_positions(search.keep ? search.kept : search.dropped);
    if (!values || !positions) {
        return nullptr;
    }
    search.find(values, positions, largest);
    return finish(operands, std::move(positions), nullptr, nullptr);
}

PyObject* serve_argmax(Door& door, const Given& given) { return find_positions(door, given, true); }
PyObject* serve_argmin(Door& door, const Given& given) { return find_positions(door, given, false); }
PyObject* serve_max(Door& door, const Given& given) { return find_along(door, given, true); }
PyObject* serve_min(Door& door, const Given& given) { return find_along(door, given, false); }

}  // namespace

PyObject* new_pair(Ref values, Ref indices) {
    static PyObject* const picked = [] {
        Ref module(PyImport_ImportModule("tapegrad.ops.indexing.take_along"));
        return module ? PyObject_GetAttrString(module, "Picked") : nullptr;
    }();
    PyTypeObject* type = reinterpret_cast<PyTypeObject*>(picked);
    PyObject* pair = type ? type->tp_alloc(type, 2) : nullptr;
    if (pair) {
        PyTuple_SET_ITEM(pair, 0, values.release());
        PyTuple_SET_ITEM(pair, 1, indices.release());
    }
    return pair;
}

const DoorEntry extreme_doors[] = {
    {"reduction.minmax.argmax", serve_argmax, {"argmax"}},
    {"reduction.minmax.argmin", serve_argmin, {"argmin"}},
    {"reduction.minmax.max", serve_max, {"take_along", "reshape", "argmax", "amax", "maximum"}},
    {"reduction.minmax.min", serve_min, {"take_along", "reshape", "argmin", "amin", "minimum"}},
    {nullptr, nullptr, {}},
};
