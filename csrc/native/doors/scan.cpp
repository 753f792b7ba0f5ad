#include <cstring>

#include "../arrays.h"
#include "../doors.h"

// cumsum(x, axis, reverse), cumprod(x, axis); and, in int64, last_largest(x, axis) and last_smallest
PyObject* scan(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"axis", "reverse"};
    PyObject* options[2] = {};
    if (count != 1 || !is_plain(given[0]) || !read_keywords(keywords, given + 1, names, options) ||
        (options[1] != nullptr && (entry.keyword == nullptr || !PyBool_Check(options[1])))) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[0]);
    const Loop loop = loop_of(entry, x);
    int64_t axis;
    if (loop == nullptr || !read_int(options[0], 0, PyArray_NDIM(x) - 1, axis) || PyArray_SIZE(x) == 0) {
        return nullptr;
    }
    int64_t outer = 1, columns = 1;
    for (int d = 0; d < PyArray_NDIM(x); ++d) {
        (d < axis ? outer : columns) *= d == axis ? 1 : PyArray_DIM(x, d);
    }
    const int64_t length = PyArray_DIM(x, int(axis));
    PyObject* result = std::strncmp(entry.name, "last", 4) == 0
                           ? PyArray_SimpleNew(PyArray_NDIM(x), PyArray_DIMS(x), NPY_INT64)
                           : empty_like(x);
    if (result != nullptr) {
        void* arrays[] = {memory_of(result), PyArray_DATA(x)};
        const double numbers[] = {double(length), double(columns), double(options[1] == Py_True)};
        constexpr int64_t together = 16;  // columns that a loop takes at once
        const int64_t groups = (columns + together - 1) / together;
        const int64_t each = length * (columns < together ? columns : together);
        run_anyhow(loop, arrays, numbers, outer * groups, each);
    }
    return result;
}
