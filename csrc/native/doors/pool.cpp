#include <algorithm>

#include "../arrays.h"
#include "../doors.h"
#include "../pool_windows.h"

namespace {

constexpr int64_t largest = int64_t(1) << 30;

bool read_size(PyObject* object, int64_t least, int64_t& value) {
    return read_int(object, least, largest, value);
}

// (out, kernel, stride, padding, dilation)
bool read_windows(PyObject* object, Windows& windows) {
    return object != nullptr && PyTuple_Check(object) && PyTuple_GET_SIZE(object) == 5 &&
           read_size(PyTuple_GET_ITEM(object, 0), 1, windows.out) &&
           read_size(PyTuple_GET_ITEM(object, 1), 1, windows.kernel) &&
           read_size(PyTuple_GET_ITEM(object, 2), 1, windows.stride) &&
           read_size(PyTuple_GET_ITEM(object, 3), 0, windows.padding) &&
           read_size(PyTuple_GET_ITEM(object, 4), 1, windows.dilation);
}

// An array like ``array`` but for its sizes from ``axis`` on.
PyObject* array_of(PyArrayObject* array, int dtype, int axis, const int64_t* sizes, int count) {
    npy_intp shape[NPY_MAXDIMS];
    std::copy_n(PyArray_DIMS(array), PyArray_NDIM(array), shape);
    for (int i = 0; i < count; ++i) {
        shape[axis + i] = npy_intp(sizes[i]);
    }
    return PyArray_SimpleNew(PyArray_NDIM(array), shape, dtype);
}

// max_along(x, axis, windows) -> (maxima, which element of its window each is), and
// max_along_backward(grad, which, size, axis, windows)
PyObject* maxima(const Entry& entry, PyObject* const* given, PyObject* keywords, bool back) {
    static const char* const names[] = {"axis", "windows", "size"};
    PyObject* found[3] = {};
    MaximaAlong of{};
    int64_t axis;
    PyArrayObject* array = as_array(given[0]);
    if (!read_keywords(keywords, given + (back ? 2 : 1), names, found) || !is_float32(given[0]) ||
        PyArray_SIZE(array) == 0 ||
        !read_size(found[0], 0, axis) || axis >= PyArray_NDIM(array) ||
        !read_windows(found[1], of.windows) || of.windows.kernel > largest_kernel ||
        (found[2] != nullptr) != back) {
        return nullptr;
    }
    of.windows.size = PyArray_DIM(array, int(axis));
    of.inner = 1;
    int64_t rows = 1;
    for (int i = 0; i < PyArray_NDIM(array); ++i) {
        (i < axis ? rows : of.inner) *= i == axis ? 1 : PyArray_DIM(array, i);
    }
    const int64_t each = of.inner * of.windows.size;
    if (back) {
        PyArrayObject* which = as_array(given[1]);
        if (!is_plain(given[1], NPY_UINT8) ||
            !PyArray_SAMESHAPE(which, array) || of.windows.size != of.windows.out ||
            !read_size(found[2], 1, of.windows.size)) {
            return nullptr;
        }
        PyObject* dx = array_of(array, NPY_FLOAT32, int(axis), &of.windows.size, 1);
        if (dx != nullptr) {
            void* arrays[] = {memory_of(dx), memory_of(given[0]), memory_of(given[1]), &of};
            run_anyhow(entry.float32, arrays, nullptr, rows, each);
        }
        return dx;
    }
    PyObject* best = array_of(array, NPY_FLOAT32, int(axis), &of.windows.out, 1);
    PyObject* which = array_of(array, NPY_UINT8, int(axis), &of.windows.out, 1);
    PyObject* both = nullptr;
    if (best != nullptr && which != nullptr) {
        void* arrays[] = {memory_of(best), memory_of(which), memory_of(given[0]), &of};
        run_anyhow(entry.float32, arrays, nullptr, rows, each);
        both = PyTuple_Pack(2, best, which);
    }
    Py_XDECREF(best);
    Py_XDECREF(which);
    return both;
}

// avg_pool(x, windows, divisor) and avg_pool_backward(grad, size, windows, divisor), with one divisor
PyObject* means(const Entry& entry, PyObject* const* given, PyObject* keywords, bool back) {
    static const char* const names[] = {"windows", "divisor", "size"};
    PyObject* found[3] = {};
    PyArrayObject* array = as_array(given[0]);
    int64_t divisor;
    if (!read_keywords(keywords, given + 1, names, found) || !is_float32(given[0]) ||
        PyArray_SIZE(array) == 0 || found[0] == nullptr ||
        !PyTuple_CheckExact(found[0]) || !read_int(found[1], -largest, largest, divisor) || divisor == 0 ||
        (found[2] != nullptr) != back) {
        return nullptr;
    }
    const int dimensions = int(PyTuple_GET_SIZE(found[0]));
    if (dimensions < 1 || dimensions > 3 || PyArray_NDIM(array) != dimensions + 2 ||
        (back && (!PyTuple_CheckExact(found[2]) || PyTuple_GET_SIZE(found[2]) != dimensions))) {
        return nullptr;
    }
    Means of{};
    of.divisor = float(divisor);
    int64_t results[3], each = 1;
    for (int i = 0; i < 3; ++i) {
        Windows& windows = of.windows[i];
        windows = {1, 1, 1, 1, 0, 1};
        const int place = i - (3 - dimensions);
        if (place < 0) {
            continue;
        }
        const int64_t size = PyArray_DIM(array, 2 + place);
        windows.size = size;
        if (!read_windows(PyTuple_GET_ITEM(found[0], place), windows) ||
            (back && (size != windows.out ||
                      !read_size(PyTuple_GET_ITEM(found[2], place), 1, windows.size)))) {
            return nullptr;
        }
        results[place] = back ? windows.size : windows.out;
        each *= windows.size;
    }
    const Windows& last = of.windows[2];
    if (std::max(last.reach(), last.size + 2 * last.padding) > longest_row) {
        return nullptr;
    }
    PyObject* result = array_of(array, NPY_FLOAT32, 2, results, dimensions);
    if (result != nullptr) {
        void* arrays[] = {memory_of(result), memory_of(given[0]), &of};
        run_anyhow(entry.float32, arrays, nullptr, PyArray_DIM(array, 0) * PyArray_DIM(array, 1),
                   each);
    }
    return result;
}

}  // namespace

PyObject* pool(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    const bool back = entry.keyword != nullptr, maximum = entry.arrays == 4;
    if (count != (maximum && back ? 2 : 1)) {
        return nullptr;
    }
    return (maximum ? maxima : means)(entry, given, keywords, back);
}
