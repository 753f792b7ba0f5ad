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

// Whether it is an array, aligned, of the machine's byte order, with any strides.
inline bool is_behaved(PyObject* object) {
    return PyArray_CheckExact(object) && PyArray_ISBEHAVED_RO(as_array(object));
}

inline bool is_bfloat16(const PyArray_Descr* dtype) {  // the only 2 bytes that ml_dtypes has
    return dtype->type_num >= NPY_USERDEF && dtype->kind == 'V' && PyDataType_ELSIZE(dtype) == 2;
}
inline bool is_bfloat16(PyArrayObject* array) { return is_bfloat16(PyArray_DESCR(array)); }

// The loop for floats of a dtype, or null.
inline Loop loop_of(const Entry& entry, const PyArray_Descr* dtype) {
    switch (dtype->type_num) {
        case NPY_FLOAT32: return entry.float32;
        case NPY_FLOAT64: return entry.float64;
        case NPY_FLOAT16: return entry.float16;
        default: return is_bfloat16(dtype) ? entry.bfloat16 : nullptr;
    }
}
inline Loop loop_of(const Entry& entry, PyArrayObject* array) {
    return loop_of(entry, PyArray_DESCR(array));
}

// The loop for numbers of so many bytes as the array's have, whatever they are, or null.
inline Loop loop_of_size(const Entry& entry, PyArrayObject* array) {
    if (!PyArray_ISNUMBER(array) && !PyArray_ISBOOL(array) && !is_bfloat16(array)) {
        return nullptr;
    }
    switch (PyArray_ITEMSIZE(array)) {
        case 2: return entry.float16;
        case 4: return entry.float32;
        case 8: return entry.float64;
        default: return nullptr;
    }
}

inline bool is_plain(PyObject* object, int dtype) {
    return is_plain(object) && PyArray_TYPE(as_array(object)) == dtype;
}
inline bool is_float32(PyObject* object) { return is_plain(object, NPY_FLOAT32); }
inline bool is_float32(PyObject* object, int dimensions) {
    return is_float32(object) && PyArray_NDIM(as_array(object)) == dimensions;
}
inline bool is_int64(PyObject* object) { return is_plain(object, NPY_INT64); }
inline bool is_int64(PyObject* object, int dimensions) {
    return is_int64(object) && PyArray_NDIM(as_array(object)) == dimensions;
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

// An int of Python's from ``least`` to ``most``; false for anything else, or null.
bool read_int(PyObject* object, int64_t least, int64_t most, int64_t& value);

PyObject* empty(PyArray_Descr* dtype, int dimensions, const npy_intp* shape);
PyObject* empty_like(PyArrayObject* array);
PyObject* empty_vector(npy_intp size, int dtype = NPY_FLOAT32);
PyObject* one_number(float value);

// Where all of them are float32, plain and of one shape, their memory; else false.
bool read_alike(PyObject* const* given, int count, void** memory);

// As ``run``, on several threads and while other threads run Python where there is much to do.
// ``alone``: on one thread, as a single piece.
void run_anyhow(Loop loop, void* const* arrays, const double* numbers, int64_t size,
                int64_t each = 1, bool alone = false);

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
