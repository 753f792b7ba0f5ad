#include <atomic>

#include "../arrays.h"
#include "../doors.h"

namespace {

Loop loop_of_order(PyArrayObject* x) {
    const Entry& integers = level->sort.each[1];
    switch (PyArray_TYPE(x)) {
        case NPY_INT32: return integers.float32;
        case NPY_INT64: return integers.float64;
        case NPY_UINT8:
        case NPY_BOOL: return integers.bfloat16;
        default: return loop_of(level->sort.each[0], x);
    }
}

}  // namespace

// order(x, axis, descending), in int64
PyObject* sort(const Entry&, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"axis", "descending"};
    PyObject* options[2] = {};
    int64_t axis;
    if (count != 1 || !is_plain(given[0]) || !read_keywords(keywords, given + 1, names, options) ||
        !read_int(options[0], 0, PyArray_NDIM(as_array(given[0])) - 1, axis) ||
        options[1] == nullptr || !PyBool_Check(options[1])) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[0]);
    const Loop loop = loop_of_order(x);
    const int64_t length = PyArray_DIM(x, int(axis)), size = PyArray_SIZE(x);
    if (loop == nullptr || size == 0 || length > INT32_MAX) {
        return nullptr;
    }
    int64_t step = 1;
    for (int d = int(axis) + 1; d < PyArray_NDIM(x); ++d) {
        step *= PyArray_DIM(x, d);
    }
    PyObject* result = PyArray_SimpleNew(PyArray_NDIM(x), PyArray_DIMS(x), NPY_INT64);
    if (result != nullptr) {
        std::atomic<bool> no_memory{false};
        void* arrays[] = {memory_of(result), PyArray_DATA(x), &no_memory};
        const double numbers[] = {double(length), double(step), double(options[1] == Py_True)};
        run_anyhow(loop, arrays, numbers, size / length, length);
        if (no_memory) {
            Py_DECREF(result);
            return PyErr_NoMemory();
        }
    }
    return result;
}
