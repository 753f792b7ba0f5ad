// Operations along one dimension of arrays alike: function(arrays..., axis).
#include "../arrays.h"
#include "../doors.h"

namespace {

constexpr npy_intp side_by_side = 32;  // columns that the loops take at once

}  // namespace

PyObject* rows(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"axis"};
    PyObject* found[1] = {};
    void* arrays[max_arrays];
    if (count != entry.arrays - 1 || !read_alike(given, int(count), arrays + 1) ||
        !read_keywords(keywords, given + count, names, found)) {
        return nullptr;
    }
    PyArrayObject* first = as_array(given[0]);
    const npy_intp size = PyArray_SIZE(first);
    int64_t axis;
    if (!read_int(found[0], 0, PyArray_NDIM(first) - 1, axis) || size == 0) {
        return nullptr;
    }
    const npy_intp length = PyArray_DIM(first, int(axis));
    npy_intp beside = 1;
    for (int i = int(axis) + 1; i < PyArray_NDIM(first); ++i) {
        beside *= PyArray_DIM(first, i);
    }
    PyObject* result = empty_like(first);
    if (result != nullptr) {
        arrays[0] = memory_of(result);
        const npy_intp blocks = (beside + side_by_side - 1) / side_by_side;
        const double numbers[] = {double(length), double(beside)};
        run_anyhow(entry.float32, arrays, numbers, size / (length * beside) * blocks,
                   beside == 1 ? length : length * side_by_side);
    }
    return result;
}
