#include "../pixels.h"

#include <cstring>

#include "../arrays.h"
#include "../doors.h"

namespace {

// Indices for (batch, channels) images, all of them in 0..size - 1.
bool read_elements(PyObject* object, int64_t batch, int64_t channels, int64_t size,
                   Elements& elements) {
    if (!is_int64(object, 4) || PyArray_SIZE(as_array(object)) == 0) {
        return false;
    }
    const npy_intp* shape = PyArray_DIMS(as_array(object));
    elements = {static_cast<const int64_t*>(memory_of(object)), shape[0], shape[1], shape[2],
                shape[3], size, shape[1] * shape[2] * shape[3]};
    for (int64_t i = 0; i < PyArray_SIZE(as_array(object)); ++i) {
        if (elements.indices[i] < 0 || elements.indices[i] >= size) {
            return false;
        }
    }
    return (shape[1] == 1 || shape[1] == batch) && (shape[2] == 1 || shape[2] == channels);
}

// largest_at(x, elements) -> positions
PyObject* find_largest(const Entry& entry, PyObject* x, PyObject* elements) {
    if (!is_float32(x) || !PyList_CheckExact(elements)) {
        return nullptr;
    }
    const int dimensions = int(PyList_GET_SIZE(elements));
    if (dimensions < 1 || dimensions > 3 || PyArray_NDIM(as_array(x)) != dimensions + 2) {
        return nullptr;
    }
    static const int64_t zero = 0;
    const npy_intp* shape = PyArray_DIMS(as_array(x));
    npy_intp results[5] = {shape[0], shape[1]};
    LargestAt of{};
    of.channels = shape[1];
    int64_t each = 1;
    for (int i = 0; i < 3; ++i) {
        const int place = i - (3 - dimensions);
        of.axes[i] = {&zero, 1, 1, 1, 1, 1, 1};
        if (place >= 0) {
            if (!read_elements(PyList_GET_ITEM(elements, place), shape[0], shape[1],
                               shape[2 + place], of.axes[i])) {
                return nullptr;
            }
            results[2 + place] = of.axes[i].windows;
        }
        each *= of.axes[i].count * of.axes[i].windows;
    }
    PyObject* found = PyArray_SimpleNew(dimensions + 2, results, NPY_INT64);
    if (found != nullptr) {
        void* arrays[] = {memory_of(found), memory_of(x), &of};
        run_anyhow(entry.float32, arrays, nullptr, shape[0] * shape[1], each);
    }
    return found;
}

// read_positions(x, positions), and add_positions(x, positions, size)
PyObject* at_positions(const Entry& entry, PyObject* x, PyObject* positions, PyObject* size) {
    if (!is_float32(x, 3) || !is_int64(positions, 3) || PyArray_SIZE(as_array(x)) == 0 ||
        PyArray_SIZE(as_array(positions)) == 0) {
        return nullptr;
    }
    const npy_intp *shape = PyArray_DIMS(as_array(x)), *rows = PyArray_DIMS(as_array(positions));
    At of{};
    of.positions = static_cast<const int64_t*>(memory_of(positions));
    of.shared = rows[1] == 1;
    of.channels = shape[1];
    of.count = rows[2];
    of.size = shape[2];
    if ((size != nullptr && !read_int(size, 1, NPY_MAX_INTP, of.size)) || rows[0] != shape[0] || (rows[1] != shape[1] && !of.shared) ||
        (size != nullptr && rows[2] != shape[2])) {
        return nullptr;
    }
    for (int64_t i = 0; i < PyArray_SIZE(as_array(positions)); ++i) {
        if (uint64_t(of.positions[i]) >= uint64_t(of.size)) {
            return nullptr;
        }
    }
    npy_intp results[] = {shape[0], shape[1], npy_intp(size == nullptr ? of.count : of.size)};
    PyObject* found = PyArray_SimpleNew(3, results, NPY_FLOAT32);
    if (found != nullptr) {
        void* arrays[] = {memory_of(found), memory_of(x), &of};
        run_anyhow(entry.float32, arrays, nullptr, shape[0] * shape[1], of.count + of.size);
    }
    return found;
}

}  // namespace

PyObject* positions(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                    PyObject* keywords) {
    const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    if (named != (entry.keyword == nullptr ? 0 : 1) ||
        (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0),
                                                        entry.keyword) != 0)) {
        return nullptr;
    }
    if (std::strcmp(entry.name, "largest_at") == 0) {
        return count == 1 ? find_largest(entry, given[0], given[1]) : nullptr;
    }
    return count == 2 ? at_positions(entry, given[0], given[1], named == 1 ? given[2] : nullptr)
                      : nullptr;
}
