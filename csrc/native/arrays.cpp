#include "arrays.h"

#include <numpy/arrayscalars.h>

namespace {

// Below it, to let other threads run Python costs more than it saves them.
constexpr int64_t many = 1 << 12;

}  // namespace

bool read_one_number(PyObject* object, float& value) {
    if (PyArray_IsScalar(object, Float32)) {
        value = PyArrayScalar_VAL(object, Float32);
        return true;
    }
    PyArrayObject* array = as_array(object);
    if (!PyArray_CheckExact(object) || PyArray_TYPE(array) != NPY_FLOAT32 ||
        !PyArray_ISBEHAVED_RO(array) || PyArray_SIZE(array) == 0) {
        return false;
    }
    for (int i = 0; i < PyArray_NDIM(array); ++i) {
        if (PyArray_STRIDE(array, i) != 0 && PyArray_DIM(array, i) != 1) {
            return false;
        }
    }
    value = *static_cast<const float*>(PyArray_DATA(array));
    return true;
}

PyObject* empty_like(PyArrayObject* array) {
    PyArray_Descr* dtype = PyArray_DESCR(array);
    Py_INCREF(dtype);
    return PyArray_NewFromDescr(&PyArray_Type, dtype, PyArray_NDIM(array), PyArray_DIMS(array),
                                nullptr, nullptr, 0, nullptr);
}

void run_anyhow(Loop loop, void* const* arrays, const double* numbers, int64_t size,
                int64_t each, bool alone) {
    if (size * each < many) {
        loop(arrays, numbers, 0, size);
        return;
    }
    Py_BEGIN_ALLOW_THREADS;
    if (alone) {
        loop(arrays, numbers, 0, size);
    } else {
        run(loop, arrays, numbers, size, each);
    }
    Py_END_ALLOW_THREADS;
}

PyArrayObject* empty_vector(uint64_t size, int dtype) {
    npy_intp length = npy_intp(size);
    return reinterpret_cast<PyArrayObject*>(PyArray_SimpleNew(1, &length, dtype));
}

bool read_alike(PyObject* const* given, int count, void** memory) {
    PyArrayObject* first = reinterpret_cast<PyArrayObject*>(given[0]);
    for (int i = 0; i < count; ++i) {
        PyArrayObject* array = reinterpret_cast<PyArrayObject*>(given[i]);
        if (!is_plain(given[i]) || PyArray_TYPE(array) != NPY_FLOAT32 ||
            !PyArray_SAMESHAPE(array, first)) {
            return false;
        }
        memory[i] = PyArray_DATA(array);
    }
    return true;
}
