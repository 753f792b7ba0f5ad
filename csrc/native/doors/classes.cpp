// Softmax cross-entropy with integer classes.
#include "../arrays.h"
#include "../doors.h"

namespace {

bool is_matrix(PyObject* object) {
    return is_float32(object, 2) && PyArray_SIZE(as_array(object)) > 0;
}

bool read_whole(PyObject* object, int64_t& value) {
    if (object == nullptr || !PyLong_CheckExact(object)) {
        return false;
    }
    value = PyLong_AsLongLong(object);
    if (value == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return true;
}

// The weight of all targets but those that are ignored; 0 if there are none, or one is no class.
double total_of(const int64_t* targets, npy_intp rows, int64_t ignored, const float* weight,
                npy_intp classes) {
    double total = 0;
    for (npy_intp i = 0; i < rows; ++i) {
        const int64_t target = targets[i];
        if (target != ignored) {
            if (target < 0 || target >= classes) {
                return 0;
            }
            total += weight == nullptr ? 1.0 : double(weight[target]);
        }
    }
    return total;
}

// cross_entropy(logits, targets, weight, ignored, smoothing, mean_, gradient) -> (loss, dlogits)
PyObject* forward(const Entry& entry, PyObject* const* given, PyObject* keywords) {
    static const char* const names[] = {"ignored", "smoothing", "mean_", "gradient"};
    PyObject* found[4] = {};
    int64_t ignored;
    if (!is_matrix(given[0]) || !is_plain(given[1]) ||
        PyArray_TYPE(as_array(given[1])) != NPY_INT64 || PyArray_NDIM(as_array(given[1])) != 1 ||
        !read_keywords(keywords, given + 3, names, found) || !read_whole(found[0], ignored) ||
        found[1] == nullptr || !PyFloat_CheckExact(found[1]) || found[2] == nullptr ||
        found[3] == nullptr) {
        return nullptr;
    }
    PyArrayObject* logits = as_array(given[0]);
    const npy_intp rows = PyArray_DIM(logits, 0), classes = PyArray_DIM(logits, 1);
    if (PyArray_DIM(as_array(given[1]), 0) != rows || !is_vector(given[2], classes)) {
        return nullptr;
    }
    const float* weight = static_cast<const float*>(memory_of(given[2]));
    const double total = total_of(static_cast<const int64_t*>(memory_of(given[1])), rows, ignored,
                                  weight, classes);
    if (!(total > 0)) {
        return nullptr;
    }
    double weights = double(classes);
    for (npy_intp i = 0; weight != nullptr && i < classes; ++i) {
        weights += double(weight[i]) - 1;
    }
    PyObject* loss = reinterpret_cast<PyObject*>(empty_vector(uint64_t(rows), NPY_FLOAT32));
    PyObject* dlogits = found[3] == Py_True ? empty_like(logits) : Py_NewRef(Py_None);
    PyObject* both = nullptr;
    if (loss != nullptr && dlogits != nullptr) {
        void* arrays[] = {memory_of(loss), memory_of(dlogits), PyArray_DATA(logits),
                          memory_of(given[1]), memory_of(given[2])};
        const double numbers[] = {double(classes), double(ignored), PyFloat_AS_DOUBLE(found[1]),
                                  found[2] == Py_True ? total : 1.0, weights};
        run_anyhow(entry.float32, arrays, numbers, rows, classes);
        both = PyTuple_Pack(2, loss, dlogits);
    }
    Py_XDECREF(loss);
    Py_XDECREF(dlogits);
    return both;
}

// cross_entropy_backward(g, dlogits) -> dx
PyObject* backward(const Entry& entry, PyObject* const* given) {
    PyArrayObject* g = as_array(given[0]);
    if (!is_matrix(given[1]) || !PyArray_CheckExact(given[0]) || !PyArray_ISBEHAVED_RO(g) ||
        PyArray_TYPE(g) != NPY_FLOAT32 || PyArray_NDIM(g) != 1 ||
        PyArray_DIM(g, 0) != PyArray_DIM(as_array(given[1]), 0)) {
        return nullptr;
    }
    const npy_intp classes = PyArray_DIM(as_array(given[1]), 1);
    PyObject* dx = empty_like(as_array(given[1]));
    if (dx != nullptr) {
        void* arrays[] = {memory_of(dx), memory_of(given[1]), PyArray_DATA(g)};
        const double numbers[] = {double(classes), double(PyArray_STRIDE(g, 0) / 4)};
        run_anyhow(entry.float32, arrays, numbers, PyArray_DIM(g, 0), classes);
    }
    return dx;
}

}  // namespace

PyObject* classes(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    if (entry.arrays == 3) {
        return count == 2 && keywords == nullptr ? backward(entry, given) : nullptr;
    }
    return count == 3 ? forward(entry, given, keywords) : nullptr;
}
