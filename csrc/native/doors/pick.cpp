#include "../arrays.h"
#include "../doors.h"

// top(x, axis, k, largest), along the last axis; for a k that is small beside the row.
PyObject* pick(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"axis", "k", "largest"};
    PyObject* options[3] = {};
    if (count != 1 || !is_plain(given[0]) || !read_keywords(keywords, given + 1, names, options)) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[0]);
    const Loop loop = loop_of(entry, x);
    const int dims = PyArray_NDIM(x);
    int64_t axis, k;
    if (loop == nullptr || options[2] == nullptr || !PyBool_Check(options[2]) || dims == 0 ||
        !read_int(options[0], dims - 1, dims - 1, axis) || !read_int(options[1], 1, 64, k) ||
        PyArray_SIZE(x) == 0 ||
        8 * k > PyArray_DIM(x, dims - 1)) {
        return nullptr;
    }
    npy_intp shape[NPY_MAXDIMS];
    for (int d = 0; d < dims; ++d) {
        shape[d] = d == dims - 1 ? k : PyArray_DIM(x, d);
    }
    PyObject* result = PyArray_SimpleNew(dims, shape, NPY_INT64);
    if (result != nullptr) {
        const npy_intp length = PyArray_DIM(x, dims - 1);
        void* arrays[] = {memory_of(result), PyArray_DATA(x)};
        const double of[] = {double(length), double(k), double(options[2] == Py_True)};
        run_anyhow(loop, arrays, of, PyArray_SIZE(x) / length, length);
    }
    return result;
}
