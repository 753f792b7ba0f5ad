// Products of matrices.
#include "../product.h"

#include <algorithm>
#include <cstring>

#include "../arrays.h"
#include "../doors.h"
#include "../pool.h"

namespace {

// A stack of matrices of floats or doubles, with any strides.
struct Stack {
    PyArrayObject* array = nullptr;
    int lead = 0;  // dimensions of the stack
    int64_t rows = 0, columns = 0;

    bool read(PyObject* object) {
        if (!is_behaved(object)) {
            return false;
        }
        array = as_array(object);
        lead = PyArray_NDIM(array) - 2;
        const int type = PyArray_TYPE(array);
        if ((type != NPY_FLOAT32 && type != NPY_FLOAT64) || lead < 0 || lead > most_batch ||
            PyArray_SIZE(array) == 0) {
            return false;
        }
        for (int i = 0; i < lead + 2; ++i) {
            if (PyArray_STRIDE(array, i) % PyArray_ITEMSIZE(array) != 0) {
                return false;
            }
        }
        rows = PyArray_DIM(array, lead);
        columns = PyArray_DIM(array, lead + 1);
        return true;
    }

    // How far apart those of a dimension are that there are more than one of; else 1.
    int64_t stride(int i) const {
        return PyArray_DIM(array, i) == 1 ? 1 : PyArray_STRIDE(array, i) / PyArray_ITEMSIZE(array);
    }

    Factor factor() const { return {PyArray_DATA(array), stride(lead), stride(lead + 1), {}}; }
};

// Whether the loop is as fast as the library that NumPy calls, or faster.
bool is_worth(const Product& of) {
    const int64_t each = of.columns * of.depth, work = of.rows * each;
    return of.rows >= 4 && of.columns >= 8 && work >= (1 << 12) && (each >= 512 || work < (1 << 16));
}

// Threads share a large product: first by columns, as each packs what it reads of b.
void share(Product& of, int64_t matrices) {
    constexpr int64_t least = 1 << 19;
    const int64_t work = of.rows * of.columns * of.depth, threads = get_threads();
    const int64_t wanted = threads == 1 || matrices >= threads ? 1 : std::min(4 * threads, work / least);
    of.column_pieces = std::max<int64_t>(1, std::min(wanted, of.columns / 96));
    of.row_pieces = std::max<int64_t>(1, std::min(wanted / of.column_pieces, of.rows / 64));
}

// Null, with an error, where there was no memory.
PyObject* multiply(const Entry& entry, Product& of, PyObject* c) {
    if (c == nullptr) {
        return nullptr;
    }
    of.c = memory_of(c);
    int64_t matrices = 1;
    for (int i = 0; i < of.batch_dimensions; ++i) {
        matrices *= of.batch[i];
    }
    share(of, matrices);
    const int64_t pieces = of.row_pieces * of.column_pieces;
    void* arrays[] = {&of};
    run_anyhow(loop_of(entry, as_array(c)), arrays, nullptr, matrices * pieces,
               of.rows * of.columns * of.depth / pieces / 16);
    if (of.failed) {
        PyErr_NoMemory();
        Py_CLEAR(c);
    }
    return c;
}

// Their leading dimensions are broadcast; false where they do not fit.
bool read_batch(const Stack& a, const Stack& b, Product& of) {
    of.batch_dimensions = std::max(a.lead, b.lead);
    for (int i = 0; i < of.batch_dimensions; ++i) {
        int64_t& size = of.batch[i];
        size = 1;
        const auto add = [&](const Stack& stack, Factor& factor) {
            const int k = i - (of.batch_dimensions - stack.lead);
            const int64_t own = k < 0 ? 1 : PyArray_DIM(stack.array, k);
            factor.step[i] = own == 1 ? 0 : stack.stride(k);
            const bool fits = own == 1 || size == 1 || own == size;
            size = std::max(size, own);
            return fits;
        };
        if (!add(a, of.a) || !add(b, of.b)) {
            return false;
        }
    }
    return true;
}

// matmul(a, b)
PyObject* matmul(const Entry& entry, PyObject* const* given) {
    Stack a, b;
    if (!a.read(given[0]) || !b.read(given[1]) || a.columns != b.rows ||
        PyArray_TYPE(a.array) != PyArray_TYPE(b.array)) {
        return nullptr;
    }
    Product of{};
    of.rows = a.rows;
    of.columns = b.columns;
    of.depth = a.columns;
    of.a = a.factor();
    of.b = b.factor();
    if (!is_worth(of) || !read_batch(a, b, of)) {
        return nullptr;
    }
    npy_intp shape[most_batch + 2];
    std::copy_n(of.batch, of.batch_dimensions, shape);
    shape[of.batch_dimensions] = of.rows;
    shape[of.batch_dimensions + 1] = of.columns;
    return multiply(entry, of, empty(PyArray_DESCR(a.array), of.batch_dimensions + 2, shape));
}

// linear(x, weight, bias): a stack of x is one matrix.
PyObject* linear(const Entry& entry, PyObject* const* given) {
    Stack x, weight;
    if (!x.read(given[0]) || !weight.read(given[1]) || weight.lead > 0 || x.columns != weight.columns ||
        PyArray_TYPE(x.array) != PyArray_TYPE(weight.array) || (x.lead > 0 && !is_plain(given[0]))) {
        return nullptr;
    }
    PyObject* bias = given[2];
    if (bias != Py_None && (!is_plain(bias, PyArray_TYPE(x.array)) || PyArray_NDIM(as_array(bias)) != 1 ||
                            PyArray_DIM(as_array(bias), 0) != weight.rows)) {
        return nullptr;
    }
    Product of{};
    of.rows = PyArray_SIZE(x.array) / x.columns;
    of.columns = weight.rows;
    of.depth = x.columns;
    of.a = x.factor();
    of.a.row = x.lead > 0 ? x.columns : of.a.row;
    of.b = weight.factor();
    std::swap(of.b.row, of.b.column);
    of.bias = memory_of(bias);
    if (!is_worth(of)) {
        return nullptr;
    }
    npy_intp shape[most_batch + 2];
    std::copy_n(PyArray_DIMS(x.array), x.lead + 1, shape);
    shape[x.lead + 1] = of.columns;
    return multiply(entry, of, empty(PyArray_DESCR(x.array), x.lead + 2, shape));
}

}  // namespace

PyObject* product(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    const bool with_bias = entry.keyword != nullptr;
    if (count != (with_bias ? 3 : 2) || (keywords != nullptr && PyTuple_GET_SIZE(keywords) > 0)) {
        return nullptr;
    }
    return (with_bias ? linear : matmul)(entry, given);
}
