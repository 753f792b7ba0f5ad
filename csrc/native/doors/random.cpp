#include <cstring>

#include "../arrays.h"
#include "../doors.h"

namespace {

bool read_unsigned(PyObject* object, uint64_t& value) {
    if (object == nullptr || !PyLong_CheckExact(object)) {
        return false;
    }
    value = PyLong_AsUnsignedLongLong(object);
    if (value == uint64_t(-1) && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return true;
}

// Seed and offset, as the loops take them.
bool read_stream(PyObject* seed, PyObject* offset, double* numbers) {
    uint64_t values[2];
    if (!read_unsigned(seed, values[0]) || !read_unsigned(offset, values[1])) {
        return false;
    }
    for (int i = 0; i < 2; ++i) {
        numbers[2 * i] = double(uint32_t(values[i]));
        numbers[2 * i + 1] = double(values[i] >> 32);
    }
    return true;
}

// philox(n, seed, offset, start), uniform(n, dtype, seed, offset), normal(n, dtype, seed, offset)
PyObject* draw(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"n", "seed", "offset", "start", "dtype"};
    PyObject* found[5] = {};
    double numbers[max_numbers] = {};
    uint64_t n, start = 0;
    if (count != 0 || !read_keywords(keywords, given, names, found) ||
        !read_unsigned(found[0], n) || n > uint64_t(NPY_MAX_INTP) / 16 ||
        !read_stream(found[1], found[2], numbers)) {
        return nullptr;
    }
    const bool words = entry.float64 == nullptr, pairs = std::strcmp(entry.name, "normal") == 0;
    int dtype = NPY_UINT32;
    if (words) {
        if (found[4] != nullptr || (found[3] != nullptr && !read_unsigned(found[3], start)) ||
            start % 4 != 0 || start >> 52 != 0) {
            return nullptr;
        }
        numbers[4] = double(start);
    } else {
        if (found[3] != nullptr || found[4] == nullptr || !PyArray_DescrCheck(found[4])) {
            return nullptr;
        }
        dtype = reinterpret_cast<PyArray_Descr*>(found[4])->type_num;
        if (dtype != NPY_FLOAT32 && dtype != NPY_FLOAT64) {
            return nullptr;
        }
    }
    PyObject* result = empty_vector(npy_intp(pairs ? n + n % 2 : n), dtype);
    if (result == nullptr) {
        return nullptr;
    }
    void* arrays[] = {memory_of(result)};
    run_anyhow(dtype == NPY_FLOAT64 ? entry.float64 : entry.float32, arrays, numbers,
               int64_t(pairs ? (n + 1) / 2 : n));
    if (pairs && n % 2 == 1) {  // without the last one, in memory of its own
        PyObject* all = result;
        result = empty_vector(npy_intp(n), dtype);
        if (result != nullptr) {
            std::memcpy(memory_of(result), memory_of(all), size_t(PyArray_NBYTES(as_array(result))));
        }
        Py_DECREF(all);
    }
    return result;
}

// integers_below(n, span, seed, offset), in int64
PyObject* draw_integers(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                        PyObject* keywords) {
    static const char* const names[] = {"n", "span", "seed", "offset"};
    PyObject* found[4] = {};
    double numbers[max_numbers] = {};
    uint64_t n, span;
    if (count != 0 || !read_keywords(keywords, given, names, found) ||
        !read_unsigned(found[0], n) || n > uint64_t(NPY_MAX_INTP) / 16 ||
        !read_unsigned(found[1], span) || span == 0 || span > uint64_t(1) << 63 ||
        !read_stream(found[2], found[3], numbers)) {
        return nullptr;
    }
    numbers[5] = double(uint32_t(span));
    numbers[6] = double(span >> 32);
    PyObject* result = empty_vector(npy_intp(n), NPY_INT64);
    if (result != nullptr) {
        void* arrays[] = {memory_of(result)};
        run_anyhow(entry.float64, arrays, numbers, int64_t(n));
    }
    return result;
}

// dropout(x, p, seed, offset) -> (y, None): the gradient draws the same words again
PyObject* dropout(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                  PyObject* keywords) {
    static const char* const names[] = {"p", "seed", "offset"};
    PyObject* found[3] = {};
    double numbers[max_numbers] = {};
    if (count != 1 || !is_plain(given[0]) ||
        !read_keywords(keywords, given + 1, names, found) || found[0] == nullptr ||
        !PyFloat_CheckExact(found[0]) || !read_stream(found[1], found[2], numbers)) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[0]);
    const double p = PyFloat_AS_DOUBLE(found[0]);
    const int dtype = PyArray_TYPE(x);
    if ((dtype != NPY_FLOAT32 && dtype != NPY_FLOAT64) || !(p >= 0 && p < 1)) {
        return nullptr;
    }
    numbers[5] = std::ceil(p * 16777216.0);
    numbers[6] = 1 - p;
    PyObject* y = empty_like(x);
    if (y == nullptr) {
        return nullptr;
    }
    void* arrays[] = {PyArray_DATA(as_array(y)), PyArray_DATA(x)};
    run_anyhow(dtype == NPY_FLOAT64 ? entry.float64 : entry.float32, arrays, numbers,
               PyArray_SIZE(x));
    return Py_BuildValue("(NO)", y, Py_None);
}

}  // namespace

PyObject* random(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    return (entry.arrays > 1            ? dropout
            : entry.keyword != nullptr ? draw_integers
                                       : draw)(entry, given, count, keywords);
}
