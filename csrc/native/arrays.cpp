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

bool read_int(PyObject* object, int64_t least, int64_t most, int64_t& value) {
    if (object == nullptr || !PyLong_CheckExact(object)) {
        return false;
    }
    int beyond;
    value = PyLong_AsLongLongAndOverflow(object, &beyond);
    return beyond == 0 && value >= least && value <= most;
}

PyObject* empty(PyArray_Descr* dtype, int dimensions, const npy_intp* shape) {
    Py_INCREF(dtype);
    return PyArray_NewFromDescr(&PyArray_Type, dtype, dimensions, shape, nullptr, nullptr, 0,
                                nullptr);
}

PyObject* empty_like(PyArrayObject* array) {
    return empty(PyArray_DESCR(array), PyArray_NDIM(array), PyArray_DIMS(array));
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

PyObject* empty_vector(npy_intp size, int dtype) { return PyArray_SimpleNew(1, &size, dtype); }

PyObject* one_number(float value) {
    PyObject* result = PyArray_SimpleNew(0, nullptr, NPY_FLOAT32);
    if (result != nullptr) {
        *static_cast<float*>(memory_of(result)) = value;
    }
    return result;
}

bool read_alike(PyObject* const* given, int count, void** memory) {
    for (int i = 0; i < count; ++i) {
        if (!is_float32(given[i]) || !PyArray_SAMESHAPE(as_array(given[i]), as_array(given[0]))) {
            return false;
        }
        memory[i] = memory_of(given[i]);
    }
    return true;
}
