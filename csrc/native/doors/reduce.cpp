#include "../reduction.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "../arrays.h"
#include "../doors.h"

namespace {

#include "../loops/narrow.h"

// An array in row-major order as outer x rows x columns x length, of which rows and lengths are
// reduced. Where the length is 1, columns are added up, else rows.
struct Layout {
    int64_t outer = 1, rows = 1, columns = 1, length = 1;
    int64_t count() const { return rows * length; }
    int64_t results() const { return outer * columns; }
};

// Which axes: a tuple of them, one, or None for all.
bool read_axes(PyObject* axis, int dims, bool* reduced) {
    for (int d = 0; d < dims; ++d) {
        reduced[d] = axis == Py_None;
    }
    const auto add = [&](PyObject* number) {
        int beyond;
        const long d = PyLong_CheckExact(number) ? PyLong_AsLongAndOverflow(number, &beyond) : -1;
        if (d < 0 || d >= dims) {
            return false;
        }
        reduced[d] = true;
        return true;
    };
    if (axis == Py_None || !PyTuple_CheckExact(axis)) {
        return axis == Py_None || add(axis);
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(axis); ++i) {
        if (!add(PyTuple_GET_ITEM(axis, i))) {
            return false;
        }
    }
    return true;
}

bool find_layout(PyArrayObject* x, const bool* reduced, Layout& found) {
    int64_t sizes[4] = {1, 1, 1, 1};  // kept, reduced, kept, reduced
    int at = 0;
    for (int d = 0; d < PyArray_NDIM(x); ++d) {
        const npy_intp size = PyArray_DIM(x, d);
        if (size == 1) {
            continue;
        }
        at += at % 2 != int(reduced[d]);
        if (size == 0 || at > 3) {
            return false;
        }
        sizes[at] *= size;
    }
    const bool of_rows = at == 1 || at == 3;
    if (at == 1) {  // the last of all
        std::swap(sizes[1], sizes[3]);
    }
    found = {sizes[0], sizes[1], sizes[2], sizes[3]};
    return of_rows || at == 2;
}

// The totals of a kind, for each result; means are those of the results, too.
class Reduction {
public:
    Reduction(Loop loop, PyArrayObject* x, const Layout& layout)
        : loop_(loop), x_(PyArray_DATA(x)), of_(layout) {}

    std::vector<double> find(Kind kind, const std::vector<double>& means = {}) const {
        const bool of_rows = of_.length > 1;
        const int64_t line = of_rows ? of_.length : of_.rows;
        const int64_t across = of_rows || of_.columns > 1024 ? 1024 : of_.columns;
        const int64_t most = of_rows ? piece : (4 * piece / across + 15) / 16 * 16;
        const int64_t part = line < most ? line : most, parts = (line + part - 1) / part;
        const int64_t inner = of_.results() / of_.outer, groups = of_rows ? of_.rows : 1;
        std::vector<double> totals(size_t(of_.outer * groups * inner * parts));
        const double numbers[] = {double(int(kind)), double(line),  double(part),   double(parts),
                                  double(of_rows ? groups : inner), double(inner), double(of_rows)};
        void* arrays[] = {totals.data(), x_,
                          means.empty() ? nullptr : const_cast<double*>(means.data())};
        const int64_t ranges = of_rows ? 1 : (inner + 1023) / 1024;
        const int64_t items = of_rows ? int64_t(totals.size()) : of_.outer * parts * ranges;
        run_anyhow(loop_, arrays, numbers, items, of_rows ? part : part * across);
        return of_rows ? joined(kind, totals, groups, inner, parts)
                       : joined(kind, totals, parts, inner, 1);
    }

private:
    // Of outer x groups x inner x parts, groups and parts.
    std::vector<double> joined(Kind kind, const std::vector<double>& totals, int64_t groups,
                               int64_t inner, int64_t parts) const {
        const auto by = [&](auto combine) {
            std::vector<double> found(size_t(of_.outer * inner));
            const double* next = totals.data();
            for (int64_t o = 0; o < of_.outer; ++o) {
                double* result = found.data() + o * inner;
                for (int64_t g = 0; g < groups; ++g) {
                    if (parts == 1 && g > 0) {  // as columns have it
                        for (int64_t i = 0; i < inner; ++i) {
                            result[i] = combine(result[i], next[i]);
                        }
                        next += inner;
                        continue;
                    }
                    for (int64_t i = 0; i < inner; ++i, next += parts) {
                        result[i] = g == 0 ? *next : combine(result[i], *next);
                        for (int64_t p = 1; p < parts; ++p) {
                            result[i] = combine(result[i], next[p]);
                        }
                    }
                }
            }
            return found;
        };
        if (groups == 1 && parts == 1) {
            return totals;
        }
        switch (kind) {
            case Kind::product: return by([](double a, double b) { return a * b; });
            case Kind::largest: return by([](double a, double b) { return b > a || b != b ? b : a; });
            case Kind::smallest: return by([](double a, double b) { return b < a || b != b ? b : a; });
            default: return by([](double a, double b) { return a + b; });
        }
    }

    Loop loop_;
    void* x_;
    const Layout& of_;
};

template <class Function>
void each_of(std::vector<double>& values, Function function) {
    for (double& value : values) {
        value = function(value);
    }
}

// Whether sums of squares of float have lost none.
bool keep_digits(const std::vector<double>& squares) {
    for (double square : squares) {
        if (!(square > 1e-25 && square < 1e35)) {
            return false;
        }
    }
    return true;
}

// column_sum and sum, mean, prod, amax, amin, logsumexp; of numbers that are none, or leave the range, nothing.
bool find(const char* name, const Reduction& of, int64_t count, double number,
          std::vector<double>& found) {
    const auto is = [=](const char* other) { return std::strcmp(name, other) == 0; };
    if (is("amax") || is("amin")) {
        found = of.find(is("amax") ? Kind::largest : Kind::smallest);
        return true;
    }
    if (is("sum") || is("column_sum")) {
        found = of.find(Kind::sum);
    } else if (is("mean")) {
        found = of.find(Kind::sum);
        each_of(found, [=](double total) { return total / double(count); });
    } else if (is("prod")) {
        found = of.find(Kind::product);
    } else if (is("logsumexp")) {
        const std::vector<double> top = of.find(Kind::largest);
        found = of.find(Kind::exponentials, top);
        for (size_t i = 0; i < found.size(); ++i) {
            found[i] = std::log(found[i]) + top[i];
        }
    } else if (is("vector_norm")) {
        if (number == 1) {
            found = of.find(Kind::sizes);
        } else if (number == 2) {
            found = of.find(Kind::squares);
            if (!keep_digits(found)) {
                found = of.find(Kind::squares_wide);
            }
            each_of(found, [](double total) { return std::sqrt(total); });
        } else {
            return false;
        }
    } else {  // var, std
        const double freedom = double(count) - number;
        std::vector<double> means = of.find(Kind::sum_wide);
        each_of(means, [=](double total) { return total / double(count); });
        found = of.find(Kind::centred, means);
        if (!keep_digits(found)) {
            found = of.find(Kind::centred_wide, means);
        }
        const bool root = is("std");
        each_of(found, [=](double total) {
            return root ? std::sqrt(total / freedom) : total / freedom;
        });
        if (!(freedom > 0)) {
            return false;
        }
    }
    for (double value : found) {
        if (!std::isfinite(float(value))) {
            return false;
        }
    }
    return true;
}

template <class S>
void store(PyObject* result, const std::vector<double>& values) {
    S* y = static_cast<S*>(memory_of(result));
    for (size_t i = 0; i < values.size(); ++i) {
        y[i] = narrowed<S>(float(values[i]));
    }
}

PyObject* first_axis() {
    static PyObject* const zero = PyLong_FromLong(0);
    return zero;
}

// Sums and means of few floats, which the tape in C adds up as NumPy does: the bits are the same with
// and without it.
bool is_left_to_numpy(const Entry& entry, PyArrayObject* x) {
    constexpr npy_intp few = 1 << 12;
    return PyArray_TYPE(x) == NPY_FLOAT32 && PyArray_SIZE(x) <= few &&
           (std::strcmp(entry.name, "sum") == 0 || std::strcmp(entry.name, "mean") == 0 ||
            std::strcmp(entry.name, "column_sum") == 0);
}

}  // namespace

PyObject* reduce(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"axis", "keepdims", "order", "correction"};
    PyObject* options[4] = {};
    bool reduced[NPY_MAXDIMS];
    Layout layout;
    if (count != 1 || !is_plain(given[0]) || !read_keywords(keywords, given + 1, names, options)) {
        return nullptr;
    }
    PyArrayObject* x = as_array(given[0]);
    if (std::strcmp(entry.name, "column_sum") == 0) {
        options[0] = first_axis();
        options[1] = Py_False;
    }
    if (options[0] == nullptr || options[1] == nullptr || !PyBool_Check(options[1])) {
        return nullptr;
    }
    const Loop loop = loop_of(entry, x);
    const int dims = PyArray_NDIM(x);
    if (loop == nullptr || is_left_to_numpy(entry, x) || !read_axes(options[0], dims, reduced) ||
        !find_layout(x, reduced, layout)) {
        return nullptr;
    }
    PyObject* option = options[2] != nullptr ? options[2] : options[3];
    double number = 0;
    if ((option != nullptr) != (entry.keyword != nullptr)) {
        return nullptr;
    }
    if (option != nullptr) {
        number = PyFloat_CheckExact(option) || PyLong_CheckExact(option) ? PyFloat_AsDouble(option) : -1;
        if (number < 0) {
            PyErr_Clear();
            return nullptr;
        }
    }
    std::vector<double> found;
    try {
        if (!find(entry.name, Reduction(loop, x, layout), layout.count(), number, found)) {
            return nullptr;
        }
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
    npy_intp shape[NPY_MAXDIMS];
    int kept = 0;
    for (int d = 0; d < dims; ++d) {
        if (!reduced[d] || options[1] == Py_True) {
            shape[kept++] = reduced[d] ? 1 : PyArray_DIM(x, d);
        }
    }
    PyObject* result = empty(PyArray_DESCR(x), kept, shape);
    if (result != nullptr) {
        (PyArray_ITEMSIZE(x) == 4 ? store<float>
         : PyArray_TYPE(x) == NPY_FLOAT16 ? store<Half>
                                          : store<Brain>)(result, found);
    }
    return result;
}
