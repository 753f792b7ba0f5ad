#include "../arrays.h"
#include "../doors.h"

// copy(x), of any dtype whose elements are no Python objects
PyObject* copy(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    constexpr npy_intp few = 1 << 16;  // which NumPy copies as fast
    if (count != 1 || keywords != nullptr || !is_plain(given[0])) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[0]);
    PyArray_Descr* dtype = PyArray_DESCR(x);
    if (PyArray_SIZE(x) < few || PyDataType_REFCHK(dtype)) {
        return nullptr;
    }
    PyObject* result = empty(dtype, PyArray_NDIM(x), PyArray_DIMS(x));
    if (result == nullptr) {
        return nullptr;
    }
    void* arrays[] = {memory_of(result), PyArray_DATA(x)};
    const double numbers[] = {double(PyArray_ITEMSIZE(x))};
    run_anyhow(entry.float32, arrays, numbers, PyArray_SIZE(x));
    return result;
}
