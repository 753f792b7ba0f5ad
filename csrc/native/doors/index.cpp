#include <algorithm>
#include <cstring>
#include <vector>

#include "../doors.h"
#include "../layout.h"
#include "../pool.h"
#include "../positions.h"

namespace {

bool is_whole(PyObject* part) {
    if (!PySlice_Check(part)) {
        return false;
    }
    const PySliceObject* slice = reinterpret_cast<PySliceObject*>(part);
    return slice->start == Py_None && slice->stop == Py_None && slice->step == Py_None;
}

bool is_index(PyObject* part) {
    if (!is_plain(part)) {
        return false;
    }
    const int type = PyArray_TYPE(as_array(part));
    return PyArray_ISSIGNED(as_array(part)) && (type == NPY_INT64 || type == NPY_INT32 ||
                                                PyArray_ITEMSIZE(as_array(part)) == 8);
}

// Whether there is an index array in it, so that it is worth to make a result.
bool has_arrays(PyObject* given) {
    if (!PyTuple_CheckExact(given)) {
        return is_index(given);
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(given); ++i) {
        if (is_index(PyTuple_GET_ITEM(given, i))) {
            return true;
        }
    }
    return false;
}

// What is named: positions of an array, the memory of the index arrays, and the shape of the values.
struct Named {
    Positions positions;
    PyArrayObject* index[max_inputs];
    npy_intp shape[NPY_MAXDIMS];
    int dims = 0;

    // Whether an index is understood: whole dimensions, then integer arrays for some more.
    bool read(PyArrayObject* x, PyObject* given) {
        PyObject* const* parts = &given;
        Py_ssize_t count = 1, leads = 0;
        if (PyTuple_CheckExact(given)) {
            parts = &PyTuple_GET_ITEM(given, 0);
            count = PyTuple_GET_SIZE(given);
        }
        while (leads < count && is_whole(parts[leads])) {
            ++leads;
        }
        Positions& of = positions;
        of.arrays = int(count - leads);
        const int own = PyArray_NDIM(x), rest_from = int(count);
        if (count == leads || count - leads > max_inputs || count > own) {
            return false;
        }
        for (int k = 0; k < of.arrays; ++k) {
            if (!is_index(parts[leads + k])) {
                return false;
            }
            index[k] = as_array(parts[leads + k]);
            of.narrow[k] = PyArray_ITEMSIZE(index[k]) == 4;
            of.sizes[k] = PyArray_DIM(x, int(leads) + k);
        }
        npy_intp block[max_dims];
        int block_dims;
        if (!find_shape(index, of.arrays, block, block_dims) ||
            !lay_out(index, of.arrays, block, block_dims, of.spread) ||
            own - of.arrays + block_dims > NPY_MAXDIMS) {
            return false;
        }
        for (int d = 0; d < int(leads); ++d) {
            of.leads *= shape[dims++] = PyArray_DIM(x, d);
        }
        for (int d = 0; d < block_dims; ++d) {
            shape[dims++] = block[d];
        }
        for (int d = rest_from; d < own; ++d) {
            of.rest *= shape[dims++] = PyArray_DIM(x, d);
        }
        of.block = of.rest;
        for (int k = of.arrays - 1; k >= 0; --k) {
            of.steps[k] = of.block;
            of.block *= of.sizes[k];
        }
        return of.leads * of.block > 0;
    }

    // Whether the k-th array names each place of its own once, and in order.
    bool names_once(int k, int64_t count) const {
        const auto ascend = [=](auto* places) {
            for (int64_t i = 1; i < count; ++i) {
                if (places[i - 1] >= places[i]) {
                    return false;
                }
            }
            return places[0] >= 0;
        };
        void* places = PyArray_DATA(index[k]);
        return positions.narrow[k] ? ascend(static_cast<int32_t*>(places))
                                   : ascend(static_cast<int64_t*>(places));
    }

    // By what threads may share the writing, so that each element is written by one of them, in order.
    // False: by nothing.
    bool find_share(Share& share, int64_t& size) const {
        const Spread& spread = positions.spread;
        if (positions.leads > 1) {
            share = Share::leads;
            size = positions.leads;
            return true;
        }
        if (positions.rest >= 64) {
            share = Share::rest;
            size = positions.rest;
            return true;
        }
        for (int k = 0; k < positions.arrays; ++k) {
            const bool along_rows = spread.dims == 1 && spread.repeated[k] && spread.steps[k][0] == 1;
            bool along_columns = spread.rows > 1 && !spread.repeated[k];
            for (int d = 0; d < spread.dims; ++d) {
                along_columns = along_columns && spread.steps[k][d] == 0;
            }
            size = along_rows ? spread.rows : spread.length;
            share = along_rows ? Share::rows : Share::columns;
            if ((along_rows || along_columns) && names_once(k, size)) {
                return true;
            }
        }
        return false;
    }
};

Loop loop_of_bytes(const Entry& entry, PyArrayObject* x) {
    const bool is_byte = PyArray_ITEMSIZE(x) == 1 && (PyArray_ISNUMBER(x) || PyArray_ISBOOL(x));
    return is_byte ? entry.bfloat16 : loop_of_size(entry, x);
}

Loop loop_of_sums(const Entry& entry, PyArrayObject* x) {
    switch (PyArray_TYPE(x)) {
        case NPY_FLOAT32: return entry.float32;
        case NPY_FLOAT64: return entry.float64;
        case NPY_INT32: return entry.float16;
        case NPY_INT64: return entry.bfloat16;
        default: return nullptr;
    }
}

// Runs a loop; false where a place is outside.
bool run(Loop loop, PyArrayObject* x, void* values, Named& named, bool in_order) {
    Positions& of = named.positions;
    void* arrays[max_arrays] = {PyArray_DATA(x), values, &of};
    for (int k = 0; k < of.arrays; ++k) {
        arrays[3 + k] = PyArray_DATA(named.index[k]);
    }
    const int64_t per_row = of.spread.length * of.rest;
    const int64_t all = of.leads * of.spread.rows * per_row;
    const bool flat = of.leads == 1 && of.spread.rows == 1;
    Share share = flat ? Share::positions : Share::rows;
    int64_t size = flat ? of.spread.length : of.leads * of.spread.rows;
    // (A thread that has nobody to share with goes from one end of each row to the other.)
    if (!in_order || all < piece || get_threads() == 1 || !named.find_share(share, size)) {
        const double number = double(int(share));
        const int64_t each = flat ? of.rest : per_row;
        // (What must be in order, a thread does alone: it is one piece.)
        run_anyhow(loop, arrays, &number, size, each, in_order && all >= piece);
    } else {
        const double number = double(int(share));
        const int64_t chunk = std::max<int64_t>(share == Share::leads ? 1 : 64, (size + 7) / 8);
        run_anyhow(loop, arrays, &number, size, std::max<int64_t>(1, piece / chunk));
    }
    return !of.outside;
}

// The smallest and the largest of an index array.
void find_ends(PyArrayObject* x, int64_t* ends) {
    const int64_t size = PyArray_SIZE(x);
    std::vector<int64_t> found(size_t(2 * ((size + piece - 1) / piece)));
    void* arrays[] = {found.data(), PyArray_DATA(x)};
    const double length = double(piece);
    const Entry& entry = level->index.each[level->index.count - 1];
    run_anyhow(PyArray_ITEMSIZE(x) == 4 ? entry.float32 : entry.float64, arrays, &length, size);
    ends[0] = found[0];
    ends[1] = found[1];
    for (size_t i = 2; i < found.size(); i += 2) {
        ends[0] = std::min(ends[0], found[i]);
        ends[1] = std::max(ends[1], found[i + 1]);
    }
}

// getitem(x, index=)
PyObject* read(const Entry& entry, PyArrayObject* x, PyObject* index) {
    const Loop loop = loop_of_bytes(entry, x);
    Named named;
    if (loop == nullptr || !named.read(x, index)) {
        return nullptr;
    }
    PyObject* result = empty(PyArray_DESCR(x), named.dims, named.shape);
    if (result != nullptr && !run(loop, x, memory_of(result), named, false)) {
        Py_CLEAR(result);  // the body says what is wrong
    }
    return result;
}

bool is(const Entry& entry, const char* name) { return std::strcmp(entry.name, name) == 0; }

Loop loop_of_change(const Entry& entry, PyArrayObject* x) {
    return is(entry, "store") || is(entry, "index_put") ? loop_of_bytes(entry, x)
                                                        : loop_of_sums(entry, x);
}

// Whether they are a number for each position.
bool are_values(PyObject* given, PyArrayObject* x, const Named& named) {
    return is_plain(given) && PyArray_DESCR(as_array(given)) == PyArray_DESCR(x) &&
           PyArray_NDIM(as_array(given)) == named.dims &&
           PyArray_CompareLists(PyArray_DIMS(as_array(given)), named.shape, named.dims);
}

// store(x, index, values), add_at(x, index, values)
PyObject* change(const Entry& entry, PyArrayObject* x, PyObject* index, PyObject* given) {
    const Loop loop = loop_of_change(entry, x);
    Named named;
    if (loop == nullptr || !PyArray_ISWRITEABLE(x) || !named.read(x, index) ||
        !are_values(given, x, named) || !are_apart(as_array(given), x)) {
        return nullptr;
    }
    PyArrayObject* values = as_array(given);
    for (int k = 0; k < named.positions.arrays; ++k) {
        if (!are_apart(named.index[k], x)) {
            return nullptr;
        }
    }
    for (int k = 0; k < named.positions.arrays; ++k) {  // all places, before anything changes
        const int64_t size = named.positions.sizes[k];
        int64_t ends[2];
        find_ends(named.index[k], ends);
        if (ends[0] < -size || ends[1] >= size) {
            return nullptr;
        }
    }
    if (!run(loop, x, PyArray_DATA(values), named, true)) {
        return nullptr;
    }
    Py_RETURN_NONE;
}

// What a loop makes of a new array; null where a place is outside: the body says what is wrong.
PyObject* changed(Loop loop, PyObject* result, PyObject* values, Named& named) {
    if (result != nullptr && !run(loop, as_array(result), memory_of(values), named, true)) {
        Py_CLEAR(result);
    }
    return result;
}

// index_put(x, values, index=), index_add_at(x, values, index=)
PyObject* change_copy(const Entry& entry, PyArrayObject* x, PyObject* values, PyObject* index) {
    const Loop loop = loop_of_change(entry, x);
    Named named;
    if (loop == nullptr || !named.read(x, index) || !are_values(values, x, named)) {
        return nullptr;
    }
    return changed(loop, PyArray_NewCopy(x, NPY_CORDER), values, named);
}

// getitem_backward(grad, index=, shape=)
PyObject* add_to_zeros(const Entry& entry, PyObject* grad, PyObject* index, PyObject* given) {
    npy_intp shape[NPY_MAXDIMS];
    const Loop loop = loop_of_sums(entry, as_array(grad));
    const Py_ssize_t dims = PyTuple_CheckExact(given) ? PyTuple_GET_SIZE(given) : NPY_MAXDIMS + 1;
    if (loop == nullptr || dims > NPY_MAXDIMS || !has_arrays(index)) {
        return nullptr;
    }
    for (Py_ssize_t d = 0; d < dims; ++d) {
        int64_t size;
        if (!read_int(PyTuple_GET_ITEM(given, d), 1, NPY_MAX_INTP, size)) {
            return nullptr;
        }
        shape[d] = npy_intp(size);
    }
    PyArray_Descr* dtype = PyArray_DESCR(as_array(grad));
    Py_INCREF(dtype);
    PyObject* result = PyArray_Zeros(int(dims), shape, dtype, 0);
    Named named;
    if (result != nullptr && (!named.read(as_array(result), index) ||
                              !are_values(grad, as_array(result), named))) {
        Py_CLEAR(result);
    }
    return changed(loop, result, grad, named);
}

// least_and_most(x)
PyObject* name_ends(PyArrayObject* x) {
    int64_t ends[2];
    if (!is_index(reinterpret_cast<PyObject*>(x)) || PyArray_SIZE(x) == 0) {
        return nullptr;
    }
    find_ends(x, ends);
    return Py_BuildValue("LL", (long long)(ends[0]), (long long)(ends[1]));
}

}  // namespace

PyObject* index(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"index", "shape"};
    PyObject* options[2] = {};
    if (count == 0 || !is_plain(given[0]) || !read_keywords(keywords, given + count, names, options)) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[0]);
    PyObject* index = options[0];
    if ((index != nullptr) != (entry.keyword != nullptr) ||
        (options[1] != nullptr) != is(entry, "getitem_backward")) {
        return nullptr;
    }
    switch (count) {
        case 1:
            if (index == nullptr) {
                return is(entry, "least_and_most") ? name_ends(x) : nullptr;
            }
            if (options[1] != nullptr) {
                return add_to_zeros(entry, given[0], index, options[1]);
            }
            return is(entry, "getitem") ? read(entry, x, index) : nullptr;
        case 2:
            return is(entry, "index_put") || is(entry, "index_add_at")
                       ? change_copy(entry, x, given[1], index)
                       : nullptr;
        case 3: return index == nullptr ? change(entry, x, given[1], given[2]) : nullptr;
        default: return nullptr;
    }
}
