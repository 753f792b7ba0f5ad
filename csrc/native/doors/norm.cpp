// Layer, RMS and group norm.
#include <cstring>

#include "../arrays.h"
#include "../doors.h"

namespace {

// How x lies in rows that are normalised (see the loops).
struct Rows {
    npy_intp rows, columns, of_sample, pixels;
    bool centred;

    npy_intp channels() const { return of_sample * (columns / pixels); }
    // In order as the loops take them, with one number more.
    struct Numbers {
        double all[5];
    };
    Numbers numbers(double last) const {
        return {{double(columns), double(of_sample), double(pixels), centred ? 1.0 : 0.0, last}};
    }
};

bool has_channels(PyObject* object) {
    return is_float32(object) && PyArray_NDIM(as_array(object)) >= 2 &&
           PyArray_SIZE(as_array(object)) > 0;
}

// Of (rows, columns), or, with groups, of (samples, channels, ...); false for other shapes.
bool read_rows(PyObject* object, PyObject* groups, bool centred, Rows& rows) {
    if (!has_channels(object)) {
        return false;
    }
    PyArrayObject* x = as_array(object);
    const npy_intp size = PyArray_SIZE(x), samples = PyArray_DIM(x, 0), channels = PyArray_DIM(x, 1);
    if (groups == nullptr) {
        rows = {samples, channels, 1, 1, centred};
        return PyArray_NDIM(x) == 2;
    }
    int64_t count;
    if (!read_int(groups, 1, channels, count) || channels % count != 0) {
        return false;
    }
    rows = {samples * count, size / (samples * count), count, size / (samples * channels), centred};
    return true;
}

// layer_norm(x, weight, bias, eps) -> (y, mean, rstd), also group_norm with groups;
// rms_norm(x, weight, eps) -> (y, rstd)
PyObject* forward(const Entry& entry, const Rows& rows, PyObject* x, PyObject* weight,
                  PyObject* bias, PyObject* eps) {
    if (eps == nullptr || !PyFloat_CheckExact(eps) || !is_vector(weight, rows.channels()) ||
        !is_vector(bias, rows.channels()) || (rows.pixels > 1 && weight == Py_None)) {
        return nullptr;
    }
    PyObject* y = empty_like(as_array(x));
    PyObject* mean = rows.centred ? empty_vector(rows.rows) : Py_NewRef(Py_None);
    PyObject* rstd = empty_vector(rows.rows);
    PyObject* all = nullptr;
    if (y != nullptr && mean != nullptr && rstd != nullptr) {
        void* arrays[] = {memory_of(y), memory_of(mean),   memory_of(rstd),
                          memory_of(x), memory_of(weight), memory_of(bias)};
        run_anyhow(entry.float32, arrays, rows.numbers(PyFloat_AS_DOUBLE(eps)).all, rows.rows,
                   rows.columns);
        all = rows.centred ? PyTuple_Pack(3, y, mean, rstd) : PyTuple_Pack(2, y, rstd);
    }
    Py_XDECREF(y);
    Py_XDECREF(mean);
    Py_XDECREF(rstd);
    return all;
}

// The sums of all pieces, in float; the pieces' parts lie ``stride`` apart.
PyObject* total_of(const double* parts, npy_intp pieces, npy_intp stride, npy_intp columns) {
    PyObject* total = empty_vector(columns);
    if (total != nullptr) {
        float* result = static_cast<float*>(memory_of(total));
        for (npy_intp column = 0; column < columns; ++column) {
            double sum = 0;
            for (npy_intp i = 0; i < pieces; ++i) {
                sum += parts[i * stride + column];
            }
            result[column] = float(sum);
        }
    }
    return total;
}

// layer_norm_backward(g, x, weight, mean, rstd, needs) -> (dx, dweight, dbias), also that of
// group_norm with groups; rms_norm_backward(g, x, weight, rstd, needs) -> (dx, dweight). The mean is
// computed anew, with all its digits.
PyObject* backward(const Entry& entry, const Rows& rows, PyObject* const* given, PyObject* rstd,
                   PyObject* needs) {
    const npy_intp channels = rows.channels();
    const int results = rows.centred ? 3 : 2;
    if (needs == nullptr || !PyTuple_CheckExact(needs) || PyTuple_GET_SIZE(needs) != results ||
        !has_channels(given[0]) || !PyArray_SAMESHAPE(as_array(given[0]), as_array(given[1])) ||
        !is_vector(given[2], channels) || (rows.pixels > 1 && given[2] == Py_None) ||
        rstd == Py_None || !is_vector(rstd, rows.rows) ||
        (rows.centred && (given[3] == Py_None || !is_vector(given[3], rows.rows)))) {
        return nullptr;
    }
    bool wanted[3] = {};
    for (int i = 1; i < results; ++i) {
        wanted[i] = PyTuple_GET_ITEM(needs, i) == Py_True;
    }
    const npy_intp at_once = rows_at_once(rows.columns);
    const npy_intp pieces = (rows.rows + at_once - 1) / at_once;
    const npy_intp stride = 2 * (channels + rows.columns / rows.pixels);
    double* sums = nullptr;
    if (wanted[1] || wanted[2] || rows.pixels > 1) {
        sums = static_cast<double*>(PyMem_Calloc(size_t(pieces * stride), sizeof(double)));
        if (sums == nullptr) {
            return PyErr_NoMemory();
        }
    }
    PyObject* dx = empty_like(as_array(given[1]));
    PyObject* all = dx == nullptr ? nullptr : PyTuple_New(results);
    if (all != nullptr) {
        void* arrays[] = {memory_of(dx),       sums,                memory_of(given[0]),
                          memory_of(given[1]), memory_of(given[2]), memory_of(rstd),
                          rows.centred ? memory_of(given[3]) : nullptr};
        run_anyhow(entry.float32, arrays, rows.numbers(double(at_once)).all, rows.rows,
                   rows.columns);
        PyTuple_SET_ITEM(all, 0, Py_NewRef(dx));
        for (int i = 1; all != nullptr && i < results; ++i) {
            PyObject* sum = wanted[i] ? total_of(sums + (i - 1) * channels, pieces, stride, channels)
                                      : Py_NewRef(Py_None);
            if (sum == nullptr) {
                Py_CLEAR(all);
            } else {
                PyTuple_SET_ITEM(all, i, sum);
            }
        }
    }
    Py_XDECREF(dx);
    PyMem_Free(sums);
    return all;
}

}  // namespace

PyObject* norm(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"eps", "needs", "groups"};
    const bool back = std::strcmp(entry.keyword, "needs") == 0;
    const bool grouped = entry.name[0] == 'g', centred = entry.name[0] != 'r';
    PyObject* found[3] = {};
    Rows rows;
    if (count != (back ? 4 : 2) + (centred ? 1 : 0) ||
        !read_keywords(keywords, given + count, names, found) ||
        found[back ? 0 : 1] != nullptr || (found[2] != nullptr) != grouped ||
        !read_rows(given[back ? 1 : 0], found[2], centred, rows)) {
        return nullptr;
    }
    return back ? backward(entry, rows, given, given[count - 1], found[1])
                : forward(entry, rows, given[0], given[1], centred ? given[2] : Py_None, found[0]);
}
