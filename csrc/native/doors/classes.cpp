// Losses of integer classes.
#include <cstring>

#include "../arrays.h"
#include "../doors.h"

namespace {

bool is_matrix(PyObject* object) {
    return is_float32(object, 2) && PyArray_SIZE(as_array(object)) > 0;
}

// A whole number that a double holds.
bool read_whole(PyObject* object, int64_t& value) {
    constexpr int64_t end = int64_t(1) << 53;
    return read_int(object, 1 - end, end - 1, value);
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
    if (!is_matrix(given[0]) || !is_int64(given[1], 1) ||
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
    PyObject* loss = empty_vector(rows);
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

// Classes, and the pixels that have one each, of (n, classes, ...); false where targets are not (n, ...).
bool read_shape(const npy_intp* shape, int dimensions, PyObject* targets, double* numbers) {
    if (dimensions < 2 || !is_int64(targets, dimensions - 1)) {
        return false;
    }
    const npy_intp* of = PyArray_DIMS(as_array(targets));
    npy_intp pixels = 1;
    for (int i = 2; i < dimensions; ++i) {
        pixels *= shape[i];
        if (shape[i] != of[i - 1]) {
            return false;
        }
    }
    numbers[0] = double(shape[1]);
    numbers[1] = double(pixels);
    return shape[0] == of[0] && PyArray_SIZE(as_array(targets)) > 0;
}

double sum_of(PyObject* vector) {
    const float* x = static_cast<const float*>(memory_of(vector));
    double sum = 0;
    for (npy_intp i = 0; i < PyArray_SIZE(as_array(vector)); ++i) {
        sum += double(x[i]);
    }
    return sum;
}

// nll(x, targets, weight, ignored, reduction) -> (loss, factors, total)
PyObject* nll(const Entry& entry, PyObject* const* given, PyObject* keywords) {
    static const char* const names[] = {"ignored", "reduction", "op"};
    PyObject* found[3] = {};
    int64_t ignored;
    double numbers[3];
    if (!is_float32(given[0]) ||
        !read_shape(PyArray_DIMS(as_array(given[0])), PyArray_NDIM(as_array(given[0])), given[1],
                    numbers) ||
        !is_vector(given[2], npy_intp(numbers[0])) ||
        !read_keywords(keywords, given + 3, names, found) || !read_whole(found[0], ignored) ||
        found[1] == nullptr || !PyUnicode_Check(found[1])) {
        return nullptr;
    }
    PyArrayObject* targets = as_array(given[1]);
    const npy_intp size = PyArray_SIZE(targets);
    double total = total_of(static_cast<const int64_t*>(PyArray_DATA(targets)), size, ignored,
                            static_cast<const float*>(memory_of(given[2])), npy_intp(numbers[0]));
    if (!(total > 0)) {
        return nullptr;
    }
    numbers[2] = double(ignored);
    PyObject* losses = PyArray_SimpleNew(PyArray_NDIM(targets), PyArray_DIMS(targets), NPY_FLOAT32);
    PyObject* factors = PyArray_SimpleNew(PyArray_NDIM(targets), PyArray_DIMS(targets), NPY_FLOAT32);
    PyObject* all = nullptr;
    if (losses != nullptr && factors != nullptr) {
        void* arrays[] = {memory_of(losses), memory_of(factors), memory_of(given[0]),
                          PyArray_DATA(targets), memory_of(given[2])};
        run_anyhow(entry.float32, arrays, numbers, size);
        if (PyUnicode_CompareWithASCIIString(found[1], "none") != 0) {
            Py_SETREF(losses, one_number(float(sum_of(losses))));
        }
        if (PyUnicode_CompareWithASCIIString(found[1], "mean") != 0) {
            total = 1;
        } else if (losses != nullptr) {
            *static_cast<float*>(memory_of(losses)) /= float(total);
        }
        PyObject* divisor = one_number(float(total));
        if (losses != nullptr && divisor != nullptr) {
            all = PyTuple_Pack(3, losses, factors, divisor);
        }
        Py_XDECREF(divisor);
    }
    Py_XDECREF(losses);
    Py_XDECREF(factors);
    return all;
}

// nll_backward(g, targets, factors, total, shape, ignored) -> dx
PyObject* nll_backward(const Entry& entry, PyObject* const* given, PyObject* keywords) {
    static const char* const names[] = {"shape", "ignored"};
    PyObject* found[2] = {};
    int64_t ignored;
    double numbers[5];
    if (!read_keywords(keywords, given + 4, names, found) || !read_whole(found[1], ignored) ||
        found[0] == nullptr || !PyTuple_CheckExact(found[0]) ||
        PyTuple_GET_SIZE(found[0]) > NPY_MAXDIMS || !is_float32(given[3], 0)) {
        return nullptr;
    }
    npy_intp shape[NPY_MAXDIMS];
    const int dimensions = int(PyTuple_GET_SIZE(found[0]));
    for (int i = 0; i < dimensions; ++i) {
        shape[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(found[0], i));
    }
    if (PyErr_Occurred() || !read_shape(shape, dimensions, given[1], numbers) ||
        !is_float32(given[2], dimensions - 1) ||
        !PyArray_SAMESHAPE(as_array(given[1]), as_array(given[2]))) {
        PyErr_Clear();
        return nullptr;
    }
    const npy_intp size = PyArray_SIZE(as_array(given[1]));
    float one;
    const bool shared = read_one_number(given[0], one);
    if (!shared && (!is_float32(given[0], dimensions - 1) ||
                    !PyArray_SAMESHAPE(as_array(given[0]), as_array(given[1])))) {
        return nullptr;
    }
    numbers[2] = shared ? 0 : 1;
    numbers[3] = double(*static_cast<const float*>(memory_of(given[3])));
    numbers[4] = double(ignored);
    PyObject* dx = PyArray_ZEROS(dimensions, shape, NPY_FLOAT32, 0);
    if (dx != nullptr) {
        void* arrays[] = {memory_of(dx), shared ? &one : memory_of(given[0]), memory_of(given[2]),
                          memory_of(given[1])};
        run_anyhow(entry.float32, arrays, numbers, size);
    }
    return dx;
}

}  // namespace

PyObject* classes(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    const bool back = std::strstr(entry.name, "backward") != nullptr;
    if (entry.name[0] == 'n') {
        return count == (back ? 4 : 3) ? (back ? nll_backward : nll)(entry, given, keywords)
                                       : nullptr;
    }
    if (back) {
        return count == 2 && keywords == nullptr ? backward(entry, given) : nullptr;
    }
    return count == 3 ? forward(entry, given, keywords) : nullptr;
}
