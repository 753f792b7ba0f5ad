#include "arrays.h"

namespace {

// Below it, to let other threads run Python costs more than it saves them.
constexpr int64_t many = 1 << 12;

}  // namespace

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
