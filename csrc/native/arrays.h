// What doors (doors/) look at, and make: NumPy's arrays.
#pragma once

#include "level.h"
#include "python.h"

inline PyArrayObject* as_array(PyObject* object) {
    return reinterpret_cast<PyArrayObject*>(object);
}

// Whether it is an array, contiguous, aligned, of the machine's byte order.
inline bool is_plain(PyObject* object) {
    return PyArray_CheckExact(object) && PyArray_ISCARRAY_RO(as_array(object));
}

inline bool is_float32(PyObject* object, int dimensions) {
    return is_plain(object) && PyArray_TYPE(as_array(object)) == NPY_FLOAT32 &&
           PyArray_NDIM(as_array(object)) == dimensions;
}

// None, or a vector of this length.
inline bool is_vector(PyObject* object, npy_intp length) {
    return object == Py_None ||
           (is_float32(object, 1) && PyArray_DIM(as_array(object), 0) == length);
}

// Null of None.
inline void* memory_of(PyObject* object) {
    return object == Py_None ? nullptr : PyArray_DATA(as_array(object));
}

// A float, or an array of one, however often it is repeated.
bool read_one_number(PyObject* object, float& value);

PyObject* empty_like(PyArrayObject* array);
PyArrayObject* empty_vector(uint64_t size, int dtype);

// Where all of them are float32, plain and of one shape, their memory; else false.
bool read_alike(PyObject* const* given, int count, void** memory);

// As ``run``, on several threads and while other threads run Python where there is much to do.
void run_anyhow(Loop loop, void* const* arrays, const double* numbers, int64_t size,
                int64_t each = 1);

// Keyword arguments, of which each is one of ``names``; false if there are others. What is not given
// stays null.
template <size_t size>
bool read_keywords(PyObject* keywords, PyObject* const* values, const char* const (&names)[size],
                   PyObject* (&found)[size]) {
    const Py_ssize_t count = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t i = 0; i < count; ++i) {
        size_t place = 0;
        while (place < size && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, i),
                                                                names[place]) != 0) {
            ++place;
        }
        if (place == size) {
            return false;
        }
        found[place] = values[i];
    }
    return true;
}
