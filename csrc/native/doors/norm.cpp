#include <cstring>

#include "../arrays.h"
#include "../doors.h"

namespace {

// A matrix with rows and columns.
bool is_matrix(PyObject* object) {
    return is_float32(object, 2) && PyArray_SIZE(as_array(object)) > 0;
}

// layer_norm(x, weight, bias, eps) -> (y, mean, rstd)
PyObject* layer_norm(const Entry& entry, PyObject* const* given, PyObject* eps) {
    if (!is_matrix(given[0]) || !PyFloat_CheckExact(eps)) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[0]);
    const npy_intp rows = PyArray_DIM(x, 0), columns = PyArray_DIM(x, 1);
    if (!is_vector(given[1], columns) || !is_vector(given[2], columns)) {
        return nullptr;
    }
    PyObject* results[] = {empty_like(x),
                           reinterpret_cast<PyObject*>(empty_vector(uint64_t(rows), NPY_FLOAT32)),
                           reinterpret_cast<PyObject*>(empty_vector(uint64_t(rows), NPY_FLOAT32))};
    PyObject* all = nullptr;
    if (results[0] != nullptr && results[1] != nullptr && results[2] != nullptr) {
        void* arrays[] = {memory_of(results[0]), memory_of(results[1]), memory_of(results[2]),
                          PyArray_DATA(x),       memory_of(given[1]),   memory_of(given[2])};
        const double numbers[] = {double(columns), PyFloat_AS_DOUBLE(eps)};
        run_anyhow(entry.float32, arrays, numbers, rows, columns);
        all = PyTuple_Pack(3, results[0], results[1], results[2]);
    }
    for (PyObject* result : results) {
        Py_XDECREF(result);
    }
    return all;
}

// The sums of all pieces, in float; the pieces' parts lie ``stride`` apart.
PyObject* total_of(const double* parts, npy_intp pieces, npy_intp stride, npy_intp columns) {
    PyArrayObject* total = empty_vector(uint64_t(columns), NPY_FLOAT32);
    if (total != nullptr) {
        float* result = static_cast<float*>(PyArray_DATA(total));
        for (npy_intp column = 0; column < columns; ++column) {
            double sum = 0;
            for (npy_intp i = 0; i < pieces; ++i) {
                sum += parts[i * stride + column];
            }
            result[column] = float(sum);
        }
    }
    return reinterpret_cast<PyObject*>(total);
}

// layer_norm_backward(g, x, weight, mean, rstd, needs) -> (dx, dweight, dbias). The mean is computed
// anew, with all its digits.
PyObject* layer_norm_backward(const Entry& entry, PyObject* const* given, PyObject* needs) {
    if (!is_matrix(given[1]) || !is_matrix(given[0]) || !PyTuple_CheckExact(needs) ||
        PyTuple_GET_SIZE(needs) != 3) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[1]);
    const npy_intp rows = PyArray_DIM(x, 0), columns = PyArray_DIM(x, 1);
    if (!PyArray_SAMESHAPE(as_array(given[0]), x) ||
        !is_vector(given[2], columns) || given[4] == Py_None || !is_vector(given[4], rows)) {
        return nullptr;
    }
    bool wanted[3];
    for (int i = 0; i < 3; ++i) {
        wanted[i] = PyTuple_GET_ITEM(needs, i) == Py_True;
    }
    const npy_intp at_once = rows_at_once(columns), pieces = (rows + at_once - 1) / at_once;
    double* sums = nullptr;
    if (wanted[1] || wanted[2]) {
        sums = static_cast<double*>(PyMem_Calloc(size_t(pieces * 2 * columns), sizeof(double)));
        if (sums == nullptr) {
            return PyErr_NoMemory();
        }
    }
    PyObject* dx = empty_like(x);
    PyObject* all = nullptr;
    if (dx != nullptr) {
        void* arrays[] = {memory_of(dx),   sums,                memory_of(given[0]),
                          PyArray_DATA(x), memory_of(given[2]), memory_of(given[4])};
        const double numbers[] = {double(columns), double(at_once)};
        run_anyhow(entry.float32, arrays, numbers, rows, columns);
        PyObject* of[2] = {Py_NewRef(Py_None), Py_NewRef(Py_None)};
        for (int i = 0; i < 2; ++i) {
            if (wanted[1 + i]) {
                Py_SETREF(of[i], total_of(sums + i * columns, pieces, 2 * columns, columns));
            }
        }
        if (of[0] != nullptr && of[1] != nullptr) {
            all = PyTuple_Pack(3, dx, of[0], of[1]);
        }
        Py_XDECREF(of[0]);
        Py_XDECREF(of[1]);
        Py_DECREF(dx);
    }
    PyMem_Free(sums);
    return all;
}

}  // namespace

PyObject* norm(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    const bool back = std::strcmp(entry.keyword, "needs") == 0;
    if (count != (back ? 5 : 3) || keywords == nullptr || PyTuple_GET_SIZE(keywords) != 1 ||
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), entry.keyword) != 0) {
        return nullptr;
    }
    return (back ? layer_norm_backward : layer_norm)(entry, given, given[count]);
}
