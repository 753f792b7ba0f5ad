#include "../arrays.h"
#include "../doors.h"

PyObject* alike(const Entry& entry, PyObject* const* given, Py_ssize_t count,
               PyObject* keywords) {
    const int inputs = entry.arrays - 1;
    void* arrays[max_arrays];
    if (count != inputs || (keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords)) != entry.numbers ||
        !read_alike(given, inputs, arrays + 1)) {
        return nullptr;
    }
    PyArrayObject* first = as_array(given[0]);
    double number = 0;
    if (entry.numbers != 0) {
        PyObject* option = given[count];
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), entry.keyword) != 0) {
            return nullptr;
        }
        if (PyFloat_CheckExact(option)) {
            number = PyFloat_AS_DOUBLE(option);
        } else {
            return nullptr;
        }
    }
    PyObject* result = empty_like(first);
    if (result != nullptr) {
        arrays[0] = PyArray_DATA(as_array(result));
        run_anyhow(entry.float32, arrays, &number, PyArray_SIZE(first));
    }
    return result;
}
