// Losses element by element, of x and t alike: loss(x, t, total, number) -> y, or with a total the sum
// of it, divided by that; loss_backward(g, x, t, total, number) -> dx.
#include <cmath>
#include <memory>
#include <new>

#include "../arrays.h"
#include "../doors.h"

namespace {

// Null where it is not finite: the body may know more.
PyObject* sum_of_pieces(const double* sums, npy_intp pieces, double total) {
    double sum = 0;
    for (npy_intp i = 0; i < pieces; ++i) {
        sum += sums[i];
    }
    const float value = float(sum / total);
    return std::isfinite(value) ? one_number(value) : nullptr;
}

}  // namespace

PyObject* losses(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    const bool back = entry.arrays == 4;
    static const char* const names[] = {"total", "number"};
    PyObject* found[2] = {};
    void* arrays[4];
    double numbers[2] = {};
    if (count != entry.arrays - 1 || !read_alike(given + count - 2, 2, arrays + entry.arrays - 2) ||
        !read_keywords(keywords, given + count, names, found) || found[0] == nullptr ||
        found[1] == nullptr || !PyFloat_CheckExact(found[1])) {
        return nullptr;
    }
    numbers[0] = PyFloat_AS_DOUBLE(found[1]);
    const double total = found[0] == Py_None ? 0 : PyFloat_AsDouble(found[0]);
    PyArrayObject* x = as_array(given[count - 2]);
    const npy_intp size = PyArray_SIZE(x);
    if (PyErr_Occurred() || size == 0) {
        PyErr_Clear();
        return nullptr;
    }
    if (!back && found[0] != Py_None) {
        const npy_intp pieces = (size + piece - 1) / piece;
        const std::unique_ptr<double[]> sums(new (std::nothrow) double[size_t(pieces)]);
        if (sums == nullptr) {
            return nullptr;
        }
        arrays[0] = sums.get();
        numbers[1] = double(piece);
        run_anyhow(entry.float32, arrays, numbers, size);
        return sum_of_pieces(sums.get(), pieces, total);
    }
    if (back) {
        float one;
        if (found[0] != Py_None || !read_alike(given, 3, arrays + 1)) {
            if (!read_one_number(given[0], one)) {
                return nullptr;
            }
            arrays[1] = nullptr;
            numbers[1] = found[0] == Py_None ? double(one) : double(one) / total;
        }
    }
    PyObject* result = empty_like(x);
    if (result != nullptr) {
        arrays[0] = memory_of(result);
        run_anyhow(entry.float32, arrays, numbers, size);
    }
    return result;
}
