// Rows looked up in tables, and added up into them.
#include <algorithm>

#include "../arrays.h"
#include "../doors.h"
#include "../pool.h"

namespace {

bool is_table(PyObject* object) {
    return is_plain(object) && PyArray_NDIM(as_array(object)) == 2 &&
           PyArray_SIZE(as_array(object)) > 0 && !PyDataType_REFCHK(PyArray_DESCR(as_array(object)));
}

// Indices of rows, all within 0..rows.
bool are_rows(PyObject* object, npy_intp rows) {
    if (!is_int64(object)) {
        return false;
    }
    const int64_t* indices = static_cast<const int64_t*>(memory_of(object));
    uint64_t largest = 0;  // negative ones are large, too
    for (npy_intp i = 0; i < PyArray_SIZE(as_array(object)); ++i) {
        largest = std::max(largest, uint64_t(indices[i]));
    }
    return largest < uint64_t(rows);
}

bool read_size(PyObject* object, int64_t& value) {
    return read_int(object, 0, NPY_MAX_INTP, value);
}

// embedding(weight, indices, skip) -> rows of the shape of the indices
PyObject* look_up(const Entry& entry, PyObject* table, PyObject* indices) {
    if (!is_table(table) || !are_rows(indices, PyArray_DIM(as_array(table), 0))) {
        return nullptr;
    }
    PyArrayObject* weight = as_array(table);
    PyArrayObject* of = as_array(indices);
    const int dimensions = PyArray_NDIM(of);
    if (dimensions + 1 > NPY_MAXDIMS) {
        return nullptr;
    }
    npy_intp shape[NPY_MAXDIMS];
    std::copy_n(PyArray_DIMS(of), dimensions, shape);
    shape[dimensions] = PyArray_DIM(weight, 1);
    PyObject* y = empty(PyArray_DESCR(weight), dimensions + 1, shape);
    if (y != nullptr) {
        void* arrays[] = {memory_of(y), PyArray_DATA(weight), PyArray_DATA(of)};
        const double bytes = double(PyArray_DIM(weight, 1) * PyArray_ITEMSIZE(weight));
        run_anyhow(entry.float32, arrays, &bytes, PyArray_SIZE(of), PyArray_DIM(weight, 1));
    }
    return y;
}

// result[put[i]] += source[taken[i]], or source[i], with so many rows and as many columns as source.
// Several threads have parts of the result each: every row is added up in the same order.
PyObject* add(const Entry& entry, PyObject* source, PyObject* taken, PyObject* put,
              npy_intp columns, int64_t rows, int64_t skipped) {
    npy_intp shape[] = {npy_intp(rows), columns};
    PyObject* result = PyArray_ZEROS(2, shape, NPY_FLOAT32, 0);
    if (result != nullptr) {
        const npy_intp count = PyArray_SIZE(as_array(put));
        const int64_t parts = get_threads() > 1 ? std::min<int64_t>(rows, 8) : 1;
        void* arrays[] = {memory_of(result), memory_of(source),
                          taken == nullptr ? nullptr : memory_of(taken), memory_of(put)};
        const double numbers[] = {double(columns), double(count),
                                  double((rows + parts - 1) / parts),
                                  double(skipped)};
        run_anyhow(entry.float32, arrays, numbers, parts, count * columns / parts + 1);
    }
    return result;
}

// embedding_backward(grad, indices, rows, skip) -> (rows, columns)
PyObject* backward(const Entry& entry, PyObject* grad, PyObject* indices, PyObject* size,
                   PyObject* skip) {
    int64_t rows, skipped = -1;
    if (!is_float32(grad) || skip == nullptr || !read_size(size, rows) || (skip != Py_None && !read_size(skip, skipped)) ||
        !are_rows(indices, rows)) {
        return nullptr;
    }
    const int dimensions = PyArray_NDIM(as_array(grad));
    const npy_intp columns = dimensions == 0 ? 0 : PyArray_DIM(as_array(grad), dimensions - 1);
    if (PyArray_SIZE(as_array(grad)) != columns * PyArray_SIZE(as_array(indices))) {
        return nullptr;
    }
    return add(entry, grad, nullptr, indices, columns, rows, skipped);
}

// add_rows(source, taken, put, rows) -> (rows, columns)
PyObject* add_rows(const Entry& entry, PyObject* source, PyObject* taken, PyObject* put,
                   PyObject* size) {
    int64_t rows;
    if (!is_float32(source, 2) || !read_size(size, rows) ||
        !are_rows(taken, PyArray_DIM(as_array(source), 0)) || !are_rows(put, rows) ||
        PyArray_SIZE(as_array(taken)) != PyArray_SIZE(as_array(put))) {
        return nullptr;
    }
    return add(entry, source, taken, put, PyArray_DIM(as_array(source), 1), rows, -1);
}

// bag_maxima(source, taken, put, rows) -> (which row of source has each maximum, whether there is one);
// on one thread
PyObject* maxima(const Entry& entry, PyObject* source, PyObject* taken, PyObject* put,
                 PyObject* size) {
    int64_t rows;
    if (!is_float32(source, 2) || !read_size(size, rows) ||
        !are_rows(taken, PyArray_DIM(as_array(source), 0)) || !are_rows(put, rows) ||
        PyArray_SIZE(as_array(taken)) != PyArray_SIZE(as_array(put))) {
        return nullptr;
    }
    npy_intp shape[] = {npy_intp(rows), PyArray_DIM(as_array(source), 1)};
    PyObject* best = PyArray_ZEROS(2, shape, NPY_FLOAT32, 0);
    PyObject* found = PyArray_ZEROS(2, shape, NPY_INT64, 0);
    PyObject* filled = PyArray_ZEROS(1, shape, NPY_BOOL, 0);
    PyObject* both = nullptr;
    if (best != nullptr && found != nullptr && filled != nullptr) {
        void* arrays[] = {memory_of(best),   memory_of(found), memory_of(filled),
                          memory_of(source), memory_of(taken), memory_of(put)};
        const double columns = double(shape[1]);
        entry.float32(arrays, &columns, 0, PyArray_SIZE(as_array(put)));
        both = PyTuple_Pack(2, found, filled);
    }
    Py_XDECREF(best);
    Py_XDECREF(found);
    Py_XDECREF(filled);
    return both;
}

}  // namespace

PyObject* embedding(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                    PyObject* keywords) {
    static const char* const names[] = {"skip", "rows"};
    PyObject* found[2] = {};
    const bool bags = entry.keyword[0] == 'r';
    if (count != (bags ? 3 : 2) || !read_keywords(keywords, given + count, names, found)) {
        return nullptr;
    }
    if (bags) {
        return (entry.arrays == 4 ? add_rows : maxima)(entry, given[0], given[1], given[2], found[1]);
    }
    return entry.arrays == 3 ? look_up(entry, given[0], given[1])
                             : backward(entry, given[0], given[1], found[1], found[0]);
}
