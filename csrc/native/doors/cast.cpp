#include "../arrays.h"
#include "../doors.h"

namespace {

// Which of the table's entries is for the dtype of an array, or -1.
int source_of(PyArrayObject* x) {
    switch (PyArray_TYPE(x)) {
        case NPY_FLOAT32: return 0;
        case NPY_FLOAT64: return 1;
        case NPY_FLOAT16: return 2;
        case NPY_UINT8: return 4;
        case NPY_INT64: return 5;
        case NPY_BOOL: return 6;
        default: return is_bfloat16(x) ? 3 : -1;
    }
}

}  // namespace

// cast(x, dtype=)
PyObject* cast(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    if (count != 1 || !is_plain(given[0]) || keywords == nullptr ||
        PyTuple_GET_SIZE(keywords) != 1 || !PyArray_DescrCheck(given[1]) ||
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), entry.keyword) != 0) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[0]);
    PyArray_Descr* dtype = reinterpret_cast<PyArray_Descr*>(given[1]);
    const int source = source_of(x);
    if (source < 0 || PyArray_SIZE(x) == 0 || !PyDataType_ISNOTSWAPPED(dtype)) {
        return nullptr;
    }
    const Loop loop = loop_of(level->cast.each[source], dtype);
    if (loop == nullptr || dtype == PyArray_DESCR(x)) {
        return nullptr;
    }
    PyObject* result = empty(dtype, PyArray_NDIM(x), PyArray_DIMS(x));
    if (result == nullptr) {
        return nullptr;
    }
    void* arrays[] = {memory_of(result), PyArray_DATA(x)};
    run_anyhow(loop, arrays, nullptr, PyArray_SIZE(x));
    return result;
}
