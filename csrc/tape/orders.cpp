// Doors to what is sorted along a dimension: sort, argsort, topk. Equal elements keep their order, and
// nan is larger than all.
#include "doors.h"

#include <algorithm>
#include <numeric>

namespace {

constexpr npy_intp few = 1 << 12;

// A small array of floats, and the axis along which it is sorted.
struct Lanes {
    PyArrayObject* x = nullptr;
    int axis = 0;
    npy_intp outer = 1, length = 1, inner = 1;
    Ref values, positions;  // the first ones in order

    bool read(PyObject* tensor, PyObject* dim) {
        x = array_in(tensor);
        if (!x || !is_float(x) || !PyArray_ISCARRAY_RO(x) || PyArray_NDIM(x) == 0 ||
            PyArray_NDIM(x) > most_axes || PyArray_SIZE(x) == 0 || PyArray_SIZE(x) > few) {
            return false;
        }
        axis = PyArray_NDIM(x) - 1;
        if (dim && !read_axis(dim, PyArray_NDIM(x), axis)) {
            return false;
        }
        for (int i = 0; i < PyArray_NDIM(x); ++i) {
            (i < axis ? outer : i > axis ? inner : length) *= PyArray_DIM(x, i);
        }
        return true;
    }

    // The first ``wanted`` of every lane; false with an error.
    bool sort(npy_intp wanted, bool descending) {
        npy_intp shape[most_axes];
        std::copy_n(PyArray_DIMS(x), PyArray_NDIM(x), shape);
        shape[axis] = wanted;
        values = new_array(x, PyArray_NDIM(x), shape);
        positions = Ref(PyArray_SimpleNew(PyArray_NDIM(x), shape, NPY_INT64));
        if (!values || !positions) {
            return false;
        }
        of_floats(x, [&](auto kind) {
            using T = decltype(kind);
            const T* from = data_of<T>(x);
            T* y = data_of<T>(values);
            npy_int64* at = data_of<npy_int64>(positions);
            std::vector<npy_int64> order(static_cast<size_t>(length));
            for (npy_intp lane = 0; lane < outer * inner; ++lane) {
                const T* first = from + lane / inner * length * inner + lane % inner;
                const auto is_less = [=](npy_int64 a, npy_int64 b) {
                    const T v = first[a * inner], w = first[b * inner];
                    return v < w || (w != w && v == v);
                };
                std::iota(order.begin(), order.end(), 0);
                if (descending) {
                    std::stable_sort(order.begin(), order.end(),
                                     [=](npy_int64 a, npy_int64 b) { return is_less(b, a); });
                } else {
                    std::stable_sort(order.begin(), order.end(), is_less);
                }
                const npy_intp start = lane / inner * wanted * inner + lane % inner;
                for (npy_intp k = 0; k < wanted; ++k) {
                    at[start + k * inner] = order[static_cast<size_t>(k)];
                    y[start + k * inner] = first[order[static_cast<size_t>(k)] * inner];
                }
            }
        });
        return true;
    }

    // (values, indices)
    PyObject* pick(Used& take_along, PyObject* tensor, npy_intp wanted, bool descending) {
        if (!sort(wanted, descending)) {
            return nullptr;
        }
        Ref where(new_tensor(positions, as_tensor(tensor)->device)), along(PyLong_FromLong(axis));
        PyObject* const tensors[] = {tensor, where};
        PyObject* const parameters[] = {along};
        Operands operands(*take_along.caller);
        if (!where || !along || !operands.read(tensors) || !take_along.runs_body(operands.device)) {
            return nullptr;
        }
        Ref found(finish(operands, std::move(values), parameters, nullptr));
        return found ? new_pair(std::move(found), std::move(where)) : nullptr;
    }
};

// topk(input, k, dim, largest, sorted)
PyObject* serve_topk(Door& door, const Given& given) {
    PyObject* places[5];
    Lanes lanes;
    npy_intp k;
    bool largest = true, sorted = true;
    if (!given.place({"input", "k", "dim", "largest", "sorted"}, places) || !lanes.read(places[0], places[2]) ||
        !read_int(places[1], k) || k < 0 || k > lanes.length || !read_flag(places[3], largest) ||
        !read_flag(places[4], sorted)) {
        return nullptr;
    }
    return lanes.pick(door.used[0], places[0], k, largest);
}

// sort(input, dim, descending, stable), argsort
bool read_order(const Given& given, PyObject*& tensor, Lanes& lanes, bool& descending) {
    PyObject* places[4];
    bool stable = false;
    const bool usual = given.place({"input", "dim", "descending", "stable"}, places) &&
                       lanes.read(places[0], places[1]) && read_flag(places[2], descending) &&
                       read_flag(places[3], stable);
    tensor = usual ? places[0] : nullptr;
    return usual;
}

PyObject* serve_sort(Door& door, const Given& given) {
    PyObject* tensor;
    Lanes lanes;
    bool descending = false;
    return read_order(given, tensor, lanes, descending)
               ? lanes.pick(door.used[0], tensor, lanes.length, descending)
               : nullptr;
}

PyObject* serve_argsort(Door&, const Given& given) {
    PyObject* tensor;
    Lanes lanes;
    bool descending = false;
    return read_order(given, tensor, lanes, descending) && lanes.sort(lanes.length, descending)
               ? new_tensor(lanes.positions, as_tensor(tensor)->device)
               : nullptr;
}

}  // namespace

const DoorEntry order_doors[] = {
    {"reduction.sort.argsort", serve_argsort, {}},
    {"reduction.sort.sort", serve_sort, {"take_along"}},
    {"reduction.sort.topk", serve_topk, {"take_along"}},
    {nullptr, nullptr, {}},
};
